/// The receiving half of one end of a vMQ, without waiting or bells. Thread rule: one thread at a
/// time.
#pragma once

#include <vector>

#include "hyplink/app/mq/layout.hpp"
#include "hyplink/ring/record.hpp"

namespace hyplink::mq {

class Receiver {
   public:
    static constexpr std::uint32_t kNone = ~std::uint32_t{0};

    void attach(const Direction& direction) {
        ring_ = direction;
        held_.assign(ring_.config.msg_count, 0);
        seen_ = known_ = back_ = 0;
        fault_ = {};
    }

    /// The next message's slot; kNone when there is none, or `fault()`.
    std::uint32_t try_receive() {
        if (seen_ == known_ && !look()) return kNone;
        const std::uint32_t slot = ring_.sent_slot(seen_).load(std::memory_order_relaxed);
        if (slot > ring_.mask || held_[slot] != 0) [[unlikely]] {
            fault_ = rings::Fault{"slot", slot, ring_.mask};
            return kNone;
        }
        held_[slot] = 1;
        ++seen_;
        return slot;
    }
    bool holds(std::uint32_t slot) const { return slot < held_.size() && held_[slot] != 0; }

    /// Give a held slot back, free or with a reply in it. True: the sender must be rung.
    bool give_back(std::uint32_t slot, bool reply) {
        held_[slot] = 0;
        ring_.back_slot(back_).store(slot | (reply ? Direction::kReplied : 0),
                                     std::memory_order_relaxed);
        ++back_;
        ring_.back().store(back_, std::memory_order_release);  // partner: Sender::collect
        if (reply) return true;
        // In the middle of a batch the next one will look; after the last one nobody might.
        if (seen_ != known_) return false;
        std::atomic_thread_fence(std::memory_order_seq_cst);  // partner: Sender::say_stopped
        return ring_.stopped().load(std::memory_order_relaxed) != 0;
    }
    /// Before sleeping: a sender that stopped meanwhile must be rung.
    bool sender_stopped() const { return ring_.stopped().load(std::memory_order_seq_cst) != 0; }

    std::uint32_t held() const { return seen_ - back_; }
    const Direction& ring() const { return ring_; }
    const rings::Fault& fault() const { return fault_; }

   private:
    bool look() {
        const std::uint32_t sent = ring_.sent().load(std::memory_order_acquire);
        if (sent == seen_) return false;
        if (sent - back_ > ring_.config.msg_count) {
            fault_ = rings::Fault{"p_idx", sent, back_ + ring_.config.msg_count};
            return false;
        }
        known_ = sent;
        return true;
    }
    Direction ring_;
    std::vector<std::uint8_t> held_;
    std::uint32_t seen_ = 0, known_ = 0, back_ = 0;
    rings::Fault fault_{};
};

}  // namespace hyplink::mq
