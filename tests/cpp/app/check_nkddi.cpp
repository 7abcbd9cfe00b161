// NKDDI: the bridge's rules, resources, cross interrupts, deaths.
#include "app/nkddi_machine.hpp"

using namespace test;

namespace {

hyp::BoardSpec board() {
    hyp::BoardSpec spec;
    spec.vms = {{2, "server"}, {3, "client"}, {4, "other"}};
    spec.links = {{"vearlydata", 0, 2, 3, "server's", "client's", 0},
                  {"vogl", 0, 2, 3, "vrpq-pmem=64K,vrpq-reqs=64", "", 1 << 20},
                  {"vearlydata", 1, 3, 2, "", "", 0},
                  {"vearlydata", 2, 2, 2, "", "", 0},
                  {"other", 0, 2, 4, "", "", 0}};
    return spec;
}

constexpr Role kServer = Role::server;
constexpr Role kClient = Role::client;

struct Two {
    Machine machine{board()};
    std::unique_ptr<Nkddi> server, client;
    mem::Ipa s, c;  // the first vlink, as each end sees it

    Two() {
        for (VmId vm : {2U, 3U, 4U}) machine.boot(vm);
        reopen_server();
        reopen_client();
    }
    ~Two() {
        server.reset();
        client.reset();
    }
    void reopen_server() {
        server = machine.open(2);
        s = server->vlink_lookup("vearlydata", {});
    }
    void reopen_client() {
        client = machine.open(3);
        c = client->vlink_lookup("vearlydata", {});
    }
    LinkState set(Role role, LinkState state) {
        auto kept =
            role == kServer ? server->set_state(s, role, state) : client->set_state(c, role, state);
        if (!kept) throw check::Stop{};
        return *kept;
    }
    void up() {
        for (LinkState state : {LinkState::reset, LinkState::on}) {
            set(kServer, state);
            set(kClient, state);
        }
    }
    XirqNumber number(std::uint32_t id, VmId owner, std::uint32_t count = 1) {
        auto first = client->pxirq_alloc(c, id, owner, count);
        if (!first) throw check::Stop{};
        return *first;
    }
};

/// What a number brought: every delivery, in order.
struct Heard {
    std::vector<XirqNumber> numbers;
    Nkddi::Handler handler() {
        return [this](XirqNumber number) { numbers.push_back(number); };
    }
};

std::uint32_t state_in(Nkddi& nk, mem::Ipa link, Role role) {
    return state_word(*nk.descriptor(link), role).load();
}

}  // namespace

CHECK_CASE(
    "lookup walks the vlinks of exactly one class in the order of the board, in each VM by "
    "itself") {
    Two two;
    std::vector<std::uint32_t> links;
    for (mem::Ipa at; (at = two.server->vlink_lookup("vearlydata", at));)
        links.push_back(two.server->descriptor(at)->link);
    EXPECT_EQ(links, (std::vector<std::uint32_t>{0, 1, 2}));
    EXPECT(!two.server->vlink_lookup("vearly", {}));
    EXPECT(!two.server->vlink_lookup("vearlydata", mem::Ipa{4711}));
    std::size_t all = 0;
    for (mem::Ipa at; (at = two.client->vlink_lookup("", at));) ++all;
    EXPECT_EQ(all, 3);
    EXPECT_EQ(two.client->descriptor(two.c)->s_id, 2);
    EXPECT_EQ(two.client->descriptor(two.c)->c_id, 3);
    EXPECT_EQ(two.client->info(two.c, kServer), "server's");
    EXPECT_EQ(two.server->info(two.s, kClient), "client's");
    EXPECT_EQ(two.server->last_id(), 4);
}

