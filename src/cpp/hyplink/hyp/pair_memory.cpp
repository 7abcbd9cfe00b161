#include "hyplink/hyp/pair_memory.hpp"

#include <algorithm>

#include "hyplink/sys/memfd.hpp"

namespace hyplink::hyp {
namespace {
constexpr std::uint64_t kFirstChunk = 4 << 20;
constexpr std::uint64_t kLargestChunk = 64 << 20;
constexpr std::uint64_t kLine = 64;
}  // namespace

Result<PairMemory::Piece> PairMemory::pages(std::uint64_t bytes) {
    if (bytes == 0 || bytes > (std::uint64_t{1} << 40)) return Errc::bad_argument;
    bytes = mem::round_up(bytes, sys::page_size());
    if (chunks_.empty() ||
        !mem::fits(chunks_.back().used, bytes, chunks_.back().view.region->size())) {
        const std::uint64_t doubled =
            chunks_.empty()
                ? kFirstChunk
                : std::min(kLargestChunk, std::uint64_t{2} * chunks_.back().view.region->size());
        auto region = HYPLINK_TRY(mem::Region::make("hyplink-pmem", std::max(doubled, bytes)));
        const mem::Ipa base = addresses_->take(region->size());
        chunks_.push_back(Chunk{MemoryView{base, std::move(region)}, 0});
    }
    Chunk& chunk = chunks_.back();
    const Piece piece{mem::Ipa{chunk.view.base.value + chunk.used},
                      chunk.view.region->data() + chunk.used};
    chunk.used += bytes;
    used_total_ += bytes;
    return piece;
}

Result<PairMemory::Piece> PairMemory::small(std::uint64_t bytes) {
    bytes = mem::round_up(bytes == 0 ? 1 : bytes, kLine);
    if (bytes > sys::page_size()) return pages(bytes);
    if (bytes > small_left_) {
        small_ = HYPLINK_TRY(pages(sys::page_size()));
        small_left_ = sys::page_size();
    }
    const Piece piece = small_;
    small_.at.value += bytes;
    small_.data += bytes;
    small_left_ -= bytes;
    return piece;
}

const MemoryView* PairMemory::find(mem::Ipa at) const {
    auto after =
        std::upper_bound(chunks_.begin(), chunks_.end(), at,
                         [](mem::Ipa a, const Chunk& chunk) { return a < chunk.view.base; });
    if (after == chunks_.begin()) return nullptr;
    const MemoryView& view = std::prev(after)->view;
    return at.value - view.base.value < view.region->size() ? &view : nullptr;
}

Status PairMemory::wipe(mem::Ipa at, std::uint64_t bytes) {
    const MemoryView* view = find(at);
    if (view == nullptr) return Errc::bad_address;
    return sys::punch(view->region->fd(), static_cast<std::size_t>(at.value - view->base.value),
                      static_cast<std::size_t>(mem::round_up(bytes, sys::page_size())));
}

}  // namespace hyplink::hyp
