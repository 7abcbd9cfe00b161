/// A peer that writes whatever it likes into the ring of a pipe, while the other VM reads, writes
/// and looks: that side reports and recovers; it never hangs and never touches memory beyond.
#include <atomic>
#include <cstring>
#include <random>
#include <thread>

#include "check.hpp"
#include "hyplink/app/kernel_calls.hpp"
#include "hyplink/app/pipe/pipe.hpp"
#include "hyplink/backend/bench.hpp"
#include "rounds.hpp"

using namespace hyplink;

namespace {

constexpr std::int64_t kMoment = 1'000'000;
constexpr std::int64_t kSoon = 60'000'000'000;

struct World {
    std::shared_ptr<backend::Bench> bench;
    std::shared_ptr<app::Application> honest, hostile;

    World() {
        hyp::BoardSpec spec;
        spec.vms = {{2, "honest"}, {4, "hostile"}};
        spec.links = {{"vbpipe", 0, 2, 4, ";256", "", 0}, {"vbpipe", 0, 4, 2, ";256", "", 0}};
        auto made = backend::Bench::make(spec, {});
        REQUIRE(made.has_value());
        bench = *made;
        for (const VmId vm : {2U, 4U}) REQUIRE(bench->boot(vm, runtime().in(kSoon)).has_value());
        auto one = bench->attach(2);
        auto two = bench->attach(4);
        REQUIRE(one.has_value() && two.has_value());
        honest = *one;
        hostile = *two;
    }
    Runtime& runtime() { return bench->runtime(); }

    Result<std::unique_ptr<pipe::Pipe>> open(const std::shared_ptr<app::Application>& application) {
        return pipe::Pipe::open(application, "vbpipe0", {}, runtime().in(kSoon));
    }
    /// What a kernel hands its application: memory, to be written to by hand.
    Result<guest::SysReply> open_by_hand() {
        std::uint32_t device =
            HYPLINK_TRY(app::open_device(*hostile, "vbpipe0", runtime().in(kSoon)));
        auto reply =
            hostile->call(app::request_of(guest::Sys::pipe_open, device, 3), runtime().in(kSoon));
        app::close_handle(*hostile, device);
        return reply;
    }
};

/// Read, write and look for a while. Everything ends, in time, with an answer that makes sense.
void use(World& world, pipe::Pipe& mine, std::uint32_t seed) {
    std::mt19937 random(seed);
    std::byte room[1024 + 16];
    for (int turn = 0; turn < 40; ++turn) {
        std::memset(room, 0x5a, sizeof room);
        const std::size_t size = random() % 1024;
        const Deadline moment = world.runtime().in(kMoment);
        mine.set_nonblock(random() % 2 == 0);
        switch (random() % 3) {
            case 0: {
                const auto got = mine.read(std::span(room, size), moment);
                if (got) EXPECT(*got <= size);
                break;
            }
            case 1: {
                const auto put = mine.write(std::span(room, size), moment);
                if (put) EXPECT(*put <= size);
                break;
            }
            default: {
                const auto events = mine.poll(pipe::kIn | pipe::kOut, moment);
                if (events) EXPECT(*events != 0);
                const auto there = mine.readable();
                if (there) EXPECT(*there <= mine.in_capacity());
            }
        }
        for (std::size_t i = size; i < sizeof room; ++i)
            EXPECT(room[i] == std::byte{0x5a});  // nothing beyond the buffer
    }
}

/// Both ends close and open anew, and it works.
void recovers(World& world) {
    Result<std::unique_ptr<pipe::Pipe>> one = Errc::internal;
    std::thread opening([&] { one = world.open(world.honest); });
    auto two = world.open(world.hostile);
    opening.join();
    REQUIRE(one.has_value() && two.has_value());
    const std::byte word[4] = {std::byte{1}, std::byte{2}, std::byte{3}, std::byte{4}};
    std::byte back[4] = {};
    EXPECT_EQ(*(*two)->write(word, world.runtime().in(kSoon)), 4U);
    EXPECT_EQ(*(*one)->read(back, world.runtime().in(kSoon)), 4U);
    EXPECT(std::memcmp(word, back, 4) == 0);
}

}  // namespace

