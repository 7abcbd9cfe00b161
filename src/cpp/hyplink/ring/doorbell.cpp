#include "hyplink/ring/doorbell.hpp"

#include <span>

#include "hyplink/sys/eventfd.hpp"

namespace hyplink::rings {

Rung detail::wake_sleeper(Runtime& runtime, BellWords& bell, std::uint32_t how, int hook_fd) {
    if (how != kBellHook || hook_fd < 0) return {true, runtime.wake(bell)};
    // The owner may have taken O_NONBLOCK off the shared description and filled the counter to
    // block us.
    return {true, sys::signal_shared_eventfd(hook_fd)};
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
    if (bell_->rung.load(std::memory_order_seq_cst) != seen_) sys::signal_shared_eventfd(hook_fd_);
}

}  // namespace hyplink::rings
