// Callbacks and what belongs to them when the other end writes whatever it likes, and deaths at
// every step of a nest.

#include <random>

#include "ring/rpq_pair.hpp"

using namespace test;
using rpq::Drop;
using rpq::RequestView;

namespace {

constexpr std::uint32_t kHostile[] = {
    0, 1, 7, 8, 16, 4096, 0x7fffffff, 0x80000000, 0xfffffff8, 0xffffffff, 0xdeadbeef};

std::byte* callback_ring(Pair& pair) {
    return pair.memory.data() + rpq::port_layout(pair.bytes).callback_at;
}

Status emit(Pair& pair, std::uint32_t proc, Drop drop = Drop::refuse, std::uint32_t keep = 0) {
    std::byte* block = HYPLINK_TRY(pair.server->callback_begin(proc, 8, drop, keep));
    std::memset(block, 0x11, 8);
    return pair.server->callback_post();
}

/// A synchronous callback under way.
void ask(Pair& pair) {
    REQUIRE(pair.server->callback_begin_call(4, 8, 8));
    EXPECT_EQ(pair.server->callback_call(pair.runtime.in(0)).code(), Errc::timed_out);
    REQUIRE(pair.server->callback_begin_call(4, 8, 8));
}

bool inside(Pair& pair, const std::byte* at, std::uint64_t bytes) {
    const rpq::PortLayout layout = rpq::port_layout(pair.bytes);
    const std::byte* const ring = callback_ring(pair);
    return at >= ring && at + bytes <= ring + layout.callback_bytes;
}

}  // namespace

CHECK_CASE(
    "a server that publishes impossible callbacks makes the channel corrupt for the client") {
    for (const std::uint32_t bytes : kHostile)
        for (const std::uint32_t records : kHostile) {
            Pair pair;
            pair.client->on_callback([](const RequestView&) { return 0; });
            if (bytes == 0 && records == 0) continue;
            pair.word<std::uint64_t>(rpq::kCallbackHeadAt)
                .store(rings::Progress{bytes, records}.pack());
            auto handled = pair.client->try_handle_callbacks();
            // 16 bytes and one record are honest, but the ring holds none.
            REQUIRE(EXPECT_EQ(handled.code(), Errc::corrupt));
            EXPECT(handled.error().text().find("vogl0") != std::string::npos);
            EXPECT_EQ(pair.client->begin(1, 8).code(), Errc::corrupt);
            EXPECT_EQ(pair.client->handle_callbacks().code(), Errc::corrupt);
        }
}

CHECK_CASE("every field of a callback's header is checked, and a nested kind has no place there") {
    for (int field = 0; field < 4; ++field)
        for (const std::uint32_t value : kHostile) {
            Pair pair;
            pair.client->on_callback([&](const RequestView& callback) {
                EXPECT(inside(pair, callback.in, callback.in_bytes));
                EXPECT(inside(pair, callback.out, callback.out_bytes));
                return 0;
            });
            REQUIRE(emit(pair, 1));
            std::memcpy(callback_ring(pair) + 4 * field, &value, 4);
            const bool good = field == 0 ||
                              (field == 1 && (value == 1 || value == 7 || value == 8)) ||
                              (field == 2 && value == 0) || (field == 3 && value == 1);
            const Errc code = pair.client->try_handle_callbacks().code();
            // A block of nothing leaves bytes behind that are no record.
            if (field == 1 && value == 0) continue;
            EXPECT_EQ(code, good ? Errc::ok : Errc::corrupt);
        }
    Pair pair;
    REQUIRE(emit(pair, 1));
    const std::uint32_t nested = rings::kRecordNested;
    std::memcpy(callback_ring(pair) + 12, &nested, 4);
    EXPECT_EQ(pair.client->try_handle_callbacks().code(), Errc::corrupt);
}

CHECK_CASE("garbage in the middle of a call's wait ends the call, not the program") {
    Pair pair;
    pair.client->on_callback([](const RequestView&) { return 0; });
    REQUIRE(pair.client->begin_call(1, 8, 8));
    REQUIRE(pair.client->call_start());
    pair.word<std::uint64_t>(rpq::kCallbackHeadAt).store(0xffffffff00000008);
    EXPECT_EQ(pair.client->call(Deadline::never()).code(), Errc::corrupt);
}