CHECK_CASE("a count beyond what fits is corrupt, for good, and says which and how much") {
    World world;
    for (const bool of_reader : {false, true}) {
        Result<std::unique_ptr<pipe::Pipe>> mine = Errc::internal;
        std::thread opening([&] { mine = world.open(world.honest); });
        auto theirs = world.open_by_hand();
        opening.join();
        REQUIRE(mine.has_value() && theirs.has_value());
        // Their regions: what they share, the port they read, the port they write.
        std::byte* port = theirs->regions[of_reader ? 1 : 2]->data();
        pipe::port_count(port, of_reader ? Role::server : Role::client).store(1'000'000);
        std::byte room[8] = {};
        const Deadline soon = world.runtime().in(kSoon);
        for (int again = 0; again < 2; ++again) {
            const auto failed = of_reader ? (*mine)->write(room, soon) : (*mine)->read(room, soon);
            EXPECT_EQ(failed.code(), Errc::corrupt);
            EXPECT(failed.error().text().find("1000000") != std::string::npos);
            EXPECT(failed.error().text().find("VM 4") != std::string::npos);
        }
        EXPECT_EQ(*(*mine)->poll(), pipe::kErr | pipe::kHup);
        (*mine)->close();
        auto handle = static_cast<std::uint32_t>(theirs->values[guest::PipeReply::handle]);
        app::close_handle(*world.hostile, handle);
        recovers(world);
    }
}

CHECK_CASE("a bell that rings for ever does not outwit a time limit") {
    World world;
    Result<std::unique_ptr<pipe::Pipe>> mine = Errc::internal;
    std::thread opening([&] { mine = world.open(world.honest); });
    auto theirs = world.open_by_hand();
    opening.join();
    REQUIRE(mine.has_value() && theirs.has_value());
    std::atomic<bool> over{false};
    std::thread attack([&] {
        BellWords& bell = pipe::port_bell(theirs->regions[2]->data(), Role::server);
        while (!over.load()) bell.rung.fetch_add(1);
    });
    std::byte room[8] = {};
    EXPECT_EQ((*mine)->read(room, world.runtime().in(20 * kMoment)).code(), Errc::timed_out);
    EXPECT_EQ((*mine)->poll(pipe::kIn, world.runtime().in(20 * kMoment)).code(), Errc::timed_out);
    over.store(true);
    attack.join();
}

CHECK_CASE("an application that spoils what its own VM shares spoils only this pipe") {
    World world;
    for (int round = 0; round < hostile::rounds(100); ++round) {
        Result<std::unique_ptr<pipe::Pipe>> mine = Errc::internal;
        std::thread opening([&] { mine = world.open(world.honest); });
        auto theirs = world.open_by_hand();
        opening.join();
        REQUIRE(mine.has_value() && theirs.has_value());
        // Another opener of the hostile VM, whose shared memory is written to.
        auto other = world.open(world.hostile);
        REQUIRE(other.has_value());
        std::atomic<bool> over{false};
        std::thread attack([&] {
            std::mt19937_64 random(static_cast<std::uint64_t>(round));
            while (!over.load()) {
                const std::size_t at = random() % (sizeof(pipe::Local) / 8) * 8;
                reinterpret_cast<std::atomic<std::uint64_t>*>(theirs->regions[0]->data() + at)
                    ->store(random() % 4 == 0 ? 0 : random());
            }
        });
        use(world, **other, static_cast<std::uint32_t>(round));
        over.store(true);
        attack.join();
        (*other)->close();
        auto handle = static_cast<std::uint32_t>(theirs->values[guest::PipeReply::handle]);
        app::close_handle(*world.hostile, handle);
        (*mine)->close();
    }
    recovers(world);
}
