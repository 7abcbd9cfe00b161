/// Requests by procedure, for vrpqProf: made when the program first asks for them.
///
/// Thread rule: `count` the channel's thread, `add_to` any.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <map>

namespace hyplink::compat {

/// By procedure.
using ProcedureCounts = std::map<std::uint32_t, std::uint64_t>;

class ProcedureTable {
   public:
    static constexpr std::size_t kEntries = 256;  ///< further ones of a channel are not counted

    void count(std::uint32_t procedure) {
        // Groups are in the upper half: neighbours of one group lie side by side.
        std::size_t at = (procedure ^ procedure >> 16) % kEntries;
        for (std::size_t tried = 0; tried < kEntries; ++tried, at = (at + 1) % kEntries) {
            Entry& entry = entries_[at];
            const std::uint64_t key = entry.key.load(std::memory_order_relaxed);
            if (key == 0) {
                entry.requests.store(1, std::memory_order_relaxed);
                entry.key.store(kUsed | procedure, std::memory_order_release);
                return;
            }
            if (key != (kUsed | procedure)) continue;
            entry.requests.store(entry.requests.load(std::memory_order_relaxed) + 1,
                                 std::memory_order_relaxed);
            return;
        }
    }
    void add_to(ProcedureCounts& counts) const {
        for (const Entry& entry : entries_)
            if (const std::uint64_t key = entry.key.load(std::memory_order_acquire); key != 0)
                counts[static_cast<std::uint32_t>(key)] +=
                    entry.requests.load(std::memory_order_relaxed);
    }

   private:
    static constexpr std::uint64_t kUsed = std::uint64_t{1} << 32;
    struct Entry {
        std::atomic<std::uint64_t> key{0};  ///< kUsed and the procedure; 0: free
        std::atomic<std::uint64_t> requests{0};
    };
    std::array<Entry, kEntries> entries_{};
};

}  // namespace hyplink::compat
