// What one end of a vRPQ channel does when the other writes whatever it likes.

#include <sys/eventfd.h>

#include <random>

#include "ring/rpq_pair.hpp"

using namespace test;

namespace {

constexpr std::uint32_t kHostile[] = {
    0, 1, 7, 8, 16, 4096, 0x7fffffff, 0x80000000, 0xfffffff8, 0xffffffff, 0xdeadbeef};

bool names(const Error& error, const char* field) {
    return error.text().find(field) != std::string::npos;
}

/// One call in flight, one post unread, so that every word has a meaning.
void prepare(Pair& pair) {
    REQUIRE(pair.post(1, 1));
    REQUIRE(pair.client->notify());
    REQUIRE(pair.server->try_receive(8));
    REQUIRE(pair.server->acknowledge());
    REQUIRE(pair.post(2, 2));
    pair.begin_call(3, 8, 8);
    REQUIRE(pair.client->call_start());
}

}  // namespace

CHECK_CASE(
    "a hostile client makes its own channel corrupt, with the field and the value, for good") {
    for (const std::uint32_t bytes : kHostile)
        for (const std::uint32_t records : kHostile) {
            Pair pair;
            prepare(pair);
            const rings::Progress honest =
                rings::Progress::unpack(pair.word<std::uint64_t>(rpq::kHeadAt).load());
            if (honest == rings::Progress{bytes, records}) continue;
            pair.publish_as_client({bytes, records});
            auto requests = pair.server->try_receive(8);
            REQUIRE(EXPECT_EQ(requests.code(), Errc::corrupt));
            EXPECT(names(requests.error(), "published"));
            EXPECT(names(requests.error(), "vogl0"));
            EXPECT(pair.server->corrupt());
            pair.publish_as_client(honest);
            EXPECT_EQ(pair.server->try_receive(8).code(), Errc::corrupt);
            EXPECT_EQ(pair.server->receive(8, Deadline::never()).code(), Errc::corrupt);
            EXPECT_EQ(pair.server->acknowledge().code(), Errc::corrupt);
            EXPECT_EQ(pair.client->try_reply().code(),
                      Errc::corrupt);  // a client that only erred learns of it
        }
}

CHECK_CASE("every field of a request's header is checked, whatever the client puts there") {
    for (int field = 0; field < 4; ++field)
        for (const std::uint32_t value : kHostile) {
            Pair pair;
            REQUIRE(pair.post(1, 1));
            REQUIRE(pair.client->notify());
            pair.word<std::uint32_t>(rpq::kRingAt + 4 * static_cast<std::size_t>(field))
                .store(value);
            const bool good = field == 0 ||
                              (field == 1 && (value == 7 || value == 8 || value == 1)) ||
                              (field == 2 && value == 0) || (field == 3 && value == 1);
            auto requests = pair.server->try_receive(8);
            if (field == 1 && (value == 0 || value == 1 || value == 7)) {
                // A shorter block leaves bytes behind that are no record, or rounds to the same.
                EXPECT_EQ(requests.code(), value == 0 ? Errc::corrupt : Errc::ok);
                continue;
            }
            EXPECT_EQ(requests.code(), good ? Errc::ok : Errc::corrupt);
        }
}

CHECK_CASE("a client that publishes more requests than its quota is refused") {
    Pair pair({.max_requests = 2});
    for (std::uint32_t i = 0; i < 3; ++i) pair.header(i * 16, {1, 0, 0, rings::kRecordPost});
    pair.publish_as_client({48, 3});
    EXPECT_EQ(pair.server->try_receive(8).code(), Errc::corrupt);
}

