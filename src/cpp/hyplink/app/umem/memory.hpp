/// Memory that a vUmem server lends: whatever it has, as long as it is whole pages.
///
/// Private memory (a static array, an allocator's block, another library's buffer) is moved into an
/// object of its own that stands under the same addresses, and is moved out again when it is taken
/// back; pointers stay good. A mapping of a file is lent through that file, and whoever has
/// borrowed it can reach the whole file. `Memory` below is made to be lent and copied only if it is
/// used again. Source: vlx-facts 3.3; memory.md 3. Thread rule: the server's.
#pragma once

#include <map>
#include <memory>

#include "hyplink/base/result.hpp"
#include "hyplink/hyp/hypercalls.hpp"
#include "hyplink/mem/owned.hpp"

namespace hyplink::umem {

/// Zeroed memory for buffers, whole pages. It can be lent without a copy.
class Memory {
   public:
    /// Errors: no_memory, system.
    static Result<std::shared_ptr<Memory>> make(std::uint64_t bytes);
    std::byte* data() const { return owned_->data(); }
    std::size_t size() const { return owned_->size(); }

   private:
    friend class Ledger;
    explicit Memory(std::unique_ptr<mem::OwnedMemory> owned) : owned_(std::move(owned)) {}
    std::unique_ptr<mem::OwnedMemory> owned_;
};

/// How a piece of memory is handed to the kernel.
struct Offer {
    std::shared_ptr<sys::Fd> object;
    std::uint64_t offset = 0;
    std::uint64_t bytes = 0;
    hyp::LoanKind kind = hyp::LoanKind::file;
};

/// What one server has lent, by buffer. The same memory may stand behind several buffers; it is
/// taken back with the last.
class Ledger {
   public:
    /// Private memory or a mapping of a file at `place`; `bytes` is rounded up to pages. `keep` is
    /// held until it is taken back. Errors: bad_argument (not at a page, not in one mapping, not
    /// writable), no_memory, system.
    Result<Offer> lend(std::uint32_t buffer, void* place, std::uint64_t bytes,
                       std::shared_ptr<void> keep);
    Result<Offer> lend(std::uint32_t buffer, const std::shared_ptr<Memory>& memory);
    /// The buffer is gone: what was lent for it is the server's alone again, contents and all.
    /// Returns whether nothing else is lent of that object, so that it can be emptied.
    bool take_back(std::uint32_t buffer);
    void take_all_back();
    std::size_t size() const { return loans_.size(); }

   private:
    struct Adopted {
        std::unique_ptr<mem::OwnedMemory> owned;
        std::shared_ptr<void> keep;
        std::uint32_t buffers = 0;
    };
    struct Loan {
        std::byte* adopted = nullptr;   // key of `adopted_`
        std::weak_ptr<Memory> memory;   // or this
        const Memory* which = nullptr;  // its identity, whether it lives or not
        std::shared_ptr<void> keep;
    };
    Result<Offer> offer(mem::OwnedMemory& owned, std::uint64_t offset, std::uint64_t bytes);

    std::map<std::uint32_t, Loan> loans_;    // by buffer
    std::map<std::byte*, Adopted> adopted_;  // by address
    std::shared_ptr<sys::WriteFreezer> freezer_;
    bool freezer_tried_ = false;
};

}  // namespace hyplink::umem
