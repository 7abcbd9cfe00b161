/// The receiving half of one end of a vMQ, without waiting or bells. Thread rule: one thread at a
/// time.
#pragma once

#include <atomic>
#include <cstdint>
#include <vector>

#include "hyplink/app/mq/layout.hpp"
#include "hyplink/ring/record.hpp"

namespace hyplink::mq {

class Receiver {
   public:
    static constexpr std::uint32_t kNone = ~std::uint32_t{0};
    /// A sender that stopped is rung with every so many that are given back, and with the last of a
    /// batch: often enough to send while the rest is read, seldom enough not to stop for each.
    static constexpr std::uint32_t group(std::uint32_t count) {
        return count < 4 ? 1 : count / 4 < 256 ? count / 4 : 256;
    }

    void attach(const Direction& direction) {
        ring_ = direction;
        held_.assign(ring_.config.msg_count, Held::no);
        group_mask_ = group(ring_.config.msg_count) - 1;
        seen_.store(0, kRelaxed);
        known_.store(0, kRelaxed);
        back_ = 0;
        fault_ = {};
    }

    /// The next message's slot; kNone when there is none, or `fault()`.
    std::uint32_t try_receive() {
        if (!more_known() && !look()) return kNone;
        return try_known();
    }
    /// The same, of those that the last look has found; the sender's index is not looked at.
    std::uint32_t try_known() {
        if (!more_known()) return kNone;
        const std::uint32_t seen = seen_.load(kRelaxed);
        const std::uint32_t slot = ring_.sent_slot(seen).load(std::memory_order_relaxed);
        if (slot > ring_.mask || held_[slot] != Held::no) [[unlikely]] {
            fault_ = rings::Fault{"slot", slot, ring_.mask};
            drop_known();
            return kNone;
        }
        held_[slot] = Held::yes;
        seen_.store(seen + 1, kRelaxed);
        return slot;
    }
    bool holds(std::uint32_t slot) const { return slot <= ring_.mask && held_[slot] != Held::no; }
    /// Nothing more is taken out of what the last look has found. Any thread.
    void drop_known() { known_.store(seen_.load(kRelaxed), kRelaxed); }

    /// Give a held slot back, free or with a reply in it. True: the sender must be rung.
    bool give_back(std::uint32_t slot, bool reply) {
        held_[slot] = Held::no;
        // In a local: a store to shared memory might change the member, for all the compiler knows.
        std::uint32_t back = back_;
        ring_.back_slot(back).store(slot | (reply ? Direction::kReplied : 0),
                                    std::memory_order_relaxed);
        back_ = ++back;
        ring_.back().store(back, std::memory_order_release);  // partner: Sender::collect
        if (reply) return true;
        // Within a group the next one will look; after the last one nobody might.
        if ((back & group_mask_) != 0 && more_known()) [[likely]]
            return false;
        std::atomic_thread_fence(std::memory_order_seq_cst);  // partner: Sender::say_stopped
        return ring_.stopped().load(std::memory_order_relaxed) != 0;
    }
    /// Before sleeping: a sender that stopped meanwhile must be rung.
    bool sender_stopped() const { return ring_.stopped().load(std::memory_order_seq_cst) != 0; }

    std::uint32_t held() const { return seen_.load(kRelaxed) - back_; }
    const Direction& ring() const { return ring_; }
    const rings::Fault& fault() const { return fault_; }

   private:
    /// One byte, and no character type: a store to it may not change anything else.
    enum class Held : std::uint8_t { no, yes };
    static constexpr std::memory_order kRelaxed = std::memory_order_relaxed;
    bool more_known() const {
        return static_cast<std::int32_t>(known_.load(kRelaxed) - seen_.load(kRelaxed)) > 0;
    }
    bool look() {
        if (fault_.field != nullptr) return false;  // what was wrong is not looked at twice
        const std::uint32_t sent = ring_.sent().load(std::memory_order_acquire);
        const std::uint32_t seen = seen_.load(kRelaxed);
        if (sent == seen) return false;
        // Not more than there are slots, and never fewer than were there before.
        if (sent - back_ > ring_.config.msg_count || sent - back_ < seen - back_) {
            fault_ = rings::Fault{"p_idx", sent, back_ + ring_.config.msg_count};
            return false;
        }
        known_.store(sent, kRelaxed);
        return true;
    }
    Direction ring_;
    std::vector<Held> held_ = std::vector<Held>(1);  ///< mask + 1 of them
    std::uint32_t group_mask_ = 0;
    /// Whoever closes the queue in another thread drops what is known, perhaps in the midst of a
    /// look.
    std::atomic<std::uint32_t> seen_{0}, known_{0};
    std::uint32_t back_ = 0;
    rings::Fault fault_{};
};

}  // namespace hyplink::mq
