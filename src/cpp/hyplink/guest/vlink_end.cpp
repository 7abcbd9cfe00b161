#include "hyplink/guest/vlink_end.hpp"

#include <algorithm>

namespace hyplink::guest {

VlinkSession::VlinkSession(VlinkEnd& end, std::function<void()> on_abort)
    : end_(&end), on_abort_(std::move(on_abort)) {
    end_->sessions_.push_back(this);
}

VlinkSession::~VlinkSession() {
    if (end_ != nullptr) std::erase(end_->sessions_, this);
}

bool VlinkSession::enter() {
    if (end_ != nullptr) end_->entered_ += 1;
    return state_ == State::alive;
}

void VlinkSession::leave() {
    if (end_ != nullptr && end_->entered_ > 0) end_->entered_ -= 1;
}

VlinkEnd::~VlinkEnd() {
    for (VlinkSession* session : sessions_) session->end_ = nullptr;
}

LinkState VlinkEnd::peer_state() const {
    // Written by the hypervisor only, so it is one of the three; anything else reads as OFF.
    const std::uint32_t state =
        state_word(*descriptor_, other(role_)).load(std::memory_order_acquire);
    return state <= 2 ? static_cast<LinkState>(state) : LinkState::off;
}

LinkState VlinkEnd::own_state() const {
    const std::uint32_t state = state_word(*descriptor_, role_).load(std::memory_order_acquire);
    return state <= 2 ? static_cast<LinkState>(state) : LinkState::off;
}

void VlinkEnd::publish(LinkState state) {
    state_word(*descriptor_, role_)
        .store(static_cast<std::uint32_t>(state), std::memory_order_release);
    published_ = state;
    dirty_ = true;
}

void VlinkEnd::begin_abort() {
    local_ = LocalState::aborted;
    // Callbacks may destroy sessions, so walk over a copy and skip those that are gone.
    const std::vector<VlinkSession*> sessions = sessions_;
    for (VlinkSession* session : sessions) {
        if (std::find(sessions_.begin(), sessions_.end(), session) == sessions_.end()) continue;
        if (session->state_ == VlinkSession::State::aborted) continue;
        session->state_ = VlinkSession::State::aborted;
        if (session->on_abort_) session->on_abort_();
    }
    for (LinkUser* user : users_) user->abort();
}

bool VlinkEnd::step() {
    // The hypervisor took this end OFF by itself (we were too slow): clean up as for a dead peer.
    if (!dirty_ && published_ != LinkState::off && own_state() == LinkState::off) {
        published_ = LinkState::off;
        if (local_ == LocalState::started || local_ == LocalState::up) begin_abort();
        if (local_ == LocalState::reset) local_ = LocalState::stopped;
    }
    for (bool moved = true; moved;) {
        moved = false;
        const LinkState peer = peer_state();
        switch (local_) {
            case LocalState::stopped:
                // A restarted side stays OFF until the survivor has left ON. One step per
                // announcement: the bridge must have seen OFF before it sees RESET.
                if (target_up_ && !dirty_ && peer != LinkState::on) {
                    bool ready = true;
                    for (LinkUser* user : users_) ready = static_cast<bool>(user->reset()) && ready;
                    if (!ready) break;
                    publish(LinkState::reset);
                    local_ = LocalState::reset;
                    moved = true;
                }
                break;
            case LocalState::reset:
                if (!target_up_) {
                    publish(LinkState::off);
                    local_ = LocalState::stopped;
                } else if (!dirty_ && peer != LinkState::off) {
                    bool ready = true;
                    for (LinkUser* user : users_) ready = static_cast<bool>(user->start()) && ready;
                    if (!ready) break;
                    publish(LinkState::on);
                    local_ = LocalState::started;
                    moved = true;
                }
                break;
            case LocalState::started:
            case LocalState::up:
                if (peer == LinkState::off || !target_up_) {
                    begin_abort();
                    moved = true;
                } else if (local_ == LocalState::started && peer == LinkState::on && !dirty_) {
                    local_ = LocalState::up;
                    for (LinkUser* user : users_) user->up();
                    moved = true;
                }
                break;
            case LocalState::aborted:
                if (entered_ == 0) {
                    for (LinkUser* user : users_) user->stop();
                    if (published_ != LinkState::off) publish(LinkState::off);
                    local_ = LocalState::stopped;
                    moved = true;
                }
                break;
        }
    }
    return dirty_;
}

void VlinkEnd::settle() {
    dirty_ = false;
    const LinkState kept = own_state();
    if (kept == published_) return;
    published_ = kept;
    if (kept == LinkState::off) local_ = LocalState::stopped;
    if (kept == LinkState::reset) local_ = LocalState::reset;
}

void VlinkEnd::fail() {
    if (local_ != LocalState::started && local_ != LocalState::up) return;
    begin_abort();
}

}  // namespace hyplink::guest