CHECK_CASE("a hostile server makes its own channel corrupt: progress") {
    for (const std::uint32_t bytes : kHostile)
        for (const std::uint32_t records : kHostile) {
            Pair pair;
            prepare(pair);
            EXPECT_EQ(pair.client->pending(), 2);  // it has seen the first one go
            pair.release_as_server({bytes, records});
            while (pair.post(4, 4)) {
            }
            auto block = pair.client->try_begin(4, 8);
            REQUIRE(EXPECT_EQ(block.code(), Errc::corrupt));
            EXPECT(names(block.error(), "released"));
            EXPECT_EQ(pair.client->notify().code(), Errc::corrupt);
            EXPECT_EQ(pair.client->begin(4, 8).code(), Errc::corrupt);
            EXPECT_EQ(pair.client->begin_call(4, 8, 8).code(), Errc::corrupt);
            EXPECT_EQ(pair.client->try_reply().code(), Errc::corrupt);
        }
}

CHECK_CASE("a hostile server makes its own channel corrupt: answers that were not asked for") {
    for (const std::uint32_t number : kHostile) {
        Pair pair;
        prepare(pair);
        pair.word<std::uint64_t>(rpq::kReplyAt).store(std::uint64_t{77} << 32 | number);
        auto reply = pair.client->try_reply();
        const Errc expected = number == 1   ? Errc::ok
                              : number == 0 ? Errc::would_block
                                            : Errc::corrupt;
        EXPECT_EQ(reply.code(), expected);
        if (number == 1) EXPECT_EQ(reply->status, 77);
        if (expected == Errc::corrupt) EXPECT(names(reply.error(), "answer number"));
    }
    Pair pair;  // an answer to a call that was given up may come; to the one before it may not any
                // more
    for (int i = 0; i < 3; ++i) {
        pair.begin_call(1, 0, 0);
        REQUIRE(pair.client->call_start());
        if (i < 2) pair.client->call_forget();
    }
    pair.word<std::uint64_t>(rpq::kReplyAt).store(2);
    EXPECT_EQ(pair.client->try_reply().code(), Errc::would_block);
    pair.word<std::uint64_t>(rpq::kReplyAt).store(1);
    EXPECT_EQ(pair.client->try_reply().code(), Errc::corrupt);
}

CHECK_CASE(
    "the answer is what was asked for in place and size, whatever the server does to the record") {
    Pair pair;
    pair.begin_call(1, 8, 24);
    REQUIRE(pair.client->call_start());
    for (std::uint32_t at = 0; at < 16; at += 4)
        pair.word<std::uint32_t>(rpq::kRingAt + at).store(0xffffffff);
    pair.word<std::uint64_t>(rpq::kReplyAt).store(1);
    auto reply = pair.client->try_reply();
    REQUIRE(reply);
    EXPECT_EQ(reply->out_bytes, 24);
    EXPECT_EQ(pair.client->offset_of(reply->out), rpq::kRingAt + 16 + 8);
}

CHECK_CASE("a server that gives up a channel is believed, whatever it says, and nobody hangs") {
    for (const std::uint32_t word : kHostile) {
        if (word == 0) continue;
        Pair pair;
        prepare(pair);
        pair.word<std::uint32_t>(rpq::kFaultAt).store(word);
        EXPECT_EQ(pair.client->call().code(), Errc::peer_dead);
    }
    Pair pair;
    prepare(pair);
    pair.word<std::uint32_t>(rpq::kFaultAt).store(EBADMSG);
    EXPECT_EQ(pair.client->call().code(), Errc::corrupt);
}

CHECK_CASE(
    "fail poisons: reported once, the rest dropped, the waiting call answered, the server lives") {
    for (const Errc why : {Errc::corrupt, Errc::protocol}) {
        Pair pair({.journal = true});
        prepare(pair);
        REQUIRE(pair.server->try_receive(1));
        pair.server->fail(Error::make(why, "proc 2, D7, field mode, offset 4"));
        pair.server->fail(Error::make(Errc::internal, "too late"));
        for (int i = 0; i < 2; ++i) {
            auto requests = pair.server->try_receive(8);
            REQUIRE(EXPECT_EQ(requests.code(), why));
            EXPECT(names(requests.error(), "offset 4"));
        }
        auto reply = pair.client->call();
        EXPECT_EQ(reply.code(), why == Errc::corrupt ? Errc::corrupt : Errc::peer_dead);
        EXPECT_EQ(reply.error().pending(), 2);
        EXPECT_EQ(pair.client->begin(1, 8).code(), reply.code());
    }
}

