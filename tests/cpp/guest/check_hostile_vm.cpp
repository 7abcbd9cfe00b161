// What a guest kernel and the hypervisor do when a peer VM, or an application, breaks the rules.

#include <fcntl.h>
#include <unistd.h>

#include <cstring>
#include <memory>
#include <vector>

#include "check.hpp"
#include "hyplink/guest/kernel.hpp"
#include "hyplink/guest/rpq_admin.hpp"
#include "hyplink/guest/rpq_link.hpp"
#include "hyplink/hyp/local_hypercalls.hpp"
#include "hyplink/sys/eventfd.hpp"
#include "hyplink/sys/real_runtime.hpp"

using namespace hyplink;
using guest::AdminKind;
using guest::Sys;

namespace {

constexpr VmId kServer = 2;
constexpr VmId kClient = 3;

struct Waker final : hyp::GuestWaker {
    void wake() override { due = true; }
    bool due = false;
};

struct App final : guest::AppSink {
    void reply(guest::SysReply&& reply) override { replies.push_back(std::move(reply)); }
    const guest::SysReply& last() {
        REQUIRE(!replies.empty());
        return replies.back();
    }
    guest::AppId id = 0;
    std::vector<guest::SysReply> replies;
};

/// A board with one vogl link, driven by hand: no threads.
struct Board {
    sys::RealRuntime runtime{0};
    std::unique_ptr<hyp::Hypervisor> hypervisor;

    Board() {
        hyp::BoardSpec board;
        board.vms = {{kServer, "server"}, {kClient, "client"}};
        board.links = {{"vogl", 0, kServer, kClient, "", "", 1 << 24}};
        auto made = hyp::Hypervisor::make(board, runtime, {});
        REQUIRE(made);
        hypervisor = *std::move(made);
    }
};

/// A VM with a real kernel.
struct Vm {
    Waker waker;
    hyp::LocalHypercalls calls;
    guest::GuestKernel kernel;

    Vm(Board& board, VmId vm) : calls(*board.hypervisor, vm), kernel(board.runtime, calls) {
        REQUIRE(board.hypervisor->begin_boot(vm, waker));
        REQUIRE(kernel.boot());
    }
    void attach(App& app) {
        auto id = kernel.app_attach(app);
        REQUIRE(id);
        app.id = *id;
    }
    void ask(App& app, std::uint32_t sequence, Sys op, std::uint32_t handle = 0,
             std::string data = {}) {
        guest::SysRequest request;
        request.sequence = sequence;
        request.op = op;
        request.handle = handle;
        request.data = std::move(data);
        kernel.handle(app.id, std::move(request));
    }
    std::uint32_t open(App& app, const char* device) {
        ask(app, 1000, Sys::open, 0, device);
        REQUIRE(app.last().code == Errc::ok);
        return static_cast<std::uint32_t>(app.last().values[0]);
    }
    bool pump() {
        if (!std::exchange(waker.due, false)) return false;
        kernel.on_events();
        return true;
    }
};

/// Both VMs with a real kernel, and a session between an application of each.
struct SessionOfTwo {
    Board board;
    Vm server{board, kServer};
    Vm client{board, kClient};
    App accepting;
    App asking;
    std::uint32_t session = 0;

    SessionOfTwo() {
        settle();
        server.attach(accepting);
        client.attach(asking);
        server.ask(accepting, 1, Sys::rpq_session_accept, server.open(accepting, "vrpq-srv-vogl0"));
        client.ask(asking, 1, Sys::rpq_session_create, client.open(asking, "vrpq-clt-vogl0"));
        settle();
        REQUIRE(asking.last().code == Errc::ok && accepting.last().code == Errc::ok);
        session = static_cast<std::uint32_t>(asking.last().values[0]);
    }
    void settle() {
        while (server.pump() || client.pump()) {
        }
    }
};

/// A VM without a kernel that plays the client's part by hand.
struct Forger {
    Waker waker;
    hyp::LocalHypercalls calls;
    guest::AdminArea* area = nullptr;
    XirqNumber server_xirq = 0;
    std::uint32_t sent = 0;

