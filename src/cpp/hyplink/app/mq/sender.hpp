/// The sending half of one end of a vMQ, without waiting or bells: slots, buffers, what came back.
/// What is in use is known privately; the peer's index and slot numbers are checked against it.
/// Thread rule: one thread at a time.
#pragma once

#include <algorithm>
#include <deque>
#include <vector>

#include "hyplink/app/mq/layout.hpp"
#include "hyplink/ring/record.hpp"

namespace hyplink::mq {

class Sender {
   public:
    static constexpr std::uint32_t kNone = ~std::uint32_t{0};
    /// Messages that may be sent before they are published without being asked.
    static constexpr std::uint32_t kBatch = 32;

    /// What comes back with a reply waits for `try_returned` if `wants_returns`; what was freed,
    /// too, if `wants_frees`.
    void attach(const Direction& direction, bool wants_returns, bool wants_frees = false) {
        ring_ = direction;
        wants_returns_ = wants_returns;
        wants_frees_ = wants_frees;
        states_.assign(ring_.config.msg_count, State::free);
        free_.resize(ring_.config.msg_count);
        for (std::uint32_t slot = 0; slot < ring_.config.msg_count; ++slot) free_[slot] = slot;
        taken_ = 0;
        freed_ = ring_.config.msg_count;
        data_used_.assign(ring_.config.data_count, false);
        data_free_.clear();
        for (std::uint32_t at = ring_.config.data_count; at-- != 0;) data_free_.push_back(at);
        returned_.clear();
        sent_ = published_ = told_ = back_ = 0;
        fault_ = {};
    }

    /// A slot of one's own; kNone when all are under way, or `fault()`.
    std::uint32_t try_allocate() {
        if (taken_ == freed_ && !collect()) return kNone;
        return try_known();
    }
    /// The same, of those known to be free; the receiver's index is not looked at.
    std::uint32_t try_known() {
        if (taken_ == freed_) return kNone;
        const std::uint32_t slot = free_[taken_++ & ring_.mask];
        states_[slot] = State::own;
        return slot;
    }
    bool owns(std::uint32_t slot) const {
        return slot <= ring_.mask && states_[slot] == State::own;
    }
    bool holds_reply(std::uint32_t slot) const {
        return slot < states_.size() && states_[slot] == State::returned;
    }
    /// Hand it to the receiver's table; seen there when published. Own slots only.
    void put(std::uint32_t slot) {
        states_[slot] = State::sent;
        const std::uint32_t sent = sent_;  // as in Receiver::give_back
        ring_.sent_slot(sent).store(slot, std::memory_order_relaxed);
        sent_ = sent + 1;
        if (sent + 1 - published_ >= kBatch) [[unlikely]]
            publish();
    }
    /// Something was put since the last `publish` that was followed by a ring: the receiver may
    /// sleep although it lies there.
    bool untold() const { return sent_ != told_; }
    void told() { told_ = sent_; }
    void publish() {
        published_ = sent_;
        ring_.sent().store(sent_, std::memory_order_release);  // partner: Receiver::try_receive
    }
    /// An own slot, or one with a reply, is free again.
    void release(std::uint32_t slot) { set_free(slot); }

    /// A message that came back with a reply; kNone when there is none, or `fault()`.
    std::uint32_t try_returned() {
        if (returned_.empty() && !collect()) return kNone;
        if (returned_.empty()) return kNone;
        const std::uint32_t slot = returned_.front();
        returned_.pop_front();
        states_[slot] = State::returned;
        return slot;
    }

    bool returned_waiting() const { return !returned_.empty(); }

    /// Offset of a free buffer, or kNone.
    std::uint64_t data_allocate() {
        if (data_free_.empty()) return ~std::uint64_t{0};
        const std::uint32_t at = data_free_.back();
        data_free_.pop_back();
        data_used_[at] = true;
        return at * ring_.data_stride;
    }
    bool data_free(std::uint64_t offset) {
        if (!ring_.data_offset_ok(offset) ||
            !data_used_[static_cast<std::size_t>(offset / ring_.data_stride)])
            return false;
        data_used_[static_cast<std::size_t>(offset / ring_.data_stride)] = false;
        data_free_.push_back(static_cast<std::uint32_t>(offset / ring_.data_stride));
        return true;
    }

    /// Say whether the receiver has to ring when it gives something back.
    void say_stopped(bool stopped) {
        ring_.stopped().store(stopped ? 1 : 0, std::memory_order_seq_cst);
    }
    /// Slots that the user has: to be sent, or with a reply.
    std::uint32_t held() const {
        return static_cast<std::uint32_t>(std::count_if(
            states_.begin(), states_.end(),
            [](State state) { return state == State::own || state == State::returned; }));
    }
    std::size_t data_held() const { return data_used_.size() - data_free_.size(); }
    bool is_free(std::uint32_t slot) const {
        return slot < states_.size() && states_[slot] == State::free;
    }
    /// Messages that came back and were free at once.
    std::uint64_t freed() const { return plain_; }
    /// Since `attach`.
    std::uint32_t sent() const { return sent_; }
    std::uint32_t under_way() const { return sent_ - back_; }
    const Direction& ring() const { return ring_; }
    const rings::Fault& fault() const { return fault_; }

    /// Take what came back. False: the peer wrote something impossible.
    bool collect() {
        const std::uint32_t back = ring_.back().load(std::memory_order_acquire);
        if (back - back_ > published_ - back_) return failed("c_idx", back, published_);
        while (back_ != back) {
            const std::uint32_t entry = ring_.back_slot(back_).load(std::memory_order_relaxed);
            const std::uint32_t slot = entry & ~Direction::kReplied;
            if (slot > ring_.mask || states_[slot] != State::sent)
                return failed("slot", slot, ring_.mask);
            ++back_;
            if (entry != slot ? wants_returns_ : wants_frees_) {
                states_[slot] = State::back;
                returned_.push_back(slot);
            } else {
                set_free(slot);
                ++plain_;
            }
        }
        return true;
    }

   private:
    /// The longest free is the next to be used: its lines have long left the receiver.
    void set_free(std::uint32_t slot) {
        states_[slot] = State::free;
        free_[freed_++ & ring_.mask] = slot;
    }
    enum class State : std::uint8_t { free, own, sent, back, returned };
    bool failed(const char* field, std::uint64_t found, std::uint64_t limit) {
        fault_ = rings::Fault{field, found, limit};
        return false;
    }
    Direction ring_;
    bool wants_returns_ = false, wants_frees_ = false;
    std::vector<State> states_ = std::vector<State>(1);  ///< mask + 1 of them
    std::vector<std::uint32_t> free_;
    std::deque<std::uint32_t> returned_;
    std::vector<bool> data_used_;
    std::vector<std::uint32_t> data_free_;
    std::uint32_t taken_ = 0, freed_ = 0;  ///< counts, positions in `free_`
    std::uint64_t plain_ = 0;
    std::uint32_t sent_ = 0, published_ = 0, told_ = 0, back_ = 0;
    rings::Fault fault_{};
};

}  // namespace hyplink::mq
