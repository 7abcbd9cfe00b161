#include "hyplink/app/nkddi/vlink_driver.hpp"

namespace hyplink::nkddi {

Status VlinkDriver::step() {
    if (stepping_) return {};  // from one of our own callbacks: the outer call goes on anyway
    struct Stepping {
        bool& flag;
        explicit Stepping(bool& it) : flag(it) { flag = true; }
        ~Stepping() { flag = false; }
    } stepping(stepping_);
    while (HYPLINK_TRY(move())) {
    }
    return {};
}

Result<bool> VlinkDriver::move() {
    const LinkState own = nkddi_->state(vlink_, role_);
    const LinkState peer = nkddi_->state(vlink_, other(role_));
    if (own != state_) {
        // The hypervisor took us OFF by itself.
        const bool was_on = state_ == LinkState::on;
        state_ = own;
        if (was_on) HYPLINK_TRY(leave());
        return true;
    }
    switch (state_) {
        case LinkState::off:
            if (!target_up_ || peer == LinkState::on) return false;
            HYPLINK_TRY(run(callbacks_.reset));
            return go(LinkState::reset);
        case LinkState::reset:
            if (!target_up_) return go(LinkState::off);
            if (peer == LinkState::off) return false;
            HYPLINK_TRY(run(callbacks_.start));
            if (HYPLINK_TRY(go(LinkState::on))) return true;
            HYPLINK_TRY(run(callbacks_.down));  // refused: the peer went OFF meanwhile
            return false;
        case LinkState::on:
            if (!target_up_ || peer == LinkState::off) {
                HYPLINK_TRY(leave());
                return go(LinkState::off);
            }
            if (peer == LinkState::on && !up_) {
                up_ = true;
                HYPLINK_TRY(run(callbacks_.up));
                return true;
            }
            return false;
    }
    return false;
}

Result<bool> VlinkDriver::go(LinkState wanted) {
    const LinkState before = state_;
    state_ = wanted;
    auto kept = nkddi_->set_state(vlink_, role_, wanted);
    if (!kept) {
        state_ = before;
        return std::move(kept).error();
    }
    state_ = *kept;  // refused, or forced OFF again already
    return *kept == wanted;
}

Status VlinkDriver::leave() {
    up_ = false;
    return run(callbacks_.down);
}

}  // namespace hyplink::nkddi
