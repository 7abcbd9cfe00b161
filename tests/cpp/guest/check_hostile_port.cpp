// What the kernel at one end of a vMQ does when the VM at the other end writes whatever it likes
// into what both kernels say to each other, as server and as client.

#include <cstring>
#include <random>

#include "guest/forged_link.hpp"
#include "hyplink/guest/port_end.hpp"
#include "hyplink/ring/rpq_port.hpp"
#include "rounds.hpp"

using namespace hostile;
using guest::PortSide;

namespace {

struct World : ForgedLink {
    PortSide* sides = nullptr;
    XirqNumber xirq = 0;
    std::uint32_t end = 0;
    std::vector<std::uint32_t> handles, ports;

    explicit World(Role of_forger) : ForgedLink(of_forger, "vmq", "disk", 1 << 24) {
        const hyp::ResourceRequest wanted[] = {
            {hyp::ResourceType::pmem, 0, 0, 0, 2 * sizeof(PortSide)},
            {hyp::ResourceType::pxirq, 0, role == Role::server ? 1U : 0U, kHonest, 1}};
        auto resources = forger->resources(wanted);
        REQUIRE(resources);
        sides = reinterpret_cast<PortSide*>(shared((*resources)[0]));
        xirq = (*resources)[1].first;
        pump();
        end = look_up();
    }
    PortSide& mine() { return sides[static_cast<std::size_t>(role)]; }
    PortSide& theirs() { return sides[1 - static_cast<std::size_t>(role)]; }
    std::uint32_t look_up() {
        const std::uint32_t device = open_device("vmq");
        ask(Sys::port_lookup, device, static_cast<std::uint64_t>(guest::PortRole::either), 0,
            "disk");
        REQUIRE(app.replies.back().code == Errc::ok);
        const auto found =
            static_cast<std::uint32_t>(app.replies.back().values[guest::EndReply::handle]);
        ask(Sys::close, device);
        app.replies.clear();
        return found;
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
