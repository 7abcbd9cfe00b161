/// The honest side of every pipe beside a peer that has joined by hand and writes what it likes.
#pragma once

#include <array>
#include <cstring>
#include <string>

#include "backend/hostile_world.hpp"
#include "hyplink/app/kernel_calls.hpp"
#include "hyplink/app/pipe/pipe.hpp"
#include "hyplink/app/pipe/upipe.hpp"

namespace hostile {

/// What a kernel hands to an opener: memory, to be written to by hand.
class ByHand {
   public:
    ByHand(World& world, const std::string& device, std::uint64_t how) : world_(&world) {
        auto opened = app::open_device(*world.hostile, device, world.soon());
        if (!EXPECT(opened.has_value())) return;
        auto reply =
            world.hostile->call(app::request_of(guest::Sys::pipe_open, *opened, how), world.soon());
        app::close_handle(*world.hostile, *opened);
        if (EXPECT(reply.has_value())) reply_ = *std::move(reply);
    }
    ByHand(const ByHand&) = delete;
    ByHand& operator=(const ByHand&) = delete;
    ~ByHand() {
        auto handle = static_cast<std::uint32_t>(reply_.values[guest::PipeReply::handle]);
        if (!reply_.regions.empty()) app::close_handle(*world_->hostile, handle);
    }
    /// The ports; the first region is shared with openers of the own VM only.
    std::vector<std::span<std::byte>> ports() const {
        std::vector<std::span<std::byte>> found;
        for (std::size_t i = 1; i < reply_.regions.size(); ++i)
            found.push_back({reply_.regions[i]->data(), reply_.regions[i]->size()});
        return found;
    }

   private:
    World* world_;
    guest::SysReply reply_;
};

struct PipeMeeting final : Meeting {
    std::unique_ptr<ByHand> theirs;
    std::unique_ptr<pipe::Pipe> mine;

    PipeMeeting(World& world, const std::string& device, pipe::OpenFlags flags) {
        const std::uint64_t how =
            (flags.read ? guest::kPipeWrite : 0) | (flags.write ? guest::kPipeRead : 0);
        both([&] { theirs = std::make_unique<ByHand>(world, device, how); },
             [&] {
                 auto opened = pipe::Pipe::open(world.honest, device, flags, world.soon());
                 if (EXPECT(opened.has_value())) mine = *std::move(opened);
             });
        REQUIRE(mine != nullptr);
        shared = theirs->ports();
    }
    Errc use(World& world, std::mt19937& random) override {
        std::array<std::byte, 1024 + 16> room;
        room.fill(std::byte{0x5a});
        const std::size_t size = random() % 1024;
        mine->set_nonblock(random() % 2 == 0);
        Errc code = Errc::ok;
        switch (random() % 3) {
            case 0: {
                const auto got = mine->read(std::span(room.data(), size), world.moment());
                if (got) EXPECT(*got <= size);
                code = outcome(got);
                break;
            }
            case 1: {
                const auto put = mine->write(std::span(room.data(), size), world.moment());
                if (put) EXPECT(*put <= size);
                code = outcome(put);
                break;
            }
            default: {
                const auto there = mine->in_capacity() != 0
                                       ? mine->readable()
                                       : Result<std::uint64_t>(std::uint64_t{0});
                if (there) EXPECT(*there <= mine->in_capacity());
                code = outcome(there);
            }
        }
        for (std::size_t i = size; i < room.size(); ++i)
            EXPECT(room[i] == std::byte{0x5a});  // nothing beyond the buffer
        return code;
    }
};

struct UpipeMeeting final : Meeting {
    std::unique_ptr<ByHand> theirs;
    std::unique_ptr<pipe::Upipe> mine;

    UpipeMeeting(World& world, const std::string& device, bool reads) {
        both(
            [&] {
                theirs = std::make_unique<ByHand>(world, device,
                                                  reads ? guest::kPipeWrite : guest::kPipeRead);
            },
            [&] {
                auto opened = pipe::Upipe::open(world.honest, device,
                                                {.read = reads, .write = !reads}, world.soon());
                if (EXPECT(opened.has_value())) mine = *std::move(opened);
            });
        REQUIRE(mine != nullptr);
        shared = theirs->ports();
    }
    Errc use(World& world, std::mt19937& random) override {
        const std::uint64_t bytes = random() % 256;
        EXPECT(mine->offset() < mine->area().size());
        if (random() % 2 == 0) {
            const auto there = mine->reads() ? mine->available_data(bytes, world.moment())
                                             : mine->available_room(bytes, world.moment());
            if (there) EXPECT(*there <= mine->area().size());
            return outcome(there);
        }
        return outcome(mine->reads() ? mine->notify_read(bytes) : mine->notify_write(bytes));
    }
};

}  // namespace hostile
