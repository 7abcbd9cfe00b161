// What a vRPQ channel promises to two ends that behave.

#include "ring/rpq_pair.hpp"

using namespace test;

CHECK_CASE("a post is private until notify; a batch arrives whole and in order") {
    Pair pair;
    for (std::uint32_t i = 0; i < 10; ++i) REQUIRE(pair.post(100 + i, i));
    EXPECT_EQ(pair.server->try_receive(64).code(), Errc::would_block);
    EXPECT(pair.client->notify());
    auto requests = pair.server->try_receive(64);
    REQUIRE(requests);
    REQUIRE(EXPECT_EQ(requests->size(), 10));
    for (std::uint32_t i = 0; i < 10; ++i) {
        EXPECT_EQ((*requests)[i].proc, 100 + i);
        EXPECT_EQ(value_of((*requests)[i].in), i);
        EXPECT(!(*requests)[i].is_call);
    }
}

CHECK_CASE(
    "notify without posts says nothing; post without begin and call without begin_call are "
    "refused") {
    Pair pair;
    EXPECT(pair.client->notify());
    EXPECT_EQ(pair.client->counters().batches, 0);
    EXPECT_EQ(pair.client->post().code(), Errc::bad_argument);
    EXPECT_EQ(pair.client->post_and_notify().code(), Errc::bad_argument);
    EXPECT_EQ(pair.client->call().code(), Errc::bad_argument);
    EXPECT_EQ(pair.client->try_reply().code(), Errc::bad_argument);
    pair.begin_call(1, 8, 8);
    EXPECT_EQ(pair.client->post().code(), Errc::bad_argument);
    EXPECT(pair.client->begin(2, 8));
    EXPECT_EQ(pair.client->call_start().code(), Errc::bad_argument);
    EXPECT(pair.client->post());
}

CHECK_CASE("receive acknowledges what the previous receive returned, nothing else does") {
    Pair pair;
    for (std::uint32_t i = 0; i < 4; ++i) REQUIRE(pair.post(1, i));
    EXPECT(pair.client->notify());
    EXPECT_EQ(pair.client->pending(), 4);
    EXPECT_EQ(pair.server->try_receive(3)->size(), 3);
    EXPECT_EQ(pair.client->pending(), 4);
    EXPECT_EQ(pair.server->try_receive(3)->size(), 1);
    EXPECT_EQ(pair.client->pending(), 1);
    EXPECT_EQ(pair.server->receive(0)->size(), 0);
    EXPECT_EQ(pair.client->pending(), 0);
    EXPECT(pair.server->acknowledge());
}

CHECK_CASE("receive 0 acknowledges and leaves what is queued for the next") {
    Pair pair;
    REQUIRE(pair.post(1, 1));
    EXPECT(pair.client->notify());
    EXPECT_EQ(pair.server->receive(0)->size(), 0);
    EXPECT_EQ(pair.server->try_receive(9)->size(), 1);
}

CHECK_CASE("a batch ends at the first call, and the call is sent with all posts before it") {
    Pair pair;
    REQUIRE(pair.post(1, 1));
    REQUIRE(pair.post(2, 2));
    pair.begin_call(3, 8, 16);
    REQUIRE(pair.client->call_start());
    REQUIRE(pair.post(4, 4));
    EXPECT(pair.client->notify());
    auto requests = pair.server->try_receive(64);
    REQUIRE(requests);
    REQUIRE(EXPECT_EQ(requests->size(), 3));
    EXPECT((*requests)[2].is_call);
    EXPECT_EQ((*requests)[2].out_bytes, 16);
    EXPECT_EQ(pair.client->try_reply().code(), Errc::would_block);
    pair.server->set_reason(-7);
    const std::uint64_t answer = 0x1122334455667788;
    std::memcpy((*requests)[2].out, &answer, 8);
    EXPECT_EQ(pair.server->try_receive(64)->size(), 1);
    auto reply = pair.client->try_reply();
    REQUIRE(reply);
    EXPECT_EQ(reply->status, -7);
    EXPECT_EQ(reply->out_bytes, 16);
    EXPECT(std::memcmp(reply->out, &answer, 8) == 0);
    EXPECT_EQ(value_of(reply->out + 8), 0);
}

CHECK_CASE("the reason is 0 unless set, and 0 again after an answer") {
    Pair pair;
    for (const std::int32_t reason : {5, 0, -2147483647 - 1, 0}) {
        pair.begin_call(1, 0, 0);
        REQUIRE(pair.client->call_start());
        EXPECT_EQ(pair.server->try_receive(1)->size(), 1);
        if (reason != 0) pair.server->set_reason(reason);
        EXPECT(pair.server->acknowledge());
        auto reply = pair.client->try_reply();
        REQUIRE(reply);
        EXPECT_EQ(reply->status, reason);
    }
}

CHECK_CASE("one call at a time") {
    Pair pair;
    pair.begin_call(1, 0, 0);
    REQUIRE(pair.client->call_start());
    EXPECT_EQ(pair.client->begin_call(1, 0, 0).code(), Errc::busy);
    EXPECT_EQ(pair.client->try_begin_call(1, 0, 0).code(), Errc::busy);
}

