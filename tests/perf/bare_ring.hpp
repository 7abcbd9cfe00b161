// A ring in shared memory and nothing else: the limit of every ring of this library.
#pragma once

#include "vm_pair.hpp"

namespace measure {

template <class Slot, std::size_t kSlots>
struct BareRing {
    alignas(64) std::atomic<std::uint64_t> head;
    alignas(64) std::atomic<std::uint64_t> tail;
    alignas(64) Slot slots[kSlots];
};

/// Slots in a microsecond, `batch` of them published at a time. `fill(slot, number)`, `take(slot)`,
/// which gives a number, and the sum of these that is `expected(slots)`.
template <class Slot, std::size_t kSlots, class Fill, class Take, class Expected>
double bare_ring(const Options& options, std::uint64_t rounds, std::uint64_t batch, Fill&& fill,
                 Take&& take, Expected&& expected) {
    const Shared memory(sizeof(BareRing<Slot, kSlots>));
    auto& ring = memory.at<BareRing<Slot, kSlots>>(0);
    const std::uint64_t all = (warm_of(rounds) + rounds) / batch * batch;
    return in_two_processes(
        options,
        [&] {
            decltype(take(ring.slots[0])) total = 0;
            Timer timer;
            for (std::uint64_t taken = 0; taken < all;) {
                const std::uint64_t head = ring.head.load(std::memory_order_acquire);
                if (head == taken) idle(options.same_core);
                for (; taken != head; ++taken) {
                    timer.round(taken, rounds);
                    total += take(ring.slots[taken % kSlots]);
                }
                ring.tail.store(taken, std::memory_order_release);
            }
            if (total != static_cast<decltype(total)>(expected(all))) std::abort();
            return static_cast<double>(all - warm_of(rounds)) * 1e3 / timer.took();
        },
        [&] {
            std::uint64_t tail = 0;
            for (std::uint64_t sent = 0; sent < all;) {
                while (sent + batch - tail > kSlots) {
                    tail = ring.tail.load(std::memory_order_acquire);
                    if (sent + batch - tail > kSlots) idle(options.same_core);
                }
                for (std::uint64_t i = 0; i < batch; ++i, ++sent)
                    fill(ring.slots[sent % kSlots], sent);
                ring.head.store(sent, std::memory_order_release);
            }
        });
}

}  // namespace measure
