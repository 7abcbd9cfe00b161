// There and back between two processes: bare cache lines, the bell, and what the kernel offers.

#include <linux/futex.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>

#include "hyplink/base/bell.hpp"
#include "hyplink/ring/doorbell.hpp"
#include "hyplink/sys/real_runtime.hpp"
#include "measure.hpp"

namespace {

using measure::Options;
using measure::Shared;

/// Time of one round in ns; `serve` answers `rounds` rounds, `ask` does one.
template <class Ask, class Serve>
double rounds_of(const Options& options, std::uint64_t rounds, Ask&& ask, Serve&& serve) {
    return measure::in_two_processes(
        options,
        [&] {
            const std::uint64_t warm = rounds / 10 + 1;
            for (std::uint64_t i = 0; i < warm; ++i) ask(i);
            const std::int64_t start = measure::now();
            for (std::uint64_t i = warm; i < warm + rounds; ++i) ask(i);
            return static_cast<double>(measure::now() - start) / static_cast<double>(rounds);
        },
        [&] {
            for (std::uint64_t i = 0; i < rounds + rounds / 10 + 1; ++i) serve(i);
        });
}

double bare(const Options& options, std::uint64_t rounds) {
    const Shared memory(4096);
    auto& there = memory.at<std::atomic<std::uint64_t>>(0);
    auto& back = memory.at<std::atomic<std::uint64_t>>(128);
    const auto await = [&](std::atomic<std::uint64_t>& line, std::uint64_t value) {
        while (line.load(std::memory_order_acquire) != value) measure::idle(options.same_core);
    };
    return rounds_of(
        options, rounds,
        [&](std::uint64_t i) {
            there.store(i + 1, std::memory_order_release);
            await(back, i + 1);
        },
        [&](std::uint64_t i) {
            await(there, i + 1);
            back.store(i + 1, std::memory_order_release);
        });
}

double eventfds(const Options& options, std::uint64_t rounds) {
    const int there = ::eventfd(0, 0);
    const int back = ::eventfd(0, 0);
    const auto put = [](int fd) {
        const std::uint64_t one = 1;
        if (::write(fd, &one, 8) != 8) std::abort();
    };
    const auto get = [](int fd) {
        std::uint64_t count = 0;
        if (::read(fd, &count, 8) != 8) std::abort();
    };
    const double figure = rounds_of(
        options, rounds,
        [&](std::uint64_t) {
            put(there);
            get(back);
        },
        [&](std::uint64_t) {
            get(there);
            put(back);
        });
    ::close(there);
    ::close(back);
    return figure;
}

double futexes(const Options& options, std::uint64_t rounds) {
    const Shared memory(4096);
    auto& there = memory.at<std::atomic<std::uint32_t>>(0);
    auto& back = memory.at<std::atomic<std::uint32_t>>(128);
    const auto put = [](std::atomic<std::uint32_t>& word, std::uint64_t value) {
        word.store(static_cast<std::uint32_t>(value), std::memory_order_release);
        ::syscall(SYS_futex, &word, FUTEX_WAKE, 1, nullptr, nullptr, 0);
    };
    const auto await = [](std::atomic<std::uint32_t>& word, std::uint64_t value) {
        for (;;) {
            const std::uint32_t seen = word.load(std::memory_order_acquire);
            if (seen == static_cast<std::uint32_t>(value)) return;
            ::syscall(SYS_futex, &word, FUTEX_WAIT, seen, nullptr, nullptr, 0);
        }
    };
    return rounds_of(
        options, rounds,
        [&](std::uint64_t i) {
            put(there, i + 1);
            await(back, i + 1);
        },
        [&](std::uint64_t i) {
            await(there, i + 1);
            put(back, i + 1);
        });
}

/// Two bells, the way a channel uses them: ring the peer's, look at and wait on one's own.
double bells(const Options& options, std::uint64_t rounds, std::int64_t spin) {
    using hyplink::BellWords;
    const Shared memory(4096);
    struct End {
        hyplink::sys::RealRuntime runtime;
        hyplink::rings::OwnBell own;
        hyplink::rings::PeerBell peer;
        std::uint32_t count;
        BellWords& words;
        End(std::int64_t spin_for, BellWords& mine, BellWords& theirs)
            : runtime(spin_for), count(0), words(mine) {
            own.attach(runtime, mine, -1);
            peer.attach(runtime, theirs, -1);
        }
        /// Until it was rung `times` times more; a ring that met a sleeper counts twice, so a
        /// payload says it.
        void await(const std::atomic<std::uint64_t>& payload, std::uint64_t value) {
            for (;;) {
                own.look();
                if (payload.load(std::memory_order_acquire) == value) return;
                if (own.wait(hyplink::Deadline::never()) != hyplink::Errc::ok) std::abort();
            }
        }
    };
    auto& there = memory.at<BellWords>(0);
    auto& back = memory.at<BellWords>(128);
    auto& there_word =
        memory.at<std::atomic<std::uint64_t>>(8);  // on the line of the bell that announces it
    auto& back_word = memory.at<std::atomic<std::uint64_t>>(128 + 8);
    End asker(spin, back, there);
    End answerer(spin, there, back);
    return rounds_of(
        options, rounds,
        [&](std::uint64_t i) {
            there_word.store(i + 1, std::memory_order_release);
            asker.peer.ring();
            asker.await(back_word, i + 1);
        },
        [&](std::uint64_t i) {
            answerer.await(there_word, i + 1);
            back_word.store(i + 1, std::memory_order_release);
            answerer.peer.ring();
        });
}

}  // namespace

int main(int count, char** words) {
    const Options options = measure::parse(count, words);
    const auto many =
        static_cast<std::uint64_t>((options.same_core ? 20e3 : 500e3) * options.scale);
    const auto few = static_cast<std::uint64_t>((options.same_core ? 20e3 : 5e3) * options.scale);
    measure::Report report("bell", options);
    const int limit =
        report.add({"bare ping-pong, two lines", "ns", [&] { return bare(options, many); }});
    if (!options.same_core)
        report.add(
            {"bell, both awake", "ns", [&] { return bells(options, many, 30'000); }, limit, 1.5});
    const int eventfd =
        report.add({"eventfd ping-pong", "ns", [&] { return eventfds(options, few); }});
    const int futex = report.add({"futex ping-pong", "ns", [&] { return futexes(options, few); }});
    report.add({"bell, both asleep, against eventfd", "ns", [&] { return bells(options, few, 0); },
                eventfd, 1.15});
    report.add({"bell, both asleep, against futex", "ns", [&] { return bells(options, few, 0); },
                futex, 1.15});
    return report.run_and_print();
}
