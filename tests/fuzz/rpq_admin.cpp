// vRPQ administration: a real guest kernel, and a peer VM that writes anything into what they
// share.
#include "hyplink/guest/rpq_admin.hpp"
#include "board.hpp"

using namespace hyplink;

namespace {

/// The hostile VM: no kernel, only what the hypervisor lets it do.
class Hostile {
   public:
    Hostile(hyp::Hypervisor& hypervisor, Role role)
        : hypervisor_(&hypervisor),
          vm_(role == Role::server ? fuzz::kServerVm : fuzz::kClientVm),
          role_(role),
          calls_(hypervisor, vm_) {
        boot();
    }
    void boot() {
        FUZZ_CHECK(hypervisor_->begin_boot(vm_, waker_));
        pdev_ = *calls_.pdev();
        using hyp::ResourceType;
        const hyp::ResourceRequest wanted[] = {
            {ResourceType::pmem, 0, 0, 0, guest::AdminRing::kBytes},
            {ResourceType::pxirq, 0, 1, fuzz::kClientVm, 2},
            {ResourceType::pxirq, 0, 2, fuzz::kServerVm, 2}};
        const auto made = *calls_.resources(wanted);
        memory_ = *calls_.mem_open(made[0].at);
        area_ = reinterpret_cast<guest::AdminArea*>(memory_.region->data() + made[0].at.value -
                                                    memory_.base.value);
        peer_xirq_ = made[role_ == Role::server ? 1 : 2].first;
        peer_bell_ = made[role_ == Role::server ? 1 : 2].at.value - memory_.base.value;
        sent_ = 0;
    }
    void die() { hypervisor_->vm_gone(vm_); }

    /// Go through the handshake as an honest VM would, `settle` being the other side's turn.
    template <class Settle>
    void go_up(Settle&& settle) {
        (void)calls_.boot_done();
        reset();
        for (const LinkState state : {LinkState::reset, LinkState::on}) {
            publish(static_cast<std::uint32_t>(state));
            settle();
        }
    }
    void publish(std::uint32_t state) {
        descriptor_word().store(state);
        const hyp::EndRef end{0, role_};
        (void)calls_.publish(std::span(&end, 1));
    }
    void reset() {
        sent_ = 0;
        mine().head = 0;
        theirs().tail = 0;
    }
    void message(const guest::AdminSlot& slot) {
        area_->slots[index()][sent_ % guest::AdminArea::kSlots] = slot;
        mine().head = ++sent_;
    }
    void ring() {
        (void)calls_.xirq_trigger(peer_xirq_,
                                  role_ == Role::server ? fuzz::kClientVm : fuzz::kServerVm);
    }

    void act(fuzz::Input& input) {
        switch (input.byte() % 16) {
            case 0:
            case 1:
            case 2:
            case 3:
            case 4:
            case 5: {  // a message, well formed or nearly
                guest::AdminSlot slot{};
                const std::uint8_t kind = input.byte();
                slot.kind = kind < 250 ? kind % 12U : input.number();
                const std::uint8_t near = input.byte();
                slot.session = near < 240 ? 1U + near % 3U : input.number();
                slot.channel = near < 240 ? 1U + near / 8U % 3U : input.number();
                slot.port = input.byte() % 4 == 0 ? input.number() : last_port_;
                slot.app = input.byte();
                slot.status = input.byte() % 4 == 0 ? static_cast<std::int32_t>(input.number()) : 0;
                slot.info_bytes = input.byte() % 8 == 0 ? input.number() : input.byte();
                const auto info = input.take(input.byte() % 32);
                if (!info.empty()) std::memcpy(slot.info, info.data(), info.size());
                message(slot);
                if (input.byte() % 2 == 0) ring();
                break;
            }
            case 6:
                mine().head = input.byte() % 2 == 0 ? input.number() : mine().head + input.byte();
                break;
            case 7:  // take what the other side sent, or pretend to
                theirs().tail = input.byte() % 4 == 0 ? input.number() : theirs().head.load();
                ring();
                break;
            case 8: {
                const std::size_t at = input.below(sizeof *area_);
                const auto bytes = input.take(input.byte() % 64);
                if (!bytes.empty())
                    std::memcpy(reinterpret_cast<std::byte*>(area_) + at, bytes.data(),
                                std::min(bytes.size(), sizeof *area_ - at));
                break;
            }
            case 9: {
                const std::uint64_t bytes = input.number() % 100'000;
                if (auto port = calls_.port_alloc(0, bytes)) last_port_ = port->id;
                break;
            }
            case 10:
                (void)calls_.port_free(0, input.number() % 8);
                break;
            case 11: {  // both bells lie in memory that both may write
                auto* words = reinterpret_cast<BellWords*>(memory_.region->data() + peer_bell_);
                words->armed = input.number();
                words->rung = input.number();
                break;
            }
            case 12:
                publish(input.byte() % 8 < 6 ? input.byte() % 3U : input.number());
                break;
            case 13:
                reset();
                break;
            default:
                ring();
                break;
        }
    }

