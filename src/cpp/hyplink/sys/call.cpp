#include "hyplink/sys/call.hpp"

#include <atomic>
#include <csignal>

namespace hyplink::sys {
namespace {
// The kernel is one per process, so its fault switch is too; constant-initialised, touched by tests
// only.
constinit std::atomic<std::uint64_t> calls_made{0};
constinit std::atomic<std::uint64_t> fail_at{0};
constinit std::atomic<int> fail_with{0};
}  // namespace

std::uint64_t fail_nth_call(std::uint64_t nth, int error) {
    const std::uint64_t made = calls_made.load(std::memory_order_relaxed);
    fail_with.store(error, std::memory_order_relaxed);
    fail_at.store(nth == 0 ? 0 : made + nth, std::memory_order_relaxed);
    return made;
}

int detail::injected_fault() {
    const std::uint64_t number = calls_made.fetch_add(1, std::memory_order_relaxed) + 1;
    if (number != fail_at.load(std::memory_order_relaxed)) [[likely]]
        return 0;
    const int fault = fail_with.load(std::memory_order_relaxed);
    if (fault >= 0) return fault;
    (void)::raise(-fault);  // at this call, not one that another thread makes meanwhile
    return 0;
}

}  // namespace hyplink::sys
