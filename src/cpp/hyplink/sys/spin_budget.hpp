/// How long a wait looks by itself before it sleeps: as long as that has paid lately.
///
/// A wait that ended while looking allows more the next time, one that had to sleep halves it, so
/// who waits long burns nothing and a busy pair never sleeps. Thread rule: one thread at a time.
#pragma once

#include <cstdint>

namespace hyplink::sys {

/// True if the calling thread may use more than one processor: with one, looking keeps the other
/// side from answering.
bool has_processors_to_spare();

/// One step of a loop that looks at memory.
inline void pause_cpu() {
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    asm volatile("yield");
#endif
}

class SpinBudget {
   public:
    /// `most`: nanoseconds; 0: never look.
    explicit SpinBudget(std::int64_t most) : most_(most), left_(most) {}

    /// Nanoseconds to look before the next sleep.
    std::int64_t length() const { return left_; }
    void caught() { left_ = left_ * 2 < most_ ? left_ * 2 : most_; }
    void in_vain() { left_ = left_ / 2 > kLeast ? left_ / 2 : (most_ < kLeast ? most_ : kLeast); }
    /// It slept so long after looking in vain. Had it come within a spin's length (and the wake
    /// that followed)? Then a full spin may pay again; without this a budget that once fell below
    /// the other side's usual time would never rise. Not every time: where the processors are taken
    /// by others, each full spin keeps the other side from running.
    void slept(std::int64_t nanoseconds) {
        if (nanoseconds < 3 * most_ && ++near_misses_ % kProbe == 0) left_ = most_;
    }

   private:
    static constexpr std::int64_t kLeast = 500;  // keeps probing for an awake peer
    static constexpr std::uint32_t kProbe = 8;
    std::int64_t most_;
    std::int64_t left_;
    std::uint32_t near_misses_ = 0;
};

}  // namespace hyplink::sys