CHECK_CASE("a client that releases what was never sent makes the channel corrupt for the server") {
    for (const std::uint32_t bytes : kHostile)
        for (const std::uint32_t records : kHostile) {
            if (bytes == 0 && records == 0) continue;
            Pair pair;
            pair.word<std::uint64_t>(rpq::kCallbackTailAt)
                .store(rings::Progress{bytes, records}.pack());
            Status sent = emit(pair, 1);
            for (int i = 0; sent && i < 200; ++i) sent = emit(pair, 1);
            REQUIRE(EXPECT_EQ(sent.code(), Errc::corrupt));
            EXPECT(sent.error().text().find("released") != std::string::npos);
            EXPECT_EQ(pair.server->try_receive(1).code(), Errc::corrupt);
            EXPECT_EQ(pair.server->callback_begin_call(1, 8, 8).code(), Errc::corrupt);
            EXPECT_EQ(pair.client->handle_callbacks().code(), Errc::corrupt);  // it is told
        }
}

CHECK_CASE("a client that answers what was not asked makes the channel corrupt for the server") {
    for (const std::uint32_t number : kHostile) {
        Pair pair;
        ask(pair);
        pair.word<std::uint64_t>(rpq::kCallbackReplyAt).store(std::uint64_t{77} << 32 | number);
        auto reply = pair.server->callback_call(pair.runtime.in(1000));
        const Errc expected = number == 0   ? Errc::timed_out
                              : number == 1 ? Errc::timed_out  // late, of the one given up
                                            : Errc::corrupt;
        EXPECT_EQ(reply.code(), expected);
    }
    Pair pair;
    ask(pair);
    pair.word<std::uint64_t>(rpq::kCallbackReplyAt).store(std::uint64_t{77} << 32 | 2);
    auto reply = pair.server->callback_call(Deadline::never());
    REQUIRE(reply);
    EXPECT_EQ(reply->status, 77);
    EXPECT_EQ(reply->out_bytes, 8);
    EXPECT(inside(pair, reply->out, reply->out_bytes));
}

CHECK_CASE("the answer's place is what was asked for, whatever the client does to the record") {
    Pair pair;
    ask(pair);
    std::memset(callback_ring(pair), 0xff, 64);
    pair.word<std::uint64_t>(rpq::kCallbackReplyAt).store(2);
    auto reply = pair.server->callback_call(Deadline::never());
    REQUIRE(reply);
    EXPECT_EQ(reply->out_bytes, 8);
    EXPECT(inside(pair, reply->out, 8));
}

CHECK_CASE("requests that break a rule while the server waits for a callback end both waits") {
    Pair pair;
    ask(pair);
    pair.publish_as_client({8, 1});
    EXPECT_EQ(pair.server->callback_call(Deadline::never()).code(), Errc::corrupt);
    EXPECT_EQ(pair.server->try_receive(1).code(), Errc::corrupt);
    EXPECT(pair.client->handle_callbacks());  // what had been sent before
    EXPECT_EQ(pair.client->handle_callbacks().code(), Errc::corrupt);
}

CHECK_CASE("a dispatcher may give the channel up: the wait ends with what it said") {
    Pair pair;
    pair.server->on_nested([&](const Request&) {
        pair.server->fail(Error::make(Errc::corrupt, "D7, offset 4"));
        return 0;
    });
    ask(pair);
    pair.header(0, {60, 0, 0, rings::kRecordNested});
    pair.publish_as_client({16, 1});
    auto reply = pair.server->callback_call(Deadline::never());
    EXPECT_EQ(reply.code(), Errc::corrupt);
    EXPECT(reply.error().text().find("offset 4") != std::string::npos);
}

