/// Hypervisor: importers that keep pages hold back their applications while somebody else loses
/// them. See Hypercalls::mem_hold.
#include <algorithm>
#include <bit>

#include "hyplink/base/text.hpp"
#include "hyplink/hyp/hypervisor.hpp"

namespace hyplink::hyp {
namespace {

constexpr std::uint32_t bit(VmId vm) { return 1U << vm; }

/// A message has room for a few: of many, those who hold hear where they begin and end.
constexpr std::size_t kTold = 64;

bool overlap(const MemRange& a, const MemRange& b) {
    return a.at < b.at + b.bytes && b.at < a.at + a.bytes;
}

std::vector<MemRange> around(const std::vector<MemRange>& ranges) {
    std::uint64_t low = ranges.front().at;
    std::uint64_t high = low;
    for (const MemRange& range : ranges) {
        low = std::min(low, range.at);
        high = std::max(high, range.at + range.bytes);
    }
    return {{low, high - low}};
}

}  // namespace

Result<std::uint32_t> Hypervisor::mem_hold(VmId caller, const MemCall& part) {
    runtime_->switch_point(SwitchPoint::hypercall);
    std::lock_guard lock(mutex_);
    HYPLINK_TRY(guest(caller));
    MemCall call;
    if (!HYPLINK_TRY(whole(caller, MemOp::hold, part, call))) return 0U;
    const std::uint32_t keepers = HYPLINK_TRY(grants_.keepers(caller, call));
    grants_.unwatch(call.ranges);
    if (const auto last = hold_of(caller, call.app); last != holds_.end()) end_hold(last, true);
    const std::uint32_t id = next_hold_++;
    Hold& hold = holds_[id];
    hold.exporter = caller;
    hold.app = call.app;
    hold.ranges = call.ranges;
    hold.coarse = hold.ranges.size() > kTold;
    hold.held = hold.coarse ? around(hold.ranges) : hold.ranges;
    for (std::uint32_t left = keepers; left != 0; left &= left - 1) {
        Vm& importer = *find(static_cast<VmId>(std::countr_zero(left)));
        if (importer.waker == nullptr) continue;
        hold.told |= bit(importer.spec.id);
        importer.holds_pending.push_back({id, true, hold.held});
        importer.waker->wake();
    }
    hold.waiting = hold.told & ~silent_;
    hold.patience = runtime_->in(limits_.hold_patience).at;
    hold.most = runtime_->in(limits_.hold_most).at;
    note_change();  // there is a deadline now
    return hold.waiting != 0 ? id : 0U;
}

Status Hypervisor::mem_release(VmId caller, std::uint32_t app) {
    runtime_->switch_point(SwitchPoint::hypercall);
    std::lock_guard lock(mutex_);
    HYPLINK_TRY(guest(caller));
    if (const auto hold = hold_of(caller, app); hold != holds_.end()) end_hold(hold, true);
    begun_calls_.erase({caller, app});
    return {};
}

Status Hypervisor::mem_held(VmId caller, std::uint32_t hold) {
    runtime_->switch_point(SwitchPoint::hypercall);
    std::lock_guard lock(mutex_);
    HYPLINK_TRY(guest(caller));
    silent_ &= ~bit(caller);
    const auto found = holds_.find(hold);
    if (found == holds_.end()) return {};
    found->second.holding |= found->second.told & bit(caller);
    if ((found->second.waiting & bit(caller)) == 0) return {};
    found->second.waiting &= ~bit(caller);
    if (found->second.waiting == 0) hold_complete(*found);
    return {};
}

void Hypervisor::hold_complete(const Holds::value_type& hold) {
    Vm& exporter = *find(hold.second.exporter);
    if (exporter.waker == nullptr) return;
    exporter.held_pending.push_back(hold.first);
    exporter.waker->wake();
}

void Hypervisor::end_hold(Holds::iterator hold, bool release) {
    const std::uint32_t id = hold->first;
    for (auto& [vm, importer] : vms_) {
        if ((hold->second.told & bit(vm)) != 0 &&
            std::erase_if(importer.holds_pending,
                          [id](const HoldEvent& event) { return event.id == id; }) == 0 &&
            release && importer.waker != nullptr) {
            importer.holds_pending.push_back({id, false, hold->second.held});
            importer.waker->wake();
        }
        if ((hold->second.mapping & bit(vm)) != 0 && importer.waker != nullptr) {
            importer.windows_pending.insert(hold->second.ranges.begin(), hold->second.ranges.end());
            importer.waker->wake();
        }
    }
    holds_.erase(hold);
    if (!devices_.waiting()) return;
    devices_.go_on();
    note_change();
}

Hypervisor::Holds::iterator Hypervisor::hold_of(VmId exporter, std::uint32_t app) {
    return std::find_if(holds_.begin(), holds_.end(), [&](const auto& entry) {
        return entry.second.exporter == exporter && entry.second.app == app;
    });
}

void Hypervisor::vm_ended_holds(VmId vm) {
    std::erase_if(begun_calls_, [vm](const auto& begun) { return begun.first.first == vm; });
    vms_.at(vm).holds_pending.clear();
    vms_.at(vm).held_pending.clear();
    silent_ &= ~bit(vm);
    for (auto next = holds_.begin(); next != holds_.end();) {
        const auto hold = next++;
        if (hold->second.exporter == vm) {
            end_hold(hold, true);
            continue;
        }
        const bool waited = hold->second.waiting != 0;
        hold->second.told &= ~bit(vm);
        hold->second.waiting &= ~bit(vm);
        hold->second.mapping &= ~bit(vm);
        if (waited && hold->second.waiting == 0) hold_complete(*hold);
    }
}

void Hypervisor::holds_on_time(std::int64_t now) {
    for (auto next = holds_.begin(); next != holds_.end();) {
        const auto hold = next++;
        if (hold->second.waiting != 0 && hold->second.patience <= now) {
            silent_ |= hold->second.waiting;
            hold->second.waiting = 0;
            hold_complete(*hold);
        }
        if (hold->second.most <= now) end_hold(hold, true);
    }
}

void Hypervisor::missed_holds(const std::vector<GrantRow>& rows, VmId denied,
                              std::uint32_t holding) {
    for (const GrantRow& row : rows) {
        if (row.importer == denied || (holding & bit(row.importer)) != 0) continue;
        write(Event::hold_missed, Record::kNoLink, between(row.exporter, row.importer),
              row.range.at, row.range.bytes);
        missed_[{row.exporter, row.importer}] += 1;
    }
}

std::vector<MissedHolds> Hypervisor::missed_holds() {
    std::lock_guard lock(mutex_);
    std::vector<MissedHolds> all;
    for (const auto& [who, count] : missed_) all.push_back({who.first, who.second, count});
    return all;
}

bool Hypervisor::map_later(VmId caller, MemRange range) {
    bool later = false;
    for (auto& [id, hold] : holds_) {
        if (std::none_of(hold.ranges.begin(), hold.ranges.end(),
                         [&](const MemRange& held) { return overlap(held, range); }))
            continue;
        hold.mapping |= bit(caller);
        later = true;
    }
    return later;
}

}  // namespace hyplink::hyp
