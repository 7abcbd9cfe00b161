// What the kernel at one end of a pipe does when the VM at the other end has none and lies.

#include "guest/forged_link.hpp"
#include "hyplink/ring/channel_end.hpp"
#include "hyplink/ring/pipe_port.hpp"

using namespace hostile;

namespace {

constexpr std::uint64_t kCapacity = 64 - 8;  // of a vpipe of 64 bytes

/// The honest VM reads, the forger writes.
struct World : ForgedLink {
    std::atomic<std::uint32_t>* words = nullptr;  ///< PMEM 0: port, the writer's mark

    World() : ForgedLink(Role::client, "vpipe", "64", 1 << 20) {
        const hyp::ResourceRequest wanted[] = {{hyp::ResourceType::pmem, 0, 0, 0, 128}};
        auto resources = forger->resources(wanted);
        REQUIRE(resources);
        words = reinterpret_cast<std::atomic<std::uint32_t>*>(shared((*resources)[0]));
        pump();
    }
    /// An opening that waits, or its answer.
    void open() {
        const std::uint32_t device = open_device("vpipe0");
        app.replies.clear();
        ask(Sys::pipe_open, device, guest::kPipeRead);
    }
    std::uint32_t port(std::uint64_t bytes) {
        auto made = forger->port_alloc(0, bytes);
        REQUIRE(made);
        return made->id;
    }
};

}  // namespace

CHECK_CASE("a port that is none is one taken back, and a smaller one an error that says so") {
    World world;
    for (const std::uint32_t id : {0U, 0x7777U, ~0U}) {
        world.open();
        world.words[0].store(id);
        world.announce(LinkState::reset);
        EXPECT(world.app.replies.empty());  // it waits for who comes
        world.announce(LinkState::off);
    }
    world.words[0].store(world.port(4096));
    world.announce(LinkState::reset);
    REQUIRE(!world.app.replies.empty());
    EXPECT_EQ(world.app.replies.back().code, Errc::corrupt);
    EXPECT(world.app.replies.back().data.find("VM 3") != std::string::npos);
    world.announce(LinkState::off);
    // The same VM may behave at last.
    world.open();
    world.words[0].store(world.port(pipe::port_bytes_for(kCapacity)));
    world.announce(LinkState::reset);
    world.announce(LinkState::on);
    REQUIRE(!world.app.replies.empty());
    EXPECT_EQ(world.app.replies.back().code, Errc::ok);
    EXPECT_EQ(world.app.replies.back().values[guest::PipeReply::in_capacity], kCapacity);
}

CHECK_CASE("a writer that says it had opened, and goes, is an opening and its end") {
    World world;
    world.open();
    world.words[0].store(world.port(pipe::port_bytes_for(kCapacity)));
    world.words[1].store(0);
    world.announce(LinkState::reset);
    world.words[1].store(1);
    world.announce(LinkState::off);
    REQUIRE(!world.app.replies.empty());
    const guest::SysReply& reply = world.app.replies.back();
    EXPECT_EQ(reply.code, Errc::ok);
    EXPECT_EQ(reply.regions.size(), 2U);
    world.ask(Sys::close, static_cast<std::uint32_t>(reply.values[guest::PipeReply::handle]));
    // And one that goes without a word is none: the opening waits for the next.
    world.open();
    world.words[0].store(world.port(pipe::port_bytes_for(kCapacity)));
    world.words[1].store(0);
    for (int again = 0; again < 10; ++again) {
        world.announce(LinkState::reset);
        world.announce(LinkState::off);
        EXPECT(world.app.replies.empty());
    }
}

CHECK_CASE("ports of a writer that comes and goes are given back") {
    World world;
    for (int again = 0; again < 2000; ++again) {
        world.open();
        const std::uint32_t id = world.port(pipe::port_bytes_for(kCapacity));
        world.words[0].store(id);
        world.announce(LinkState::reset);
        world.announce(LinkState::on);
        REQUIRE(!world.app.replies.empty() && world.app.replies.back().code == Errc::ok);
        const auto handle =
            static_cast<std::uint32_t>(world.app.replies.back().values[guest::PipeReply::handle]);
        world.announce(LinkState::off);
        world.ask(Sys::close, handle);
        (void)world.forger->port_free(0, id);
    }
}
