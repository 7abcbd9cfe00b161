/// Two VMs with a vlink of every kind, and what the honest one of them is asked for.
#pragma once

#include <atomic>
#include <memory>
#include <random>
#include <span>
#include <thread>
#include <utility>
#include <vector>

#include "check.hpp"
#include "hyplink/backend/bench.hpp"

namespace hostile {

using namespace hyplink;

constexpr std::int64_t kMoment = 300'000;
constexpr std::int64_t kSoon = 60'000'000'000;
constexpr VmId kHonest = 2, kHostile = 4;

struct World {
    std::shared_ptr<backend::Bench> bench;
    std::shared_ptr<app::Application> honest, hostile;
    unsigned met = 0;

    World() {
        hyp::BoardSpec spec;
        spec.vms = {{kHonest, "honest"}, {kHostile, "hostile"}};
        // The honest VM is the server of number 0 and the client of number 1.
        spec.links = {{"vbpipe", 0, kHonest, kHostile, ";256", "", 0},
                      {"vbpipe", 0, kHostile, kHonest, ";256", "", 0},
                      {"vpipe", 0, kHonest, kHostile, "256", "", 0},
                      {"vpipe", 1, kHostile, kHonest, "256", "", 0},
                      {"vupipe", 0, kHonest, kHostile, "256", "", 0},
                      {"vupipe", 1, kHostile, kHonest, "256", "", 0},
                      {"vrpc", 0, kHonest, kHostile, "mine,256", "mine", 0},
                      {"vrpc", 1, kHostile, kHonest, "theirs,256", "theirs", 0},
                      {"vmq", 0, kHonest, kHostile, "queue", "queue", 0},
                      {"vevent", 0, kHonest, kHostile, "panel", "", 0},
                      {"vevent", 1, kHostile, kHonest, "wheel", "", 0}};
        auto made = backend::Bench::make(spec, {});
        REQUIRE(made.has_value());
        bench = *made;
        for (const VmId vm : {kHonest, kHostile}) REQUIRE(bench->boot(vm, soon()).has_value());
        auto one = bench->attach(kHonest);
        auto two = bench->attach(kHostile);
        REQUIRE(one.has_value() && two.has_value());
        honest = *one;
        hostile = *two;
    }
    Deadline soon() { return bench->runtime().in(kSoon); }
    Deadline moment() { return bench->runtime().in(kMoment); }
};

/// Two sides that wait for each other.
template <class One, class Two>
void both(One&& one, Two&& two) {
    std::thread other(std::forward<One>(one));
    two();
    other.join();
}

/// The honest side, and all memory that the hostile one can write.
struct Meeting {
    std::vector<std::span<std::byte>> shared;
    std::vector<std::uint64_t> crafted{};
    /// The honest side has let go of this peer: whatever it writes now, nobody looks.
    bool gone = false;
    Meeting() = default;
    Meeting(const Meeting&) = delete;
    Meeting& operator=(const Meeting&) = delete;
    virtual ~Meeting() = default;
    /// One more thing that the peer writes: what could be, where single words hardly ever make it.
    /// False: there is no such thing.
    virtual bool craft(std::mt19937_64&) const { return false; }
    /// One operation of the honest side; says how it ended.
    virtual Errc use(World& world, std::mt19937& random) = 0;
};

/// A word that another VM writes. ThreadSanitizer does not look: it knows nothing of another VM,
/// and what changes under the honest side's copying is the very question.
__attribute__((no_sanitize("thread"))) inline void write_word(std::byte* at, std::uint64_t value) {
    reinterpret_cast<std::atomic<std::uint64_t>*>(at)->store(value);
}
__attribute__((no_sanitize("thread"))) inline std::uint64_t read_word(const std::byte* at) {
    return reinterpret_cast<const std::atomic<std::uint64_t>*>(at)->load();
}

template <class ResultType>
Errc outcome(const ResultType& result) {
    return result ? Errc::ok : result.code();
}

}  // namespace hostile
