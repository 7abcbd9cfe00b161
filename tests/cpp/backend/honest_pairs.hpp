/// What works between two honest sides, afterwards as before.
#pragma once

#include <cstring>
#include <memory>
#include <string>

#include "backend/hostile_ends.hpp"
#include "backend/hostile_world.hpp"
#include "hyplink/app/pipe/pipe.hpp"
#include "hyplink/app/pipe/upipe.hpp"

namespace hostile {

constexpr std::byte kWord[4] = {std::byte{1}, std::byte{2}, std::byte{3}, std::byte{4}};

/// `flags`: of the honest VM's end.
inline void pipe_works(World& world, const std::string& device, pipe::OpenFlags flags) {
    std::unique_ptr<pipe::Pipe> one, two;
    const auto open = [&](auto& application, pipe::OpenFlags how, auto& into) {
        auto opened = pipe::Pipe::open(application, device, how, world.soon());
        if (EXPECT(opened.has_value())) into = *std::move(opened);
    };
    both([&] { open(world.hostile, {.read = flags.write, .write = flags.read}, two); },
         [&] { open(world.honest, flags, one); });
    REQUIRE(one != nullptr && two != nullptr);
    pipe::Pipe& from = flags.write ? *one : *two;
    std::byte got[4] = {};
    EXPECT_EQ(*from.write(kWord, world.soon()), 4U);
    EXPECT_EQ(*(flags.write ? *two : *one).read(got, world.soon()), 4U);
    EXPECT(std::memcmp(kWord, got, 4) == 0);
}

inline void upipe_works(World& world, const std::string& device, bool reads) {
    std::unique_ptr<pipe::Upipe> in, out;
    const auto open = [&](bool reading, auto& into) {
        auto opened = pipe::Upipe::open(reading == reads ? world.honest : world.hostile, device,
                                        {.read = reading, .write = !reading}, world.soon());
        if (EXPECT(opened.has_value())) into = *std::move(opened);
    };
    both([&] { open(true, in); }, [&] { open(false, out); });
    REQUIRE(in != nullptr && out != nullptr);
    EXPECT_EQ(*out->available_room(4, world.soon()), 4U);
    std::memcpy(out->area().data() + out->offset(), kWord, 4);
    EXPECT(out->notify_write(4).has_value());
    EXPECT_EQ(*in->available_data(4, world.soon()), 4U);
    EXPECT(std::memcmp(in->area().data() + in->offset(), kWord, 4) == 0);
}

inline void rpc_works(World& world, const std::string& name, bool serves) {
    auto server =
        rpc::Server::open(serves ? world.honest : world.hostile, {.name = name}, world.soon());
    auto client =
        rpc::Client::open(serves ? world.hostile : world.honest, {.name = name}, world.soon());
    REQUIRE(server.has_value() && client.has_value());
    std::memcpy((*client)->data(), kWord, 4);
    both(
        [&] {
            // What a client of before left behind may be told of first.
            auto got = (*server)->receive(world.soon());
            if (got.code() == Errc::corrupt) got = (*server)->receive(world.soon());
            EXPECT_EQ(*got, 4U);
            EXPECT((*server)->answer(2).has_value());
        },
        [&] {
            auto answer = (*client)->call(4, world.soon());
            while (answer && *answer == 0) answer = (*client)->call(4, world.soon());
            EXPECT_EQ(*answer, 2U);
        });
}

inline void queue_works(World& world) {
    auto one = mq::Queue::open(world.honest, {.name = "queue", .tx = kMessages}, world.soon());
    auto two = mq::Queue::open(world.hostile, {.name = "queue", .tx = kMessages}, world.soon());
    REQUIRE(one.has_value() && two.has_value());
    both([&] { EXPECT((*two)->wait_on(world.soon()).has_value()); },
         [&] { EXPECT((*one)->wait_on(world.soon()).has_value()); });
    const auto slot = (*two)->allocate(world.soon());
    REQUIRE(slot.has_value());
    std::memcpy((*two)->header(*slot).data(), kWord, 4);
    EXPECT((*two)->send(*slot).has_value());
    const auto got = (*one)->receive(world.soon());
    REQUIRE(got.has_value());
    EXPECT(std::memcmp((*one)->received(*got).data(), kWord, 4) == 0);
    EXPECT((*one)->free(*got).has_value());
}

}  // namespace hostile