CHECK_CASE(
    "a block that is too long says how long it may be, whether posted or called, and harms "
    "nothing") {
    Pair pair;
    const std::uint32_t most = pair.client->block_max();
    EXPECT_EQ(most, rpq::port_block_max(4096));
    auto refused = pair.client->begin(1, most + 1);
    EXPECT_EQ(refused.code(), Errc::too_long);
    EXPECT(refused.error().text().find(std::to_string(most)) != std::string::npos);
    EXPECT(refused.error().text().find(std::to_string(most + 1)) != std::string::npos);
    EXPECT_EQ(pair.client->begin_call(1, 8, most).code(), Errc::too_long);
    EXPECT_EQ(pair.client->begin_call(1, 0xffffffff, 0xffffffff).code(), Errc::too_long);
    for (int i = 0; i < 20; ++i) {
        REQUIRE(pair.post(1, 1, most));
        REQUIRE(pair.client->notify());
        REQUIRE(EXPECT_EQ(pair.server->try_receive(1)->size(), 1));
    }
}

CHECK_CASE(
    "a full ring publishes by itself, says would_block, and goes on once the server acknowledged") {
    Pair pair;
    std::uint32_t posted = 0;
    while (pair.post(1, posted)) ++posted;
    EXPECT(posted > 50);
    EXPECT_EQ(pair.client->counters().full_events, 1);
    EXPECT_EQ(pair.client->counters().posts, posted);
    EXPECT_EQ(pair.post(1, 0).code(), Errc::would_block);
    auto requests = pair.server->try_receive(256);
    REQUIRE(EXPECT_EQ(requests->size(), posted));
    EXPECT_EQ(pair.post(1, 0).code(), Errc::would_block);
    EXPECT(pair.server->acknowledge());
    EXPECT(pair.post(1, 0));
    EXPECT_EQ(pair.server->counters().ring_peak, posted);
}

CHECK_CASE("max_requests bounds what is posted, however much room there is") {
    Pair pair({.max_requests = 3});
    for (std::uint32_t i = 0; i < 3; ++i) REQUIRE(pair.post(1, i));
    EXPECT_EQ(pair.post(1, 3).code(), Errc::would_block);
    EXPECT_EQ(pair.server->try_receive(1)->size(), 1);
    EXPECT_EQ(pair.post(1, 3).code(), Errc::would_block);
    EXPECT(pair.server->acknowledge());
    EXPECT(pair.post(1, 3));
    EXPECT_EQ(pair.post(1, 4).code(), Errc::would_block);
}

CHECK_CASE("a batch sends exactly one XIRQ to a server that sleeps, none to one that is awake") {
    Pair pair;
    BellWords& bell = pair.server->bell();
    for (std::uint64_t batch = 1; batch <= 20; ++batch) {
        bell_arm(bell, kBellFutex);
        for (std::uint32_t i = 0; i < 3; ++i) REQUIRE(pair.post(1, i));
        REQUIRE(pair.client->notify());
        EXPECT_EQ(pair.client->counters().xirqs, batch);
        REQUIRE(pair.post(1, 9));
        REQUIRE(pair.client->notify());  // it has been rung and has not gone to sleep again
        EXPECT_EQ(pair.client->counters().xirqs, batch);
        EXPECT_EQ(pair.server->try_receive(9)->size(), 4);
    }
    EXPECT_EQ(pair.client->counters().batches, 40);
}

CHECK_CASE("each parameter block is copied once, into the port, and never again") {
    Pair pair({.journal = true});
    for (std::uint32_t i = 0; i < 30; ++i) {
        REQUIRE(pair.post(1, i, 24));
        if (i % 10 != 9) continue;
        pair.begin_call(2, 16, 48);
        REQUIRE(pair.client->call_start());
        while (auto requests = pair.server->try_receive(4)) {
            for (const Request& request : *requests)
                EXPECT(request.in >= pair.server->window() &&
                       request.in < pair.server->window() + pair.server->window_bytes());
        }
        EXPECT(pair.client->try_reply());
    }
    const ChannelCounters& client = pair.client->counters();
    const ChannelCounters& server = pair.server->counters();
    EXPECT_EQ(server.requests, 33);
    EXPECT_EQ(client.copies + server.copies, server.requests);
    EXPECT_EQ(client.copied_bytes, 30 * 24 + 3 * 16);
    EXPECT_EQ(client.posts, 30);
    EXPECT_EQ(client.calls, 3);
    EXPECT_EQ(client.latency_count, 3);
    REQUIRE(pair.client->begin(3, 0));
    EXPECT(pair.client->post_and_notify());
    EXPECT_EQ(client.posts, 31);
    EXPECT_EQ(client.copies, 33);
}

