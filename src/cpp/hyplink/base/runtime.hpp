/// The one door to time and waiting: no code below the backends reads a clock, sleeps or starts a
/// thread.
///
/// Mechanisms are non-blocking (`try_…`); their blocking form is `blocking()` below. A backend
/// supplies the `Runtime`: real time and futexes, or the seeded scheduler with its virtual clock.
/// Thread rule: any thread.
#pragma once

#include <cstdint>
#include <limits>
#include <span>

#include "hyplink/base/bell.hpp"
#include "hyplink/base/result.hpp"

namespace hyplink {

/// A point in the runtime's time, in nanoseconds. Conversions round up, so a wait never ends early.
struct Deadline {
    std::int64_t at = std::numeric_limits<std::int64_t>::max();
    static Deadline never() { return {}; }
    bool is_never() const { return at == std::numeric_limits<std::int64_t>::max(); }
};

/// One bell a waiter listens to, and the count it has already seen.
struct BellWait {
    BellWords* bell = nullptr;
    std::uint32_t seen = 0;
};

/// Where a seeded run may hand over to another task.
enum class SwitchPoint : std::uint32_t { hypercall, syscall, trigger, publish, wait };

class Runtime {
   public:
    Runtime() = default;
    Runtime(const Runtime&) = delete;
    Runtime& operator=(const Runtime&) = delete;
    virtual ~Runtime() = default;

    virtual std::int64_t now() = 0;
    Deadline in(std::int64_t nanoseconds) {
        const std::int64_t start = now();
        if (nanoseconds > std::numeric_limits<std::int64_t>::max() - start)
            return Deadline::never();
        return Deadline{start + nanoseconds};
    }

    /// Wait until one of the bells counts differently from what was seen.
    /// At most kMaxBells bells. Returns ok (perhaps spuriously), timed_out or interrupted (a
    /// signal).
    virtual Errc wait(std::span<const BellWait> bells, Deadline deadline) = 0;
    /// A signal that comes right before a sleep, or to another thread, ends no sleep. Where
    /// handlers run later than signals come, as in Python, the caller would not hear of it: such a
    /// thread, says `hears_late`, is interrupted once in a while. Set once, by the bindings; nobody
    /// else's waits end without a signal.
    void set_hears_late(bool (*hears_late)()) { hears_late_ = hears_late; }
    /// How a wait ends that has lasted that while.
    Errc after_a_while() const {
        return hears_late_ != nullptr && hears_late_() ? Errc::interrupted : Errc::ok;
    }
    static constexpr std::size_t kMaxBells = 64;

    /// Finish a ring that met an armed bell. Returns true if somebody was woken.
    virtual bool wake(BellWords& bell) = 0;

    /// A place where a seeded run may switch tasks. Never called with a lock held.
    virtual void switch_point(SwitchPoint) {}
    /// True if switch_point matters, so that a fast path may skip the call.
    bool seeded() const { return seeded_; }

   protected:
    bool seeded_ = false;

   private:
    bool (*hears_late_)() = nullptr;
};

/// Ring a bell whose owner sleeps on it. Returns true if a wake was sent (that is what counts as an
/// XIRQ).
struct Rung {
    bool sent = false;
    bool woke = false;
};
inline Rung ring(Runtime& runtime, BellWords& bell) {
    Rung rung;
    if (bell_ring(bell) != 0) {
        rung.sent = true;
        rung.woke = runtime.wake(bell);
    }
    return rung;
}

/// The blocking form of a non-blocking operation: try, and while it would block wait for the bell.
/// `attempt()` returns a Result; `interrupted` comes back to the caller, who decides (Ctrl-C).
template <class Attempt>
auto blocking(Runtime& runtime, BellWords& bell, Deadline deadline, Attempt&& attempt)
    -> decltype(attempt()) {
    for (;;) {
        const std::uint32_t seen = bell_seen(bell);
        auto result = attempt();
        if (result.code() != Errc::would_block) return result;
        const BellWait wait{&bell, seen};
        const Errc outcome = runtime.wait(std::span(&wait, 1), deadline);
        if (outcome != Errc::ok) return Error(outcome);
    }
}

}  // namespace hyplink
