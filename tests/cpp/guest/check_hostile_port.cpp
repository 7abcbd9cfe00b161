// What the kernel at one end of a vMQ does when the VM at the other end writes whatever it likes
// into what both kernels say to each other, as server and as client.

#include <cstdlib>
#include <cstring>
#include <memory>
#include <random>
#include <utility>
#include <vector>

#include "check.hpp"
#include "hyplink/guest/kernel.hpp"
#include "hyplink/guest/port_end.hpp"
#include "hyplink/hyp/local_hypercalls.hpp"
#include "hyplink/ring/rpq_port.hpp"
#include "hyplink/sys/real_runtime.hpp"

using namespace hyplink;
using guest::PortSide;
using guest::Sys;

namespace {

constexpr VmId kHonest = 2;
constexpr VmId kForger = 3;

/// How often a case is repeated: HYPLINK_HOSTILE_ROUNDS for a longer run.
int rounds(int normal) {
    const char* asked = std::getenv("HYPLINK_HOSTILE_ROUNDS");
    return asked != nullptr ? std::atoi(asked) : normal;
}

struct Waker final : hyp::GuestWaker {
    void wake() override { due = true; }
    bool due = false;
};

struct App final : guest::AppSink {
    void reply(guest::SysReply&& reply) override { replies.push_back(std::move(reply)); }
    std::vector<guest::SysReply> replies;
};

/// A VM with a real kernel and an application, and one that plays the other kernel by hand.
struct World {
    sys::RealRuntime runtime{0};
    std::unique_ptr<hyp::Hypervisor> hypervisor;
    Waker waker, forger_waker;
    std::unique_ptr<hyp::LocalHypercalls> calls, forger;
    std::unique_ptr<guest::GuestKernel> kernel;
    App app;
    guest::AppId id = 0;
    std::uint32_t sequence = 0;
    Role role;  ///< the forger's
    PortSide* sides = nullptr;
    XirqNumber xirq = 0;
    std::uint32_t end = 0;
    std::vector<std::uint32_t> handles, ports;

