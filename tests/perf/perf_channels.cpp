// Two channels in two threads against one: each thread drives both ends of its own channel, so that
// two cores are enough to see whether channels disturb each other.

#include <array>
#include <set>
#include <thread>

#include "port_pair.hpp"

namespace {

using measure::PortPair;

constexpr std::uint32_t kBatch = 64;
constexpr std::uint32_t kBlock = 24;

struct Ends {
    PortPair pair{hyplink::rpq::port_bytes_for(64 * 1024)};
    hyplink::sys::RealRuntime runtime;
    std::unique_ptr<hyplink::rpq::ClientChannel> client = pair.client(runtime);
    std::unique_ptr<hyplink::rpq::ServerChannel> server = pair.server(runtime);
    volatile double kept = 0;

    /// One batch there, checked.
    void batch(std::uint64_t done) {
        double sum = 0;
        {
            for (std::uint32_t i = 0; i < kBatch; ++i) {
                auto block = client->begin(7, kBlock);
                if (!block) std::abort();
                const std::array<std::uint64_t, 3> values{i, done, 0};
                std::memcpy(*block, values.data(), kBlock);
                if (!client->post()) std::abort();
            }
            PortPair::must(client->notify());
            for (const auto& request : PortPair::must(server->receive(kBatch)))
                sum += static_cast<double>(hyplink::rpq::load<std::uint64_t>(request.in));
        }
        kept = sum;
    }
    /// The cache lines of the port.
    void lines(std::set<std::uintptr_t>& into) const {
        const auto& context = client->context();
        const auto begin = reinterpret_cast<std::uintptr_t>(context.port);
        for (std::uintptr_t at = begin; at < begin + context.port_bytes; at += 64)
            into.insert(at / 64);
    }
};

/// The limit: the same number of threads, each with memory of its own and nothing of ours.
struct Bare {
    std::vector<std::uint64_t> own = std::vector<std::uint64_t>(2048);
    void batch(std::uint64_t done) {
        for (std::uint64_t i = 0; i < kBatch * 8; ++i) {
            std::uint64_t& word = own[(done + i) * 5 % own.size()];
            word = word * 3 + i;
        }
    }
};

/// Million requests a second of all threads together while all of them run. Each thread's rate is
/// that of its median batch: whatever interrupts one batch does not count.
template <class Work>
double threads(std::size_t count, std::uint64_t batches, Work& works) {
    std::atomic<std::size_t> ready{0};
    std::atomic<bool> over{false};
    std::vector<std::thread> running;
    std::vector<double> rates(count);
    for (std::size_t i = 0; i < count; ++i)
        running.emplace_back([&, i] {
            measure::pin(static_cast<int>(i));
            ready.fetch_add(1);
            while (ready.load() != count) ::sched_yield();
            std::vector<double> took;
            took.reserve(batches);
            // The first to be done stops the others: from then on it would be one thread less.
            for (std::uint64_t n = 0; n < batches && !over.load(std::memory_order_relaxed); ++n) {
                const std::int64_t start = measure::now();
                for (std::uint64_t k = 0; k < 8; ++k) works[i].batch(n);
                took.push_back(static_cast<double>(measure::now() - start) / 8);
            }
            over.store(true, std::memory_order_relaxed);
            rates[i] = kBatch * 1e3 / measure::percentile(took, 0.5);
        });
    for (auto& thread : running) thread.join();
    double sum = 0;
    for (const double rate : rates) sum += rate;
    return sum;
}

}  // namespace

int main(int count, char** words) {
    const measure::Options options = measure::parse(count, words);
    const auto batches = static_cast<std::uint64_t>(1e4 * options.scale);
    std::array<Ends, 2> ends;
    std::array<Bare, 2> bare;
    std::set<std::uintptr_t> first;
    std::set<std::uintptr_t> second;
    ends[0].lines(first);
    ends[1].lines(second);
    double shared = 0;
    for (const std::uintptr_t line : first) shared += second.contains(line) ? 1 : 0;

    measure::Report report("channels", options);
    const int bare_one =
        report.add({"bare work, one thread", "M/s", [&] { return threads(1, batches, bare); }});
    report.add({"bare work, two threads: what the cores give", "M/s",
                [&] { return threads(2, batches, bare); }, bare_one});
    const int one = report.add(
        {"vRPQ, one channel in one thread", "M/s", [&] { return threads(1, batches, ends); }});
    report.add({"vRPQ, two channels in two threads", "M/s",
                [&] { return threads(2, batches, ends); }, one, 1.8});
    report.add({"cache lines that both ports have", "lines", [&] { return shared; }});
    return report.run_and_print();
}
