/// Requests that every mechanism makes of its guest kernel in the same way: open a device, close
/// what was opened; and a lock for what asks one thing after another. Thread rule: that of the
/// application, any thread.
#pragma once

#include <atomic>
#include <cstdint>
#include <mutex>
#include <string>
#include <utility>

#include "hyplink/app/application.hpp"

namespace hyplink::app {

/// How long an ending waits for a kernel that is stuck; what its VM has lost is closed, too.
inline constexpr std::int64_t kClosePatience = 2'000'000'000;

inline guest::SysRequest request_of(guest::Sys op, std::uint32_t handle,
                                    std::uint64_t argument = 0) {
    guest::SysRequest request;
    request.op = op;
    request.handle = handle;
    request.args[0] = argument;
    return request;
}

/// The handle of a device. Errors: no_such_link lists those there are.
inline Result<std::uint32_t> open_device(Application& application, const std::string& device,
                                         Deadline deadline) {
    guest::SysRequest open = request_of(guest::Sys::open, 0);
    open.data = device;
    const guest::SysReply opened = HYPLINK_TRY(application.call(std::move(open), deadline));
    return static_cast<std::uint32_t>(opened.values[0]);
}

/// Close what a handle stands for, once; it is 0 afterwards.
inline void close_handle(Application& application, std::uint32_t& handle) {
    if (handle == 0) return;
    (void)application.call(request_of(guest::Sys::close, std::exchange(handle, 0)),
                           application.runtime().in(kClosePatience));
}
/// The same where another thread may look at it, or close it, too.
inline void close_handle(Application& application, std::atomic<std::uint32_t>& handle) {
    std::uint32_t last = handle.exchange(0);
    close_handle(application, last);
}

/// The same without waiting for it.
inline void post_close(Application& application, std::uint32_t& handle) {
    if (handle != 0) application.post(request_of(guest::Sys::close, std::exchange(handle, 0)));
}

/// A lock that may be held while the kernel is asked: a seeded bench runs others meanwhile.
inline std::unique_lock<std::mutex> in_turn(std::mutex& mutex, Runtime& runtime) {
    std::unique_lock held(mutex, std::defer_lock);
    if (!runtime.seeded()) {
        held.lock();
    } else {
        while (!held.try_lock()) runtime.switch_point(SwitchPoint::wait);
    }
    return held;
}

}  // namespace hyplink::app
