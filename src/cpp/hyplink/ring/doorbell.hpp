/// The two ends of a bell: `PeerBell` is rung, `OwnBell` is waited on, by a thread or by an event
/// loop.
///
///     own.look();                                   // before looking at the state the bell
///     announces if (!ready()) outcome = own.wait(deadline);   // returns once the bell counted on
///     since the look
///
/// In an event loop the owner sleeps in poll or epoll instead: `fileno()` gives a descriptor that
/// becomes readable when the bell is rung; after every delivery and look, `rearm()`. A bell is
/// one-shot in both forms.
///
/// Thread rule: a PeerBell any thread; an OwnBell one thread at a time. Neither owns the
/// descriptors.
#pragma once

#include <cstdint>

#include "hyplink/base/runtime.hpp"

namespace hyplink::rings {

namespace detail {
/// Wake an owner who armed its bell as `how`: by its eventfd, its futex or its seeded scheduler.
Rung wake_sleeper(Runtime& runtime, BellWords& bell, std::uint32_t how, int hook_fd);
}  // namespace detail

/// Ring a bell of another party, however it sleeps. `hook_fd` is its eventfd, -1 when it has none.
/// Blocks: no. One locked instruction when the owner is awake, one system call when it sleeps.
inline Rung ring_bell(Runtime& runtime, BellWords& bell, int hook_fd) {
    const std::uint32_t how = bell_ring(bell);
    if (how == kBellAwake) [[likely]]
        return {};
    return detail::wake_sleeper(runtime, bell, how, hook_fd);
}

/// The bell of the other side.
class PeerBell {
   public:
    void attach(Runtime& runtime, BellWords& bell, int hook_fd) {
        runtime_ = &runtime;
        bell_ = &bell;
        hook_fd_ = hook_fd;
    }
    Rung ring() { return ring_bell(*runtime_, *bell_, hook_fd_); }

   private:
    Runtime* runtime_ = nullptr;
    BellWords* bell_ = nullptr;
    int hook_fd_ = -1;
};

/// One's own bell.
class OwnBell {
   public:
    void attach(Runtime& runtime, BellWords& bell, int hook_fd) {
        runtime_ = &runtime;
        bell_ = &bell;
        hook_fd_ = hook_fd;
        seen_ = bell_seen(bell);
    }

    /// Remember how often the bell has been rung. Call before looking at what it announces.
    void look() { seen_ = bell_seen(*bell_); }

    /// The next wait returns at once: there is more to look at.
    void look_again() { --seen_; }

    /// Wait until the bell was rung after the last `look()`: the runtime's spin, then its sleep.
    /// Returns ok (perhaps spuriously), timed_out or interrupted.
    Errc wait(Deadline deadline);

    /// A descriptor for select, poll, epoll or asyncio: readable once the bell was rung. Switches
    /// the bell to hook mode for good; arms it. Errors: unsupported when this bell was given no
    /// eventfd.
    Result<int> fileno();

    /// After a delivery: make the descriptor unreadable and arm again. Rings that came since the
    /// last look make it readable at once, so nothing is lost between a look and this.
    void rearm();

    /// An event loop was given the descriptor.
    bool hooked() const { return hooked_; }
    BellWords& words() const { return *bell_; }

   private:
    Runtime* runtime_ = nullptr;
    BellWords* bell_ = nullptr;
    std::uint32_t seen_ = 0;
    int hook_fd_ = -1;
    bool hooked_ = false;
};

}  // namespace hyplink::rings
