#include "hyplink/ring/doorbell.hpp"

#include <poll.h>

#include <span>

#include "hyplink/sys/eventfd.hpp"

namespace hyplink::rings {
namespace {

bool can_take_one(int fd) {
    struct pollfd entry{fd, POLLOUT, 0};
    return ::poll(&entry, 1, 0) == 1 && (entry.revents & POLLOUT) != 0;
}

}  // namespace

Rung detail::wake_sleeper(Runtime& runtime, BellWords& bell, std::uint32_t how, int hook_fd) {
    if (how != kBellHook || hook_fd < 0) return {true, runtime.wake(bell)};
    // The owner may have taken O_NONBLOCK off the shared description and filled the counter to
    // block us.
    if (!can_take_one(hook_fd)) return {true, false};
    sys::signal_eventfd(hook_fd);
    return {true, true};
}

Errc OwnBell::wait(Deadline deadline) {
    const BellWait one{bell_, seen_};
    const Errc outcome = runtime_->wait(std::span(&one, 1), deadline);
    if (hooked_)
        rearm();  // the runtime armed the futex and disarmed it: give the event loop its bell back
    return outcome;
}

Result<int> OwnBell::fileno() {
    if (hook_fd_ < 0)
        return Error::make(Errc::unsupported, "fileno: this channel was opened without an eventfd");
    hooked_ = true;
    rearm();
    return hook_fd_;
}

void OwnBell::rearm() {
    if (!hooked_) return;
    sys::drain_eventfd(hook_fd_);
    bell_arm(*bell_, kBellHook);
    if (bell_->rung.load(std::memory_order_seq_cst) != seen_) sys::signal_eventfd(hook_fd_);
}

}  // namespace hyplink::rings
