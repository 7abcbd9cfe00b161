#include "hyplink/hyp/xirq_line.hpp"

#include <thread>
#include <vector>

#include "check.hpp"
#include "hyplink/hyp/local_hypercalls.hpp"
#include "hyplink/sys/real_runtime.hpp"

using namespace hyplink;
using namespace hyplink::hyp;

namespace {

struct Waker final : GuestWaker {
    void wake() override {}
    bool hears_lines() const override { return hears; }
    bool hears = true;
};

/// VM 2 serves VM 3 and VM 4, which do not know each other.
struct Board {
    sys::RealRuntime runtime{0};
    std::unique_ptr<Hypervisor> hypervisor;
    Waker wakers[3];
    std::vector<LocalHypercalls> vms;

    Board() {
        BoardSpec board;
        board.vms = {{2, "server"}, {3, "client"}, {4, "other"}};
        board.links = {{"vogl", 0, 2, 3, "", "", 1 << 20}, {"vogl", 0, 2, 4, "", "", 1 << 20}};
        auto made = Hypervisor::make(board, runtime, {});
        REQUIRE(made);
        hypervisor = *std::move(made);
        for (VmId vm : {2U, 3U, 4U}) {
            REQUIRE(hypervisor->begin_boot(vm, wakers[vm - 2]));
            vms.emplace_back(*hypervisor, vm);
        }
    }
    LocalHypercalls& vm(VmId id) { return vms[id - 2]; }
    /// The first of `count` numbers of `owner` on the link in this slot of the caller.
    XirqNumber number(VmId caller, std::uint32_t slot, VmId owner, std::uint64_t count = 1) {
        const ResourceRequest wanted{ResourceType::pxirq, slot, 1, owner, count};
        auto made = vm(caller).resources(std::span(&wanted, 1));
        REQUIRE(made && made->front().code == Errc::ok);
        return made->front().first;
    }
};

std::vector<std::uint32_t> taken(PendingBits bits) {
    std::vector<std::uint32_t> found;
    bits.take([&](std::uint32_t bit) { found.push_back(bit); });
    return found;
}

}  // namespace

CHECK_CASE("bits are taken once, lowest first, and only the first one raised asks for a wake") {
    std::vector<std::uint64_t> memory(PendingBits::bytes() / 8);
    PendingBits bits(reinterpret_cast<std::byte*>(memory.data()));
    EXPECT(bits.raise(70));
    EXPECT(!bits.raise(70));
    EXPECT(!bits.raise(64));
    EXPECT(bits.raise(PendingBits::kBits - 1));
    EXPECT(bits.raise(0));
    EXPECT_EQ(taken(bits), (std::vector<std::uint32_t>{0, 64, 70, PendingBits::kBits - 1}));
    EXPECT(taken(bits).empty());
    EXPECT(bits.raise(70));
}

CHECK_CASE("what one thread raises while another takes is never lost") {
    std::vector<std::uint64_t> memory(PendingBits::bytes() / 8);
    auto* at = reinterpret_cast<std::byte*>(memory.data());
    constexpr std::uint32_t kNumbers = 300;
    std::vector<std::atomic<std::uint32_t>> raised(kNumbers);
    std::vector<std::uint32_t> seen(kNumbers);
    std::atomic<std::uint32_t> wakes{0};
    std::atomic<bool> done{false};
    std::thread raiser([&] {
        PendingBits bits(at);
        for (std::uint32_t turn = 0; turn < 100'000; ++turn) {
            const std::uint32_t bit = turn * 7919 % kNumbers;
            raised[bit].fetch_add(1, std::memory_order_relaxed);
            if (bits.raise(bit)) wakes.fetch_add(1);
        }
        done = true;
    });
    PendingBits bits(at);
    std::uint32_t heard = 0;
    auto look = [&] {
        bits.take([&](std::uint32_t bit) {
            if (bit < kNumbers) seen[bit] = raised[bit].load(std::memory_order_relaxed);
        });
    };
    // As an owner does that sleeps: it looks after a wake, and never without one.
    while (!done || heard != wakes) {
        const std::uint32_t now = wakes;
        if (now == heard) {
            std::this_thread::yield();
            continue;
        }
        heard = now;
        look();
    }
    raiser.join();
    for (std::uint32_t bit = 0; bit < kNumbers; ++bit) EXPECT_EQ(seen[bit], raised[bit].load());
}

CHECK_CASE("a line is for the two VMs of a vlink, and numbers of other vlinks have no bit in it") {
    Board board;
    const XirqNumber ours = board.number(3, 0, 2, 3);
    const XirqNumber others = board.number(4, 0, 2, 2);
    EXPECT(board.vm(3).xirq_line(2, 3));
    EXPECT(board.vm(2).xirq_line(2, 3));
    EXPECT_EQ(board.vm(4).xirq_line(2, 3).code(), Errc::no_such_link);
    EXPECT_EQ(board.vm(3).xirq_line(4, 3).code(), Errc::no_such_link);
    EXPECT_EQ(board.vm(3).xirq_line(3, 3).code(), Errc::no_such_link);
    EXPECT_EQ(board.vm(3).xirq_route(others, 2).code(), Errc::not_permitted);
    EXPECT_EQ(board.vm(3).xirq_route(others + 2, 2).code(), Errc::bad_argument);
    EXPECT_EQ(board.vm(2).xirq_route(ours, 2).code(), Errc::unsupported);
    for (std::uint32_t i = 0; i < 3; ++i) {
        auto route = board.vm(3).xirq_route(ours + i, 2);
        REQUIRE(route);
        EXPECT_EQ(route->bit, i);
        EXPECT_EQ(route->bell.value, board.vm(3).xirq_bell(ours + i, 2)->value);
    }
    EXPECT_EQ(*board.vm(2).xirq_numbers(3, 0), (std::vector{ours, ours + 1, ours + 2}));
    EXPECT_EQ(*board.vm(2).xirq_numbers(3, 2), (std::vector{ours + 2}));
    EXPECT_EQ(*board.vm(2).xirq_numbers(4, 0), (std::vector{others, others + 1}));
    EXPECT(board.vm(2).xirq_numbers(3, 0xffffffff)->empty());
}

CHECK_CASE("both ends get the same line, and the owner's next life another one") {
    Board board;
    auto owner = board.vm(2).xirq_line(2, 3);
    auto raiser = board.vm(3).xirq_line(2, 3);
    REQUIRE(owner && raiser);
    EXPECT_EQ(owner->fd->get(), raiser->fd->get());
    board.hypervisor->vm_gone(2);
    EXPECT_EQ(board.vm(3).xirq_line(2, 3).code(), Errc::unsupported);
    REQUIRE(board.hypervisor->begin_boot(2, board.wakers[0]));
    auto next = board.vm(2).xirq_line(2, 3);
    REQUIRE(next);
    PendingBits(raiser->pending->data()).raise(0);
    EXPECT(taken(PendingBits(next->pending->data())).empty());
    EXPECT(next->fd->get() != raiser->fd->get());
    // The raiser's own end of a life changes nothing for the owner.
    board.hypervisor->vm_gone(3);
    REQUIRE(board.hypervisor->begin_boot(3, board.wakers[1]));
    EXPECT_EQ(board.vm(3).xirq_line(2, 3)->fd->get(), next->fd->get());
}

CHECK_CASE("a kernel that does not sleep on descriptors is rung through the hypervisor") {
    Board board;
    board.wakers[0].hears = false;
    EXPECT_EQ(board.vm(3).xirq_line(2, 3).code(), Errc::unsupported);
    EXPECT(board.vm(3).xirq_line(3, 2));
}
