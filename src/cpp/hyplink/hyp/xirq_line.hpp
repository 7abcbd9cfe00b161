/// How the kernel of one VM raises the XIRQs of another without the hypervisor: a bit for each
/// number in memory that the two share, and an eventfd that the owner's kernel sleeps on.
///
/// The hypervisor makes one for each ordered pair of VMs with a common vlink, anew for each life of
/// the owner, and gives it to these two kernels only. A number that belongs to another pair has no
/// bit here, so whatever a peer scribbles, it raises its own links' numbers: what it could raise
/// anyway. One kernel raises, one takes. Thread rule: each end one thread.
#pragma once

#include <atomic>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <memory>

#include "hyplink/mem/region.hpp"
#include "hyplink/sys/fd.hpp"

namespace hyplink::hyp {

struct XirqLine {
    std::shared_ptr<mem::Region> pending;  ///< PendingBits
    std::shared_ptr<sys::Fd> fd;
};

class PendingBits {
   public:
    static constexpr std::uint32_t kBits = 65536;  ///< numbers beyond go through the hypervisor
    explicit PendingBits(std::byte* memory) : words_(reinterpret_cast<Words*>(memory)) {}
    static constexpr std::size_t bytes() { return sizeof(Words); }

    /// True if the owner must be woken: nobody has since it last took what was there.
    bool raise(std::uint32_t bit) {
        const std::uint32_t word = bit / 64;
        // The bit first: whoever finds its word named in the summary finds it.
        words_->bits[word].fetch_or(one(bit), std::memory_order_seq_cst);
        const std::uint64_t named =
            words_->summary[word / 64].fetch_or(one(word), std::memory_order_seq_cst);
        return (named & one(word)) == 0;
    }

    /// Call `found` with every bit that is raised, lowest first, and clear it. The owner makes its
    /// eventfd unreadable before, so what is raised meanwhile wakes it again.
    template <class Found>
    void take(Found&& found) {
        for (std::uint32_t group = 0; group < kBits / 64 / 64; ++group) {
            if (words_->summary[group].load(std::memory_order_seq_cst) == 0) continue;
            std::uint64_t named = words_->summary[group].exchange(0, std::memory_order_seq_cst);
            for (; named != 0; named &= named - 1) {
                const std::uint32_t word =
                    group * 64 + static_cast<std::uint32_t>(std::countr_zero(named));
                std::uint64_t bits = words_->bits[word].exchange(0, std::memory_order_seq_cst);
                for (; bits != 0; bits &= bits - 1)
                    found(word * 64 + static_cast<std::uint32_t>(std::countr_zero(bits)));
            }
        }
    }

   private:
    static constexpr std::uint64_t one(std::uint32_t at) { return std::uint64_t{1} << at % 64; }
    struct Words {
        std::atomic<std::uint64_t> summary[kBits / 64 / 64];  ///< which words have bits
        std::atomic<std::uint64_t> bits[kBits / 64];
    };
#if defined(__clang__) && defined(__i386__)
    static_assert(alignof(std::atomic<std::uint64_t>) == 8);  // as in ring/record.hpp
#else
    static_assert(std::atomic<std::uint64_t>::is_always_lock_free);
#endif
    Words* words_;
};

}  // namespace hyplink::hyp