    explicit Forger(Board& board) : calls(*board.hypervisor, kClient) {
        REQUIRE(board.hypervisor->begin_boot(kClient, waker));
        using hyp::ResourceType;
        const hyp::ResourceRequest wanted[] = {
            {ResourceType::pmem, 0, 0, 0, guest::AdminRing::kBytes},
            {ResourceType::pxirq, 0, 2, kServer, 2}};
        auto made = calls.resources(wanted);
        REQUIRE(made);
        auto memory = calls.mem_open((*made)[0].at);
        REQUIRE(memory);
        area = reinterpret_cast<guest::AdminArea*>(memory->region->data() +
                                                   ((*made)[0].at.value - memory->base.value));
        server_xirq = (*made)[1].first;
    }
    void go_up(Vm& server) {
        for (const LinkState state : {LinkState::reset, LinkState::on}) {
            auto pdev = calls.pdev();
            REQUIRE(pdev);
            auto* table = reinterpret_cast<hyp::VlinkDescriptor*>(pdev->region->data() +
                                                                  2 * sizeof(hyp::PdevHeader));
            table[0].c_state = static_cast<std::uint32_t>(state);
            const hyp::EndRef end{0, Role::client};
            REQUIRE(calls.publish(std::span(&end, 1)));
            server.pump();
        }
    }
    void send(AdminKind kind, std::uint32_t session, std::uint32_t channel = 0,
              std::uint32_t port = 0) {
        guest::AdminSlot slot{};
        slot.kind = static_cast<std::uint32_t>(kind);
        slot.session = session;
        slot.channel = channel;
        slot.port = port;
        area->slots[1][sent % guest::AdminArea::kSlots] = slot;
        area->directions[1].head = ++sent;
        (void)calls.xirq_trigger(server_xirq, kServer);
    }
};

}  // namespace

CHECK_CASE(
    "a request under a number that is in use is refused, and the one that waits goes with its "
    "application") {
    Board board;
    Vm server(board, kServer);
    Vm client(board, kClient);
    while (server.pump() || client.pump()) {
    }
    App dying;
    client.attach(dying);
    const std::uint32_t device = client.open(dying, "vrpq-clt-vogl0");
    client.ask(dying, 7, Sys::rpq_session_create, device);
    client.ask(dying, 7, Sys::hello);
    EXPECT_EQ(dying.last().sequence, 7);
    EXPECT_EQ(dying.last().code, Errc::protocol);
    client.kernel.app_gone(dying.id, true);
    const std::size_t answers = dying.replies.size();

    App accepting;
    server.attach(accepting);
    const std::uint32_t server_device = server.open(accepting, "vrpq-srv-vogl0");
    server.ask(accepting, 8, Sys::rpq_session_accept, server_device);
    while (server.pump() || client.pump()) {
    }
    EXPECT_EQ(dying.replies.size(), answers);
    App next;
    client.attach(next);
    client.ask(next, 9, Sys::list);
    EXPECT_EQ(next.last().data.find("vrpq-clt-vogl0"), 0);
}

CHECK_CASE("a client that spoils the ring while its channel is accepted takes only the link down") {
    Board board;
    Vm server(board, kServer);
    Forger forger(board);
    forger.go_up(server);
    App app;
    server.attach(app);
    const std::uint32_t device = server.open(app, "vrpq-srv-vogl0");
    server.ask(app, 1, Sys::rpq_session_accept, device);
    forger.send(AdminKind::session_create, 1);
    server.pump();
    REQUIRE(app.last().sequence == 1 && app.last().code == Errc::ok);
    const auto session = static_cast<std::uint32_t>(app.last().values[0]);
    server.ask(app, 2, Sys::rpq_channel_accept, session);
    server.ask(app, 3, Sys::rpq_channel_accept, session);
    auto port = forger.calls.port_alloc(0, 4096);
    REQUIRE(port);
    forger.area->directions[0].tail = 0x8000'0000;  // "taken", says the client: impossible
    forger.send(AdminKind::channel_create, 1, 5, port->id);
    server.pump();
    EXPECT_EQ(app.last().code, Errc::ok);  // the channel that was just accepted; it is dead already
    EXPECT(board.hypervisor->link_state(0, Role::server) != LinkState::on);
    server.ask(app, 4, Sys::list);
    EXPECT_EQ(app.last().sequence, 4);
}

