// Waiting, waking and dying: two threads, two processes, event loops, signals.

#include <poll.h>
#include <pthread.h>

#include <random>

#include "ring/rpq_pair.hpp"

using namespace test;

namespace {

bool readable(int fd, int timeout = 0) {
    struct pollfd entry{fd, POLLIN, 0};
    return ::poll(&entry, 1, timeout) == 1;
}

/// Post numbered requests of changing size for ever, a call now and then, until an error comes.
Error stream(Pair& pair, std::uint32_t count) {
    std::mt19937 random(count);
    for (std::uint32_t i = 0; i < count; ++i) {
        const auto in = 4 + static_cast<std::uint32_t>(random() % 60);
        if (i % 50 == 49) {
            std::byte* block = HYPLINK_TRY(pair.client->begin_call(i, in, 8));
            std::memset(block, 0, in);
            std::memcpy(block, &i, 4);
            const rpq::ReplyView reply = HYPLINK_TRY(pair.client->call());
            if (value_of(reply.out) != i || reply.status != static_cast<std::int32_t>(i))
                return Error(Errc::internal);
            continue;
        }
        std::byte* block = HYPLINK_TRY(pair.client->begin(i, in));
        std::memset(block, 0, in);
        std::memcpy(block, &i, 4);
        HYPLINK_TRY(pair.client->post());
        if (random() % 7 == 0) HYPLINK_TRY(pair.client->notify());
    }
    HYPLINK_TRY(pair.client->notify());
    return Error();
}

Error serve(Pair& pair, std::uint32_t count) {
    for (std::uint32_t next = 0; next < count;) {
        const auto requests = HYPLINK_TRY(pair.server->receive(1 + next % 70, Deadline::never()));
        for (const Request& request : requests) {
            if (request.proc != next || value_of(request.in) != next) return Error(Errc::internal);
            if (request.is_call) {
                std::memcpy(request.out, &next, 4);
                pair.server->set_reason(static_cast<std::int32_t>(next));
            }
            ++next;
        }
    }
    return HYPLINK_TRY(pair.server->acknowledge()), Error();
}

}  // namespace

