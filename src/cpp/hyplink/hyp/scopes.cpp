/// Hypervisor: its own journal, and every scope there is.
#include "hyplink/hyp/hypervisor.hpp"

namespace hyplink::hyp {

void Hypervisor::write(Event event, std::uint32_t link, std::uint32_t a, std::uint64_t b,
                       std::uint64_t c) {
    if (scope_.enabled()) scope_.write(runtime_->now(), event, link, a, b, c);
}

void Hypervisor::journal(Event event, std::uint32_t link, std::uint32_t a, std::uint64_t b,
                         std::uint64_t c) {
    std::lock_guard lock(mutex_);
    write(event, link, a, b, c);
}

std::vector<OwnedScope> Hypervisor::scopes() {
    std::lock_guard lock(mutex_);
    std::vector<OwnedScope> out{{scope_region_, kHypervisor, 0}};
    out.insert(out.end(), archive_.begin(), archive_.end());
    for (const auto& [id, vm] : vms_)
        for (const auto& [app, region] : vm.scopes)
            out.push_back({region, id, app, vm.state == VmState::off || vm.state == VmState::dead});
    return out;
}

void Hypervisor::enable_journal(bool on) {
    for (const OwnedScope& scope : scopes())
        reinterpret_cast<ScopeHeader*>(scope.region->data())
            ->enabled.store(on ? 1 : 0, std::memory_order_relaxed);
}

void Hypervisor::count_procedures(bool on) {
    for (const OwnedScope& scope : scopes())
        reinterpret_cast<ScopeHeader*>(scope.region->data())
            ->counting.store(on ? 1 : 0, std::memory_order_relaxed);
}

}  // namespace hyplink::hyp
