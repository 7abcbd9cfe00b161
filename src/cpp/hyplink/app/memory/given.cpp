#include "hyplink/app/memory/given.hpp"

#include <algorithm>
#include <set>

#include "hyplink/sys/memfd.hpp"

namespace hyplink::app {

using hyp::MemRange;

GivenPages::To::const_iterator GivenPages::first_at(const To& given, std::uint64_t at) {
    auto next = given.upper_bound(at);
    if (next != given.begin()) {
        const auto before = std::prev(next);
        if (before->first + before->second.bytes > at) return before;
    }
    return next;
}

GivenPages::To::iterator GivenPages::first_at(To& given, std::uint64_t at) {
    const auto found = first_at(std::as_const(given), at);
    return given.erase(found, found);  // the same place, not const
}

void GivenPages::add(VmId importer, std::uint32_t rights, std::span<const MemRange> ranges) {
    To& given = by_importer_[importer];
    for (const MemRange& range : ranges) given.emplace(range.at, Given{range.bytes, rights});
}

void GivenPages::take_out(To& given, MemRange range) {
    const std::uint64_t end = range.at + range.bytes;
    for (auto at = first_at(given, range.at); at != given.end() && at->first < end;) {
        const std::uint64_t low = at->first;
        const Given whole = at->second;
        at = given.erase(at);
        if (low < range.at) given.emplace(low, Given{range.at - low, whole.rights});
        if (low + whole.bytes > end)
            at = given.emplace(end, Given{low + whole.bytes - end, whole.rights}).first;
    }
}

void GivenPages::take_out(VmId importer, MemRange range) {
    take_out(by_importer_[importer], range);
}

void GivenPages::take_out(MemRange range) {
    for (auto& [vm, given] : by_importer_) take_out(given, range);
}

bool GivenPages::covers(VmId importer, std::uint32_t rights, MemRange range) const {
    const auto found = by_importer_.find(importer);
    const std::uint64_t end = range.at + range.bytes;
    if (found == by_importer_.end() || range.bytes == 0 || end <= range.at ||
        range.at % sys::page_size() != 0 || range.bytes % sys::page_size() != 0)
        return false;
    std::uint64_t next = range.at;
    for (auto at = first_at(found->second, next); next < end; ++at) {
        if (at == found->second.end() || at->first > next || at->second.rights != rights)
            return false;
        next = at->first + at->second.bytes;
    }
    return true;
}

bool GivenPages::held_besides(VmId importer, MemRange range) const {
    return std::any_of(by_importer_.begin(), by_importer_.end(), [&](const auto& entry) {
        if (entry.first == importer) return false;
        const auto found = first_at(entry.second, range.at);
        return found != entry.second.end() && found->first < range.at + range.bytes;
    });
}

std::vector<MemRange> GivenPages::cut(VmId importer, std::span<const MemRange> ranges) const {
    std::vector<MemRange> pieces;
    for (const MemRange& range : ranges) {
        const std::uint64_t end = range.at + range.bytes;
        std::set<std::uint64_t> borders{range.at, end};
        for (const auto& [vm, given] : by_importer_) {
            if (vm == importer) continue;
            for (auto at = first_at(given, range.at); at != given.end() && at->first < end; ++at)
                for (std::uint64_t border : {at->first, at->first + at->second.bytes})
                    if (border > range.at && border < end) borders.insert(border);
        }
        for (auto low = borders.begin(); std::next(low) != borders.end(); ++low)
            pieces.push_back({*low, *std::next(low) - *low});
    }
    return pieces;
}

bool overlapping(std::span<const MemRange> ranges) {
    std::vector<MemRange> sorted(ranges.begin(), ranges.end());
    std::sort(sorted.begin(), sorted.end());
    std::uint64_t end = 0;
    for (const MemRange& range : sorted) {
        if (range.at < end || range.at + range.bytes <= range.at) return true;
        end = range.at + range.bytes;
    }
    return false;
}

}  // namespace hyplink::app
