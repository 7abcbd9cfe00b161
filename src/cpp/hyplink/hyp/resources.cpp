/// Hypervisor: PMEM, PDEV, PXIRQ, ports, scopes. Source: vlx-facts 6.2, 6.3.
#include <algorithm>

#include "hyplink/base/text.hpp"
#include "hyplink/hyp/hypervisor.hpp"
#include "hyplink/sys/eventfd.hpp"

namespace hyplink::hyp {
namespace {
constexpr std::uint64_t kMaxMemory = std::uint64_t{1} << 32;
constexpr std::uint32_t kMaxXirqs = 4096;  // of one resource
// Resources are never freed, so what one vlink's ends may ask for in all is limited.
constexpr std::uint64_t kMaxLinkMemory = std::uint64_t{1} << 32;
constexpr std::uint64_t kMaxLinkXirqs = std::uint64_t{1} << 16;
constexpr std::size_t kMaxLinkResources = 4096;  // of one type
constexpr std::size_t kMaxScopes = 256;          // of one VM
constexpr std::uint32_t bit(Role role) { return 1U << static_cast<std::uint32_t>(role); }
}  // namespace

Result<std::vector<ResourceReply>> Hypervisor::resources(
    VmId caller, std::span<const ResourceRequest> requests) {
    runtime_->switch_point(SwitchPoint::hypercall);
    std::lock_guard lock(mutex_);
    Vm* vm = HYPLINK_TRY(guest(caller));
    std::vector<ResourceReply> replies;
    replies.reserve(requests.size());
    for (const ResourceRequest& request : requests) {
        auto reply = resource(*vm, request);
        replies.push_back(reply ? *reply : ResourceReply{reply.code(), 0, {}});
    }
    return replies;
}

Result<ResourceReply> Hypervisor::resource(Vm& vm, const ResourceRequest& request) {
    Link& link = *HYPLINK_TRY(link_of(vm, request.slot));
    const bool xirq = request.type == ResourceType::pxirq;
    if (static_cast<std::uint32_t>(request.type) > 2 || request.size == 0 ||
        request.size > (xirq ? kMaxXirqs : kMaxMemory))
        return Errc::bad_argument;
    if (xirq && request.owner != link.spec.server && request.owner != link.spec.client)
        return Errc::bad_argument;
    auto& table = link.resources[static_cast<std::uint32_t>(request.type)];
    if (auto found = table.find(request.id); found != table.end()) {
        if (found->second.size != request.size || (xirq && found->second.owner != request.owner))
            return Errc::exists;  // both sides must compute the identical number
        return ResourceReply{Errc::ok, found->second.first, found->second.piece.at};
    }
    std::uint64_t& used = xirq ? link.xirq_count : link.memory_bytes;
    if (table.size() >= kMaxLinkResources ||
        request.size > (xirq ? kMaxLinkXirqs : kMaxLinkMemory) - used)
        return Errc::no_memory;
    Resource made;
    made.size = request.size;
    PairMemory& memory = pair(link);
    switch (request.type) {
        case ResourceType::pmem:
            made.piece = HYPLINK_TRY(memory.pages(request.size));
            break;
        case ResourceType::pdev:
            made.piece = HYPLINK_TRY(memory.small(request.size));
            break;
        case ResourceType::pxirq:
            made.piece = HYPLINK_TRY(memory.small(request.size * sizeof(BellWords)));
            made.owner = request.owner;
            Vm& target = *find(request.owner);
            made.first = kSysconf + 1 + static_cast<XirqNumber>(target.xirqs.size());
            auto& numbers =
                target.line_numbers[request.owner == link.spec.server ? link.spec.client
                                                                      : link.spec.server];
            for (std::uint32_t i = 0; i < request.size; ++i) {
                const std::uint64_t step = i * sizeof(BellWords);
                target.xirqs.push_back(
                    Xirq{vm.slots[request.slot],
                         {mem::Ipa{made.piece.at.value + step}, made.piece.data + step},
                         static_cast<std::uint32_t>(numbers.size())});
                numbers.push_back(made.first + i);
            }
            break;
    }
    write(Event::resource, vm.slots[request.slot], static_cast<std::uint32_t>(request.type),
          request.id, request.size);
    table.emplace(request.id, made);
    used += request.size;
    return ResourceReply{Errc::ok, made.first, made.piece.at};
}

Result<MemoryView> Hypervisor::mem_open(VmId caller, mem::Ipa address) {
    std::lock_guard lock(mutex_);
    Vm* vm = HYPLINK_TRY(guest(caller));
    if (address.value - vm->pdev.base.value < vm->pdev.region->size()) return MemoryView{vm->pdev};
    if (io_memory_.has(caller, address)) return io_memory_.open(caller, address);
    for (const auto& [key, memory] : pairs_) {
        if (key.first != caller && key.second != caller) continue;
        if (const MemoryView* view = memory.find(address)) return MemoryView{*view};
    }
    return Error::make(Errc::bad_address,
                       text("VM ", caller, " has no memory at 0x", std::hex, address.value));
}

// --- ports
// -------------------------------------------------------------------------------------------------

Result<PortGrant> Hypervisor::port_alloc(VmId caller, std::uint32_t slot, std::uint64_t bytes) {
    runtime_->switch_point(SwitchPoint::hypercall);
    std::lock_guard lock(mutex_);
    Vm* vm = HYPLINK_TRY(guest(caller));
    Link* link = HYPLINK_TRY(link_of(*vm, slot));
    const LinkIndex index = vm->slots[slot];
    if (bytes == 0 || bytes > kMaxMemory)
        return Error::make(Errc::bad_argument,
                           text("a port of ", bytes, " bytes: expected 1..", kMaxMemory));
    if (link->ports.size() >= limits_.max_ports_per_link)
        return Error::make(Errc::would_block,
                           text("the vlink has ", link->ports.size(),
                                " ports, as many as it can; one is free again when both of its "
                                "ends are closed"));
    if (link->port_bytes + bytes > link->spec.port_budget)
        return Error::make(
            Errc::no_memory,
            text("a port of ", bytes, " bytes: the vlink has ", link->ports.size(), " ports with ",
                 link->port_bytes, " of ", link->spec.port_budget, " bytes; raise vrpq-pmem"));
    PortGrant grant;
    grant.region = HYPLINK_TRY(mem::Region::make("hyplink-port", bytes));
    for (auto& fd : grant.fds) fd = std::make_shared<sys::Fd>(HYPLINK_TRY(sys::make_eventfd()));
    const std::uint32_t id = grant.id = link->next_port++;
    link->port_bytes += bytes;
    std::uint32_t holders = 0;
    for (Role role : {Role::server, Role::client})
        if (link->vm(role) == caller) holders |= bit(role);
    // Loopback: the one kernel holds it for both roles, and frees it once.
    link->ports.emplace(id, Port{grant, bytes, holders});
    write(Event::resource, index, 3, id, bytes);
    return grant;
}

Result<PortGrant> Hypervisor::port_open(VmId caller, std::uint32_t slot, std::uint32_t id) {
    runtime_->switch_point(SwitchPoint::hypercall);
    std::lock_guard lock(mutex_);
    Vm* vm = HYPLINK_TRY(guest(caller));
    Link* link = HYPLINK_TRY(link_of(*vm, slot));
    auto found = link->ports.find(id);
    if (found == link->ports.end())
        return Error::make(Errc::bad_argument,
                           text("port ", id, " of ", link->spec.name, " does not exist"));
    for (Role role : {Role::server, Role::client})
        if (link->vm(role) == caller) found->second.holders |= bit(role);
    return PortGrant{found->second.grant};
}

Status Hypervisor::port_free(VmId caller, std::uint32_t slot, std::uint32_t id) {
    runtime_->switch_point(SwitchPoint::hypercall);
    std::lock_guard lock(mutex_);
    Vm* vm = HYPLINK_TRY(guest(caller));
    Link* link = HYPLINK_TRY(link_of(*vm, slot));
    auto found = link->ports.find(id);
    if (found == link->ports.end()) return {};
    for (Role role : {Role::server, Role::client})
        if (link->vm(role) == caller) found->second.holders &= ~bit(role);
    if (found->second.holders == 0) {
        link->port_bytes -= found->second.bytes;
        link->ports.erase(found);
    }
    return {};
}

void Hypervisor::drop_ports(Link& link, Role role) {
    for (auto port = link.ports.begin(); port != link.ports.end();) {
        port->second.holders &= ~bit(role);
        if (port->second.holders != 0) {
            ++port;
            continue;
        }
        link.port_bytes -= port->second.bytes;
        port = link.ports.erase(port);
    }
}

Result<std::shared_ptr<mem::Region>> Hypervisor::scope(VmId caller, std::uint32_t app) {
    std::lock_guard lock(mutex_);
    Vm* vm = HYPLINK_TRY(guest(caller));
    if (auto found = vm->scopes.find(app); found != vm->scopes.end()) return found->second;
    auto region = HYPLINK_TRY(mem::Region::make("hyplink-journal", Scope::kBytes));
    Scope made(region->data(), caller, app);
    made.enable(scope_.enabled());
    made.count_procedures(scope_.counting());
    // Keep the observations of the last applications only; the kernel's own (0) stays.
    if (vm->scopes.size() >= kMaxScopes) vm->scopes.erase(std::next(vm->scopes.begin()));
    vm->scopes.emplace(app, region);
    return region;
}

}  // namespace hyplink::hyp
