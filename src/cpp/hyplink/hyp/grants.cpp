#include "hyplink/hyp/grants.hpp"

#include <algorithm>
#include <bit>
#include <utility>

#include "hyplink/hyp/grant_ranges.hpp"

namespace hyplink::hyp {

using namespace granting;

// --- regions -------------------------------------------------------------------------------------

Status GrantTable::add_region(VmId owner, std::uint32_t app, MemRange range, const Limits& limits) {
    if (!whole_pages(range))
        return Error::make(Errc::bad_argument, text(show(range), ": expected whole pages"));
    std::uint64_t& used = ram_[owner];
    if (range.bytes > limits.max_ram || used > limits.max_ram - range.bytes)
        return Error::make(Errc::over_quota, text(range.bytes, " bytes: VM ", owner, " has ", used,
                                                  " of ", limits.max_ram));
    used += range.bytes;
    regions_.emplace(range.at, Region{range.bytes, owner, app, false});
    return {};
}

Result<MemRange> GrantTable::find_region(VmId owner, std::uint32_t app, std::uint64_t at) const {
    const auto found = regions_.find(at);
    if (found == regions_.end() || found->second.owner != owner || found->second.app != app ||
        found->second.ended)
        return Error::make(Errc::not_permitted,
                           text("no memory of this application begins at 0x", std::hex, at));
    return MemRange{at, found->second.bytes};
}

void GrantTable::drop_region(std::uint64_t at) {
    const auto found = regions_.find(at);
    if (found == regions_.end()) return;
    ram_[found->second.owner] -= found->second.bytes;
    regions_.erase(found);
}

// --- extents -------------------------------------------------------------------------------------

/// The first extent that ends behind `at`.
GrantTable::Extents::const_iterator GrantTable::first_at(std::uint64_t at) const {
    auto next = extents_.upper_bound(at);
    if (next != extents_.begin()) {
        const auto before = std::prev(next);
        if (before->first + before->second.pages * kPage > at) return before;
    }
    return next;
}

GrantTable::Extents::iterator GrantTable::first_at(std::uint64_t at) {
    const auto found = std::as_const(*this).first_at(at);
    return extents_.erase(found, found);  // the same place, not const
}

void GrantTable::split(std::uint64_t at) {
    const auto whole = first_at(at);
    if (whole == extents_.end() || whole->first >= at) return;
    Extent upper = whole->second;
    const auto pages = static_cast<std::uint32_t>((at - whole->first) / kPage);
    upper.pages -= pages;
    upper.first += pages;
    whole->second.pages = pages;
    objects_[upper.object].users += 1;
    counts_[upper.owner] += static_cast<std::uint64_t>(std::popcount(upper.importers()));
    extents_.emplace(at, upper);
}

std::uint32_t GrantTable::take_slot(mem::SharedObject object, std::uint32_t users) {
    std::uint32_t slot = 0;
    if (free_.empty()) {
        slot = static_cast<std::uint32_t>(objects_.size());
        objects_.emplace_back();
    } else {
        slot = free_.back();
        free_.pop_back();
    }
    objects_[slot].object = std::move(object);
    objects_[slot].users = users;
    objects_[slot].generation = next_generation_++;
    return slot;
}

void GrantTable::drop_user(std::uint32_t slot) {
    if (--objects_[slot].users != 0) return;
    objects_[slot].object = mem::SharedObject();
    free_.push_back(slot);
}

GrantRow GrantTable::row(Extents::const_iterator at, VmId importer) const {
    const Extent& extent = at->second;
    GrantRow row;
    row.range = {at->first, extent.pages * kPage};
    row.exporter = extent.owner;
    row.importer = importer;
    row.rights = kGrantRead | (extent.write != 0 ? kGrantWrite : 0U) |
                 ((extent.cpu & bit(importer)) != 0 ? kGrantCpu : 0U) |
                 ((extent.dma & bit(importer)) != 0 ? kGrantDma : 0U);
    row.generation = objects_[extent.object].generation;
    row.notify = (extent.active & bit(importer)) != 0;
    row.broker = extent.broker != 0;
    row.state = extent.revoking != 0 ? GrantState::revoking
                : row.notify         ? GrantState::active
                                     : GrantState::offered;
    return row;
}

void GrantTable::rows_of(Extents::const_iterator extent, std::uint32_t importers,
                         std::vector<GrantRow>& rows) const {
    for (; importers != 0; importers &= importers - 1)
        rows.push_back(row(extent, static_cast<VmId>(std::countr_zero(importers))));
}

// --- ends ----------------------------------------------------------------------------------------

std::vector<GrantRow> GrantTable::revoke(MemRange range) {
    std::vector<GrantRow> rows;
    const std::uint64_t end = range.at + range.bytes;
    for (auto at = first_at(range.at); at != extents_.end() && at->first < end;) {
        Extent& extent = at->second;
        if (!objects_[extent.object].object.wipe(extent.first * kPage, extent.pages * kPage)) {
            extent.revoking = 1;  // looked at again when the next VM ends
            ++at;
            continue;
        }
        rows_of(at, extent.importers(), rows);
        counts_[extent.owner] -= static_cast<std::uint64_t>(std::popcount(extent.importers()));
        drop_user(extent.object);
        at = extents_.erase(at);
    }
    return rows;
}

bool GrantTable::exporter_ended(VmId owner) {
    bool any = false;
    for (auto region = regions_.begin(); region != regions_.end();) {
        auto current = region++;
        if (current->second.owner != owner) continue;
        current->second.ended = true;
        bool granted = false;
        const std::uint64_t end = current->first + current->second.bytes;
        for (auto at = first_at(current->first); at != extents_.end() && at->first < end; ++at) {
            at->second.revoking = 1;
            granted = true;
        }
        any = any || granted;
        if (!granted) drop_region(current->first);
    }
    return any;
}

std::vector<GrantRow> GrantTable::revoke_ended(VmId owner) {
    std::vector<GrantRow> rows;
    for (auto region = regions_.begin(); region != regions_.end();) {
        auto current = region++;
        if (current->second.owner != owner || !current->second.ended) continue;
        const MemRange range{current->first, current->second.bytes};
        const auto taken = revoke(range);
        rows.insert(rows.end(), taken.begin(), taken.end());
        const auto left = first_at(range.at);
        if (left == extents_.end() || left->first >= range.at + range.bytes) drop_region(range.at);
    }
    return rows;
}

void GrantTable::importer_ended(VmId importer) {
    for (auto& [at, extent] : extents_) {
        extent.active &= ~bit(importer);
        extent.watched &= ~bit(importer);
    }
}

std::uint32_t GrantTable::importers_of_ended(VmId owner) const {
    std::uint32_t importers = 0;
    for (const auto& [begin, region] : regions_) {
        if (region.owner != owner || !region.ended) continue;
        for (auto at = first_at(begin); at != extents_.end() && at->first < begin + region.bytes;
             ++at)
            importers |= at->second.importers();
    }
    return importers;
}

std::vector<GrantRow> GrantTable::rows() const {
    std::vector<GrantRow> rows;
    for (auto at = extents_.begin(); at != extents_.end(); ++at)
        rows_of(at, at->second.importers(), rows);
    return rows;
}

VmId GrantTable::exporter_at(std::uint64_t at) const {
    const auto found = first_at(at);
    return found == extents_.end() || found->first > at ? 0 : found->second.owner;
}

std::uint64_t GrantTable::grants_of(VmId owner) const {
    const auto found = counts_.find(owner);
    return found == counts_.end() ? 0 : found->second;
}

}  // namespace hyplink::hyp
