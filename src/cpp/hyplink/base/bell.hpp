/// The doorbell: two words on two cache lines, in memory that ringer and owner share.
///
/// `rung` counts rings and is only added to by ringers; the owner keeps the count it has seen, so
/// any number of rings between two looks is one delivery (an XIRQ coalesces). `armed` says how the
/// owner sleeps, set just before it does; the ringer that wakes it takes that off again: one-shot,
/// so a storm costs one wake.
///
/// Nothing is lost between look and sleep: the owner stores `armed` and then loads `rung`, the
/// ringer adds to `rung` and then loads `armed`, all four sequentially consistent. In the single
/// total order either the owner's load comes after the ringer's add (it sees the ring and does not
/// sleep) or the ringer's load comes after the owner's store (it sees `armed` and wakes).
///
/// The ringer that took `armed` off counts once more before it wakes. Without that a slow ringer,
/// whose ring the owner has seen already, could take off the arming of a sleep for the *next* ring
/// and spend its wake before that sleep begins; nobody would find the sleeper armed after that.
/// With it the sleeper's comparison fails. `tests/cpp/base/check_bell.cpp` walks every
/// interleaving, and finds that one.
///
/// A hostile peer can spoil only the bell it shares: waits re-check on a slow beat, and nothing
/// else is read from here. Thread rule: any number of ringers; one waiting owner at a time.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

namespace hyplink {

/// How the owner sleeps, and so how it is woken.
enum BellArmed : std::uint32_t {
    kBellAwake = 0,
    kBellFutex = 1,  ///< on the `rung` word
    kBellHook = 2,   ///< in an event loop: by a file descriptor, or through the hypervisor
};

struct BellWords {
    alignas(64) std::atomic<std::uint32_t> rung;
    alignas(64) std::atomic<std::uint32_t> armed;  ///< BellArmed
};
static_assert(sizeof(BellWords) == 128 && offsetof(BellWords, armed) == 64);
static_assert(std::atomic<std::uint32_t>::is_always_lock_free);

inline std::uint32_t bell_seen(const BellWords& bell) {
    return bell.rung.load(std::memory_order_acquire);  // partner: fetch_add in bell_ring
}

/// Ring; returns how the owner must be woken, or kBellAwake when it need not be.
inline std::uint32_t bell_ring(BellWords& bell) {
    bell.rung.fetch_add(1, std::memory_order_seq_cst);
    if (bell.armed.load(std::memory_order_seq_cst) == kBellAwake) [[likely]]
        return kBellAwake;
    const std::uint32_t how = bell.armed.exchange(kBellAwake, std::memory_order_seq_cst);
    if (how != kBellAwake) bell.rung.fetch_add(1, std::memory_order_seq_cst);
    return how;
}

/// Owner: say how it will sleep. Look at the state once more after this, before sleeping.
inline void bell_arm(BellWords& bell, BellArmed how) {
    bell.armed.store(how, std::memory_order_seq_cst);
}
inline void bell_disarm(BellWords& bell) {
    bell.armed.store(kBellAwake, std::memory_order_relaxed);
}

}  // namespace hyplink