CHECK_CASE(
    "a session closed while its channel is being made answers the maker; a late answer meets "
    "nothing") {
    SessionOfTwo two;
    auto& [board, server, client, accepting, asking, session] = two;
    client.ask(asking, 2, Sys::rpq_channel_create, session);
    server.pump();
    // Its answer is under way when the client closes the session.
    server.ask(accepting, 2, Sys::rpq_channel_accept,
               static_cast<std::uint32_t>(accepting.last().values[0]));
    const std::size_t answers = asking.replies.size();
    client.ask(asking, 3, Sys::close, session);
    REQUIRE(asking.replies.size() == answers + 2);
    EXPECT_EQ(asking.replies[answers].sequence, 2);
    EXPECT_EQ(asking.replies[answers].code, Errc::cancelled);
    EXPECT_EQ(asking.replies[answers + 1].sequence, 3);
    two.settle();
    EXPECT_EQ(asking.replies.size(), answers + 2);
    client.ask(asking, 4, Sys::list);
    EXPECT_EQ(asking.last().sequence, 4);
}

CHECK_CASE("a channel that is withdrawn before the server hears of it leaves the link up") {
    SessionOfTwo two;
    auto& [board, server, client, accepting, asking, session] = two;
    client.ask(asking, 2, Sys::rpq_channel_create, session);
    guest::SysRequest cancel;
    cancel.sequence = 3;
    cancel.op = Sys::cancel;
    cancel.args[0] = 2;
    client.kernel.handle(asking.id, std::move(cancel));
    two.settle();
    EXPECT(board.hypervisor->link_state(0, Role::server) == LinkState::on);
    server.ask(accepting, 2, Sys::rpq_channel_accept,
               static_cast<std::uint32_t>(accepting.last().values[0]));
    client.ask(asking, 4, Sys::rpq_channel_create, session);
    two.settle();
    EXPECT_EQ(asking.last().sequence, 4);
    EXPECT_EQ(asking.last().code, Errc::ok);
}

CHECK_CASE("a client that asks without end and takes no answers is cut off") {
    Board board;
    Vm server(board, kServer);
    Forger forger(board);
    forger.go_up(server);
    const std::uint32_t far = 100 * (guest::kMaxSessions + guest::kMaxChannels);
    std::uint32_t sent = 0;
    while (sent < far && board.hypervisor->link_state(0, Role::server) == LinkState::on) {
        forger.send(AdminKind::session_destroy, ++sent);
        server.pump();
    }
    EXPECT(sent > guest::kMaxSessions + guest::kMaxChannels);
    EXPECT(sent < far);
}

CHECK_CASE("a VM cannot make the hypervisor keep more than its vlink's share") {
    Board board;
    Waker waker;
    hyp::LocalHypercalls calls(*board.hypervisor, kClient);
    REQUIRE(board.hypervisor->begin_boot(kClient, waker));
    for (const auto type : {hyp::ResourceType::pmem, hyp::ResourceType::pxirq}) {
        const bool memory = type == hyp::ResourceType::pmem;
        Errc code = Errc::ok;
        std::uint32_t id = 0;
        while (code == Errc::ok && id < 100) {
            const hyp::ResourceRequest request{type, 0, ++id, kServer,
                                               memory ? std::uint64_t{1} << 30 : 4096};
            auto reply = calls.resources(std::span(&request, 1));
            REQUIRE(reply);
            code = reply->front().code;
        }
        EXPECT_EQ(code, Errc::no_memory);
        EXPECT_EQ(id, memory ? 5 : 17);
        // What was given stays, and is found again.
        const hyp::ResourceRequest again{type, 0, 1, kServer,
                                         memory ? std::uint64_t{1} << 30 : 4096};
        auto reply = calls.resources(std::span(&again, 1));
        REQUIRE(reply);
        EXPECT_EQ(reply->front().code, Errc::ok);
    }
}

CHECK_CASE("an eventfd that its other holder made blocking, and full or empty, blocks nobody") {
    auto made = sys::make_eventfd();
    REQUIRE(made);
    const int fd = made->get();
    REQUIRE(::fcntl(fd, F_SETFL, 0) == 0);
    sys::drain_eventfd(fd);
    const std::uint64_t full = 0xfffffffffffffffe;
    REQUIRE(::write(fd, &full, sizeof full) == sizeof full);
    EXPECT(!sys::signal_shared_eventfd(fd));
    sys::drain_eventfd(fd);
    EXPECT(sys::signal_shared_eventfd(fd));
    sys::drain_eventfd(fd);
    sys::drain_eventfd(fd);
}
