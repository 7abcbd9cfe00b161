/// What an application has granted, as it remembers it: by importer and address. The hypervisor
/// decides; this tells which pages have an object behind them that somebody else holds. Thread
/// rule: its owner's lock.
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <vector>

#include "hyplink/app/memory/page_set.hpp"
#include "hyplink/base/ids.hpp"
#include "hyplink/hyp/hypercalls.hpp"

namespace hyplink::app {

class GivenPages {
   public:
    void add(VmId importer, std::uint32_t rights, std::span<const hyp::MemRange> ranges);
    void take_out(VmId importer, hyp::MemRange range);
    void take_out(hyp::MemRange range);
    void clear() {
        by_importer_.clear();
        stale_.clear();
    }

    /// All of it with exactly these rights, in whole pages.
    bool covers(VmId importer, std::uint32_t rights, hyp::MemRange range) const;
    /// Some of it, by anybody but `importer` (0: by anybody).
    bool held_besides(VmId importer, hyp::MemRange range) const;
    /// The same pages, cut wherever what others have of them begins or ends: one object must not
    /// lead anybody to pages that only somebody else was granted.
    std::vector<hyp::MemRange> cut(VmId importer, std::span<const hyp::MemRange> ranges) const;

    /// The pages moved on, but the deny has not got through (yet).
    void mark_stale(hyp::MemRange range, bool stale) {
        stale ? stale_.put(range) : stale_.take(range);
    }
    bool stale(hyp::MemRange range) const { return stale_.any(range); }  ///< some of it

   private:
    struct Given {
        std::uint64_t bytes = 0;
        std::uint32_t rights = 0;
    };
    using To = std::map<std::uint64_t, Given>;
    /// The first entry that ends behind `at`.
    static To::iterator first_at(To& given, std::uint64_t at);
    static To::const_iterator first_at(const To& given, std::uint64_t at);
    static void take_out(To& given, hyp::MemRange range);
    std::map<VmId, To> by_importer_;  // never overlapping for one importer
    PageSet stale_;
};

/// Whether any two have a page in common, or one is no range at all.
bool overlapping(std::span<const hyp::MemRange> ranges);

}  // namespace hyplink::app
