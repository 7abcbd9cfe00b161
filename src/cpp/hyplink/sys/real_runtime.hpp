/// Real time and real sleep: CLOCK_MONOTONIC, a bounded adaptive spin, then a futex.
///
/// The spin adapts per thread: a wait that ended while spinning allows more of it next time, one
/// that had to sleep halves it, so an idle bench burns nothing and a busy pair never sleeps. Thread
/// rule: any thread.
#pragma once

#include "hyplink/base/runtime.hpp"

namespace hyplink::sys {

class RealRuntime final : public Runtime {
   public:
    /// `max_spin_ns` < 0: chosen from the number of usable processors (0 on one).
    explicit RealRuntime(std::int64_t max_spin_ns = -1);

    std::int64_t now() override;
    Errc wait(std::span<const BellWait> bells, Deadline deadline) override;
    bool wake(BellWords& bell) override;

   private:
    std::int64_t max_spin_;
};

}  // namespace hyplink::sys
