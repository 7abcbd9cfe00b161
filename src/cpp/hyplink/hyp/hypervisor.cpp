#include "hyplink/hyp/hypervisor.hpp"

#include <algorithm>

#include "hyplink/base/text.hpp"

namespace hyplink::hyp {
namespace {

constexpr std::size_t kMaxArchive = 256;

Error unknown_vm(VmId vm, const std::map<VmId, Vm>& vms) {
    std::string known;
    for (const auto& [id, record] : vms) known += text(known.empty() ? "" : ", ", id);
    return Error::make(Errc::no_such_link,
                       text("VM ", vm, " is not on this board; it has VMs ", known));
}

}  // namespace

Hypervisor::~Hypervisor() = default;

Result<std::unique_ptr<Hypervisor>> Hypervisor::make(const BoardSpec& board, Runtime& runtime,
                                                     Limits limits) {
    std::unique_ptr<Hypervisor> hypervisor(new Hypervisor(runtime, limits));
    HYPLINK_TRY(hypervisor->build(board));
    return hypervisor;
}

Status Hypervisor::build(const BoardSpec& board) {
    scope_region_ = HYPLINK_TRY(mem::Region::make("hyplink-journal", Scope::kBytes));
    ::new (&scope_) Scope(scope_region_->data(), kHypervisor, 0);
    for (const VmSpec& spec : board.vms) {
        if (spec.id == 0 || spec.id > kMaxVm)
            return Error::make(Errc::bad_argument,
                               text("VM id ", spec.id, ": expected 1..", kMaxVm));
        if (!vms_.try_emplace(spec.id, Vm{}).second)
            return Error::make(Errc::exists, text("VM id ", spec.id, " stands twice on the board"));
        vms_[spec.id].spec = spec;
    }
    HYPLINK_TRY(io_memory_.build(board.vms));
    addresses_.start_above(io_memory_.top());
    links_.reserve(board.links.size());
    for (const LinkSpec& spec : board.links) {
        if (spec.name.empty() || spec.name.size() > 15)
            return Error::make(Errc::bad_argument,
                               text("vlink class \"", spec.name, "\": 1 to 15 characters"));
        const auto index = static_cast<LinkIndex>(links_.size());
        Link& link = links_.emplace_back();
        link.spec = spec;
        for (Role role : {Role::server, Role::client}) {
            Vm* vm = find(link.vm(role));
            if (vm == nullptr) return unknown_vm(link.vm(role), vms_);
            if (role == Role::client && spec.client == spec.server) {
                link.slot[1] = link.slot[0];  // loopback: both ends are one descriptor
                continue;
            }
            link.slot[static_cast<std::uint32_t>(role)] =
                static_cast<std::uint32_t>(vm->slots.size());
            vm->slots.push_back(index);
        }
    }
    for (auto& [id, vm] : vms_) HYPLINK_TRY(build_pdev(vm));
    return {};
}

// --- looking things up
// --------------------------------------------------------------------------------------

Vm* Hypervisor::find(VmId vm) {
    auto found = vms_.find(vm);
    return found == vms_.end() ? nullptr : &found->second;
}

Result<Vm*> Hypervisor::guest(VmId caller) {
    Vm* vm = find(caller);
    if (vm == nullptr) return unknown_vm(caller, vms_);
    if (vm->state == VmState::off || vm->state == VmState::dead)
        return Error::make(Errc::peer_dead, text("VM ", caller, " is ", name(vm->state)));
    return vm;
}

Result<Link*> Hypervisor::link_of(Vm& vm, std::uint32_t slot) {
    if (slot >= vm.slots.size())
        return Error::make(Errc::bad_argument, text("descriptor slot ", slot, ": VM ", vm.spec.id,
                                                    " has ", vm.slots.size()));
    return &links_[vm.slots[slot]];
}

PairMemory& Hypervisor::pair(const Link& link) {
    const auto key = std::minmax(link.spec.server, link.spec.client);
    return pairs_.try_emplace({key.first, key.second}, addresses_).first->second;
}

std::vector<VmId> Hypervisor::vm_ids() const {
    std::vector<VmId> ids;
    for (const auto& [id, vm] : vms_) ids.push_back(id);
    return ids;
}

VmState Hypervisor::vm_state(VmId id) {
    std::lock_guard lock(mutex_);
    const Vm* vm = find(id);
    return vm == nullptr ? VmState::off : vm->state;
}

std::uint32_t Hypervisor::boots(VmId id) {
    std::lock_guard lock(mutex_);
    const Vm* vm = find(id);
    return vm == nullptr ? 0 : vm->boots;
}

LinkState Hypervisor::link_state(LinkIndex link, Role role) {
    std::lock_guard lock(mutex_);
    return links_[link].of(role);
}

void Hypervisor::note_change() {
    for (BellWords* bell : watchers_) ring(*runtime_, *bell);
}

void Hypervisor::subscribe(BellWords& bell) {
    std::lock_guard lock(mutex_);
    watchers_.push_back(&bell);
}

void Hypervisor::unsubscribe(BellWords& bell) {
    std::lock_guard lock(mutex_);
    std::erase(watchers_, &bell);
}

// --- life cycle
// --------------------------------------------------------------------------------------------

void Hypervisor::set_state(Vm& vm, VmState state) {
    if (vm.state == state) return;
    write(Event::vm_state, Record::kNoLink, static_cast<std::uint32_t>(state),
          static_cast<std::uint64_t>(vm.state), vm.spec.id);
    const bool running_changes = vm.state == VmState::running || state == VmState::running;
    vm.state = state;
    // SYSCONF also says that the set of running VMs has changed.
    if (running_changes)
        for (auto& [id, other_vm] : vms_)
            if (id != vm.spec.id && other_vm.waker != nullptr) raise_sysconf(other_vm);
    note_change();
}

Status Hypervisor::begin_boot(VmId id, GuestWaker& waker) {
    std::lock_guard lock(mutex_);
    Vm* vm = find(id);
    if (vm == nullptr) return unknown_vm(id, vms_);
    if (vm->state != VmState::off && vm->state != VmState::dead)
        return Error::make(Errc::busy, text("boot VM ", id, ": it is ", name(vm->state)));
    // What the last life wrote stays readable; the new one gets memory of its own.
    for (auto& [app, region] : std::exchange(vm->scopes, {}))
        archive_.push_back({std::move(region), id, app, true});
    while (archive_.size() > kMaxArchive) archive_.pop_front();
    vm->waker = &waker;
    vm->boots += 1;
    vm->sysconf_pending = vm->shutdown_pending = false;
    vm->xirqs_pending.clear();
    vm->lines.clear();  // whoever still has one of the last life rings nobody
    vm->windows_pending.clear();
    vm->holds_pending.clear();
    vm->held_pending.clear();
    vm->dma_pending.clear();
    silent_ &= ~(1U << id);
    write_pdev(*vm);  // whatever the last life did to its descriptors
    set_state(*vm, VmState::booting);
    return {};
}

Status Hypervisor::boot_done(VmId caller) {
    std::lock_guard lock(mutex_);
    Vm* vm = HYPLINK_TRY(guest(caller));
    if (vm->state != VmState::booting) return Error::make(Errc::protocol, "boot_done twice");
    set_state(*vm, VmState::running);
    return {};
}

Status Hypervisor::request_shutdown(VmId id) {
    std::lock_guard lock(mutex_);
    Vm* vm = find(id);
    if (vm == nullptr) return unknown_vm(id, vms_);
    if (vm->state != VmState::running)
        return Error::make(Errc::protocol, text("shut down VM ", id, ": it is ", name(vm->state)));
    set_state(*vm, VmState::stopping);
    vm->shutdown_pending = true;
    vm->waker->wake();
    return {};
}

Status Hypervisor::halt(VmId caller) {
    std::lock_guard lock(mutex_);
    Vm* vm = HYPLINK_TRY(guest(caller));
    if (vm->state != VmState::stopping)
        return Error::make(Errc::protocol, "halt without a shutdown");
    force_off(*vm);
    vm->waker = nullptr;
    set_state(*vm, VmState::off);
    return {};
}

void Hypervisor::vm_gone(VmId id) {
    std::lock_guard lock(mutex_);
    Vm* vm = find(id);
    if (vm == nullptr || vm->state == VmState::off || vm->state == VmState::dead) return;
    force_off(*vm);
    vm->waker = nullptr;
    set_state(*vm, VmState::dead);
}

void Hypervisor::force_off(Vm& vm) {
    bool survivors = false;
    for (LinkIndex index : vm.slots) {
        Link& link = links_[index];
        for (Role role : {Role::server, Role::client}) {
            if (link.vm(role) != vm.spec.id) continue;
            drop_ports(link, role);
            drop_loans(link, vm.spec.id);
            if (link.of(role) == LinkState::off) continue;
            write(Event::link_forced, index, static_cast<std::uint32_t>(role));
            store_state(link, index, role, LinkState::off);
            Vm& peer = *find(link.vm(other(role)));
            if (peer.spec.id == vm.spec.id) continue;
            raise_sysconf(peer);
            survivors = survivors || link.of(other(role)) == LinkState::on;
        }
    }
    vm.sysconf_pending = vm.shutdown_pending = false;
    vm.xirqs_pending.clear();
    vm.windows_pending.clear();
    vm_ended_holds(vm.spec.id);
    vm.dma_pending.clear();
    devices_.vm_ended(vm.spec.id);
    grants_.importer_ended(vm.spec.id);  // its mappings went with its processes
    exporter_ended(vm.spec.id);
    if (survivors) overdue_[vm.spec.id] = runtime_->in(limits_.cleanup_grace).at;
    revoke_exports();
}

Deadline Hypervisor::next_deadline() {
    std::lock_guard lock(mutex_);
    Deadline next;
    for (const auto& [vm, at] : overdue_) next.at = std::min(next.at, at);
    for (const auto& [id, hold] : holds_)
        next.at = std::min(next.at, hold.waiting != 0 ? hold.patience : hold.most);
    if (devices_.busy()) next.at = std::min(next.at, runtime_->now());
    return next;
}

void Hypervisor::on_time() {
    std::lock_guard lock(mutex_);
    const std::int64_t now = runtime_->now();
    holds_on_time(now);
    dma_on_time();
    for (auto entry = overdue_.begin(); entry != overdue_.end();) {
        if (entry->second > now) {
            ++entry;
            continue;
        }
        Vm& dead = *find(entry->first);
        for (LinkIndex index : dead.slots) {
            Link& link = links_[index];
            for (Role role : {Role::server, Role::client}) {
                // Only ends that still hold on to a peer that is gone or waits to come back.
                if (link.vm(role) == dead.spec.id || link.of(role) != LinkState::on ||
                    link.of(other(role)) != LinkState::off)
                    continue;
                write(Event::link_forced, index, static_cast<std::uint32_t>(role));
                drop_ports(link, role);
                // Late writes of the survivor must not reach the link's next life: zero its memory.
                for (auto type : {ResourceType::pmem, ResourceType::pdev})
                    for (auto& [id, resource] : link.resources[static_cast<std::uint32_t>(type)])
                        (void)pair(link).wipe(resource.piece.at,
                                              type == ResourceType::pmem ? resource.size : 0);
                store_state(link, index, role, LinkState::off);
                raise_sysconf(*find(link.vm(role)));
                raise_sysconf(dead);
            }
        }
        entry = overdue_.erase(entry);
        revoke_exports();
        note_change();
    }
}

GuestEvents Hypervisor::take_events(VmId caller) {
    std::lock_guard lock(mutex_);
    GuestEvents events;
    Vm* vm = find(caller);
    if (vm == nullptr) return events;
    events.sysconf = std::exchange(vm->sysconf_pending, false);
    events.shutdown = std::exchange(vm->shutdown_pending, false);
    while (!vm->xirqs_pending.empty() && events.xirqs.size() < GuestEvents::kMaxXirqs)
        events.xirqs.push_back(vm->xirqs_pending.extract(vm->xirqs_pending.begin()).value());
    while (!vm->windows_pending.empty() && events.windows.size() < GuestEvents::kMaxXirqs)
        events.windows.push_back(vm->windows_pending.extract(vm->windows_pending.begin()).value());
    // Whoever may go on finds the new pages first.
    const auto holds = vm->holds_pending.begin();
    const auto taken = vm->windows_pending.empty()
                           ? std::min(vm->holds_pending.size(), GuestEvents::kMaxHolds)
                           : 0;
    std::move(holds, holds + static_cast<std::ptrdiff_t>(taken), std::back_inserter(events.holds));
    vm->holds_pending.erase(holds, holds + static_cast<std::ptrdiff_t>(taken));
    events.held = std::exchange(vm->held_pending, {});
    events.dma = std::exchange(vm->dma_pending, {});
    if (!(vm->xirqs_pending.empty() && vm->windows_pending.empty() && vm->holds_pending.empty()) &&
        vm->waker != nullptr)
        vm->waker->wake();  // come again for the rest
    return events;
}

Result<Identity> Hypervisor::identity(VmId caller) {
    std::lock_guard lock(mutex_);
    Vm* vm = HYPLINK_TRY(guest(caller));
    Identity identity;
    identity.id = caller;
    identity.name = vm->spec.name;
    for (const auto& [id, record] : vms_) {
        identity.last_id = id;
        if (record.state == VmState::running) identity.running |= 1U << id;
    }
    return identity;
}

}  // namespace hyplink::hyp
