/// Ranges of addresses, joined to none of their neighbours. Thread rule: its owner's.
#pragma once

#include <algorithm>
#include <cstdint>
#include <map>
#include <vector>

#include "hyplink/hyp/hypercalls.hpp"

namespace hyplink::app {

class PageSet {
   public:
    void put(hyp::MemRange range) {
        take(range);
        if (range.bytes != 0) ranges_.emplace(range.at, range.bytes);
        bytes_ += range.bytes;
    }
    void take(hyp::MemRange range) {
        const std::uint64_t end = range.at + range.bytes;
        for (auto at = first(range.at); at != ranges_.end() && at->first < end;) {
            const std::uint64_t low = at->first;
            const std::uint64_t high = low + at->second;
            at = ranges_.erase(at);
            if (low < range.at) ranges_.emplace(low, range.at - low);
            if (high > end) at = ranges_.emplace(end, high - end).first;
            bytes_ -= std::min(high, end) - std::max(low, range.at);
        }
    }
    /// Some of it is there.
    bool any(hyp::MemRange range) const {
        const auto found = first(range.at);
        return found != ranges_.end() && found->first < range.at + range.bytes;
    }
    /// All of it is there, put as one range.
    bool one(hyp::MemRange range) const {
        const auto parts = of(range);
        return parts.size() == 1 && parts[0] == range;
    }
    /// What of a range is there.
    std::vector<hyp::MemRange> of(hyp::MemRange range) const {
        std::vector<hyp::MemRange> parts;
        const std::uint64_t end = range.at + range.bytes;
        for (auto at = first(range.at); at != ranges_.end() && at->first < end; ++at) {
            const std::uint64_t low = std::max(at->first, range.at);
            parts.push_back({low, std::min(at->first + at->second, end) - low});
        }
        return parts;
    }
    std::uint64_t bytes() const { return bytes_; }
    void clear() {
        ranges_.clear();
        bytes_ = 0;
    }

   private:
    using Ranges = std::map<std::uint64_t, std::uint64_t>;
    /// The first one that ends behind `at`.
    Ranges::const_iterator first(std::uint64_t at) const {
        auto next = ranges_.upper_bound(at);
        if (next == ranges_.begin()) return next;
        const auto before = std::prev(next);
        return before->first + before->second > at ? before : next;
    }
    Ranges ranges_;
    std::uint64_t bytes_ = 0;
};

}  // namespace hyplink::app
