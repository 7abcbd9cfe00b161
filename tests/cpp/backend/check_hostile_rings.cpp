/// Every ring that two applications share, and a peer that writes random and crafted values into
/// all of it while the other side works: that side reports, never hangs, and works again with the
/// next honest peer. One table for all mechanisms; HYPLINK_HOSTILE_SECONDS is the time for each.
#include <atomic>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <iostream>
#include <map>
#include <random>
#include <thread>

#include "backend/honest_pairs.hpp"
#include "backend/hostile_calls.hpp"
#include "backend/hostile_ends.hpp"
#include "backend/hostile_events.hpp"
#include "backend/hostile_pipes.hpp"
#include "check.hpp"

using namespace hostile;

namespace {

double seconds() {
    const char* asked = std::getenv("HYPLINK_HOSTILE_SECONDS");
    return asked != nullptr ? std::atof(asked) : 0.5;
}

struct Mechanism {
    const char* name;
    std::unique_ptr<Meeting> (*meet)(World&);
    void (*works)(World&);
};

const pipe::OpenFlags kReads{.read = true, .write = false};
const pipe::OpenFlags kWrites{.read = false, .write = true};

template <class Kind, auto... Words>
std::unique_ptr<Meeting> made(World& world) {
    return std::make_unique<Kind>(world, Words...);
}

const Mechanism kMechanisms[] = {
    {"vBpipe",
     [](World& w) -> std::unique_ptr<Meeting> {
         return std::make_unique<PipeMeeting>(w, "vbpipe0", pipe::OpenFlags{});
     },
     [](World& w) { pipe_works(w, "vbpipe0", {}); }},
    {"vPipe that is read",
     [](World& w) -> std::unique_ptr<Meeting> {
         return std::make_unique<PipeMeeting>(w, "vpipe0", kReads);
     },
     [](World& w) { pipe_works(w, "vpipe0", kReads); }},
    {"vPipe that is written",
     [](World& w) -> std::unique_ptr<Meeting> {
         return std::make_unique<PipeMeeting>(w, "vpipe1", kWrites);
     },
     [](World& w) { pipe_works(w, "vpipe1", kWrites); }},
    {"vUpipe that is read",
     [](World& w) -> std::unique_ptr<Meeting> {
         return std::make_unique<UpipeMeeting>(w, "vupipe0", true);
     },
     [](World& w) { upipe_works(w, "vupipe0", true); }},
    {"vUpipe that is written",
     [](World& w) -> std::unique_ptr<Meeting> {
         return std::make_unique<UpipeMeeting>(w, "vupipe1", false);
     },
     [](World& w) { upipe_works(w, "vupipe1", false); }},
    {"vRPC that serves", &made<RpcServerMeeting>, [](World& w) { rpc_works(w, "mine", true); }},
    {"vRPC that calls", &made<RpcClientMeeting>, [](World& w) { rpc_works(w, "theirs", false); }},
    {"vMQ", &made<QueueMeeting>, &queue_works},
    {"vIPC that calls", &made<IpcCallerMeeting>, &calls_work},
    {"vIPC that serves", &made<IpcServerMeeting>, &calls_work},
    {"vEvent that is written", &made<EventBackMeeting>,
     [](World& w) { events_work(w, "panel", true); }},
    {"vEvent that is read", &made<EventFrontMeeting>,
     [](World& w) { events_work(w, "wheel", false); }},
};

/// Write into what is shared until told to stop: anything anywhere, likely values into the heads.
void attack(const Meeting& meeting, std::uint64_t seed, const std::atomic<bool>& over) {
    constexpr std::uint64_t kCrafted[] = {0,   1,      239,        240,        255,         256,
                                          257, 0xffff, 0x7fffffff, 0xffffffff, ~0ULL << 32, ~0ULL};
    std::mt19937_64 random(seed);
    while (!over.load(std::memory_order_relaxed)) {
        // Most of the time what could be, so that what cannot is met in the midst of work.
        if (random() % 1024 != 0 && meeting.craft(random)) continue;
        const std::span<std::byte> port = meeting.shared[random() % meeting.shared.size()];
        const std::size_t words = std::min<std::size_t>(port.size(), random() % 4 ? 512 : ~0UL) / 8;
        std::byte* const word = port.data() + random() % words * 8;
        const std::uint64_t now = read_word(word);
        std::uint64_t value = random();
        switch (random() % 5) {
            case 0:
                value = kCrafted[random() % std::size(kCrafted)];
                break;
            case 1:
                value = now + value % 64;
                break;
            case 2:
                value = now ^ std::uint64_t{1} << value % 64;
                break;
            case 3:
                if (!meeting.crafted.empty())
                    value = meeting.crafted[value % meeting.crafted.size()];
                break;
            default:
                break;
        }
        write_word(word, value);
        if (random() % 16 == 0) std::this_thread::yield();
    }
}

void suffers(const char* name) {
    const Mechanism* mechanism = nullptr;
    for (const Mechanism& known : kMechanisms)
        if (std::strcmp(known.name, name) == 0) mechanism = &known;
    REQUIRE(mechanism != nullptr);
    World world;
    std::map<Errc, std::uint64_t> outcomes;
    const auto end = std::chrono::steady_clock::now() + std::chrono::duration<double>(seconds());
    std::uint64_t round = 0;
    do {
        std::mt19937 random(static_cast<std::uint32_t>(++round));
        const std::unique_ptr<Meeting> meeting = mechanism->meet(world);
        std::atomic<bool> over{false};
        std::thread attacking([&] { attack(*meeting, round, over); });
        for (int turn = 0; turn < 40 && !meeting->gone; ++turn)
            ++outcomes[meeting->use(world, random)];
        over.store(true);
        attacking.join();
        // Until it was told what it suffered, too: a short run may not come so far.
    } while (std::chrono::steady_clock::now() < end ||
             outcomes[Errc::corrupt] + outcomes[Errc::revoked] == 0);
    // With an honest peer everything works.
    EXPECT_EQ(outcomes[Errc::internal], 0U);
    mechanism->works(world);
    std::cout << round << " peers;";
    for (const auto& [code, count] : outcomes)
        std::cout << ' ' << hyplink::name(code) << ' ' << count;
    std::cout << '\n';
}

}  // namespace

CHECK_CASE("a vBpipe bears whatever its peer writes") { suffers("vBpipe"); }
CHECK_CASE("a vPipe that is read bears whatever its peer writes") { suffers("vPipe that is read"); }
CHECK_CASE("a vPipe that is written bears whatever its peer writes") {
    suffers("vPipe that is written");
}
CHECK_CASE("a vUpipe that is read bears whatever its peer writes") {
    suffers("vUpipe that is read");
}
CHECK_CASE("a vUpipe that is written bears whatever its peer writes") {
    suffers("vUpipe that is written");
}
CHECK_CASE("a server of vRPC bears whatever its client writes") { suffers("vRPC that serves"); }
CHECK_CASE("a client of vRPC bears whatever its server writes") { suffers("vRPC that calls"); }
CHECK_CASE("an end of a vMQ bears whatever its peer writes") { suffers("vMQ"); }
CHECK_CASE("a caller of vIPC bears whatever its server writes") { suffers("vIPC that calls"); }
CHECK_CASE("a server of vIPC bears whatever its caller writes") { suffers("vIPC that serves"); }
CHECK_CASE("a back end of vEvent bears whatever its front end writes") {
    suffers("vEvent that is written");
}
CHECK_CASE("a front end of vEvent bears whatever its back end writes") {
    suffers("vEvent that is read");
}
