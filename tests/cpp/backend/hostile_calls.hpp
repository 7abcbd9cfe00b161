/// The honest side of a vIPC beside a peer that has joined its queue by hand and writes what it
/// likes.
#pragma once

#include <array>

#include "backend/hostile_ends.hpp"
#include "backend/hostile_world.hpp"
#include "hyplink/app/ipc/context.hpp"
#include "hyplink/app/ipc/request.hpp"

namespace hostile {

/// Calls made, answered by whatever stands in the memory.
struct IpcCallerMeeting final : Meeting {
    std::shared_ptr<mq::Queue> mine;
    std::unique_ptr<Joined> theirs;
    std::unique_ptr<ipc::Context> context;
    std::array<ipc::Call, 6> calls;

    explicit IpcCallerMeeting(World& world) {
        auto opened = mq::Queue::open(
            world.honest, {.name = "queue", .tx = kMessages, .returns = true}, world.soon());
        REQUIRE(opened.has_value());
        mine = *std::move(opened);
        theirs = join_queue(world, *mine);
        REQUIRE(theirs->port.membership != nullptr && mine->is_on());
        context = std::make_unique<ipc::Context>(mine);
        shared = queue_memory(*theirs);
        for (std::uint64_t count = 1; count < 9; ++count) crafted.push_back(count);
    }
    ~IpcCallerMeeting() override {
        for (ipc::Call& call : calls) call.release();
    }
    Errc use(World& world, std::mt19937& random) override {
        ipc::Call& call = calls[random() % calls.size()];
        Errc code = Errc::ok;
        if (!call.under_way()) {
            call.release();
            const std::array<std::byte, 8> parameters{};
            const ipc::CallOptions how{.data_bytes = random() % 3 == 0 ? 64U : 0U,
                                       .keep = random() % 2 == 0};
            code = outcome(context->submit(call, parameters, {}, how, world.moment()));
        } else if (random() % 8 == 0) {
            call.release();  // given up: its answer is nobody's
        } else {
            code = outcome(context->wait(call, world.moment()));
            if (code == Errc::ok) EXPECT_EQ(call.answer().size(), context->room());
        }
        EXPECT(context->under_way() <= kMessages.msg_count);
        gone = !mine->is_on();
        return code;
    }
};

/// Calls taken and answered.
struct IpcServerMeeting final : Meeting {
    std::unique_ptr<mq::Queue> mine;
    std::unique_ptr<Joined> theirs;

    explicit IpcServerMeeting(World& world) {
        auto opened =
            mq::Queue::open(world.honest, {.name = "queue", .tx = kMessages}, world.soon());
        REQUIRE(opened.has_value());
        mine = *std::move(opened);
        theirs = join_queue(world, *mine);
        REQUIRE(theirs->port.membership != nullptr && mine->is_on());
        shared = queue_memory(*theirs);
        for (std::uint64_t count = 1; count < 9; ++count) crafted.push_back(count);
    }
    Errc use(World& world, std::mt19937& random) override {
        const auto request = ipc::receive(*mine, world.moment());
        gone = !mine->is_on();
        if (!request) return request.code();
        std::memset(request->params().data(), 0x5a, request->params().size());
        if (const auto buffer = request->buffer())
            std::memset(buffer->data(), 0x5a, buffer->size());
        else
            EXPECT_EQ(buffer.code(), Errc::bad_argument);
        const Errc code = outcome(request->reply());
        if (random() % 4 == 0) EXPECT(!request->reply());  // once is enough
        return code;
    }
};

inline void calls_work(World& world) {
    auto one = mq::Queue::open(world.honest, {.name = "queue", .tx = kMessages, .returns = true},
                               world.soon());
    auto two = mq::Queue::open(world.hostile, {.name = "queue", .tx = kMessages}, world.soon());
    REQUIRE(one.has_value() && two.has_value());
    both([&] { EXPECT((*two)->wait_on(world.soon()).has_value()); },
         [&] { EXPECT((*one)->wait_on(world.soon()).has_value()); });
    ipc::Context context(*std::move(one));
    ipc::Call call;
    const std::array<std::byte, 8> parameters{};
    both(
        [&] {
            auto request = ipc::receive(**two, world.soon());
            if (!EXPECT(request.has_value())) return;
            request->params()[0] = std::byte{7};
            EXPECT(request->reply());
        },
        [&] {
            EXPECT(context.submit(call, parameters, {}, {}, world.soon()));
            EXPECT(context.wait(call, world.soon()));
        });
    EXPECT(!call.answer().empty() && call.answer()[0] == std::byte{7});
    call.release();
}

}  // namespace hostile
