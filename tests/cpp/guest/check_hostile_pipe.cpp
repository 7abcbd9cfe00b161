// What the kernel at one end of a pipe does when the VM at the other end has none and lies.

#include <cstring>
#include <memory>
#include <utility>
#include <vector>

#include "check.hpp"
#include "hyplink/guest/kernel.hpp"
#include "hyplink/hyp/local_hypercalls.hpp"
#include "hyplink/ring/channel_end.hpp"
#include "hyplink/ring/pipe_port.hpp"
#include "hyplink/sys/real_runtime.hpp"

using namespace hyplink;
using guest::Sys;

namespace {

constexpr VmId kReader = 2;
constexpr VmId kForger = 3;
constexpr std::uint64_t kCapacity = 64 - 8;  // of a vpipe of 64 bytes

struct Waker final : hyp::GuestWaker {
    void wake() override { due = true; }
    bool due = false;
};

struct App final : guest::AppSink {
    void reply(guest::SysReply&& reply) override { replies.push_back(std::move(reply)); }
    std::vector<guest::SysReply> replies;
};

/// A VM with a real kernel and an application that reads, and one that plays the writer by hand.
struct World {
    sys::RealRuntime runtime{0};
    std::unique_ptr<hyp::Hypervisor> hypervisor;
    Waker waker, forger_waker;
    std::unique_ptr<hyp::LocalHypercalls> calls, forger;
    std::unique_ptr<guest::GuestKernel> kernel;
    App app;
    guest::AppId id = 0;
    std::uint32_t sequence = 0;
    std::atomic<std::uint32_t>* words = nullptr;  ///< PMEM 0: port, the writer's mark

    World() {
        hyp::BoardSpec board;
        board.vms = {{kReader, "reader"}, {kForger, "forger"}};
        board.links = {{"vpipe", 0, kReader, kForger, "64", "", 1 << 20}};
        auto made = hyp::Hypervisor::make(board, runtime, {});
        REQUIRE(made);
        hypervisor = *std::move(made);
        calls = std::make_unique<hyp::LocalHypercalls>(*hypervisor, kReader);
        forger = std::make_unique<hyp::LocalHypercalls>(*hypervisor, kForger);
        REQUIRE(hypervisor->begin_boot(kReader, waker));
        kernel = std::make_unique<guest::GuestKernel>(runtime, *calls);
        REQUIRE(kernel->boot());
        auto attached = kernel->app_attach(app);
        REQUIRE(attached);
        id = *attached;
        REQUIRE(hypervisor->begin_boot(kForger, forger_waker));
        const hyp::ResourceRequest wanted[] = {{hyp::ResourceType::pmem, 0, 0, 0, 128}};
        auto resources = forger->resources(wanted);
        REQUIRE(resources);
        auto memory = forger->mem_open((*resources)[0].at);
        REQUIRE(memory);
        words = reinterpret_cast<std::atomic<std::uint32_t>*>(
            memory->region->data() + ((*resources)[0].at.value - memory->base.value));
        pump();
    }
    void pump() {
        while (std::exchange(waker.due, false)) kernel->on_events();
    }
    void ask(Sys op, std::uint32_t handle, std::uint64_t argument = 0, std::string data = {}) {
        guest::SysRequest request;
        request.sequence = ++sequence;
        request.op = op;
        request.handle = handle;
        request.args[0] = argument;
        request.data = std::move(data);
        kernel->handle(id, std::move(request));
        pump();
    }
    /// An opening that waits, or its answer.
    void open() {
        ask(Sys::open, 0, 0, "vpipe0");
        REQUIRE(!app.replies.empty() && app.replies.back().code == Errc::ok);
        const auto device = static_cast<std::uint32_t>(app.replies.back().values[0]);
        app.replies.clear();
        ask(Sys::pipe_open, device, guest::kPipeRead);
    }
    void announce(LinkState state) {
        auto pdev = forger->pdev();
        REQUIRE(pdev);
        auto* table = reinterpret_cast<hyp::VlinkDescriptor*>(pdev->region->data() +
                                                              2 * sizeof(hyp::PdevHeader));
        table[0].c_state = static_cast<std::uint32_t>(state);
        const hyp::EndRef end{0, Role::client};
        REQUIRE(forger->publish(std::span(&end, 1)));
        pump();
    }
    std::uint32_t port(std::uint64_t bytes) {
        auto made = forger->port_alloc(0, bytes);
        REQUIRE(made);
        return made->id;
    }
};

}  // namespace

CHECK_CASE("a port that is none, or too small, ends the opening with an error that says so") {
    World world;
    for (const std::uint32_t id : {0U, 0x7777U, ~0U, world.port(4096)}) {
        world.open();
        EXPECT(world.app.replies.empty());
        world.words[0].store(id);
        world.announce(LinkState::reset);
        REQUIRE(!world.app.replies.empty());
        EXPECT_EQ(world.app.replies.back().code, Errc::corrupt);
        EXPECT(world.app.replies.back().data.find("VM 3") != std::string::npos);
        world.announce(LinkState::off);
    }
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
