/// The honest side of vRPC and vMQ beside a peer that has joined by hand and writes what it likes.
#pragma once

#include <array>
#include <cstring>
#include <string>

#include "backend/hostile_world.hpp"
#include "hyplink/app/mq/queue.hpp"
#include "hyplink/app/port/end.hpp"
#include "hyplink/app/rpc/rpc.hpp"
#include "hyplink/ring/rpq_port.hpp"

namespace hostile {

/// An end that is joined by hand.
struct Joined {
    std::unique_ptr<port::End> end;
    port::Joined port;

    Joined(World& world, const port::Lookup& what, const port::JoinOptions& options) {
        auto found = port::End::lookup(world.hostile, what, world.soon());
        if (!EXPECT(found.has_value())) return;
        end = *std::move(found);
        port::JoinOptions wished = options;
        if (what.device == "vrpc" && what.role == guest::PortRole::client)
            wished.bytes = end->bytes();
        auto joined = end->join(wished, world.soon());
        if (EXPECT(joined.has_value())) port = *std::move(joined);
    }
    std::vector<std::span<std::byte>> memory() const {
        return {{port.context.port, port.context.port_bytes}};
    }
};

struct RpcServerMeeting final : Meeting {
    std::unique_ptr<rpc::Server> mine;
    std::unique_ptr<Joined> theirs;

    explicit RpcServerMeeting(World& world) {
        auto opened = rpc::Server::open(world.honest, {.name = "mine"}, world.soon());
        REQUIRE(opened.has_value());
        mine = *std::move(opened);
        theirs = std::make_unique<Joined>(
            world, port::Lookup{.device = "vrpc", .name = "mine", .role = guest::PortRole::client},
            port::JoinOptions{.alone = true});
        REQUIRE(theirs->port.membership != nullptr);
        shared = theirs->memory();
        shared.push_back({theirs->port.context.port + rpq::kServerBellAt, 64});  // number and size
        while (theirs->end->presence() == 0) std::this_thread::yield();  // the server's wish comes
        // Mostly it has joined before anything is written, sometimes it joins what is spoilt
        // already.
        if (++world.met % 4 != 0) (void)mine->receive(world.moment());
        // A call is one only when it is addressed to this server.
        for (std::uint64_t number = 1; number < 9; ++number)
            crafted.push_back(number << 32 | (theirs->end->presence() & ~port::kPresent));
    }
    Errc use(World& world, std::mt19937& random) override {
        const auto got = mine->receive(world.moment());
        gone = got.code() == Errc::corrupt || got.code() == Errc::version;
        if (!got) return got.code();
        EXPECT(*got <= mine->maxsize());
        return random() % 4 == 0
                   ? Errc::ok
                   : outcome(mine->answer(static_cast<std::uint32_t>(random() % mine->maxsize())));
    }
};

struct RpcClientMeeting final : Meeting {
    std::unique_ptr<rpc::Client> mine;
    std::unique_ptr<Joined> theirs;

    explicit RpcClientMeeting(World& world) {
        auto opened = rpc::Client::open(world.honest, {.name = "theirs"}, world.soon());
        REQUIRE(opened.has_value());
        mine = *std::move(opened);
        theirs = std::make_unique<Joined>(
            world,
            port::Lookup{.device = "vrpc", .name = "theirs", .role = guest::PortRole::server},
            port::JoinOptions{});
        REQUIRE(theirs->port.membership != nullptr);
        shared = theirs->memory();
        // An answer is one only with the number of the call.
        for (std::uint64_t number = 1; number < 41; ++number) crafted.push_back(number);
    }
    Errc use(World& world, std::mt19937& random) override {
        const auto size = static_cast<std::uint32_t>(random() % (mine->maxsize() + 1));
        std::memset(mine->data(), 0x5a, size);
        const auto answer = mine->call(size, world.moment());
        if (answer) EXPECT(*answer <= mine->maxsize());
        return outcome(answer);
    }
};

const mq::Config kMessages{.msg_count = 8, .msg_max = 32, .data_count = 2, .data_max = 64};

/// The peer of a queue, joined by hand; the honest end is on.
inline std::unique_ptr<Joined> join_queue(World& world, mq::Queue& mine) {
    port::JoinOptions options;
    options.bytes = mq::Direction(kMessages).bytes;
    options.words = kMessages.to_words();
    std::unique_ptr<Joined> theirs;
    both(
        [&] {
            theirs = std::make_unique<Joined>(world, port::Lookup{.device = "vmq", .name = "queue"},
                                              options);
        },
        [&] { EXPECT(mine.wait_on(world.soon()).has_value()); });
    return theirs;
}

/// All of it, and most often the indices and tables of the peer's own direction.
inline std::vector<std::span<std::byte>> queue_memory(const Joined& theirs) {
    auto memory = theirs.memory();
    memory.push_back({theirs.port.own, 256});
    return memory;
}

struct QueueMeeting final : Meeting {
    std::unique_ptr<mq::Queue> mine;
    std::unique_ptr<Joined> theirs;
    std::vector<std::uint32_t> own, held, back;
    std::vector<std::uint64_t> buffers;

    explicit QueueMeeting(World& world) {
        auto opened = mq::Queue::open(
            world.honest, {.name = "queue", .tx = kMessages, .returns = true}, world.soon());
        REQUIRE(opened.has_value());
        mine = *std::move(opened);
        theirs = join_queue(world, *mine);
        REQUIRE(theirs->port.membership != nullptr && mine->is_on());
        shared = queue_memory(*theirs);
        for (std::uint64_t count = 1; count < 9; ++count) crafted.push_back(count);
    }
    static std::uint32_t take(std::vector<std::uint32_t>& from, std::mt19937& random) {
        if (from.empty()) return 9999;  // nobody's
        std::swap(from[random() % from.size()], from.back());
        const std::uint32_t slot = from.back();
        from.pop_back();
        return slot;
    }
    Errc kept(const Result<std::uint32_t>& got, std::vector<std::uint32_t>& into) {
        if (!got) return got.code();
        EXPECT(*got < kMessages.msg_count);
        for (const std::uint32_t slot : into) EXPECT(slot != *got);  // never the same one twice
        into.push_back(*got);
        return Errc::ok;
    }
    Errc use(World& world, std::mt19937& random) override {
        switch (random() % 10) {
            case 0:
            case 1: {
                const Errc code = kept(mine->allocate(world.moment()), own);
                if (code == Errc::ok) std::memset(mine->header(own.back()).data(), 1, 32);
                return code;
            }
            case 2:
                return outcome(mine->send(take(own, random)));
            case 3:
                return outcome(mine->send_async(take(own, random)));
            case 4:
            case 5:
                return kept(mine->receive(world.moment()), held);
            case 6:
                return outcome(random() % 2 == 0 ? mine->free(take(held, random))
                                                 : mine->return_(take(held, random)));
            case 7: {
                const Errc code = kept(mine->return_receive(world.moment()), back);
                return code != Errc::ok ? code : outcome(mine->return_free(take(back, random)));
            }
            case 8: {
                const auto offset = mine->data_allocate(64);
                if (offset) buffers.push_back(*offset);
                return outcome(offset);
            }
            default:
                if (buffers.empty()) return Errc::ok;
                const std::uint64_t offset = buffers.back();
                buffers.pop_back();
                return outcome(mine->data_free(offset));
        }
    }
};

}  // namespace hostile
