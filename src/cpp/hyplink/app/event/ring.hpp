/// The ring from a back end to one front end, without waiting or bells.
///
///     back end's part   0    events written, events lost, epoch of the state (odd: it changes)
///                       64   what the front end is to believe of the device, `State`'s words
///                       …    the ring of events
///     front end's part  0    events taken
///
/// A packet (up to its SYN_REPORT) is written whole or lost whole. Two places are always kept: when
/// a packet is lost they take SYN_DROPPED and SYN_REPORT, unless such a pair stands last in the
/// ring and has not been taken. Who takes a SYN_DROPPED reads the state; what of keys, switches and
/// axes stands behind the mark by then is in the state already and is passed over, as the kernel
/// takes it out of a reader's queue that asks for the state.
///
/// No loss stays unseen: the writer stores the state and then looks how far the reader is, the
/// reader says how far it is and then reads the state. So either the reader sees the state after
/// the loss, or the writer sees that the mark was taken and writes another. And because the mark is
/// the last in the ring, nothing older is applied on top of that state.
///
/// While the writer is within a packet the state is of no use. A reader that meets it so, and does
/// not see it end soon (its processor was taken away, or it died there), keeps the mark back and
/// has nothing to give until the epoch is even. So a writer rings whoever sleeps after every
/// packet, also a lost one.
///
/// Thread rule: one thread at a time each.
#pragma once

#include <algorithm>
#include <atomic>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "hyplink/app/event/state.hpp"
#include "hyplink/ring/record.hpp"

namespace hyplink::vevent {

struct RingMemory {
    static constexpr std::size_t kHeadAt = 0, kLostAt = 8, kEpochAt = 16, kStateAt = 64,
                                 kTailAt = 0;
    static constexpr std::size_t kFrontBytes = 64;
    static constexpr std::uint32_t kReserve = 2;

    std::byte* back = nullptr;
    std::byte* front = nullptr;
    std::uint32_t size = 0;  ///< events
    std::size_t ring_at = 0;
    std::size_t bytes = 0;  ///< of the back end's part

    RingMemory() = default;
    explicit RingMemory(const Hello& hello, std::byte* back_at = nullptr,
                        std::byte* front_at = nullptr)
        : back(back_at), front(front_at), size(hello.ring) {
        ring_at = (kStateAt + 4 * State::words_for(hello.properties) + 63) / 64 * 64;
        bytes = ring_at + sizeof(InputEvent) * size;
    }
    std::atomic<std::uint32_t>& head() const { return word(back, kHeadAt); }
    std::atomic<std::uint32_t>& epoch() const { return word(back, kEpochAt); }
    std::atomic<std::uint32_t>& tail() const { return word(front, kTailAt); }
    std::atomic<std::uint32_t>& state(std::size_t index) const {
        return word(back, kStateAt + 4 * index);
    }
    std::atomic<std::uint64_t>& lost() const {
        return *reinterpret_cast<std::atomic<std::uint64_t>*>(back + kLostAt);
    }
    std::byte* event(std::uint32_t position) const {
        return back + ring_at + sizeof(InputEvent) * (position & (size - 1));
    }

   private:
    static std::atomic<std::uint32_t>& word(std::byte* part, std::size_t at) {
        return *reinterpret_cast<std::atomic<std::uint32_t>*>(part + at);
    }
};

class Writer {
   public:
    enum class Wrote { packet, mark, nothing, fault };

    /// The front end is to believe `told` from now on.
    void attach(const RingMemory& memory, const State& told) {
        ring_ = memory;
        head_ = tail_ = mark_ = epoch_ = 0;
        marked_ = false;
        lost_ = 0;
        fault_ = {};
        for (std::size_t i = 0; i < told.words().size(); ++i)
            ring_.state(i).store(told.words()[i], std::memory_order_relaxed);
    }

    /// Write a packet that ends with SYN_REPORT, or lose it. `told` follows in any case.
    Wrote put(std::span<const InputEvent> packet, State& told) {
        ring_.epoch().store(++epoch_, std::memory_order_relaxed);
        std::atomic_thread_fence(std::memory_order_release);
        const Wrote wrote = put_within(packet, told);
        ring_.epoch().store(++epoch_, std::memory_order_release);
        return wrote;
    }

    std::uint64_t lost() const { return lost_; }
    std::uint32_t under_way() const { return head_ - ring_.tail().load(std::memory_order_relaxed); }
    const rings::Fault& fault() const { return fault_; }

