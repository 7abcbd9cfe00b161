/// The handshake of one end of one vlink, for an application that drives it.
///
///     VlinkDriver driver(*nk, link, Role::client, {.reset = …, .start = …, .up = …, .down = …});
///     nk->attach(kSysconf, [&](XirqNumber) { (void)driver.step(); });
///     HYPLINK_TRY(driver.step());
///
/// | my state | when                | new state | before it is announced | | OFF      | peer is not
/// ON      | RESET     | `reset`: clear one's own part of the shared memory           | | RESET |
/// peer is not OFF     | ON        | `start`: the peer's part may be read; enable one's XIRQs     |
/// | ON       | peer is ON          |           | `up`: the link is usable | | ON       | peer OFF,
/// or we end | OFF       | `down`: nobody may use it any more; undo `start`             |
///
/// What `start` reads of the peer may belong to a life of it that ends before `up`; from `up` to
/// `down` it cannot change under us. `down` follows every `start`. When the bridge refuses a step
/// the driver stays and tries at the next SYSCONF. A driver that the hypervisor forced OFF (it was
/// too slow) gets `down` and starts again. Thread rule: the thread that dispatches. Source:
/// vlx-facts 1.2.
#pragma once

#include <functional>

#include "hyplink/app/nkddi/nkddi.hpp"

namespace hyplink::nkddi {

/// Each may be left out. An error of `reset` or `start` leaves the state as it is; step() returns
/// it.
struct VlinkCallbacks {
    std::function<Status()> reset;
    std::function<Status()> start;
    std::function<Status()> up;
    std::function<Status()> down;
};

class VlinkDriver {
   public:
    VlinkDriver(Nkddi& nkddi, mem::Ipa vlink, Role role, VlinkCallbacks callbacks)
        : nkddi_(&nkddi), vlink_(vlink), role_(role), callbacks_(std::move(callbacks)) {}
    VlinkDriver(const VlinkDriver&) = delete;
    VlinkDriver& operator=(const VlinkDriver&) = delete;

    /// Up, or on the way down to OFF. Takes effect with the next step().
    void set_target(bool up) { target_up_ = up; }
    /// Move until nothing moves. Call at first, at every SYSCONF and after set_target(). Errors:
    /// those of the callbacks and of Nkddi::set_state.
    Status step();
    /// Both ends are ON and `up` has run.
    bool is_up() const { return up_; }
    LinkState state() const { return state_; }
    mem::Ipa vlink() const { return vlink_; }
    Role role() const { return role_; }

   private:
    Result<bool> move();
    Result<bool> go(LinkState state);
    Status leave();
    Status run(const std::function<Status()>& callback) { return callback ? callback() : Status{}; }

    Nkddi* nkddi_;
    mem::Ipa vlink_;
    Role role_;
    VlinkCallbacks callbacks_;
    LinkState state_ = LinkState::off;  // as last announced
    bool target_up_ = true;
    bool up_ = false;
    bool stepping_ = false;
};

}  // namespace hyplink::nkddi