   private:
    std::uint32_t index() const { return static_cast<std::uint32_t>(role_); }
    guest::AdminArea::Direction& mine() { return area_->directions[index()]; }
    guest::AdminArea::Direction& theirs() { return area_->directions[1 - index()]; }
    std::atomic<std::uint32_t>& descriptor_word() {
        auto* table = reinterpret_cast<hyp::VlinkDescriptor*>(pdev_.region->data() +
                                                              2 * sizeof(hyp::PdevHeader));
        return state_word(table[0], role_);
    }

    hyp::Hypervisor* hypervisor_;
    VmId vm_;
    Role role_;
    fuzz::Waker waker_;
    hyp::LocalHypercalls calls_;
    hyp::MemoryView pdev_;
    hyp::MemoryView memory_;
    guest::AdminArea* area_ = nullptr;
    XirqNumber peer_xirq_ = 0;
    std::uint64_t peer_bell_ = 0;
    std::uint32_t sent_ = 0;
    std::uint32_t last_port_ = 1;
};

}  // namespace

void fuzz::one(Input& input) {
    const auto hypervisor = make_board();
    const Role hostile_role = input.byte() % 2 == 0 ? Role::client : Role::server;
    KernelVm victim(*hypervisor, hostile_role == Role::client ? kServerVm : kClientVm);
    Hostile hostile(*hypervisor, hostile_role);
    auto settle = [&] { victim.pump(); };
    hostile.go_up(settle);
    // The victim's first application has the device open and asks for what it is there for.
    guest::SysRequest open;
    open.op = guest::Sys::open;
    open.data = hostile_role == Role::client ? "vrpq-srv-vogl0" : "vrpq-clt-vogl0";
    open.sequence = 0xffffff00;
    victim.send(victim.apps[0], open);
    FUZZ_CHECK(victim.apps[0].last.code == Errc::ok);

    for (int step = 0; step < 80 && !input.empty(); ++step) {
        const std::uint8_t what = input.byte();
        if (what < 150) {
            hostile.act(input);
        } else if (what < 220) {
            victim.ask(victim.apps[what % 2], input);
        } else if (what < 228) {
            victim.leave(victim.apps[what % 2], what % 4 < 2);
            victim.attach(victim.apps[what % 2]);
        } else if (what < 232) {
            hostile.die();
            settle();
            hypervisor->on_time();
            settle();
            hostile.boot();
            hostile.go_up(settle);
        } else if (what < 234) {
            (void)hypervisor->request_shutdown(hostile_role == Role::client ? kServerVm
                                                                            : kClientVm);
        }
        if (what % 4 != 3) settle();
    }
    settle();
    victim.check_serves(victim.apps[1]);
    for (App& app : victim.apps) victim.leave(app, true);
}