   private:
    Wrote put_within(std::span<const InputEvent> packet, State& told) {
        for (const InputEvent& event : packet)
            told.apply(event, [&](std::size_t index) {
                ring_.state(index).store(told.words()[index], std::memory_order_relaxed);
            });
        std::atomic_thread_fence(std::memory_order_seq_cst);  // partner: Reader::resync
        const std::uint32_t tail = ring_.tail().load(std::memory_order_acquire);
        if (tail - tail_ > head_ - tail_) {
            fault_ = rings::Fault{"c_idx", tail, head_};
            return Wrote::fault;
        }
        tail_ = tail;
        if (packet.size() + RingMemory::kReserve <= ring_.size - (head_ - tail_)) {
            for (const InputEvent& event : packet)
                std::memcpy(ring_.event(head_++), &event, sizeof event);
            marked_ = false;
            publish();
            return Wrote::packet;
        }
        lost_ += packet.size() - 1;
        ring_.lost().store(lost_, std::memory_order_relaxed);
        if (marked_ && tail_ - mark_ > ring_.size) return Wrote::nothing;  // not taken yet
        mark_ = head_ + 1;
        InputEvent mark = packet.back();
        mark.code = SYN_DROPPED;
        std::memcpy(ring_.event(head_++), &mark, sizeof mark);
        std::memcpy(ring_.event(head_++), &packet.back(), sizeof mark);
        marked_ = true;
        publish();
        return Wrote::mark;
    }
    void publish() { ring_.head().store(head_, std::memory_order_release); }
    RingMemory ring_;
    std::uint32_t head_ = 0, tail_ = 0, epoch_ = 0;
    std::uint32_t mark_ = 0;  ///< behind the SYN_DROPPED that stands last
    bool marked_ = false;
    std::uint64_t lost_ = 0;
    rings::Fault fault_{};
};

class Reader {
   public:
    void attach(const RingMemory& memory, const Properties& properties) {
        ring_ = memory;
        properties_ = properties;
        tail_ = known_ = 0;
        kept_.reset();
        fault_ = {};
    }

    /// Copy out what is there, checked; `state` follows. 0: nothing, or `fault()`.
    std::size_t take(std::span<InputEvent> out, State& state) {
        std::size_t count = 0;
        if (kept_) {
            if (out.empty() || !resync(state)) return 0;
            out[count++] = *std::exchange(kept_, std::nullopt);
        }
        const std::uint32_t head = ring_.head().load(std::memory_order_acquire);
        if (head - tail_ > ring_.size) return failed("p_idx", head, tail_ + ring_.size);
        if (head == tail_) return count;
        while (tail_ != head && count < out.size()) {
            InputEvent event;
            std::memcpy(&event, ring_.event(tail_), sizeof event);
            if (!properties_.has(event.type, event.code))
                return failed("event", event.type, EV_MAX);
            if (event.sec < 0 || event.usec < 0 || event.usec >= 1'000'000)
                return failed("time", static_cast<std::uint64_t>(event.usec), 999'999);
            ++tail_;
            const bool known = known_ != 0;
            if (known) --known_;
            if (event.is(EV_SYN, SYN_DROPPED)) {
                publish();
                if (!resync(state)) {
                    kept_ = event;
                    return count;
                }
            } else if (known && State::holds(event)) {
                continue;
            } else {
                state.apply(event);
            }
            out[count++] = event;
        }
        publish();
        return count;
    }
    /// What the back end says it lost; not to be believed.
    std::uint64_t lost() const { return ring_.lost().load(std::memory_order_relaxed); }
    const rings::Fault& fault() const { return fault_; }

   private:
    void publish() { ring_.tail().store(tail_, std::memory_order_release); }
    /// Read the state that goes with a mark; false while the writer is within a packet.
    bool resync(State& state) {
        next_.resize(state.words().size());
        std::atomic_thread_fence(std::memory_order_seq_cst);  // partner: Writer::put_within
        for (int attempt = 0; attempt < kAttempts; ++attempt) {
            const std::uint32_t before = ring_.epoch().load(std::memory_order_acquire);
            if (before % 2 != 0) continue;
            const std::uint32_t now = ring_.head().load(std::memory_order_relaxed);
            for (std::size_t i = 0; i < next_.size(); ++i)
                next_[i] = ring_.state(i).load(std::memory_order_relaxed);
            std::atomic_thread_fence(std::memory_order_acquire);
            if (ring_.epoch().load(std::memory_order_relaxed) != before) continue;
            known_ = std::min(now - tail_, ring_.size);
            std::swap(state.words(), next_);
            return true;
        }
        return false;
    }
    std::size_t failed(const char* field, std::uint64_t found, std::uint64_t limit) {
        fault_ = rings::Fault{field, found, limit};
        return 0;
    }
    RingMemory ring_;
    Properties properties_;
    static constexpr int kAttempts = 1'000;
    std::uint32_t tail_ = 0;
    std::uint32_t known_ = 0;         ///< of the next events, how many the state has already
    std::optional<InputEvent> kept_;  ///< a mark whose state could not be read yet
    std::vector<std::uint32_t> next_;
    rings::Fault fault_{};
};

}  // namespace hyplink::vevent
