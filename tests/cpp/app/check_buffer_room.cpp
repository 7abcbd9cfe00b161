// What a room beside the port promises: a piece is nobody else's until its request is done.

#include "hyplink/app/buffers/room.hpp"

#include <random>

#include "ring/rpq_pair.hpp"

using namespace test;
using buffers::Room;

namespace {

constexpr std::uint64_t kSome = Room::kStep;

std::uint64_t at(const Result<std::uint64_t>& taken) { return taken ? *taken : ~std::uint64_t{0}; }

/// Everything that was posted, received and handed back.
void serve_all(Pair& pair) {
    EXPECT(pair.client->notify());
    while (pair.server->try_receive(64)) continue;
    EXPECT(pair.server->receive(0));
}

}  // namespace

CHECK_CASE("pieces of requests under way lie apart, and are free when their request is done") {
    Pair pair;
    Room room(*pair.client, 4 * kSome);
    for (std::uint64_t i = 0; i < 4; ++i) {
        EXPECT_EQ(at(room.try_take(kSome, true)), i * kSome);
        REQUIRE(pair.post(1, 1));
    }
    EXPECT_EQ(room.try_take(1, true).code(), Errc::would_block);
    EXPECT(pair.client->notify());
    EXPECT_EQ(pair.server->try_receive(2)->size(), 2);
    EXPECT_EQ(room.try_take(1, true).code(), Errc::would_block);  // they are being handled
    EXPECT_EQ(pair.server->try_receive(1)->size(), 1);
    EXPECT_EQ(at(room.try_take(2 * kSome, true)), 0);
    REQUIRE(pair.post(1, 1));
    EXPECT_EQ(room.try_take(1, true).code(), Errc::would_block);
    serve_all(pair);
    EXPECT_EQ(at(room.try_take(4 * kSome, true)), 0);
}

CHECK_CASE("what was taken for a request that was never sent is free for the next") {
    Pair pair;
    Room room(*pair.client, 2 * kSome);
    for (int i = 0; i < 5; ++i) EXPECT_EQ(at(room.try_take(2 * kSome, true)), 0);
    REQUIRE(pair.post(1, 1));
    EXPECT_EQ(room.try_take(1, true).code(), Errc::would_block);
}

CHECK_CASE("the pieces of one request lie apart, and what does not fit beside them is refused") {
    Pair pair;
    Room room(*pair.client, 3 * kSome);
    EXPECT_EQ(at(room.try_take(kSome, true)), 0);
    EXPECT_EQ(at(room.try_take(kSome, false)), kSome);
    EXPECT_EQ(room.try_take(2 * kSome, false).code(), Errc::too_long);
    EXPECT_EQ(room.take(2 * kSome, false).code(), Errc::too_long);
    EXPECT_EQ(room.try_take(3 * kSome + 1, true).code(), Errc::too_long);
    EXPECT_EQ(room.try_take(0, true).code(), Errc::too_long);
}

CHECK_CASE(
    "a call's piece is free when its answer is seen, one that was given up when it is over") {
    Pair pair;
    Room room(*pair.client, kSome);
    EXPECT_EQ(at(room.try_take(kSome, true)), 0);
    pair.begin_call(3, 8, 8);
    REQUIRE(pair.client->call_start());
    EXPECT_EQ(pair.server->try_receive(64)->size(), 1);
    EXPECT_EQ(room.try_take(1, true).code(), Errc::would_block);
    EXPECT_EQ(pair.server->try_receive(64).code(), Errc::would_block);
    REQUIRE(pair.client->try_reply());
    EXPECT_EQ(at(room.try_take(kSome, true)), 0);
    pair.begin_call(3, 8, 8);
    REQUIRE(pair.client->call_start());
    EXPECT_EQ(pair.server->try_receive(64)->size(), 1);
    pair.client->call_forget();
    EXPECT_EQ(room.try_take(1, true).code(), Errc::would_block);  // it is being handled still
    EXPECT_EQ(pair.server->try_receive(64).code(), Errc::would_block);
    EXPECT(room.try_take(1, true));
}

CHECK_CASE("who waits for room publishes what it posted and goes on when the server is done") {
    Pair pair;
    Room room(*pair.client, kSome);
    std::thread serving([&] {
        for (std::uint32_t seen = 0; seen < 200;) {
            auto requests = pair.server->receive(64, Deadline::never());
            if (!EXPECT(requests)) return;
            seen += static_cast<std::uint32_t>(requests->size());
        }
        EXPECT(pair.server->receive(0));
    });
    for (std::uint32_t i = 0; i < 200; ++i) {
        EXPECT_EQ(at(room.take(kSome, true, Deadline::never())), 0);
        if (!EXPECT(pair.post(1, i))) break;
    }
    EXPECT(pair.client->notify());
    serving.join();
    EXPECT_EQ(pair.client->counters().copied_bytes, 200 * (kSome + 8));
}

CHECK_CASE("a wait ends with its deadline and with the server's death") {
    Pair pair;
    Room room(*pair.client, kSome);
    EXPECT(room.try_take(kSome, true));
    REQUIRE(pair.post(1, 1));
    EXPECT_EQ(room.take(1, true, pair.runtime.in(1)).code(), Errc::timed_out);
    pair.set(Role::client, ChannelState::dead);
    EXPECT_EQ(room.take(1, true, Deadline::never()).code(), Errc::peer_dead);
}

CHECK_CASE("a server that claims to be done with what was never sent is found out") {
    Pair pair;
    Room room(*pair.client, kSome);
    EXPECT(room.try_take(kSome, true));
    REQUIRE(pair.post(1, 1));
    EXPECT(pair.client->notify());
    pair.release_as_server({24, 9});
    EXPECT_EQ(room.try_take(1, true).code(), Errc::corrupt);
    EXPECT(pair.client->corrupt());
}

CHECK_CASE("whatever is taken, posted and given back in whatever order, no two pieces overlap") {
    Pair pair;
    constexpr std::uint64_t kBytes = 16 * kSome;
    Room room(*pair.client, kBytes);
    std::mt19937 random(7);
    struct Piece {
        std::uint32_t request;
        std::uint64_t begin, end;
    };
    std::vector<Piece> all;
    std::uint32_t sent = 0, done = 0;
    std::uint32_t batch = 0;  // received and not given back
    std::uint64_t took = 0;
    for (int step = 0; step < 20000; ++step) {
        const std::uint64_t bytes = 1 + random() % (5 * kSome);
        bool first = true;
        if (random() % 8 == 0) std::erase_if(all, [&](auto& p) { return p.request == sent; });
        for (auto parts = random() % 3; parts != 0; --parts, first = false) {
            if (first) std::erase_if(all, [&](auto& p) { return p.request == sent; });
            auto at = room.try_take(bytes, first);
            if (!at) continue;
            ++took;
            if (!EXPECT(*at + bytes <= kBytes)) return;
            for (const Piece& p : all)
                if (!EXPECT(*at >= p.end || *at + bytes <= p.begin)) return;
            all.push_back({sent, *at, *at + bytes});
        }
        if (random() % 4 != 0 && pair.post(1, sent)) ++sent;
        if (random() % 3 == 0) {
            EXPECT(pair.client->notify());
            auto requests = pair.server->try_receive(1 + random() % 4);
            done += batch;
            batch = requests ? static_cast<std::uint32_t>(requests->size()) : 0;
            std::erase_if(all, [&](auto& p) { return p.request < done; });
        }
    }
    EXPECT(took > 5000);
}