    explicit World(Role of_forger) : role(of_forger) {
        hyp::BoardSpec board;
        board.vms = {{kHonest, "honest"}, {kForger, "forger"}};
        const bool serves = role == Role::server;
        board.links = {{"vmq", 0, serves ? kForger : kHonest, serves ? kHonest : kForger, "disk",
                        "disk", 1 << 24}};
        auto made = hyp::Hypervisor::make(board, runtime, {});
        REQUIRE(made);
        hypervisor = *std::move(made);
        calls = std::make_unique<hyp::LocalHypercalls>(*hypervisor, kHonest);
        forger = std::make_unique<hyp::LocalHypercalls>(*hypervisor, kForger);
        REQUIRE(hypervisor->begin_boot(kHonest, waker));
        kernel = std::make_unique<guest::GuestKernel>(runtime, *calls);
        REQUIRE(kernel->boot());
        auto attached = kernel->app_attach(app);
        REQUIRE(attached);
        id = *attached;
        REQUIRE(hypervisor->begin_boot(kForger, forger_waker));
        const hyp::ResourceRequest wanted[] = {
            {hyp::ResourceType::pmem, 0, 0, 0, 2 * sizeof(PortSide)},
            {hyp::ResourceType::pxirq, 0, serves ? 1U : 0U, kHonest, 1}};
        auto resources = forger->resources(wanted);
        REQUIRE(resources);
        auto memory = forger->mem_open((*resources)[0].at);
        REQUIRE(memory);
        sides = reinterpret_cast<PortSide*>(memory->region->data() +
                                            ((*resources)[0].at.value - memory->base.value));
        xirq = (*resources)[1].first;
        pump();
        end = look_up();
    }
    PortSide& mine() { return sides[static_cast<std::size_t>(role)]; }
    PortSide& theirs() { return sides[1 - static_cast<std::size_t>(role)]; }
    void pump() {
        while (std::exchange(waker.due, false)) kernel->on_events();
    }
    void ask(Sys op, std::uint32_t handle, std::uint64_t first = 0, std::uint64_t second = 0,
             std::string data = {}) {
        guest::SysRequest request;
        request.sequence = ++sequence;
        request.op = op;
        request.handle = handle;
        request.args[0] = first;
        request.args[1] = second;
        request.data = std::move(data);
        kernel->handle(id, std::move(request));
        pump();
    }
    std::uint32_t look_up() {
        ask(Sys::open, 0, 0, 0, "vmq");
        REQUIRE(!app.replies.empty() && app.replies.back().code == Errc::ok);
        const auto device = static_cast<std::uint32_t>(app.replies.back().values[0]);
        ask(Sys::port_lookup, device, static_cast<std::uint64_t>(guest::PortRole::either), 0,
            "disk");
        REQUIRE(app.replies.back().code == Errc::ok);
        const auto found =
            static_cast<std::uint32_t>(app.replies.back().values[guest::EndReply::handle]);
        ask(Sys::close, device);
        app.replies.clear();
        return found;
    }
    void announce(LinkState state) {
        auto pdev = forger->pdev();
        REQUIRE(pdev);
        auto* table = reinterpret_cast<hyp::VlinkDescriptor*>(pdev->region->data() +
                                                              2 * sizeof(hyp::PdevHeader));
        (role == Role::server ? table[0].s_state : table[0].c_state) =
            static_cast<std::uint32_t>(state);
        const hyp::EndRef ref{0, role};
        REQUIRE(forger->publish(std::span(&ref, 1)));
        pump();
    }
    void ring() {
        (void)forger->xirq_trigger(xirq, kHonest);
        pump();
    }
    /// The link goes down and comes up, as an honest kernel would have it.
    void fresh() {
        announce(LinkState::off);
        announce(LinkState::reset);
        std::memset(static_cast<void*>(&mine()), 0, sizeof(PortSide));
        announce(LinkState::on);
    }
    /// Forget what is over, note what was joined; nothing that is answered has more memory than
    /// what is really there.
    void sort_out() {
        for (guest::SysReply& reply : app.replies) {
            if (reply.code != Errc::ok || reply.regions.empty()) continue;
            handles.push_back(static_cast<std::uint32_t>(reply.values[guest::PortReply::handle]));
            EXPECT_EQ(reply.regions.size(), 1U);
            EXPECT_EQ(reply.fds.size(), 2U);
            EXPECT(reply.data.size() <= guest::kMaxPortWords);
        }
        app.replies.clear();
    }
    void leave_all() {
        for (const std::uint32_t handle : std::exchange(handles, {})) ask(Sys::close, handle);
        app.replies.clear();
        for (const std::uint32_t port : std::exchange(ports, {})) (void)forger->port_free(0, port);
    }
    /// The end lets go and is looked up again; then an honest kernel meets it.
    void recovers() {
        leave_all();
        ask(Sys::close, end);
        app.replies.clear();
        end = look_up();
        fresh();
        ask(Sys::port_join, end, 512, 0, "mine");
        std::memcpy(mine().words, "theirs", 6);
        mine().words_bytes.store(6);
        mine().bytes.store(256);
        if (role == Role::client) {
            const std::uint32_t wish = theirs().wish.load();
            EXPECT_EQ(wish & 1, 1U);
            auto port = forger->port_alloc(0, 8192);
            REQUIRE(port);
            rpq::port_reset(port->region->data(), port->region->size());
            ports.push_back(port->id);
            mine().wish.store(1);
            mine().offer.store(std::uint64_t{port->id} << 32 | wish);
        } else {
            mine().wish.store(1);
        }
        ring();
        REQUIRE(!app.replies.empty());
        EXPECT_EQ(app.replies.back().code, Errc::ok);
        EXPECT_EQ(app.replies.back().data, "theirs");
        EXPECT_EQ(app.replies.back().values[guest::PortReply::peer_bytes], 256U);
        sort_out();
        leave_all();
    }
};

void scribble(World& world, std::mt19937& random) {
    PortSide& side = random() % 4 == 0 ? world.theirs() : world.mine();
    const std::uint32_t wish = world.theirs().wish.load();
    const std::uint32_t port = world.ports.empty() ? 0 : world.ports[random() % world.ports.size()];
    const std::uint32_t numbers[] = {0,
                                     1,
                                     wish,
                                     wish + 1,
                                     wish + 2,
                                     128,
                                     129,
                                     ~0U,
                                     1U << 31,
                                     port,
                                     static_cast<std::uint32_t>(random())};
    const auto any = [&] { return numbers[random() % std::size(numbers)]; };
    switch (random() % 5) {
        case 0:
            side.wish.store(any());
            break;
        case 1:
            side.words_bytes.store(any());
            break;
        case 2:
            side.bytes.store(std::uint64_t{any()} << (random() % 3 * 16) | any());
            break;
        case 3:
            side.offer.store(std::uint64_t{random() % 2 == 0 ? port : any()} << 32 |
                             (random() % 2 == 0 ? wish : any()));
            break;
        default:
            side.words[random() % guest::kMaxPortWords] = static_cast<std::byte>(random());
    }
}

void act(World& world, std::mt19937& random) {
    switch (random() % 12) {
        case 0:
            world.announce(static_cast<LinkState>(random() % 3));
            break;
        case 1:
            if (world.ports.size() < 8)
                if (auto port = world.forger->port_alloc(0, 4096 << random() % 4))
                    world.ports.push_back(port->id);
            break;
        case 2:
            if (!world.handles.empty()) {
                const std::size_t at = random() % world.handles.size();
                world.ask(Sys::close, world.handles[at]);
                world.handles.erase(world.handles.begin() + static_cast<std::ptrdiff_t>(at));
            }
            break;
        case 3:
        case 4:
            world.ask(Sys::port_join, world.end, random() % 4096,
                      random() % 2 == 0 ? std::uint64_t{guest::PortJoin::now} : 0, "words");
            break;
        case 5:
        case 6:
        case 7:
            world.ring();
            break;
        default:
            scribble(world, random);
    }
    world.sort_out();
}

void scribbles(Role role) {
    for (std::uint32_t seed = 0; seed < 12; ++seed) {
        World world(role);
        world.fresh();
        std::mt19937 random(seed);
        const int turns = rounds(400);
        for (int turn = 0; turn < turns; ++turn) act(world, random);
        world.recovers();
    }
}

}  // namespace

CHECK_CASE("a client's kernel that writes anything costs its own link, and an honest one is met") {
    scribbles(Role::client);
}

CHECK_CASE("a server's kernel that writes anything costs its own link, and an honest one is met") {
    scribbles(Role::server);
}

CHECK_CASE("words beyond their place and sizes beyond all memory take the link down at once") {
    for (const bool of_words : {false, true}) {
        World world(Role::server);
        world.fresh();
        world.ask(Sys::port_join, world.end, 512);
        if (of_words)
            world.mine().words_bytes.store(guest::kMaxPortWords + 1);
        else
            world.mine().bytes.store(guest::kPortLinkBudget / 4 + 1);
        world.mine().wish.store(1);
        world.ring();
        EXPECT(world.app.replies.empty());  // it waits for somebody who behaves
        world.mine().words_bytes.store(0);
        world.recovers();
    }
}
