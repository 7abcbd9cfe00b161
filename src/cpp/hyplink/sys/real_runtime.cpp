#include "hyplink/sys/real_runtime.hpp"

#include <linux/futex.h>
#include <sched.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <ctime>

#include "hyplink/sys/spin_budget.hpp"

namespace hyplink::sys {
namespace {

constexpr std::int64_t kMaxSpin =
    30'000;  // a wake across cores costs 24-50 us, so no more than that
constexpr std::int64_t kBeat =
    500'000'000;  // re-look now and then: a hostile peer may have rewound a bell

struct timespec to_timespec(std::int64_t nanoseconds) {
    struct timespec time{};
    time.tv_sec = static_cast<std::time_t>(nanoseconds / 1'000'000'000);
    time.tv_nsec = static_cast<long>(nanoseconds % 1'000'000'000);
    return time;
}

bool any_rung(std::span<const BellWait> bells) {
    for (const BellWait& wait : bells)
        if (wait.bell->rung.load(std::memory_order_seq_cst) != wait.seen) return true;
    return false;
}

/// One sleep on one word, absolute time. Returns 0 or an errno.
int futex_wait_one(const BellWait& wait, std::int64_t until) {
    const struct timespec time = to_timespec(until);
    // FUTEX_WAIT_BITSET takes absolute CLOCK_MONOTONIC time.
    const long result = ::syscall(SYS_futex, &wait.bell->rung, FUTEX_WAIT_BITSET, wait.seen, &time,
                                  nullptr, FUTEX_BITSET_MATCH_ANY);
    return result == 0 ? 0 : errno;
}

struct WaitvEntry {  // struct futex_waitv of the kernel, which Debian 12's headers do not all carry
    std::uint64_t value;
    std::uint64_t address;
    std::uint32_t flags;
    std::uint32_t reserved;
};
constexpr long kSysFutexWaitv = 449;
constexpr std::uint32_t kFutex32 = 2;

int futex_wait_many(std::span<const BellWait> bells, std::int64_t until) {
    std::array<WaitvEntry, Runtime::kMaxBells> entries{};
    const std::size_t count = std::min(bells.size(), entries.size());
    for (std::size_t i = 0; i < count; ++i)
        entries[i] = {bells[i].seen, reinterpret_cast<std::uintptr_t>(&bells[i].bell->rung),
                      kFutex32, 0};
    const struct timespec time = to_timespec(until);
    const long result = ::syscall(kSysFutexWaitv, entries.data(), count, 0, &time, CLOCK_MONOTONIC);
    return result >= 0 ? 0 : errno;
}

}  // namespace

bool has_processors_to_spare() {
    cpu_set_t cpus;
    CPU_ZERO(&cpus);
    return ::sched_getaffinity(0, sizeof cpus, &cpus) == 0 && CPU_COUNT(&cpus) > 1;
}

RealRuntime::RealRuntime(std::int64_t max_spin_ns) : max_spin_(max_spin_ns) {
    if (max_spin_ < 0) max_spin_ = has_processors_to_spare() ? kMaxSpin : 0;
}

std::int64_t RealRuntime::now() {
    struct timespec time{};
    ::clock_gettime(CLOCK_MONOTONIC, &time);
    return static_cast<std::int64_t>(time.tv_sec) * 1'000'000'000 + time.tv_nsec;
}

Errc RealRuntime::wait(std::span<const BellWait> bells, Deadline deadline) {
    if (bells.empty() || bells.size() > kMaxBells) return Errc::bad_argument;
    static thread_local SpinBudget spin(kMaxSpin);

    const std::int64_t budget = std::min(spin.length(), max_spin_);
    if (budget > 0) {
        std::int64_t start = -1;
        for (std::uint32_t turn = 0;; ++turn) {
            if (any_rung(bells)) {
                spin.caught();
                return Errc::ok;
            }
            pause_cpu();
            if ((turn & 63) != 63) continue;
            const std::int64_t time = now();
            if (start < 0) start = time;
            if (time >= deadline.at) return Errc::timed_out;
            if (time - start >= budget) break;
        }
        spin.in_vain();
    }

    for (const BellWait& wait : bells) bell_arm(*wait.bell, kBellFutex);
    Errc outcome = Errc::ok;
    const std::int64_t slept_at = max_spin_ > 0 ? now() : 0;
    if (!any_rung(bells)) {
        const std::int64_t time = now();
        const std::int64_t until = std::min(deadline.at, time + kBeat);
        int error = 0;
        if (time >= deadline.at) {
            error = ETIMEDOUT;
        } else if (bells.size() == 1) {
            error = futex_wait_one(bells.front(), until);
        } else {
            error = futex_wait_many(bells, until);
            // A kernel without futex_waitv: sleep on the first, look at the others every
            // millisecond.
            if (error == ENOSYS || error == EPERM)
                error = futex_wait_one(bells.front(), std::min(until, time + 1'000'000));
        }
        if (error == ETIMEDOUT && !any_rung(bells))
            outcome = deadline.at <= until ? Errc::timed_out : after_a_while();
        if (error == EINTR) outcome = Errc::interrupted;
    }
    for (const BellWait& wait : bells) bell_disarm(*wait.bell);
    if (max_spin_ > 0 && outcome == Errc::ok) spin.slept(now() - slept_at);
    return outcome;
}

bool RealRuntime::wake(BellWords& bell) {
    return ::syscall(SYS_futex, &bell.rung, FUTEX_WAKE, INT32_MAX, nullptr, nullptr, 0) > 0;
}

}  // namespace hyplink::sys
