/// vlink-lib: one end of one vlink, its driver life cycle and its sessions.
///
/// The state machine of vlx-facts 1.2 and 1.4: `step()` is run whenever something may have changed
/// (SYSCONF, a user left, the target moved) until nothing moves. It never waits: what it waits for
/// calls `step()` again. Abort order: sessions aborted (their callbacks), users' abort, wait for
/// entered users, users' stop, OFF. Thread rule: the guest kernel's.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "hyplink/base/ids.hpp"
#include "hyplink/hyp/hypercalls.hpp"
#include "hyplink/hyp/vlink.hpp"

namespace hyplink::guest {

/// A service that rides on a link end; several may share one. Last registered runs first.
class LinkUser {
   public:
    virtual ~LinkUser() = default;
    virtual Status reset() = 0;  ///< before OFF→RESET: clear one's own part of the shared memory
    virtual Status start() = 0;  ///< before RESET→ON: the peer's part may be read from now on
    virtual void up() = 0;       ///< both sides ON
    virtual void abort() = 0;    ///< the peer is gone, or we stop; the end is still ON
    virtual void stop() = 0;     ///< nobody is inside any more; OFF follows
};

enum class LocalState : std::uint32_t { stopped, reset, started, up, aborted };

class VlinkEnd;

/// A span of use of a link end by one user. An aborted session never comes back.
class VlinkSession {
   public:
    enum class State { alive, aborted };
    /// `on_abort` runs once, when the link goes down under the session.
    VlinkSession(VlinkEnd& end, std::function<void()> on_abort);
    ~VlinkSession();
    VlinkSession(const VlinkSession&) = delete;
    VlinkSession& operator=(const VlinkSession&) = delete;

    State state() const { return state_; }
    /// Count one user inside; the link stays ON until all have left. Must be matched by leave()
    /// even when the session turns out to be aborted (returns false then).
    bool enter();
    void leave();

   private:
    friend class VlinkEnd;
    VlinkEnd* end_;
    std::function<void()> on_abort_;
    State state_ = State::alive;
};

class VlinkEnd {
   public:
    VlinkEnd(hyp::VlinkDescriptor& descriptor, std::uint32_t slot, Role role)
        : descriptor_(&descriptor), slot_(slot), role_(role) {}
    VlinkEnd(const VlinkEnd&) = delete;
    VlinkEnd& operator=(const VlinkEnd&) = delete;
    ~VlinkEnd();

    void add_user(LinkUser& user) { users_.insert(users_.begin(), &user); }
    /// Move until stable. Returns true if the published state was changed and must be announced.
    bool step();
    /// The hypervisor has judged the last announcement: take back what it refused.
    void settle();
    void set_target(bool up) { target_up_ = up; }
    /// Abort and take the end OFF although the peer is there (it wrote something impossible).
    void fail();

    hyp::EndRef ref() const { return {slot_, role_}; }
    Role role() const { return role_; }
    std::uint32_t slot() const { return slot_; }
    LinkIndex index() const { return descriptor_->index; }
    const hyp::VlinkDescriptor& descriptor() const { return *descriptor_; }
    VmId own_vm() const { return role_ == Role::server ? descriptor_->s_id : descriptor_->c_id; }
    VmId peer_vm() const { return role_ == Role::server ? descriptor_->c_id : descriptor_->s_id; }
    LocalState local() const { return local_; }
    bool is_up() const { return local_ == LocalState::up; }
    /// Up, and the peer has not gone meanwhile: what stands in its part is not of a life that
    /// ended.
    bool is_met() const { return is_up() && peer_state() == LinkState::on; }
    bool stopping() const { return !target_up_; }
    std::size_t sessions() const { return sessions_.size(); }

   private:
    friend class VlinkSession;
    LinkState peer_state() const;
    LinkState own_state() const;
    void publish(LinkState state);
    void begin_abort();

    hyp::VlinkDescriptor* descriptor_;
    std::uint32_t slot_;
    Role role_;
    std::vector<LinkUser*> users_;
    std::vector<VlinkSession*> sessions_;
    LocalState local_ = LocalState::stopped;
    LinkState published_ = LinkState::off;
    std::uint32_t entered_ = 0;
    bool target_up_ = false;
    bool dirty_ = false;
};

}  // namespace hyplink::guest
