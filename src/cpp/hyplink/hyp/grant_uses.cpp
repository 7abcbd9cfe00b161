/// What importers and devices do with granted pages.
#include <algorithm>

#include "hyplink/hyp/grant_ranges.hpp"
#include "hyplink/hyp/grants.hpp"
#include "hyplink/sys/memfd.hpp"

namespace hyplink::hyp {

using namespace granting;

Status GrantTable::verify(VmId importer, VmId owner, std::uint32_t rights, MemRange range) const {
    if (!whole_pages(range))
        return Error::make(Errc::bad_argument, text(show(range), ": expected whole pages"));
    const std::uint64_t end = range.at + range.bytes;
    std::uint64_t next = range.at;
    for (auto at = first_at(next); next < end; ++at) {
        if (at == extents_.end() || at->first > next || at->second.revoking != 0 ||
            (at->second.importers() & bit(importer)) == 0 ||
            (owner != 0 && at->second.owner != owner) || (rights & ~row(at, importer).rights) != 0)
            return Error::make(Errc::access_denied,
                               text(show(range), ": not granted to VM ", importer,
                                    owner != 0 ? text(" by VM ", owner) : "",
                                    (rights & kGrantWrite) != 0 ? " for writing" : ""));
        next = at->first + at->second.pages * kPage;
    }
    return {};
}

/// What an importer is given.
Result<sys::Fd> GrantTable::way_to(const mem::SharedObject& object, const Extent& extent,
                                   bool writable, sys::PassThrough* files) {
    if (extent.broker == 0) return object.descriptor();
    if (files == nullptr) return Error::make(Errc::unsupported, "there is no broker");
    return files->open(object.fd(), writable && extent.write != 0);
}

Result<std::vector<WindowPiece>> GrantTable::map(VmId importer, MemRange range, bool writable,
                                                 Show show, sys::PassThrough* files) {
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
                piece.fd = std::make_shared<sys::Fd>(HYPLINK_TRY(
                    way_to(objects_[at->second.object].object, at->second, writable, files)));
                piece.generation =
                    at->second.write != 0 ? objects_[at->second.object].generation : 0;
                at->second.active |= bit(importer);
                at->second.watched &= ~bit(importer);
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
         ++at) {
        at->second.active &= ~bit(importer);
        at->second.watched &= ~bit(importer);
    }
}

void GrantTable::watch(VmId importer, MemRange range, std::uint32_t generation) {
    if (!whole_pages(range)) return;
    const std::uint64_t end = range.at + range.bytes;
    for (auto at = first_at(range.at); at != extents_.end() && at->first < end; ++at) {
        Extent& extent = at->second;
        const bool whole = at->first >= range.at && at->first + extent.pages * kPage <= end;
        if (whole && (extent.active & bit(importer)) != 0 &&
            generation == objects_[extent.object].generation)
            extent.watched |= bit(importer);
        else
            extent.watched &= ~bit(importer);
    }
}

void GrantTable::unwatch(const std::vector<MemRange>& ranges) {
    for (const MemRange& range : ranges)
        for (auto at = first_at(range.at);
             at != extents_.end() && at->first < range.at + range.bytes; ++at)
            at->second.watched = 0;
}

DmaPlace GrantTable::dma_place(VmId vm, std::uint32_t app, std::uint64_t at, bool write) const {
    const auto found = first_at(at);
    DmaPlace place;
    place.fault = DmaFault::unmapped;
    if (found == extents_.end() || found->first > at) return place;
    const Extent& extent = found->second;
    if (extent.revoking != 0 || (extent.importers() & bit(vm)) == 0) return place;
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

}  // namespace hyplink::hyp
