/// Granting pages and denying them.
#include <algorithm>
#include <bit>
#include <optional>

#include "hyplink/hyp/grant_ranges.hpp"
#include "hyplink/hyp/grants.hpp"
#include "hyplink/sys/memfd.hpp"

namespace hyplink::hyp {

using namespace granting;

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
    if ((call.flags & (kGrantMemfd | kGrantBroker)) != 0 && limits.grant_level < GrantLevel::memfd)
        return Error::make(Errc::unsupported,
                           text("level ", (call.flags & kGrantMemfd) != 0 ? "memfd" : "broker",
                                ": on the thread backend all VMs share one address space, nothing "
                                "can be enforced; ask for cooperative"));
    const bool broker = (call.flags & kGrantBroker) != 0;
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
            if ((extent.importers() & bit(call.vm)) != 0)
                return refuse("granted to that VM already");
            if (there->first != range.at || extent.pages * kPage != range.bytes)
                return refuse(
                    "part of it is granted to another VM; several importers share a "
                    "grant of the same pages only");
            if ((extent.write != 0) != write)
                return refuse(
                    "another VM has it with other rights, one object cannot enforce both");
            if ((extent.broker != 0) != broker) return refuse("another VM has it at another level");
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
            extent.broker = broker ? 1 : 0;
            extents_.emplace(range.at, extent);
        }
        Extent& extent = extents_.find(range.at)->second;
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
        if (at == extents_.end() || at->first > next ||
            (at->second.importers() & bit(call.vm)) == 0)
            return Error::make(Errc::bad_argument,
                               text("deny ", show(range), ": not granted to VM ", call.vm));
        if (row(at, call.vm).rights != rights)
            return Error::make(Errc::bad_argument,
                               text("deny ", show(range), " with flags 0x", std::hex, rights,
                                    ": granted with 0x", row(at, call.vm).rights));
        const std::uint32_t keep = at->second.importers() & ~bit(call.vm);
        found.mixed = found.mixed || (next != range.at && keep != found.keep);
        found.keep = keep;
        found.kept = found.kept || keep != 0;
        found.write = at->second.write != 0;
        found.keepers |= at->second.active & ~bit(call.vm);
        found.blind |= at->second.active & ~at->second.watched & ~bit(call.vm);
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

Status GrantTable::move(const MemCall& call,
                        const std::vector<std::optional<mem::SharedObject>>& made,
                        sys::PageMover& mover) const {
    std::vector<sys::PageMove> moved;
    for (std::size_t i = 0; i < call.ranges.size(); ++i) {
        const MemRange range = call.ranges[i];
        const std::uint64_t end = range.at + range.bytes;
        for (auto at = first_at(range.at); at != extents_.end() && at->first < end; ++at) {
            const std::uint64_t low = std::max(at->first, range.at);
            const std::uint64_t high = std::min(at->first + at->second.pages * kPage, end);
            const sys::PageMove part{objects_[at->second.object].object.fd(),
                                     at->second.first * kPage + (low - at->first), made[i]->fd(),
                                     low - range.at, high - low};
            if (Status done = mover.move(part); !done) {
                for (auto back = moved.rbegin(); back != moved.rend(); ++back)
                    (void)mover.move(
                        {back->to, back->to_at, back->from, back->from_at, back->bytes});
                return done;
            }
            moved.push_back(part);
        }
    }
    return {};
}

Result<std::vector<GrantRow>> GrantTable::deny(VmId owner, const MemCall& call,
                                               const Limits& limits, sys::PageMover* mover) {
    HYPLINK_TRY(check(owner, call));
    std::vector<std::optional<mem::SharedObject>> made(call.ranges.size());
    std::vector<bool> stays(call.ranges.size());
    for (std::size_t i = 0; i < call.ranges.size(); ++i) {
        const MemRange range = call.ranges[i];
        const Denied found = HYPLINK_TRY(denied(call, range));
        if (mover != nullptr && (!found.kept || !found.write || found.blind != 0))
            return Error::make(Errc::would_block,
                               text("deny ", show(range), ": its pages cannot be moved unasked"));
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
    if (mover != nullptr) HYPLINK_TRY(move(call, made, *mover));
    std::vector<GrantRow> rows;
    for (std::size_t i = 0; i < call.ranges.size(); ++i) {
        const MemRange range = call.ranges[i];
        const std::uint64_t end = range.at + range.bytes;
        const bool wipes = !stays[i] && mover == nullptr;
        // Emptied first: if that fails the pages are still granted, and it can be tried again.
        for (auto at = first_at(range.at); wipes && at != extents_.end() && at->first < end; ++at) {
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
            extent.cpu &= ~bit(call.vm);
            extent.dma &= ~bit(call.vm);
            extent.active &= ~bit(call.vm);
            extent.watched = 0;
            counts_[owner] -= 1;
            if (extent.importers() == 0) {
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

}  // namespace hyplink::hyp
