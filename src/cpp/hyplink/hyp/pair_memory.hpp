/// The memory that exactly two VMs share: PMEM, PDEV pieces and bells of all vlinks between them.
///
/// The two trust boundaries coincide (either VM may touch all of it anyway), so thousands of vlinks
/// cost a handful of descriptors. What an *application* maps is never taken from here. Thread rule:
/// under the hypervisor's lock.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "hyplink/base/result.hpp"
#include "hyplink/hyp/hypercalls.hpp"

namespace hyplink::hyp {

/// Hands out machine addresses; never reuses one, so a stale address cannot alias.
class AddressSpace {
   public:
    /// Hand out nothing below `address`.
    void start_above(std::uint64_t address) {
        if (address > next_) next_ = mem::round_up(address, kGap);
    }
    mem::Ipa take(std::uint64_t bytes) {
        const mem::Ipa at{next_};
        next_ += mem::round_up(bytes, kGap);
        return at;
    }

   private:
    static constexpr std::uint64_t kGap = 2 << 20;
    std::uint64_t next_ = 0x1'0000'0000;  // above 4 GiB: a 32-bit slip shows at once
};

class PairMemory {
   public:
    explicit PairMemory(AddressSpace& addresses) : addresses_(&addresses) {}

    struct Piece {
        mem::Ipa at;
        std::byte* data = nullptr;
    };
    /// Whole pages, zeroed.
    Result<Piece> pages(std::uint64_t bytes);
    /// A 64-byte aligned piece of a page shared with other small pieces of the same pair.
    Result<Piece> small(std::uint64_t bytes);
    /// The object around an address, or null.
    const MemoryView* find(mem::Ipa at) const;
    /// Give pages back to the machine (forced clean-up); readers see zeroes.
    Status wipe(mem::Ipa at, std::uint64_t bytes);
    std::uint64_t reserved_bytes() const { return used_total_; }

   private:
    struct Chunk {
        MemoryView view;
        std::uint64_t used = 0;
    };
    AddressSpace* addresses_;
    std::vector<Chunk> chunks_;  // in address order
    Piece small_{};
    std::uint64_t small_left_ = 0;
    std::uint64_t used_total_ = 0;
};

}  // namespace hyplink::hyp