CHECK_CASE("a client that only ever sends nested calls keeps no server from its time limit") {
    Pair pair({.bytes = 16384});
    std::uint32_t served = 0;
    pair.server->on_nested([&](const Request&) {
        ++served;
        // The next one is there before this one is answered.
        pair.header(16 * served, {60, 0, 0, rings::kRecordNested});
        pair.publish_as_client({16 * (served + 1), served + 1});
        bell_ring(pair.server->bell());
        return 0;
    });
    REQUIRE(pair.server->callback_begin_call(4, 8, 8));
    pair.header(0, {60, 0, 0, rings::kRecordNested});
    pair.publish_as_client({16, 1});
    bell_ring(pair.server->bell());
    const Errc code = pair.server->callback_call(pair.runtime.in(20'000)).code();
    EXPECT(code == Errc::timed_out || code == Errc::corrupt);
    EXPECT(served > 0);
}

CHECK_CASE("a server that only ever sends callbacks keeps no client from its time limit") {
    Pair pair;
    pair.client->on_callback([&](const RequestView&) { return emit(pair, 1) ? 0 : 1; });
    REQUIRE(emit(pair, 1));
    REQUIRE(pair.client->begin_call(1, 8, 8));
    EXPECT_EQ(pair.client->call(pair.runtime.in(1'000'000)).code(), Errc::timed_out);
}

CHECK_CASE("words of the refusal may hold anything: they are only ever shown") {
    std::mt19937_64 random(3);
    for (int i = 0; i < 200; ++i) {
        Pair pair;
        pair.word<std::uint64_t>(rpq::kRefusalAt).store(random());
        pair.word<std::uint64_t>(rpq::kRefusalAt + 8).store(i % 3 == 0 ? 0 : random());
        pair.word<std::uint32_t>(rpq::kFaultAt).store(EPROTONOSUPPORT);
        auto handled = pair.client->handle_callbacks();
        EXPECT_EQ(handled.code(), Errc::version);
        EXPECT(handled.error().text().size() < 200);
    }
}

CHECK_CASE("random bytes over the callback words and ring: an error or data, never outside") {
    for (std::uint32_t seed = 1; seed <= 2000; ++seed) {
        std::mt19937 random(seed);
        Pair pair;
        const std::uint32_t ring = rpq::port_layout(pair.bytes).callback_at;
        pair.client->on_callback([&](const RequestView& callback) {
            EXPECT(inside(pair, callback.in, callback.in_bytes));
            EXPECT(inside(pair, callback.out, callback.out_bytes));
            static_cast<void>(pair.post(1, 1));
            static_cast<void>(pair.client->notify());
            return 0;
        });
        pair.server->on_nested([](const Request&) { return 0; });
        static_cast<void>(emit(pair, 1));
        for (int i = 0; i < 8; ++i) {
            const std::size_t at = random() % 2 == 0 ? rpq::kCallbackHeadAt + random() % 20 * 4
                                                     : ring + random() % 40 * 4;
            pair.word<std::uint32_t>(at).store(kHostile[random() % std::size(kHostile)]);
            static_cast<void>(emit(pair, 2, Drop::oldest, 3));
            if (pair.server->callback_begin_call(3, 8, 8, Deadline{0}))
                static_cast<void>(pair.server->callback_call(Deadline{0}));
            static_cast<void>(pair.client->try_handle_callbacks());
            static_cast<void>(pair.server->try_receive(8));
        }
    }
}

// ---- deaths

CHECK_CASE("the end of either side at every step of a nest ends every wait with EPIPE") {
    enum Step { in_call, in_callback, in_nested };
    for (const Step step : {in_call, in_callback, in_nested})
        for (const Role survivor : {Role::client, Role::server})
            for (const ChannelState how : {ChannelState::dead, ChannelState::peer_closed}) {
                Pair pair;
                const auto strike = [&](Step now) {
                    // The struck side hears it as its own end; neither may hang.
                    if (now != step) return;
                    pair.set(survivor, how);
                    pair.set(survivor == Role::client ? Role::server : Role::client,
                             ChannelState::closed);
                };
                pair.client->on_callback([&](const RequestView&) {
                    strike(in_callback);
                    if (auto block = pair.client->begin_call(60, 8, 8); !block) return 1;
                    return pair.client->call(Deadline::never()) ? 0 : 1;
                });
                pair.server->on_nested([&](const Request&) {
                    strike(in_nested);
                    return 0;
                });
                std::thread server([&] {
                    auto requests = pair.server->receive(1, Deadline::never());
                    EXPECT(requests);
                    strike(in_call);
                    if (!pair.server->callback_begin_call(4, 8, 8)) return;
                    const Errc code = pair.server->callback_call(Deadline::never()).code();
                    EXPECT(code == Errc::peer_dead || code == Errc::closed ||
                           code == Errc::cancelled || code == Errc::ok);
                });
                REQUIRE(pair.client->begin_call(1, 8, 8));
                const Errc code = pair.client->call(Deadline::never()).code();
                EXPECT(code == Errc::peer_dead || code == Errc::closed || code == Errc::cancelled);
                server.join();
            }
}

CHECK_CASE(
    "SIGKILL of the client anywhere among nested callbacks: the server gets EPIPE, no hang") {
    std::mt19937 random(13);
    for (int round = 0; round < 60; ++round) {
        Pair pair({.spin = round % 2 == 0 ? 0 : 20'000});
        Child client([&] {
            pair.client->on_callback([&](const RequestView&) {
                if (pair.client->begin_call(60, 8, 8)) static_cast<void>(pair.client->call());
                return 0;
            });
            while (pair.client->begin_call(1, 8, 8) && pair.client->call()) {
            }
        });
        pair.server->on_nested([](const Request&) { return 0; });
        const auto until = static_cast<int>(random() % 200);
        Errc code = Errc::ok;
        for (int i = 0; code == Errc::ok; ++i) {
            if (i == until) {
                client.kill();
                pair.set(Role::server, ChannelState::dead);
            }
            code = pair.server->receive(1, Deadline::never()).code();
            if (code != Errc::ok) break;
            code = pair.server->callback_begin_call(4, 8, 8).code();
            if (code == Errc::ok) code = pair.server->callback_call(Deadline::never()).code();
        }
        EXPECT_EQ(code, Errc::peer_dead);
    }
}