CHECK_CASE(
    "the bridge refuses an illegal step, undoes it in the descriptor and says so in the journal") {
    Two two;
    EXPECT_EQ(two.set(kServer, LinkState::on), LinkState::off);  // OFF → ON
    EXPECT_EQ(state_in(*two.server, two.s, kServer), 0);
    EXPECT_EQ(two.set(kServer, LinkState::reset), LinkState::reset);
    EXPECT_EQ(two.set(kServer, LinkState::on), LinkState::reset);  // the peer is OFF
    EXPECT_EQ(two.machine.journal(Event::link_refused).size(), 2);
    EXPECT_EQ(two.set(kServer, static_cast<LinkState>(7)), LinkState::reset);
    EXPECT_EQ(state_in(*two.client, two.c, kServer), 1);
    EXPECT_EQ(two.machine.journal(Event::link_refused).size(), 3);
}

CHECK_CASE("OFF to RESET is refused while the peer is ON: a survivor's memory is its own") {
    Two two;
    two.up();
    EXPECT_EQ(two.set(kServer, LinkState::off), LinkState::off);
    EXPECT_EQ(two.set(kServer, LinkState::reset), LinkState::off);
    EXPECT_EQ(two.set(kClient, LinkState::off), LinkState::off);
    EXPECT_EQ(two.set(kServer, LinkState::reset), LinkState::reset);
}

CHECK_CASE("only an own side can be written, and a class that the kernel drives not at all") {
    Two two;
    EXPECT_EQ(two.client->set_state(two.c, kServer, LinkState::reset).code(), Errc::not_permitted);
    EXPECT_EQ(state_in(*two.client, two.c, kServer), 0);
    const mem::Ipa vogl = two.client->vlink_lookup("vogl", {});
    EXPECT_EQ(two.client->pmem_alloc(vogl, 0, 4096).code(), Errc::busy);
    const std::uint32_t before = state_in(*two.client, vogl, kClient);
    EXPECT_EQ(two.client->set_state(vogl, kClient, LinkState::off).code(), Errc::busy);
    EXPECT_EQ(state_in(*two.client, vogl, kClient), before);
    EXPECT_EQ(two.client->pmem_alloc(mem::Ipa{two.c.value + 8}, 0, 4096).code(),
              Errc::bad_argument);
}

CHECK_CASE(
    "as old drivers do: a state written into the descriptor is announced by triggering SYSCONF") {
    Two two;
    Heard heard;
    REQUIRE(two.client->attach(kSysconf, heard.handler()));
    two.machine.run({two.client.get()});
    heard.numbers.clear();
    two.server->descriptor(two.s)->s_state = 1;
    REQUIRE(two.server->trigger(kSysconf, 3));
    EXPECT_EQ(two.client->state(two.c, kServer), LinkState::reset);
    two.machine.run({two.client.get()});
    EXPECT_EQ(heard.numbers, (std::vector<XirqNumber>{kSysconf}));
    two.server->descriptor(two.s)->s_state = 0;
    two.server->descriptor(two.s)->s_state =
        2;  // OFF → ON was never announced as such: one step, refused
    REQUIRE(two.server->trigger(kSysconf, 3));
    EXPECT_EQ(two.server->state(two.s, kServer), LinkState::reset);
    two.machine.run({two.client.get()});
    EXPECT_EQ(heard.numbers.size(), 2);  // a trigger is a trigger, although nothing has changed
}

CHECK_CASE(
    "resources are the same from both ends, whoever asks first, each kind with ids of its own") {
    Two two;
    const auto first = two.client->pmem_alloc(two.c, 7, 5000);
    REQUIRE(first);
    EXPECT_EQ(first->value % 4096, 0);
    EXPECT_EQ(two.server->pmem_alloc(two.s, 7, 5000)->value, first->value);
    EXPECT_EQ(two.server->pdev_alloc(two.s, 7, 100)->value,
              two.client->pdev_alloc(two.c, 7, 100)->value);
    EXPECT_EQ(two.server->pxirq_alloc(two.s, 7, 3, 2).code(), Errc::ok);
    EXPECT_EQ(*two.server->pxirq_alloc(two.s, 7, 3, 2), *two.client->pxirq_alloc(two.c, 7, 3, 2));
    auto mine = two.client->map(*first, 5000);
    auto theirs = two.server->map(*first, 5000);
    REQUIRE(mine && theirs);
    std::memcpy(mine->data, "across", 6);
    EXPECT_EQ(std::memcmp(theirs->data, "across", 6), 0);
    EXPECT_EQ(two.client->vtop(mine->data + 9).value, first->value + 9);
    EXPECT(!two.client->vtop(&two));
}