CHECK_CASE(
    "a client that posts without calling learns of a given-up channel once the ring is full") {
    Pair pair;
    REQUIRE(pair.post(1, 1));
    REQUIRE(pair.client->notify());
    REQUIRE(pair.server->try_receive(1));
    pair.server->fail(Error::make(Errc::corrupt, "D7"));
    for (;;) {
        auto block = pair.client->begin(1, 8);
        if (!block) {
            EXPECT_EQ(block.code(), Errc::corrupt);
            break;
        }
        REQUIRE(pair.client->post());
    }
}

CHECK_CASE(
    "words that mean nothing to an end may hold anything: bells, wishes, header, reserved lines") {
    std::mt19937 random(7);
    for (int round = 0; round < 400; ++round) {
        Pair pair;
        for (std::size_t at = 0; at < rpq::kRingAt; at += 4) {
            const bool meant = at == rpq::kHeadAt || at == rpq::kHeadAt + 4 || at == rpq::kTailAt ||
                               at == rpq::kTailAt + 4 || at == rpq::kReplyAt ||
                               at == rpq::kReplyAt + 4 || at == rpq::kFaultAt ||
                               at == rpq::kCallbackHeadAt || at == rpq::kCallbackHeadAt + 4;
            if (!meant) pair.word<std::uint32_t>(at).store(static_cast<std::uint32_t>(random()));
        }
        REQUIRE(pair.post(1, 1));
        pair.begin_call(2, 8, 8);
        REQUIRE(pair.client->call_start());
        EXPECT_EQ(pair.server->try_receive(8)->size(), 2);
        REQUIRE(pair.server->acknowledge());
        EXPECT(pair.client->call());
    }
}

CHECK_CASE(
    "random bytes over the whole port lead to an error or to data, never outside and never to a "
    "hang") {
    for (std::uint32_t seed = 1; seed <= 3000; ++seed) {
        std::mt19937 random(seed);
        Pair pair({.max_requests = 20});
        prepare(pair);
        for (int i = 0; i < 6; ++i) {
            const std::size_t at =
                random() % 2 == 0 ? rpq::kServerBellAt + random() % 40 * 4 : random() % 1000 * 4;
            pair.word<std::uint32_t>(at).store(kHostile[random() % std::size(kHostile)]);
            if (auto requests = pair.server->try_receive(8))
                for (const Request& request : *requests) {
                    const std::byte* end = pair.memory.data() + pair.bytes;
                    EXPECT(request.in >= pair.ring() && request.in + request.in_bytes <= end);
                    EXPECT(request.out >= pair.ring() && request.out + request.out_bytes <= end);
                }
            static_cast<void>(pair.client->try_reply());
            static_cast<void>(pair.post(1, 1));
            static_cast<void>(pair.client->notify());
        }
    }
}

CHECK_CASE("a peer that fills the shared eventfd and makes it blocking cannot stop a ringer") {
    Pair pair({.descriptors = true});
    REQUIRE(pair.server->fileno());
    const std::uint64_t full = 0xfffffffffffffffe;
    EXPECT_EQ(::write(pair.server_fd.get(), &full, 8), 8);
    sys::Fd blocking(::eventfd(0, EFD_CLOEXEC));
    BellWords bell{};
    EXPECT_EQ(::write(blocking.get(), &full, 8), 8);
    bell_arm(bell, kBellHook);
    const Rung rung = rings::ring_bell(pair.runtime, bell, blocking.get());
    EXPECT(rung.sent && !rung.woke);
    REQUIRE(pair.post(1, 1));
    EXPECT(pair.client->notify());
    EXPECT_EQ(pair.server->try_receive(1)->size(), 1);
}
