/// What the openers of one end of a pipe share within their VM: true positions and turns. The other
/// VM has no part of this memory; the own guest kernel has, and clears up after openers that died.
///
/// A turn is held for one read or write, also while that waits, so what two openers read or write
/// never mixes. It holds the number of its opener: the kernel takes it from one that is dead.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "hyplink/base/bell.hpp"

namespace hyplink::pipe {

struct LocalDirection {
    alignas(64) std::atomic<std::uint64_t> own;  ///< bytes read, or written
    std::atomic<std::uint32_t> turn;             ///< an opener's number, perhaps | kTurnWanted
    BellWords turn_bell;                         ///< rung when a turn that is wanted ends
};
constexpr std::uint32_t kTurnWanted = 0x80000000;

struct Local {
    std::atomic<std::uint32_t> openers;  ///< by the kernel
    LocalDirection in, out;
};
static_assert(sizeof(LocalDirection) == 192 && offsetof(LocalDirection, turn_bell) == 64);
static_assert(sizeof(Local) == 448);

/// Take the turn. False when somebody has it; it is then marked as wanted if `wait`.
inline bool try_turn(LocalDirection& direction, std::uint32_t opener, bool wait) {
    std::uint32_t found = 0;
    if (direction.turn.compare_exchange_strong(found, opener, std::memory_order_acquire))
        return true;
    while (wait && (found & kTurnWanted) == 0) {
        // Free by now, or still taken: then whoever has it shall ring.
        const std::uint32_t wanted = found == 0 ? opener : found | kTurnWanted;
        const bool free = found == 0;
        if (direction.turn.compare_exchange_strong(found, wanted, std::memory_order_seq_cst))
            return free;
    }
    return false;
}

/// Give it back if `opener` has it. True when somebody waits for it, so that the bell must be rung.
inline bool end_turn(LocalDirection& direction, std::uint32_t opener) {
    std::uint32_t found = opener;
    if (direction.turn.compare_exchange_strong(found, 0, std::memory_order_seq_cst)) return false;
    if (found != (opener | kTurnWanted)) return false;
    return direction.turn.compare_exchange_strong(found, 0, std::memory_order_seq_cst);
}

}  // namespace hyplink::pipe