CHECK_CASE("another size, count or owner fails, and so do sizes that are none") {
    Two two;
    REQUIRE(two.client->pmem_alloc(two.c, 0, 4096));
    EXPECT_EQ(two.server->pmem_alloc(two.s, 0, 4095).code(), Errc::exists);
    EXPECT_EQ(two.server->pmem_alloc(two.s, 1, 0).code(), Errc::bad_argument);
    EXPECT_EQ(two.server->pmem_alloc(two.s, 1, std::uint64_t{1} << 62).code(), Errc::bad_argument);
    REQUIRE(two.client->pxirq_alloc(two.c, 0, 2, 1));
    EXPECT_EQ(two.server->pxirq_alloc(two.s, 0, 2, 2).code(), Errc::exists);
    EXPECT_EQ(two.server->pxirq_alloc(two.s, 0, 3, 1).code(), Errc::exists);
    EXPECT_EQ(two.server->pxirq_alloc(two.s, 1, 4, 1).code(),
              Errc::bad_argument);  // not on this vlink
}

CHECK_CASE("contents survive a restart, and addresses and numbers stay") {
    Two two;
    const mem::Ipa at = *two.server->pmem_alloc(two.s, 0, 64);
    const XirqNumber number = *two.server->pxirq_alloc(two.s, 0, 2, 1);
    std::memcpy(two.server->map(at, 64)->data, "kept", 4);
    two.server.reset();
    two.machine.kill(2);
    two.machine.boot(2);
    two.reopen_server();
    EXPECT_EQ(two.server->pmem_alloc(two.s, 0, 64)->value, at.value);
    EXPECT_EQ(*two.server->pxirq_alloc(two.s, 0, 2, 1), number);
    EXPECT_EQ(std::memcmp(two.server->map(at, 64)->data, "kept", 4), 0);
}

CHECK_CASE("a map ends where its object ends, and addresses of others are no memory") {
    Two two;
    const mem::Ipa at = *two.server->pmem_alloc(two.s, 0, 4096);
    const std::uint64_t rest = two.server->bytes_at(at);
    EXPECT(two.server->map(at, rest).has_value());
    EXPECT_EQ(two.server->map(at, rest + 1).code(), Errc::bad_address);
    auto other = two.machine.open(4);
    EXPECT_EQ(other->map(at, 1).code(), Errc::bad_address);
    EXPECT_EQ(other->bytes_at(at), 0);
    EXPECT_EQ(two.server->map({}, 1).code(), Errc::bad_address);
}

CHECK_CASE("cross interrupts coalesce and come lowest first") {
    Two two;
    Heard heard;
    const XirqNumber low = two.number(0, 2, 3);
    for (XirqNumber number : {low + 2, low, low + 1})
        REQUIRE(two.server->attach(number, heard.handler()));
    for (int i = 0; i < 5; ++i)
        for (XirqNumber number : {low + 1, low + 2, low}) REQUIRE(two.client->trigger(number, 2));
    EXPECT_EQ(*two.server->dispatch(Deadline::never()), 3);
    EXPECT_EQ(heard.numbers, (std::vector<XirqNumber>{low, low + 1, low + 2}));
    EXPECT_EQ(two.server->dispatch(Deadline::never()).code(), Errc::timed_out);
}

