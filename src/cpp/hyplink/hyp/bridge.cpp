/// Hypervisor: the bridge. What a guest writes into its descriptors is checked, kept, and carried
/// to the other end.
#include "hyplink/base/text.hpp"
#include "hyplink/hyp/hypervisor.hpp"

namespace hyplink::hyp {

void Hypervisor::store_state(Link& link, LinkIndex index, Role role, LinkState state) {
    write(Event::link_state, index, static_cast<std::uint32_t>(role),
          static_cast<std::uint64_t>(state), static_cast<std::uint64_t>(link.of(role)));
    link.of(role) = state;
    if (state != LinkState::on)
        for (auto& [exporter, waiting] : ended_exporters_) waiting.erase({index, role});
    for (Role side : {Role::server, Role::client}) {
        VlinkDescriptor& descriptor =
            find(link.vm(side))->descriptor(link.slot[static_cast<std::uint32_t>(side)]);
        state_word(descriptor, role)
            .store(static_cast<std::uint32_t>(state), std::memory_order_release);
    }
    note_change();
}

void Hypervisor::raise_sysconf(Vm& vm) {
    if (vm.waker == nullptr || vm.sysconf_pending) return;
    vm.sysconf_pending = true;
    write(Event::sysconf, Record::kNoLink, vm.spec.id, 1);
    vm.waker->wake();
}

Status Hypervisor::publish(VmId caller, std::span<const EndRef> ends) {
    runtime_->switch_point(SwitchPoint::hypercall);
    std::lock_guard lock(mutex_);
    Vm* vm = HYPLINK_TRY(guest(caller));
    for (const EndRef& end : ends) {
        Link* link = HYPLINK_TRY(link_of(*vm, end.slot));
        if ((end.role != Role::server && end.role != Role::client) || link->vm(end.role) != caller)
            return Error::make(Errc::bad_argument, text("publish slot ", end.slot, ": VM ", caller,
                                                        " is not its ", name(end.role)));
        std::atomic<std::uint32_t>& word = state_word(vm->descriptor(end.slot), end.role);
        const std::uint32_t wanted =
            word.load(std::memory_order_acquire);  // once; then the local only
        const LinkState kept = link->of(end.role);
        if (wanted == static_cast<std::uint32_t>(kept)) continue;
        const LinkIndex index = vm->slots[end.slot];
        if (wanted > static_cast<std::uint32_t>(LinkState::on) ||
            !step_allowed(kept, static_cast<LinkState>(wanted), link->of(other(end.role)))) {
            word.store(static_cast<std::uint32_t>(kept), std::memory_order_release);
            write(Event::link_refused, index, static_cast<std::uint32_t>(end.role), wanted,
                  static_cast<std::uint64_t>(kept));
            continue;
        }
        store_state(*link, index, end.role, static_cast<LinkState>(wanted));
        raise_sysconf(*find(link->vm(other(end.role))));
    }
    revoke_exports();
    return {};
}

}  // namespace hyplink::hyp
