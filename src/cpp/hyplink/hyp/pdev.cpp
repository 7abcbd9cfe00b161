/// Hypervisor: what a VM reads of its vlinks, its PDEV: descriptors and info strings.
#include <cstring>

#include "hyplink/hyp/hypervisor.hpp"

namespace hyplink::hyp {
namespace {

constexpr std::size_t kDescriptorsAt = 2 * sizeof(PdevHeader);
static_assert(kDescriptorsAt % 64 == 0);

}  // namespace

std::map<std::string, std::uint64_t> Hypervisor::pdev_strings(const Vm& vm,
                                                              std::uint64_t& end) const {
    std::map<std::string, std::uint64_t> strings;
    end = mem::round_up(kDescriptorsAt + vm.slots.size() * sizeof(VlinkDescriptor), 64);
    for (LinkIndex index : vm.slots) {
        for (const std::string* info :
             {&links_[index].spec.server_info, &links_[index].spec.client_info}) {
            if (!strings.try_emplace(*info, end).second) continue;
            end += info->size() + 1;
        }
    }
    return strings;
}

Status Hypervisor::build_pdev(Vm& vm) {
    std::uint64_t end = 0;
    (void)pdev_strings(vm, end);
    auto region = HYPLINK_TRY(mem::Region::make("hyplink-pdev", end));
    vm.pdev = MemoryView{addresses_.take(region->size()), region};
    write_pdev(vm);
    return {};
}

void Hypervisor::write_pdev(Vm& vm) {
    std::uint64_t end = 0;
    const auto strings = pdev_strings(vm, end);
    std::byte* data = vm.pdev.region->data();
    const std::size_t bytes = vm.pdev.region->size();
    std::memset(data, 0, bytes);
    *reinterpret_cast<PdevHeader*>(data) =
        PdevHeader{PdevHeader::kMagic, static_cast<std::uint32_t>(vm.slots.size()),
                   kDescriptorsAt,     sizeof(VlinkDescriptor),
                   vm.pdev.base.value, bytes};
    for (const auto& [info, offset] : strings)
        std::memcpy(data + offset, info.c_str(), info.size() + 1);
    for (std::uint32_t slot = 0; slot < vm.slots.size(); ++slot) {
        const LinkIndex index = vm.slots[slot];
        Link& link = links_[index];
        VlinkDescriptor& descriptor = vm.descriptor(slot);
        std::memcpy(descriptor.name, link.spec.name.c_str(), link.spec.name.size() + 1);
        descriptor.link = link.spec.number;
        descriptor.s_id = link.spec.server;
        descriptor.c_id = link.spec.client;
        descriptor.index = index;
        descriptor.s_info = vm.pdev.base.value + strings.at(link.spec.server_info);
        descriptor.c_info = vm.pdev.base.value + strings.at(link.spec.client_info);
        for (Role role : {Role::server, Role::client})
            state_word(descriptor, role)
                .store(static_cast<std::uint32_t>(link.of(role)), std::memory_order_release);
    }
}

Result<MemoryView> Hypervisor::pdev(VmId caller) {
    std::lock_guard lock(mutex_);
    Vm* vm = HYPLINK_TRY(guest(caller));
    return MemoryView{vm->pdev};
}

}  // namespace hyplink::hyp