CHECK_CASE("the journal tells notify, receive, call and reply, and nothing when it is off") {
    Pair pair({.journal = true});
    const auto count = [&](Event event) {
        std::size_t found = 0;
        for (const Record& record : Scope::read(pair.scope_memory))
            if (record.event == static_cast<std::uint16_t>(event)) ++found;
        return found;
    };
    const auto round = [&] {
        REQUIRE(pair.post(1, 1));
        pair.begin_call(2, 8, 8);
        REQUIRE(pair.client->call_start());
        REQUIRE(pair.server->try_receive(4));
        REQUIRE(pair.server->acknowledge());
        REQUIRE(pair.client->try_reply());
    };
    round();
    for (const Event event : {Event::notify, Event::receive, Event::call, Event::reply})
        EXPECT_EQ(count(event), 1);
    pair.scope->enable(false);
    round();
    EXPECT_EQ(Scope::read(pair.scope_memory).size(), 4);
}

CHECK_CASE(
    "bytes that nobody wrote are zero: the rounding of a block, and the room for an answer") {
    Pair pair;
    std::memset(pair.ring(), 0xee, 512);
    for (std::uint32_t size = 1; size <= 16; ++size) {
        auto block = pair.client->begin(1, size);
        REQUIRE(block);
        std::memset(*block, 0xaa, size);
        for (std::uint32_t i = size; i % 8 != 0; ++i) EXPECT((*block)[i] == std::byte{0});
        REQUIRE(pair.client->post());
    }
    pair.begin_call(1, 8, 21);
    REQUIRE(pair.client->call_start());
    auto requests = pair.server->try_receive(64);
    REQUIRE(requests);
    for (std::uint32_t i = 0; i < 24; ++i) EXPECT(requests->back().out[i] == std::byte{0});
}

CHECK_CASE("calls that timed out while they are handled are dropped, and the next gets its own") {
    Pair pair;
    for (std::uint32_t i = 1; i <= 3; ++i) {
        pair.begin_call(i, 0, 8);
        REQUIRE(pair.client->call_start());
        auto requests = pair.server->try_receive(1);
        REQUIRE(requests);
        EXPECT_EQ((*requests)[0].proc, i);
        std::memcpy((*requests)[0].out, &i, 4);
        pair.server->set_reason(static_cast<std::int32_t>(i));
        pair.client->set_timeout(0);
        EXPECT_EQ((i == 1 ? pair.client->call() : pair.client->call(pair.runtime.in(0))).code(),
                  Errc::timed_out);
    }
    pair.begin_call(4, 0, 8);
    REQUIRE(pair.client->call_start());
    auto requests = pair.server->try_receive(1);  // the late answer of the third
    REQUIRE(requests);
    EXPECT_EQ(pair.client->try_reply().code(), Errc::would_block);
    const std::uint32_t four = 4;
    std::memcpy((*requests)[0].out, &four, 4);
    pair.server->set_reason(4);
    REQUIRE(pair.server->acknowledge());
    auto reply = pair.client->try_reply();
    REQUIRE(reply);
    EXPECT_EQ(reply->status, 4);
    EXPECT_EQ(value_of(reply->out), 4);
}

CHECK_CASE("deadlines end waits of both ends, and a later attempt goes on as if nothing had been") {
    Pair pair({.max_requests = 1});
    EXPECT_EQ(pair.server->receive(1, pair.runtime.in(1000)).code(), Errc::timed_out);
    REQUIRE(pair.post(1, 1));
    auto full = pair.client->begin(1, 8, pair.runtime.in(1000));
    EXPECT_EQ(full.code(), Errc::timed_out);
    EXPECT_EQ(pair.server->receive(1, Deadline::never())->size(), 1);
    REQUIRE(pair.server->acknowledge());
    EXPECT(pair.client->begin(1, 8, Deadline::never()));
}

CHECK_CASE("a port of another version, an odd size or address is refused") {
    Pair pair;
    auto context = pair.context(Role::client);
    context.port_bytes = rpq::port_bytes_min() - 1;
    EXPECT_EQ(ClientChannel::make(context).code(), Errc::bad_argument);
    context = pair.context(Role::client);
    context.port += 8;
    EXPECT_EQ(ClientChannel::make(context).code(), Errc::bad_argument);
    pair.word<std::uint32_t>(4).store(99);
    EXPECT_EQ(ServerChannel::make(pair.context(Role::server)).code(), Errc::version);
}

CHECK_CASE("every port size gives a ring that lies inside it, in front of the callback region") {
    for (std::size_t bytes = rpq::port_bytes_min(); bytes < 3'000'000; bytes += 1 + bytes / 7) {
        const rpq::PortLayout layout = rpq::port_layout(bytes);
        EXPECT(rpq::kRingAt + layout.ring_bytes <= layout.callback_at);
        EXPECT(layout.callback_at + layout.callback_bytes <= bytes);
        EXPECT_EQ(layout.ring_bytes % 64, 0);
        EXPECT(rpq::port_layout(static_cast<std::size_t>(rpq::port_bytes_for(bytes))).ring_bytes >=
               bytes);
    }
}
