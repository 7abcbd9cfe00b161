// Descriptor tables that guests write: the bridge reads one word of each, and believes no other.
#include "board.hpp"

using namespace hyplink;

namespace {

constexpr std::uint32_t kLinks = 3;

class Guest {
   public:
    Guest(hyp::Hypervisor& hypervisor, VmId vm)
        : hypervisor_(&hypervisor), vm_(vm), calls_(hypervisor, vm) {
        boot();
    }
    void boot() {
        (void)hypervisor_->begin_boot(vm_, waker_);
        pdev_ = *calls_.pdev();
    }
    void die() { hypervisor_->vm_gone(vm_); }
    std::span<std::byte> memory() { return pdev_.region->bytes(); }
    hyp::VlinkDescriptor* table() {
        return reinterpret_cast<hyp::VlinkDescriptor*>(memory().data() +
                                                       2 * sizeof(hyp::PdevHeader));
    }
    hyp::LocalHypercalls& calls() { return calls_; }

    void scribble(fuzz::Input& input) {
        const std::size_t at = input.below(512);
        const auto bytes = input.take(input.byte() % 96);
        if (!bytes.empty()) std::memcpy(memory().data() + at, bytes.data(), bytes.size());
    }

   private:
    hyp::Hypervisor* hypervisor_;
    VmId vm_;
    fuzz::Waker waker_;
    hyp::LocalHypercalls calls_;
    hyp::MemoryView pdev_;
};

/// What the bridge must do, told without it.
bool allowed(LinkState from, std::uint32_t to, LinkState peer) {
    switch (to) {
        case 0:
            return true;
        case 1:
            if (from == LinkState::off) return peer != LinkState::on;
            return from == LinkState::on && peer == LinkState::off;
        case 2:
            return from == LinkState::reset && peer != LinkState::off;
        default:
            return false;
    }
}

}  // namespace

void fuzz::one(Input& input) {
    const auto hypervisor = make_board();
    Guest guests[2] = {{*hypervisor, kServerVm}, {*hypervisor, kClientVm}};
    // Slots of each VM are in the order of the board; the client has no loopback.
    const VmId ids[2] = {kServerVm, kClientVm};
    for (int step = 0; step < 100 && !input.empty(); ++step) {
        const std::uint32_t who = input.byte() % 2;
        Guest& guest = guests[who];
        const std::uint8_t what = input.byte();
        if (what < 60) {
            guest.scribble(input);
        } else if (what < 80) {
            guest.die();
            if (input.byte() % 2 == 0) hypervisor->on_time();
            guest.boot();
            for (LinkIndex link = 0; link < kLinks; ++link)
                for (const Role role : {Role::server, Role::client}) {
                    const hyp::LinkSpec& spec = hypervisor->link_spec(link);
                    if ((role == Role::server ? spec.server : spec.client) == ids[who])
                        FUZZ_CHECK(hypervisor->link_state(link, role) == LinkState::off);
                }
        } else {
            const std::uint32_t slot = what < 84 ? input.number() : input.byte() % kLinks;
            const auto role = static_cast<Role>(what < 88 ? input.number() : input.byte() % 2);
            const std::uint32_t wanted = input.byte() % 4 == 0 ? input.number() : input.byte() % 3;
            const std::uint32_t count = who == 0 ? 3 : 2;
            const bool good_role = role == Role::server || role == Role::client;
            if (slot < count && good_role) state_word(guest.table()[slot], role) = wanted;
            const hyp::LinkSpec* spec = slot < count ? &hypervisor->link_spec(slot) : nullptr;
            const bool mine = spec != nullptr && good_role &&
                              (role == Role::server ? spec->server : spec->client) == ids[who];
            LinkState before = LinkState::off;
            LinkState peer = LinkState::off;
            if (mine) {
                before = hypervisor->link_state(slot, role);
                peer = hypervisor->link_state(slot, other(role));
            }
            const hyp::EndRef end{slot, role};
            const Status status = guest.calls().publish(std::span(&end, 1));
            FUZZ_CHECK(static_cast<bool>(status) == mine);
            if (!mine) continue;
            const LinkState after = hypervisor->link_state(slot, role);
            FUZZ_CHECK(after ==
                       (allowed(before, wanted, peer) ? static_cast<LinkState>(wanted) : before));
            FUZZ_CHECK(hypervisor->link_state(slot, other(role)) == peer);
            // A refused step is undone where the guest sees it; an allowed one reaches the peer.
            FUZZ_CHECK(state_word(guest.table()[slot], role) == static_cast<std::uint32_t>(after));
            if (after != before && slot != 2)
                FUZZ_CHECK(state_word(guests[1 - who].table()[slot], role) ==
                           static_cast<std::uint32_t>(after));
        }
    }
}
