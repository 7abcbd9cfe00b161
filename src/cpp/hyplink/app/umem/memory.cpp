#include "hyplink/app/umem/memory.hpp"

#include <algorithm>

#include "hyplink/base/text.hpp"
#include "hyplink/mem/address.hpp"
#include "hyplink/sys/memfd.hpp"
#include "hyplink/sys/place.hpp"

namespace hyplink::umem {

using mem::Access;
using mem::OwnedMemory;
using mem::Writers;

Result<std::shared_ptr<Memory>> Memory::make(std::uint64_t bytes) {
    if (bytes == 0) return Error::make(Errc::bad_argument, "memory of 0 bytes");
    return std::shared_ptr<Memory>(new Memory(HYPLINK_TRY(OwnedMemory::make({}, bytes))));
}

Result<Offer> Ledger::offer(OwnedMemory& owned, std::uint64_t offset, std::uint64_t bytes) {
    Offer offer;
    offer.object = std::make_shared<sys::Fd>(HYPLINK_TRY(owned.share(Access::read_write)));
    offer.offset = offset;
    offer.bytes = bytes;
    offer.kind = hyp::LoanKind::whole;
    return offer;
}

Result<Offer> Ledger::lend(std::uint32_t buffer, const std::shared_ptr<Memory>& memory) {
    Offer made = HYPLINK_TRY(offer(*memory->owned_, 0, memory->size()));
    Loan& loan = loans_[buffer];
    loan.memory = memory;
    loan.which = memory.get();
    return made;
}

Result<Offer> Ledger::lend(std::uint32_t buffer, void* place, std::uint64_t bytes,
                           std::shared_ptr<void> keep) {
    const std::uint64_t rounded = mem::round_up(bytes, sys::page_size());
    const auto size = static_cast<std::size_t>(rounded);
    if (rounded < bytes || size != rounded)
        return Error::make(Errc::bad_argument, text("memory of ", bytes, " bytes"));
    auto* data = static_cast<std::byte*>(place);
    // Lent already, for another buffer?
    auto after = adopted_.upper_bound(data);
    if (after != adopted_.begin()) {
        auto& [start, adopted] = *std::prev(after);
        const auto into = static_cast<std::uint64_t>(data - start);
        if (mem::fits(into, size, adopted.owned->size())) {
            Offer made = HYPLINK_TRY(offer(*adopted.owned, into, size));
            adopted.buffers += 1;
            loans_[buffer] = Loan{start, {}, nullptr, std::move(keep)};
            return made;
        }
    }
    const sys::SharedRange range = HYPLINK_TRY(sys::mapped_at(place, size));
    if (range.shared) {
        Offer made;
        made.object = std::make_shared<sys::Fd>(HYPLINK_TRY(sys::descriptor_of(range)));
        made.offset = range.offset;
        made.bytes = size;
        loans_[buffer] = Loan{nullptr, {}, nullptr, std::move(keep)};
        return made;
    }
    if (!std::exchange(freezer_tried_, true))
        if (auto freezer = sys::WriteFreezer::make()) freezer_ = *std::move(freezer);
    auto owned =
        OwnedMemory::adopt(freezer_, place, size, freezer_ ? Writers::held : Writers::quiet);
    // Writers to initialised static data cannot be held; an answer to a request is a quiet moment.
    if (owned.code() == Errc::unsupported)
        owned = OwnedMemory::adopt(freezer_, place, size, Writers::quiet);
    // Private memory that was lent before may lie in several mappings; a gap is the caller's
    // mistake.
    if (owned.code() == Errc::bad_address)
        return Error::make(Errc::bad_argument, owned.error().text());
    if (!owned) return std::move(owned).error();
    Adopted& adopted = adopted_[data];
    adopted.owned = *std::move(owned);
    adopted.keep = keep;
    adopted.buffers = 1;
    loans_[buffer] = Loan{data, {}, nullptr, std::move(keep)};
    auto made = offer(*adopted.owned, 0, size);
    if (!made) (void)take_back(buffer);
    return made;
}

bool Ledger::take_back(std::uint32_t buffer) {
    auto found = loans_.find(buffer);
    if (found == loans_.end()) return false;
    const Loan loan = std::move(found->second);
    loans_.erase(found);
    if (loan.adopted != nullptr) {
        auto adopted = adopted_.find(loan.adopted);
        if (--adopted->second.buffers != 0) return false;
        adopted_.erase(adopted);  // private pages again
        return true;
    }
    if (loan.which == nullptr) return false;  // a file: it stays what it is
    const bool last = std::none_of(loans_.begin(), loans_.end(), [&](const auto& other) {
        return other.second.which == loan.which;
    });
    // Memory that nobody holds any more needs no copy.
    if (const auto memory = loan.memory.lock(); last && memory)
        (void)memory->owned_->revoke(Writers::quiet);
    return last;
}

void Ledger::take_all_back() {
    while (!loans_.empty()) (void)take_back(loans_.begin()->first);
}

}  // namespace hyplink::umem
