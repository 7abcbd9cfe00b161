/// Callbacks that a server keeps back while the ring is full, oldest first, in memory of its own.
///
/// Bounded for each procedure by what the caller says, altogether by kMaxBytes: a client that never
/// looks costs its server no more than that. Thread rule: one thread at a time.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <unordered_map>
#include <vector>

namespace hyplink::rpq {

/// A callback in private memory.
struct KeptCallback {
    std::uint32_t proc = 0;
    std::uint32_t in_bytes = 0;
    std::vector<std::uint64_t> block{};  ///< words, so that it is aligned as in the ring

    std::byte* data() { return reinterpret_cast<std::byte*>(block.data()); }
    /// Room for `in_bytes`, zeroed.
    std::byte* make_block() {
        block.assign((std::size_t{in_bytes} + 7) / 8 + 1, 0);
        return data();
    }
};

class Backlog {
   public:
    static constexpr std::size_t kMaxBytes = std::size_t{4} << 20;

    bool empty() const { return kept_.empty(); }
    std::size_t size() const { return kept_.size(); }
    std::uint32_t count(std::uint32_t proc) const {
        const auto found = counts_.find(proc);
        return found == counts_.end() ? 0 : found->second;
    }
    std::size_t bytes() const { return bytes_; }

    void push(KeptCallback callback) {
        bytes_ += cost(callback);
        ++counts_[callback.proc];
        kept_.push_back(std::move(callback));
    }
    KeptCallback& front() { return kept_.front(); }
    void pop() { erase(kept_.begin()); }
    /// Forget the oldest of a procedure.
    void forget(std::uint32_t proc) {
        for (auto one = kept_.begin(); one != kept_.end(); ++one)
            if (one->proc == proc) return erase(one);
    }
    void clear() {
        kept_.clear();
        counts_.clear();
        bytes_ = 0;
    }

   private:
    static std::size_t cost(const KeptCallback& callback) {
        return sizeof callback + callback.block.size() * 8;
    }
    void erase(std::deque<KeptCallback>::iterator one) {
        bytes_ -= cost(*one);
        if (--counts_[one->proc] == 0) counts_.erase(one->proc);
        kept_.erase(one);
    }

    std::deque<KeptCallback> kept_;
    std::unordered_map<std::uint32_t, std::uint32_t> counts_;
    std::size_t bytes_ = 0;
};

}  // namespace hyplink::rpq
