// Synchronous calls: awake against a bare ping-pong, asleep against an eventfd pair, after pauses,
// and the tail.

#include <sys/eventfd.h>

#include "port_pair.hpp"

namespace {

using measure::Options;
using measure::PortPair;
using measure::Shared;

double bare(const Options& options, std::uint64_t rounds) {
    const Shared memory(4096);
    auto& there = memory.at<std::atomic<std::uint64_t>>(0);
    auto& back = memory.at<std::atomic<std::uint64_t>>(128);
    const auto await = [&](std::atomic<std::uint64_t>& line, std::uint64_t value) {
        while (line.load(std::memory_order_acquire) != value) measure::idle(options.same_core);
    };
    return measure::in_two_processes(
        options,
        [&] {
            const std::int64_t start = measure::now();
            for (std::uint64_t i = 1; i <= rounds; ++i) {
                there.store(i, std::memory_order_release);
                await(back, i);
            }
            return static_cast<double>(measure::now() - start) / static_cast<double>(rounds);
        },
        [&] {
            for (std::uint64_t i = 1; i <= rounds; ++i) {
                await(there, i);
                back.store(i, std::memory_order_release);
            }
        });
}

void rest(std::int64_t nanoseconds) {
    struct timespec time{};
    time.tv_sec = nanoseconds / 1'000'000'000;
    time.tv_nsec = nanoseconds % 1'000'000'000;
    ::nanosleep(&time, nullptr);
}

constexpr std::uint64_t kWarm = 50;  ///< rounds before the first is timed: page faults

/// `pause`: sleep so long before each round, outside of the measured time.
template <class Ask, class Serve>
std::vector<double> timed(const Options& options, std::uint64_t rounds, std::int64_t pause,
                          Ask&& ask, Serve&& serve) {
    std::vector<double> took;
    measure::in_two_processes(
        options,
        [&] {
            took.reserve(rounds);
            for (std::uint64_t i = 0; i < kWarm; ++i) ask(i);
            for (std::uint64_t i = kWarm; i < kWarm + rounds; ++i) {
                if (pause > 0) rest(pause);
                const std::int64_t start = measure::now();
                ask(i);
                took.push_back(static_cast<double>(measure::now() - start));
            }
            return 0.0;
        },
        [&] {
            for (std::uint64_t i = 0; i < kWarm + rounds; ++i) serve(i);
        });
    return took;
}

std::vector<double> eventfds(const Options& options, std::uint64_t rounds, std::int64_t pause) {
    const int there = ::eventfd(0, 0);
    const int back = ::eventfd(0, 0);
    std::uint64_t count = 1;
    const auto put = [&](int fd) {
        const std::uint64_t one = 1;
        if (::write(fd, &one, 8) != 8) std::abort();
    };
    const auto get = [&](int fd) {
        if (::read(fd, &count, 8) != 8) std::abort();
    };
    auto took = timed(
        options, rounds, pause,
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
    return took;
}

constexpr std::uint32_t kProc = 0x00010002;

struct Ends {
    PortPair pair{64 * 1024};
    hyplink::sys::RealRuntime runtime;
    std::unique_ptr<hyplink::rpq::ClientChannel> client;
    std::unique_ptr<hyplink::rpq::ServerChannel> server;

    explicit Ends(std::int64_t spin)
        : runtime(spin), client(pair.client(runtime)), server(pair.server(runtime)) {}

    /// `i32 add(i32 a, i32 b)`.
    void ask(std::uint64_t i) {
        const auto a = static_cast<std::int32_t>(i);
        std::byte* block = PortPair::must(client->begin_call(kProc, 8, 8));
        std::memcpy(block, &a, 4);
        std::memcpy(block + 4, &a, 4);
        const auto reply = PortPair::must(client->call());
        std::int32_t sum = 0;
        std::memcpy(&sum, reply.out, 4);
        if (sum != 2 * a || reply.status != 0) std::abort();
    }
    void serve(std::uint64_t) {
        const auto requests = PortPair::must(server->receive(16, hyplink::Deadline::never()));
        const auto& request = requests.back();
        if (!request.is_call || request.in_bytes != 8 || request.out_bytes != 8) std::abort();
        std::int32_t a = 0;
        std::int32_t b = 0;
        std::memcpy(&a, request.in, 4);
        std::memcpy(&b, request.in + 4, 4);
        a += b;
        std::memcpy(request.out, &a, 4);
    }
};

double calls(const Options& options, std::uint64_t rounds) {
    Ends ends(30'000);
    return measure::in_two_processes(
        options,
        [&] {
            const std::int64_t start = measure::now();
            for (std::uint64_t i = 0; i < rounds; ++i) ends.ask(i);
            return static_cast<double>(measure::now() - start) / static_cast<double>(rounds);
        },
        [&] {
            for (std::uint64_t i = 0; i < rounds; ++i) ends.serve(i);
            PortPair::must(ends.server->acknowledge());
        });
}

std::vector<double> timed_calls(const Options& options, std::uint64_t rounds, std::int64_t pause,
                                std::int64_t spin) {
    Ends ends(spin);
    return timed(
        options, rounds, pause, [&](std::uint64_t i) { ends.ask(i); },
        [&](std::uint64_t i) {
            ends.serve(i);
            if (i + 1 == kWarm + rounds) PortPair::must(ends.server->acknowledge());
        });
}

}  // namespace

int main(int count, char** words) {
    const Options options = measure::parse(count, words);
    const auto many =
        static_cast<std::uint64_t>((options.same_core ? 20e3 : 300e3) * options.scale);
    const auto few = static_cast<std::uint64_t>(4e3 * options.scale);
    const std::int64_t spin = measure::spin_for(options);
    using measure::percentile;
    measure::Report report("call", options);
    std::vector<double> all;
    if (!options.same_core) {
        const int limit =
            report.add({"bare ping-pong, two lines", "ns", [&] { return bare(options, many); }});
        report.add({"vRPQ call, both awake", "ns", [&] { return calls(options, many); }, limit, 3});
        report.add({"vRPQ call, both awake, each timed: p50", "ns", [&] {
                        all = timed_calls(options, many / 3, 0, spin);
                        return percentile(all, 0.5);
                    }});
        report.add({"  p99.9", "ns", [&] { return percentile(all, 0.999); }});
        report.add({"  highest", "ns", [&] { return percentile(all, 1); }});
    }
    const int eventfd = report.add({"eventfd ping-pong: p50", "ns",
                                    [&] { return percentile(eventfds(options, few, 0), 0.5); }});
    report.add({"vRPQ call, both asleep (no spin): p50", "ns",
                [&] {
                    all = timed_calls(options, few, 0, 0);
                    return percentile(all, 0.5);
                },
                eventfd, 1.2});
    report.add({"  p99.9", "ns", [&] { return percentile(all, 0.999); }});
    report.add({"  highest", "ns", [&] { return percentile(all, 1); }});
    for (const int milliseconds : {1, 10, 100}) {
        const std::int64_t pause = milliseconds * std::int64_t{1'000'000};
        const auto rounds =
            static_cast<std::uint64_t>(std::max(3.0, 200 / milliseconds * options.scale));
        const std::string after = "after " + std::to_string(milliseconds) + " ms of idleness";
        const int idle =
            report.add({"eventfd ping-pong " + after + ": p50", "ns", [&options, rounds, pause] {
                            return percentile(eventfds(options, rounds, pause), 0.5);
                        }});
        report.add({"vRPQ call " + after + ": p50", "ns",
                    [&options, &all, rounds, pause, spin] {
                        all = timed_calls(options, rounds, pause, spin);
                        return percentile(all, 0.5);
                    },
                    idle, 1.2});
        report.add({"  highest", "ns", [&] { return percentile(all, 1); }});
    }
    return report.run_and_print();
}
