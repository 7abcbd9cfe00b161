// A parameter of 1 MiB: one copy on the way in, read in place at the other end.

#include <array>

#include "port_pair.hpp"

namespace {

using measure::Options;
using measure::PortPair;
using measure::Shared;

constexpr std::size_t kBytes = std::size_t{1} << 20;
constexpr std::size_t kPlaces = 8;

/// GB/s of the median of so many, each timed: whatever interrupts one of them does not count.
class Clock {
   public:
    template <class Work>
    void time(Work&& work) {
        const std::int64_t start = measure::now();
        work();
        took_.push_back(static_cast<double>(measure::now() - start));
    }
    double rate() const { return static_cast<double>(kBytes) / measure::percentile(took_, 0.5); }

   private:
    std::vector<double> took_;
};

struct Counted {
    double copies = 0;  ///< of each request
    double bytes = 0;
    double wakes = 0;
    double woken = 0;  ///< GB/s, the wake of a server that sleeps included
    double limit = 0;  ///< memcpy to as many places in turn as the port has room for, GB/s
};

double vrpq(const Options& options, std::uint64_t rounds, Counted& counted) {
    const PortPair pair(hyplink::rpq::port_bytes_for(kPlaces * (kBytes + 4096)));
    const Shared from(kBytes);
    const Shared to(kPlaces * kBytes);
    std::memset(from.data(), 1, kBytes);
    return measure::in_two_processes(
        options,
        [&] {
            hyplink::sys::RealRuntime runtime(measure::spin_for(options));
            const auto client = pair.client(runtime);
            Clock clock;
            Clock whole;
            Clock bare;  // in turn with ours: the same neighbours, the same moments
            for (std::uint64_t i = 0; i < rounds; ++i) {
                bare.time(
                    [&] { std::memcpy(to.data() + i % kPlaces * kBytes, from.data(), kBytes); });
                whole.time([&] {
                    clock.time([&] {
                        std::byte* block = PortPair::must(client->begin(7, kBytes));
                        std::memcpy(block, from.data(), kBytes);
                        PortPair::must(client->post());
                    });
                    PortPair::must(client->notify());
                });
                from.data()[i % kBytes] = std::byte{2};
            }
            const auto& seen = client->counters();
            counted = {static_cast<double>(seen.copies) / static_cast<double>(rounds),
                       static_cast<double>(seen.copied_bytes) / static_cast<double>(rounds),
                       static_cast<double>(seen.wakes) / static_cast<double>(rounds), whole.rate(),
                       bare.rate()};
            return clock.rate();
        },
        [&] {
            hyplink::sys::RealRuntime runtime(measure::spin_for(options));
            const auto server = pair.server(runtime);
            std::uint64_t sum = 0;
            for (std::uint64_t done = 0; done != rounds;) {
                const auto requests =
                    PortPair::must(server->receive(4, hyplink::Deadline::never()));
                for (const auto& request : requests) {
                    if (request.in_bytes != kBytes) std::abort();
                    sum += hyplink::rpq::load<std::uint64_t>(request.in + kBytes - 8);
                }
                done += requests.size();
            }
            PortPair::must(server->acknowledge());
            if (sum == 0) std::abort();
        });
}

}  // namespace

int main(int count, char** words) {
    const Options options = measure::parse(count, words);
    const auto rounds = static_cast<std::uint64_t>(std::max(64.0, 1000 * options.scale));
    measure::pin(0);
    measure::Report report("bulk", options);
    Counted counted;
    double ours = 0;
    const int limit = report.add({"memcpy of 1 MiB, eight places in turn", "GB/s", [&] {
                                      ours = vrpq(options, rounds, counted);
                                      return counted.limit;
                                  }});
    report.add({"vRPQ, a parameter of 1 MiB, posted", "GB/s", [&] { return ours; }, limit, 0.8});
    report.add({"  and the server told", "GB/s", [&] { return counted.woken; }, limit});
    report.add({"  wakes of a sleeping server for each", "wakes", [&] { return counted.wakes; }});
    report.add(
        {"  copies of each on the way in, as counted", "copies", [&] { return counted.copies; }});
    report.add({"  bytes copied of each", "bytes", [&] { return counted.bytes; }});
    return report.run_and_print();
}
