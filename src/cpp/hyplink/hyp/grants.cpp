#include "hyplink/hyp/grants.hpp"

#include <algorithm>
#include <bit>
#include <optional>
#include <utility>

#include "hyplink/base/text.hpp"
#include "hyplink/sys/memfd.hpp"

namespace hyplink::hyp {
namespace {

constexpr std::uint64_t kPage = 4096;
constexpr std::uint32_t bit(VmId vm) { return 1U << vm; }

std::string show(MemRange range) { return text(range.bytes, " bytes at 0x", std::hex, range.at); }

bool whole_pages(MemRange range) {
    return range.bytes != 0 && range.at % kPage == 0 && range.bytes % kPage == 0 &&
           range.at + range.bytes > range.at && range.bytes / kPage <= 0xffffffffU;
}

}  // namespace

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
    counts_[upper.owner] += static_cast<std::uint64_t>(std::popcount(upper.importers));
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

// --- grant and deny ------------------------------------------------------------------------------

Status GrantTable::check(VmId owner, const MemCall& call) const {
    const std::uint32_t rights = call.flags & kGrantRights;
    if ((call.flags & ~(kGrantRights | kGrantLevels)) != 0 ||
        std::popcount(call.flags & kGrantLevels) > 1)
        return Error::make(Errc::bad_argument,
                           text("flags 0x", std::hex, call.flags, ": unknown bits, or two levels"));
    if ((rights & kGrantRead) == 0 || (rights & (kGrantCpu | kGrantDma)) == 0)
        return Error::make(Errc::bad_argument,
                           "a grant is for reading at least, and for the CPU, DMA or both");
    if (call.ranges.empty() || call.ranges.size() > MemCall::kMostRanges)
        return Error::make(Errc::bad_argument, text(call.ranges.size(), " regions: expected 1..",
                                                    MemCall::kMostRanges));
    if (call.vm == owner && (rights & kGrantCpu) != 0)
        return Error::make(Errc::bad_argument,
                           "a VM does not import its own memory; only its devices may be granted "
                           "some, for DMA alone");
    std::vector<MemRange> sorted = call.ranges;
    std::sort(sorted.begin(), sorted.end());
    std::uint64_t last = 0;
    for (const MemRange& range : sorted) {
        if (!whole_pages(range))
            return Error::make(Errc::bad_argument, text(show(range), ": expected whole pages"));
        if (range.at < last)
            return Error::make(Errc::bad_argument, text(show(range), ": stands twice in one call"));
        last = range.at + range.bytes;
        auto region = regions_.upper_bound(range.at);
        const bool below = region == regions_.begin();
        if (!below) --region;
        if (below || region->second.owner != owner || region->second.app != call.app ||
            region->second.ended ||
            !mem::fits(range.at - region->first, range.bytes, region->second.bytes))
            return Error::make(Errc::not_permitted,
                               text(show(range), ": not memory of this application"));
    }
    return {};
}

Status GrantTable::grant(VmId owner, const MemCall& call, const Limits& limits) {
    HYPLINK_TRY(check(owner, call));
    if ((call.flags & kGrantBroker) != 0)
        return Error::make(Errc::unsupported,
                           "level broker: a server that passes accesses through is not built; "
                           "memfd is the highest");
    if ((call.flags & kGrantMemfd) != 0 && limits.grant_level < GrantLevel::memfd)
        return Error::make(Errc::unsupported,
                           "level memfd: on the thread backend all VMs share one address space, "
                           "nothing can be enforced; ask for cooperative");
    std::uint64_t& count = counts_[owner];
    if (count + call.ranges.size() > limits.max_grants)
        return Error::make(Errc::over_quota, text("VM ", owner, " has ", count, " of ",
                                                  limits.max_grants, " grants"));
    const bool write = (call.flags & kGrantWrite) != 0;
    std::vector<std::optional<mem::SharedObject>> made(call.ranges.size());
    for (std::size_t i = 0; i < call.ranges.size(); ++i) {
        const MemRange range = call.ranges[i];
        const auto there = first_at(range.at);
        if (there != extents_.end() && there->first < range.at + range.bytes) {
            const Extent& extent = there->second;
            auto refuse = [&](const char* why) {
                return Error::make(Errc::busy, text("grant ", show(range), ": ", why));
            };
            if ((extent.importers & bit(call.vm)) != 0) return refuse("granted to that VM already");
            if (there->first != range.at || extent.pages * kPage != range.bytes)
                return refuse(
                    "part of it is granted to another VM; several importers share a "
                    "grant of the same pages only");
            if ((extent.write != 0) != write)
                return refuse(
                    "another VM has it with other rights, one object cannot enforce both");
            // A descriptor leads to the whole object.
            if (limits.grant_level >= GrantLevel::memfd && objects_[extent.object].users > 1)
                return refuse(
                    "it is what is left of a larger grant, whose other pages that VM would reach, "
                    "too; deny it and grant it to both");
            continue;
        }
        if (i >= call.objects.size() || !call.objects[i])
            return Error::make(Errc::bad_argument, text("grant ", show(range), ": no object"));
        sys::Fd fd = HYPLINK_TRY(sys::duplicate(call.objects[i]->get()));
        made[i] = HYPLINK_TRY(mem::SharedObject::seal(
            std::move(fd), range.bytes, write ? mem::Access::read_write : mem::Access::read));
    }
    for (std::size_t i = 0; i < call.ranges.size(); ++i) {
        const MemRange range = call.ranges[i];
        if (made[i]) {
            Extent extent{};
            extent.pages = static_cast<std::uint32_t>(range.bytes / kPage);
            extent.object = take_slot(*std::move(made[i]), 1);
            extent.owner = owner & 0xff;
            extent.write = write ? 1 : 0;
            extents_.emplace(range.at, extent);
        }
        Extent& extent = extents_.find(range.at)->second;
        extent.importers |= bit(call.vm);
        if ((call.flags & kGrantCpu) != 0) extent.cpu |= bit(call.vm);
        if ((call.flags & kGrantDma) != 0) extent.dma |= bit(call.vm);
        ++count;
    }
    return {};
}

Result<GrantTable::Denied> GrantTable::denied(const MemCall& call, MemRange range) const {
    const std::uint32_t rights = call.flags & kGrantRights;
    std::uint64_t next = range.at;
    Denied found;
    for (auto at = first_at(next); next < range.at + range.bytes; ++at) {
        if (at == extents_.end() || at->first > next || (at->second.importers & bit(call.vm)) == 0)
            return Error::make(Errc::bad_argument,
                               text("deny ", show(range), ": not granted to VM ", call.vm));
        if (row(at, call.vm).rights != rights)
            return Error::make(Errc::bad_argument,
                               text("deny ", show(range), " with flags 0x", std::hex, rights,
                                    ": granted with 0x", row(at, call.vm).rights));
        const std::uint32_t keep = at->second.importers & ~bit(call.vm);
        found.mixed = found.mixed || (next != range.at && keep != found.keep);
        found.keep = keep;
        found.kept = found.kept || keep != 0;
        found.write = at->second.write != 0;
        found.keepers |= at->second.active & ~bit(call.vm);
        next = at->first + at->second.pages * kPage;
    }
    return found;
}

Result<std::uint32_t> GrantTable::keepers(VmId owner, const MemCall& call) const {
    HYPLINK_TRY(check(owner, call));
    std::uint32_t keepers = 0;
    for (const MemRange& range : call.ranges) keepers |= HYPLINK_TRY(denied(call, range)).keepers;
    return keepers;
}

Result<std::vector<GrantRow>> GrantTable::deny(VmId owner, const MemCall& call,
                                               const Limits& limits) {
    HYPLINK_TRY(check(owner, call));
    std::vector<std::optional<mem::SharedObject>> made(call.ranges.size());
    std::vector<bool> stays(call.ranges.size());
    for (std::size_t i = 0; i < call.ranges.size(); ++i) {
        const MemRange range = call.ranges[i];
        const Denied found = HYPLINK_TRY(denied(call, range));
        if (!found.kept) continue;
        const bool given = i < call.objects.size() && call.objects[i];
        if (!given && limits.grant_level < GrantLevel::memfd) {
            stays[i] = true;
            continue;
        }
        if (!given)
            return Error::make(
                Errc::bad_argument,
                text("deny ", show(range), ": other VMs keep it, so it needs a new object"));
        if (found.mixed)
            return Error::make(Errc::bad_argument,
                               text("deny ", show(range),
                                    ": others keep different parts of it, and would reach each "
                                    "other's through one object; cut it there"));
        sys::Fd fd = HYPLINK_TRY(sys::duplicate(call.objects[i]->get()));
        made[i] = HYPLINK_TRY(mem::SharedObject::seal(
            std::move(fd), range.bytes, found.write ? mem::Access::read_write : mem::Access::read));
    }
    std::vector<GrantRow> rows;
    for (std::size_t i = 0; i < call.ranges.size(); ++i) {
        const MemRange range = call.ranges[i];
        const std::uint64_t end = range.at + range.bytes;
        // Emptied first: if that fails the pages are still granted, and it can be tried again.
        for (auto at = first_at(range.at); !stays[i] && at != extents_.end() && at->first < end;
             ++at) {
            const std::uint64_t low = std::max(at->first, range.at);
            const std::uint64_t high = std::min(at->first + at->second.pages * kPage, end);
            HYPLINK_TRY(objects_[at->second.object].object.wipe(
                at->second.first * kPage + (low - at->first), high - low));
        }
        split(range.at);
        split(end);
        std::uint32_t fresh = 0;
        if (made[i]) fresh = take_slot(*std::move(made[i]), 0);
        for (auto at = first_at(range.at); at != extents_.end() && at->first < end;) {
            Extent& extent = at->second;
            rows.push_back(row(at, call.vm));
            extent.importers &= ~bit(call.vm);
            extent.cpu &= ~bit(call.vm);
            extent.dma &= ~bit(call.vm);
            extent.active &= ~bit(call.vm);
            counts_[owner] -= 1;
            if (extent.importers == 0) {
                drop_user(extent.object);
                at = extents_.erase(at);
                continue;
            }
            if (stays[i]) {
                ++at;
                continue;
            }
            drop_user(extent.object);
            extent.object = fresh;
            extent.first = static_cast<std::uint32_t>((at->first - range.at) / kPage);
            objects_[fresh].users += 1;
            rows_of(at, extent.active, rows);
            ++at;
        }
    }
    return rows;
}

// --- the importer's side -------------------------------------------------------------------------

Status GrantTable::verify(VmId importer, VmId owner, std::uint32_t rights, MemRange range) const {
    if (!whole_pages(range))
        return Error::make(Errc::bad_argument, text(show(range), ": expected whole pages"));
    const std::uint64_t end = range.at + range.bytes;
    std::uint64_t next = range.at;
    for (auto at = first_at(next); next < end; ++at) {
        if (at == extents_.end() || at->first > next || at->second.revoking != 0 ||
            (at->second.importers & bit(importer)) == 0 ||
            (owner != 0 && at->second.owner != owner) || (rights & ~row(at, importer).rights) != 0)
            return Error::make(Errc::access_denied,
                               text(show(range), ": not granted to VM ", importer,
                                    owner != 0 ? text(" by VM ", owner) : "",
                                    (rights & kGrantWrite) != 0 ? " for writing" : ""));
        next = at->first + at->second.pages * kPage;
    }
    return {};
}

Result<std::vector<WindowPiece>> GrantTable::map(VmId importer, MemRange range, bool writable,
                                                 Show show) {
    const std::uint32_t rights = kGrantRead | kGrantCpu | (writable ? kGrantWrite : 0U);
    if (!whole_pages(range) || show == Show::whole) HYPLINK_TRY(verify(importer, 0, rights, range));
    std::vector<WindowPiece> pieces;
    const std::uint64_t end = range.at + range.bytes;
    std::uint64_t next = range.at;
    for (auto at = first_at(next); next < end && pieces.size() < MemCall::kMaxRanges;) {
        WindowPiece piece;
        if (at == extents_.end() || at->first > next) {
            const std::uint64_t high = at == extents_.end() ? end : std::min(end, at->first);
            piece.range = {next, high - next};
        } else {
            const std::uint64_t high = std::min(end, at->first + at->second.pages * kPage);
            piece.range = {next, high - next};
            if (verify(importer, 0, rights, piece.range)) {
                piece.offset = at->second.first * kPage + (next - at->first);
                piece.fd = std::make_shared<sys::Fd>(
                    HYPLINK_TRY(objects_[at->second.object].object.descriptor()));
                at->second.active |= bit(importer);
            }
            ++at;
        }
        next = piece.range.at + piece.range.bytes;
        pieces.push_back(std::move(piece));
    }
    return pieces;
}

void GrantTable::unmap(VmId importer, MemRange range) {
    if (!whole_pages(range)) return;
    for (auto at = first_at(range.at); at != extents_.end() && at->first < range.at + range.bytes;
         ++at)
        at->second.active &= ~bit(importer);
}

DmaPlace GrantTable::dma_place(VmId vm, std::uint32_t app, std::uint64_t at, bool write) const {
    const auto found = first_at(at);
    DmaPlace place;
    place.fault = DmaFault::unmapped;
    if (found == extents_.end() || found->first > at) return place;
    const Extent& extent = found->second;
    if (extent.revoking != 0 || (extent.importers & bit(vm)) == 0) return place;
    if (extent.owner == vm) {  // of the application that owns the pages, nobody else's
        const auto region = std::prev(regions_.upper_bound(at));
        if (region->second.app != app) return place;
    }
    place.fault = (extent.dma & bit(vm)) == 0  ? DmaFault::not_for_dma
                  : write && extent.write == 0 ? DmaFault::read_only
                                               : DmaFault::none;
    place.fd = objects_[extent.object].object.fd();
    place.offset = extent.first * kPage + (at - found->first);
    place.bytes = found->first + extent.pages * kPage - at;
    return place;
}

bool GrantTable::has_object(int fd) const {
    return std::any_of(objects_.begin(), objects_.end(), [fd](const Slot& slot) {
        return slot.object && sys::same_object(slot.object.fd(), fd);
    });
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
        rows_of(at, extent.importers, rows);
        counts_[extent.owner] -= static_cast<std::uint64_t>(std::popcount(extent.importers));
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
    for (auto& [at, extent] : extents_) extent.active &= ~bit(importer);
}

std::uint32_t GrantTable::importers_of_ended(VmId owner) const {
    std::uint32_t importers = 0;
    for (const auto& [begin, region] : regions_) {
        if (region.owner != owner || !region.ended) continue;
        for (auto at = first_at(begin); at != extents_.end() && at->first < begin + region.bytes;
             ++at)
            importers |= at->second.importers;
    }
    return importers;
}

std::vector<GrantRow> GrantTable::rows() const {
    std::vector<GrantRow> rows;
    for (auto at = extents_.begin(); at != extents_.end(); ++at)
        rows_of(at, at->second.importers, rows);
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