CHECK_CASE(
    "two threads: everything arrives once and in order, spinning or sleeping, whatever the quota") {
    for (const std::int64_t spin : {0, 30'000})
        for (const std::uint32_t quota : {0U, 1U, 7U}) {
            Pair pair({.max_requests = quota, .spin = spin});
            Error served;
            std::thread server([&] { served = serve(pair, 20'000); });
            const Error sent = stream(pair, 20'000);
            EXPECT_EQ(sent.text(), "ok");
            if (sent.code() != Errc::ok) pair.set(Role::server, ChannelState::dead);
            server.join();
            EXPECT_EQ(served.text(), "ok");
            EXPECT_EQ(pair.client->pending(), 0);
        }
}

CHECK_CASE("two processes: the same, and the indexes wrap at 2^32 on the way") {
    Pair pair({.bytes = 8 << 20});
    Child server([&] {
        for (std::uint32_t next = 0; next < 2000;) {
            auto requests = pair.server->receive(64, Deadline::never());
            if (!requests) ::_exit(2);
            for (const Request& request : *requests)
                if (request.proc != next++ || value_of(request.in) != request.proc) ::_exit(3);
        }
        if (!pair.server->acknowledge()) ::_exit(4);
    });
    const std::uint32_t size = pair.client->block_max() / 2;  // 2000 times more than 2 MiB
    EXPECT(std::uint64_t{size} * 2000 > 0xf0000000);
    for (std::uint32_t i = 0; i < 2000; ++i) {
        auto block = pair.client->begin(i, i % 2 == 0 ? size + 300'000 : size);
        REQUIRE(block);
        std::memcpy(*block, &i, 4);
        REQUIRE(pair.client->post());
        if (i % 2 == 1) REQUIRE(pair.client->notify());
    }
    EXPECT_EQ(server.wait(), 0);
    EXPECT_EQ(pair.client->pending(), 0);
}

CHECK_CASE("a closed client: what it published is delivered, then EPIPE") {
    Pair pair;
    for (std::uint32_t i = 0; i < 5; ++i) REQUIRE(pair.post(1, i));
    REQUIRE(pair.client->notify());
    REQUIRE(pair.post(1, 99));  // never published
    pair.set(Role::server, ChannelState::peer_closed);
    EXPECT_EQ(pair.server->receive(3, Deadline::never())->size(), 3);
    EXPECT_EQ(pair.server->receive(3, Deadline::never())->size(), 2);
    EXPECT_EQ(pair.server->receive(3, Deadline::never()).code(), Errc::peer_dead);
    EXPECT_EQ(pair.server->try_receive(3).code(), Errc::peer_dead);
}

CHECK_CASE("a dead client: EPIPE at once, nothing queued is delivered any more") {
    Pair pair({.journal = true});
    for (std::uint32_t i = 0; i < 5; ++i) REQUIRE(pair.post(1, i));
    REQUIRE(pair.client->notify());
    REQUIRE(pair.server->try_receive(2));
    pair.set(Role::server, ChannelState::dead);
    EXPECT_EQ(pair.server->receive(3, Deadline::never()).code(), Errc::peer_dead);
    EXPECT_EQ(pair.server->acknowledge().code(), Errc::peer_dead);
}

CHECK_CASE(
    "a dead server: EPIPE at once for every operation, with the number of requests that are in "
    "doubt") {
    Pair pair({.journal = true});
    for (std::uint32_t i = 0; i < 5; ++i) REQUIRE(pair.post(1, i));
    REQUIRE(pair.client->notify());
    REQUIRE(pair.server->try_receive(2));
    REQUIRE(pair.server->acknowledge());
    pair.begin_call(2, 8, 8);
    REQUIRE(pair.client->call_start());
    pair.set(Role::client, ChannelState::dead);
    auto reply = pair.client->call(Deadline::never());
    EXPECT_EQ(reply.code(), Errc::peer_dead);
    EXPECT_EQ(reply.error().pending(), 4);
    EXPECT(reply.error().text().find("4 requests pending") != std::string::npos);
    EXPECT_EQ(pair.client->begin(1, 8).code(), Errc::peer_dead);
    EXPECT_EQ(pair.client->begin_call(1, 8, 8).code(), Errc::peer_dead);
    EXPECT_EQ(pair.client->notify().code(), Errc::peer_dead);
    EXPECT_EQ(pair.client->post().code(), Errc::peer_dead);
    EXPECT_EQ(pair.client->counters().lost, 4);
    std::size_t deaths = 0;
    for (const Record& record : Scope::read(pair.scope_memory))
        if (record.event == static_cast<std::uint16_t>(Event::peer_death)) ++deaths;
    EXPECT_EQ(deaths, 1);
}

CHECK_CASE(
    "a server that closed after it answered is still heard; one that closed before is not waited "
    "for") {
    Pair pair;
    pair.begin_call(1, 0, 8);
    REQUIRE(pair.client->call_start());
    REQUIRE(pair.server->try_receive(1));
    REQUIRE(pair.server->acknowledge());
    pair.set(Role::client, ChannelState::peer_closed);
    EXPECT(pair.client->call());
    EXPECT_EQ(pair.client->begin(1, 8).code(), Errc::peer_dead);
    Pair other;
    other.begin_call(1, 0, 8);
    REQUIRE(other.client->call_start());
    other.set(Role::client, ChannelState::peer_closed);
    EXPECT_EQ(other.client->call().code(), Errc::peer_dead);
}

CHECK_CASE("closing one's own end: later use says closed, a waiting thread is cancelled") {
    Pair pair;
    Errc waited = Errc::ok;
    std::thread waiter([&] { waited = pair.server->receive(1, Deadline::never()).code(); });
    while (pair.server->bell().armed.load() != kBellFutex) std::this_thread::yield();
    pair.set(Role::server, ChannelState::closed);
    waiter.join();
    EXPECT_EQ(waited, Errc::cancelled);
    EXPECT_EQ(pair.server->receive(1, Deadline::never()).code(), Errc::closed);
    pair.set(Role::client, ChannelState::closed);
    EXPECT_EQ(pair.client->begin(1, 8).code(), Errc::closed);
}

CHECK_CASE("a signal interrupts begin, call and receive, and calling again goes on where it was") {
    struct sigaction action{};
    struct sigaction before{};
    action.sa_handler = [](int) {};
    ::sigaction(SIGUSR1, &action, &before);
    Pair pair({.max_requests = 1});
    const auto interrupted = [](auto&& operation) {
        std::atomic<bool> done{false};
        Errc code = Errc::ok;
        std::thread thread([&] {
            code = operation();
            done.store(true);
        });
        while (!done.load()) {
            ::pthread_kill(thread.native_handle(), SIGUSR1);
            std::this_thread::yield();
        }
        thread.join();
        return code;
    };
    EXPECT_EQ(interrupted([&] { return pair.server->receive(1, Deadline::never()).code(); }),
              Errc::interrupted);
    REQUIRE(pair.post(1, 1));
    EXPECT_EQ(interrupted([&] { return pair.client->begin(2, 8).code(); }), Errc::interrupted);
    EXPECT_EQ(pair.server->receive(1, Deadline::never())->size(), 1);
    REQUIRE(pair.server->acknowledge());
    pair.begin_call(2, 8, 8);
    EXPECT_EQ(interrupted([&] { return pair.client->call().code(); }), Errc::interrupted);
    EXPECT_EQ(interrupted([&] { return pair.client->call().code(); }), Errc::interrupted);
    auto requests = pair.server->receive(4, Deadline::never());
    EXPECT_EQ(requests->size(), 1);  // sent once
    REQUIRE(pair.server->acknowledge());
    EXPECT(pair.client->call());
    EXPECT_EQ(pair.server->try_receive(4).code(), Errc::would_block);
    ::sigaction(SIGUSR1, &before, nullptr);
}

CHECK_CASE(
    "an event loop: readable when something came, not readable after, no ring lost before it "
    "arms") {
    Pair pair({.descriptors = true});
    const int server = *pair.server->fileno();
    const int client = *pair.client->fileno();
    EXPECT_EQ(pair.server->try_receive(1).code(), Errc::would_block);
    pair.server->fd_rearm();
    EXPECT(!readable(server));
    REQUIRE(pair.post(1, 1));
    EXPECT(!readable(server));
    REQUIRE(pair.client->notify());
    EXPECT(readable(server));
    EXPECT_EQ(pair.client->counters().xirqs, 1);
    EXPECT_EQ(pair.server->try_receive(8)->size(), 1);
    pair.begin_call(2, 0, 0);
    REQUIRE(pair.client->call_start());  // between the look and the arming
    EXPECT_EQ(pair.client->counters().xirqs, 1);
    pair.server->fd_rearm();
    EXPECT(readable(server));
    EXPECT_EQ(pair.client->try_reply().code(), Errc::would_block);
    pair.client->fd_rearm();
    EXPECT(!readable(client));
    EXPECT_EQ(pair.server->try_receive(8)->size(), 1);
    REQUIRE(pair.server->acknowledge());
    EXPECT(readable(client));
    EXPECT(pair.client->try_reply());
    pair.server->fd_rearm();
    EXPECT_EQ(pair.server->receive(1, pair.runtime.in(1000)).code(), Errc::timed_out);
    REQUIRE(pair.post(1, 1));
    REQUIRE(pair.client->notify());
    EXPECT(readable(server));  // a blocking wait gives the loop its bell back
    Pair bare;
    EXPECT_EQ(bare.server->fileno().code(), Errc::unsupported);
}

CHECK_CASE("an event loop that waits for room is told when there is some") {
    Pair pair({.max_requests = 1, .descriptors = true});
    const int client = *pair.client->fileno();
    REQUIRE(pair.post(1, 1));
    EXPECT_EQ(pair.client->try_begin(1, 8).code(), Errc::would_block);
    pair.client->fd_rearm();
    EXPECT(!readable(client));
    EXPECT_EQ(pair.server->try_receive(1)->size(), 1);
    EXPECT_EQ(pair.server->try_receive(1).code(), Errc::would_block);
    EXPECT(readable(client));
    EXPECT(pair.client->try_begin(1, 8));
}

CHECK_CASE("acknowledging alone tells a client that waits for room") {
    Pair pair({.max_requests = 1, .descriptors = true});
    const int client = *pair.client->fileno();
    REQUIRE(pair.post(1, 1));
    REQUIRE(pair.client->notify());
    EXPECT_EQ(pair.server->try_receive(1)->size(), 1);
    EXPECT_EQ(pair.client->try_begin(1, 8).code(), Errc::would_block);
    pair.client->fd_rearm();
    EXPECT(!readable(client));
    EXPECT(pair.server->acknowledge());
    EXPECT(readable(client));
    pair.client->fd_rearm();
    REQUIRE(pair.post(1, 1));
    EXPECT_EQ(pair.client->try_begin(1, 8).code(), Errc::would_block);
    EXPECT_EQ(pair.server->try_receive(1)->size(), 1);
    EXPECT_EQ(pair.client->try_begin(1, 8).code(), Errc::would_block);
    pair.client->fd_rearm();
    EXPECT(!readable(client));
    EXPECT_EQ(pair.server->receive(0)->size(), 0);
    EXPECT(readable(client));
}

CHECK_CASE(
    "SIGKILL of the client anywhere in mid-stream: the server gets whole requests, then EPIPE") {
    std::mt19937 random(11);
    for (int round = 0; round < 150; ++round) {
        Pair pair({.spin = round % 2 == 0 ? 0 : 20'000});
        Child client([&] { static_cast<void>(stream(pair, 0x7fffffff)); });
        std::uint32_t next = 0;
        const auto until = static_cast<std::uint32_t>(random() % 3000);
        bool killed = false;
        for (;;) {
            auto requests = pair.server->receive(1 + next % 64, Deadline::never());
            if (!requests) {
                EXPECT_EQ(requests.code(), Errc::peer_dead);
                break;
            }
            for (const Request& request : *requests) {
                REQUIRE(EXPECT_EQ(request.proc, next));
                REQUIRE(EXPECT_EQ(value_of(request.in), next));
                if (request.is_call) {
                    std::memcpy(request.out, &next, 4);
                    pair.server->set_reason(static_cast<std::int32_t>(next));
                }
                ++next;
            }
            if (next < until || killed) continue;
            killed = true;
            client.kill();
            pair.set(Role::server, round % 3 == 0 ? ChannelState::dead : ChannelState::peer_closed);
        }
    }
}

CHECK_CASE(
    "SIGKILL of the server anywhere in mid-stream: the client gets EPIPE, not a hang, pending in "
    "bounds") {
    std::mt19937 random(12);
    for (int round = 0; round < 150; ++round) {
        Pair pair({.max_requests = 40, .spin = round % 2 == 0 ? 0 : 20'000});
        Child server([&] { static_cast<void>(serve(pair, 0x7fffffff)); });
        const auto until = static_cast<std::uint64_t>(random() % 3000);
        std::thread killer([&] {
            while (rings::Progress::unpack(pair.word<std::uint64_t>(rpq::kTailAt).load()).records <
                   until)
                std::this_thread::yield();
            server.kill();
            pair.set(Role::client, ChannelState::dead);
        });
        const Error error = stream(pair, 0x7fffffff);
        killer.join();
        EXPECT_EQ(error.code(), Errc::peer_dead);
        EXPECT(error.pending() <= 40);
    }
}