CHECK_CASE("who rings numbers without end, or SYSCONF, holds up no other number") {
    // Which of the three numbers, and whether SYSCONF, is rung again by its own handler.
    for (const int floods : {1, 2, 4, 8, 3, 6, 9, 15}) {
        Two two;
        std::map<XirqNumber, int> heard;
        const XirqNumber low = two.number(0, 2, 3);
        auto flooded = [&](XirqNumber number) {
            return (floods >> (number == kSysconf ? 3 : number - low) & 1) != 0;
        };
        auto handler = [&](XirqNumber number) {
            ++heard[number];
            if (!flooded(number)) return;
            EXPECT_EQ(two.client->trigger(number, 2).code(), Errc::ok);
            two.machine.settle();
        };
        std::vector<XirqNumber> all{kSysconf, low, low + 1, low + 2};
        for (XirqNumber number : all) REQUIRE(two.server->attach(number, handler));
        for (XirqNumber number : all) REQUIRE(two.client->trigger(number, 2));
        two.machine.settle();
        REQUIRE(two.server->dispatch(Deadline::never()));
        for (XirqNumber number : all) EXPECT_EQ(heard[number] > (flooded(number) ? 4 : 0), true);
    }
}

CHECK_CASE("SYSCONF comes before all numbers, wherever their turn is") {
    Two two;
    Heard heard;
    const XirqNumber low = two.number(0, 2, 3);
    for (XirqNumber number : {kSysconf, low, low + 1, low + 2})
        REQUIRE(two.server->attach(number, heard.handler()));
    REQUIRE(two.server->take());  // what booting rang
    heard.numbers.clear();
    for (XirqNumber number : {low + 2, low + 1}) REQUIRE(two.client->trigger(number, 2));
    EXPECT_EQ(*two.server->take(), low + 1);
    REQUIRE(two.client->trigger(low, 2));
    REQUIRE(two.client->trigger(kSysconf, 2));
    two.machine.settle();
    EXPECT_EQ(*two.server->dispatch(Deadline::never()), 3);
    EXPECT_EQ(heard.numbers, (std::vector<XirqNumber>{kSysconf, low + 2, low}));
}

CHECK_CASE("a masked number remembers one; unmasking delivers it") {
    Two two;
    Heard heard;
    const XirqNumber number = two.number(0, 2, 2);
    REQUIRE(two.server->attach(number, heard.handler(), true));
    for (int i = 0; i < 3; ++i) REQUIRE(two.client->trigger(number, 2));
    EXPECT_EQ(two.server->dispatch(Deadline::never()).code(), Errc::timed_out);
    two.server->unmask(number);
    EXPECT_EQ(*two.server->dispatch(Deadline::never()), 1);
    EXPECT_EQ(heard.numbers.size(), 1);
    // The other way to begin masked: a dummy, masked, then the real one, which does not unmask.
    const auto dummy = two.server->attach(number + 1, {});
    two.server->mask(number + 1);
    REQUIRE(two.server->attach(number + 1, heard.handler()));
    two.server->detach(*dummy);
    REQUIRE(two.client->trigger(number + 1, 2));
    EXPECT_EQ(two.server->dispatch(Deadline::never()).code(), Errc::timed_out);
}

CHECK_CASE("handlers may share a number, and take themselves and each other off") {
    Two two;
    std::vector<int> order;
    const XirqNumber number = two.number(0, 2);
    Nkddi::AttachId first = 0, second = 0;
    first = *two.server->attach(number, [&](XirqNumber) {
        order.push_back(1);
        two.server->detach(first);
        two.server->detach(second);
    });
    second = *two.server->attach(number, [&](XirqNumber) { order.push_back(2); });
    REQUIRE(two.server->attach(number, [&](XirqNumber) { order.push_back(3); }));
    for (int i = 0; i < 2; ++i) {
        REQUIRE(two.client->trigger(number, 2));
        REQUIRE(two.server->dispatch(Deadline::never()));
    }
    EXPECT_EQ(order, (std::vector<int>{1, 3, 3}));
}

CHECK_CASE(
    "what was triggered before anybody attached is nobody's; attaching an unknown number fails") {
    Two two;
    Heard heard;
    const XirqNumber number = two.number(0, 2);
    REQUIRE(two.client->trigger(number, 2));
    REQUIRE(two.server->attach(number, heard.handler()));
    EXPECT_EQ(*two.server->take(), 0);
    EXPECT_EQ(two.server->attach(number + 1, heard.handler()).code(), Errc::bad_argument);
    EXPECT_EQ(two.server->attach(0, heard.handler()).code(), Errc::bad_argument);
}

CHECK_CASE("no more than 63 numbers can be attached, and the next is told so") {
    Two two;
    const XirqNumber first = two.number(0, 2, 64);
    for (XirqNumber i = 0; i < 63; ++i) REQUIRE(two.server->attach(first + i, {}));
    EXPECT_EQ(two.server->attach(first + 63, {}).code(), Errc::no_memory);
}

CHECK_CASE(
    "a handler that triggers itself does not keep dispatch busy for ever, and nothing is lost") {
    Two two;
    const XirqNumber number = two.number(0, 2);
    int runs = 0;
    REQUIRE(two.server->attach(number, [&](XirqNumber) {
        ++runs;
        (void)two.server->trigger(number, 2);
    }));
    REQUIRE(two.client->trigger(number, 2));
    EXPECT_EQ(*two.server->dispatch(Deadline::never()), 64);
    EXPECT_EQ(*two.server->dispatch(Deadline::never()), 64);
    EXPECT_EQ(runs, 128);
}

CHECK_CASE("a trigger needs no kernel once the bell is mapped, and wakes who sleeps on it") {
    Two two;
    const XirqNumber number = two.number(0, 2);
    REQUIRE(two.client->trigger(number, 2));
    const int before = two.machine.requests(3);
    for (int i = 0; i < 100; ++i) REQUIRE(two.client->trigger(number, 2));
    EXPECT_EQ(two.machine.requests(3), before);
    auto bell =
        two.client->map(*two.machine.hypervisor->xirq_bell(3, number, 2), sizeof(BellWords));
    REQUIRE(bell);
    auto& words = *reinterpret_cast<BellWords*>(bell->data);
    bell_arm(words, kBellFutex);
    REQUIRE(two.client->trigger(number, 2));
    EXPECT_EQ(two.machine.runtime.wakes, 1);
    EXPECT_EQ(words.armed.load(), kBellAwake);
    // Asleep in its kernel's event loop: the hypervisor wakes it.
    bell_arm(words, kBellHook);
    REQUIRE(two.client->trigger(number, 2));
    EXPECT_EQ(two.machine.requests(3), before + 1);
    const auto pending = two.machine.hypervisor->take_events(2).xirqs;
    EXPECT_EQ(pending, (std::vector<XirqNumber>{number}));
}

CHECK_CASE(
    "a trigger of an unknown number or VM, or without a common vlink, is refused and counted") {
    Two two;
    const XirqNumber number = two.number(0, 2);
    auto other = two.machine.open(4);
    EXPECT_EQ(two.client->trigger(number + 1, 2).code(), Errc::bad_argument);
    EXPECT_EQ(two.client->trigger(0, 2).code(), Errc::bad_argument);
    EXPECT_EQ(two.client->trigger(number, 9).code(), Errc::bad_argument);
    EXPECT_EQ(two.client->trigger(kSysconf, 9).code(), Errc::bad_argument);
    EXPECT_EQ(other->trigger(number, 2).code(), Errc::not_permitted);
    EXPECT_EQ(two.machine.journal(Event::xirq_refused).size(), 5);
}

CHECK_CASE("SYSCONF tells that the set of running VMs has changed") {
    Two two;
    Heard heard;
    REQUIRE(two.client->attach(kSysconf, heard.handler()));
    two.machine.run({two.client.get()});
    heard.numbers.clear();
    EXPECT_EQ(*two.client->running_ids(), 0b11100);
    two.machine.kill(4);
    two.machine.run({two.client.get()});
    EXPECT_EQ(heard.numbers.size(), 1);
    EXPECT_EQ(*two.client->running_ids(), 0b01100);
    two.machine.boot(4);
    two.machine.run({two.client.get()});
    EXPECT_EQ(heard.numbers.size(), 2);
}

CHECK_CASE(
    "when an application dies its ends go OFF, its peer hears it, and another one can take over") {
    Two two;
    Heard heard;
    two.up();
    REQUIRE(two.client->attach(kSysconf, heard.handler()));
    two.machine.run({two.client.get()});
    heard.numbers.clear();
    auto second = two.machine.open(2);
    EXPECT_EQ(second->set_state(two.s, kServer, LinkState::off).code(), Errc::busy);
    EXPECT_EQ(second->pmem_alloc(two.s, 0, 64).code(), Errc::busy);
    EXPECT_EQ(two.client->state(two.c, kServer), LinkState::on);
    two.machine.die(*two.server);
    EXPECT_EQ(two.client->state(two.c, kServer), LinkState::off);
    two.machine.run({two.client.get()});
    EXPECT_EQ(heard.numbers.size(), 1);
    EXPECT_EQ(*second->set_state(two.s, kServer, LinkState::reset),
              LinkState::off);  // the survivor is ON
    two.set(kClient, LinkState::off);
    EXPECT_EQ(*second->set_state(two.s, kServer, LinkState::reset), LinkState::reset);
}

CHECK_CASE("one number has one waiting application of a VM, until that one is gone") {
    Two two;
    const XirqNumber number = two.number(0, 2);
    auto second = two.machine.open(2);
    REQUIRE(two.server->attach(number, {}));
    EXPECT_EQ(second->attach(number, {}).code(), Errc::busy);
    EXPECT_EQ(second->trigger(number, 2).code(), Errc::ok);  // anybody may ring
    two.machine.die(*two.server);
    EXPECT_EQ(second->attach(number, {}).code(), Errc::ok);
}

CHECK_CASE(
    "an application has one NKDDI; closing it gives the place back and is the end of every call") {
    Two two;
    auto application = two.machine.attach(2);
    auto first = Nkddi::open(application);
    REQUIRE(first);
    EXPECT_EQ(Nkddi::open(application).code(), Errc::busy);
    (*first)->close();
    (*first)->close();
    EXPECT_EQ((*first)->take().code(), Errc::closed);
    EXPECT_EQ((*first)->trigger(kSysconf, 3).code(), Errc::closed);
    EXPECT_EQ((*first)->set_state(two.s, kServer, LinkState::reset).code(), Errc::closed);
    EXPECT(Nkddi::open(application).has_value());
}

CHECK_CASE(
    "whoever waits hears of his own VM's death, with SYSCONF attached, masked or not, or a "
    "number") {
    for (int form = 0; form < 4; ++form) {
        Two two;
        if (form == 3) {
            REQUIRE(two.server->attach(two.number(0, 2), {}));
        } else if (form > 0) {
            REQUIRE(two.server->attach(kSysconf, {}, form == 2));
        }
        const Errc first = two.server->next(Deadline::never()).code();
        EXPECT(first == Errc::timed_out || (form == 1 && first == Errc::ok));
        two.machine.kill(2);
        EXPECT_EQ(two.server->next(Deadline::never()).code(), Errc::peer_dead);
        EXPECT_EQ(two.server->next(Deadline::never()).code(), Errc::peer_dead);
    }
}

CHECK_CASE("a death that comes during the wait ends it, whatever is waited for") {
    for (int form = 0; form < 4; ++form) {
        Two two;
        const XirqNumber number = two.number(0, 2);
        if (form > 0) {
            const XirqNumber what = form == 1 ? kSysconf : number;
            REQUIRE(two.server->attach(what, {}, form == 3));
        }
        while (*two.server->take() != 0) {
        }
        two.machine.runtime.settle = [&] { two.machine.kill(2); };
        EXPECT_EQ(two.server->next(Deadline::never()).code(), Errc::peer_dead);
        two.machine.runtime.settle = [] {};
    }
}
