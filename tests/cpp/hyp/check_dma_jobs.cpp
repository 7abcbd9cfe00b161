// Jobs of VMs' devices, piece by piece: where pages are held they wait.

#include <array>
#include <memory>

#include "check.hpp"
#include "hyplink/hyp/dma.hpp"
#include "hyplink/sys/memfd.hpp"

using namespace hyplink;
using namespace hyplink::hyp;

namespace {

constexpr std::uint64_t kBytes = 8192;
constexpr std::uint64_t kFrom = 0x100000000;
constexpr std::uint64_t kTo = 0x200000000;

struct Devices {
    GrantTable grants;
    DmaDevices devices;
    std::shared_ptr<sys::Fd> from = object();
    std::shared_ptr<sys::Fd> to = object();

    Devices() {
        devices.place(2, 1, kFrom, kBytes, from);
        devices.place(2, 1, kTo, kBytes, to);
        const std::byte value{7};
        if (!sys::write_at(from->get(), std::span(&value, 1), 0)) throw check::Stop{};
    }
    static std::shared_ptr<sys::Fd> object() {
        auto made = sys::make_memfd("check", kBytes);
        if (!made) throw check::Stop{};
        return std::make_shared<sys::Fd>(*std::move(made));
    }
    int written() const {
        std::byte first{};
        if (!sys::read_at(to->get(), std::span(&first, 1), 0)) throw check::Stop{};
        return static_cast<int>(first);
    }
};

DmaOrder copy() {
    DmaOrder order;
    order.kind = DmaKind::copy;
    order.app = 1;
    order.from = kFrom;
    order.to = kTo;
    order.bytes = kBytes;
    return order;
}

}  // namespace

CHECK_CASE(
    "a job waits while pages that it reads or writes are held, and goes on when it is told") {
    for (const std::uint64_t held : {kFrom + kBytes - 1, kTo}) {
        Devices of;
        const auto job = of.devices.start(2, copy());
        REQUIRE(job);
        const auto holds = [&](MemRange range) {
            return range.at <= held && held < range.at + range.bytes;
        };
        for (int turn = 0; turn < 3; ++turn) {
            EXPECT_EQ(of.devices.step(of.grants, holds).size(), 0U);
            EXPECT(of.devices.waiting() && !of.devices.busy());
            EXPECT_EQ(of.devices.look(2, 1, *job)->done, 0U);
            EXPECT_EQ(of.written(), 0);
        }
        of.devices.go_on();
        EXPECT(of.devices.busy() && !of.devices.waiting());
        EXPECT_EQ(of.devices.step(of.grants, [](MemRange) { return false; }).size(), 1U);
        EXPECT(of.devices.look(2, 1, *job)->state == DmaState::done);
        EXPECT_EQ(of.written(), 7);
        EXPECT(!of.devices.busy() && !of.devices.waiting());
    }
}

CHECK_CASE("a job that need not wait goes on beside one that waits") {
    Devices of;
    const auto waits = of.devices.start(2, copy());
    DmaOrder fill = copy();
    fill.kind = DmaKind::fill;
    fill.value = 5;
    const auto goes = of.devices.start(2, fill);
    REQUIRE(waits && goes);
    const auto ended = of.devices.step(of.grants, [](MemRange range) { return range.at == kFrom; });
    REQUIRE(ended.size() == 1);
    EXPECT_EQ(ended[0].reply.job, *goes);
    EXPECT_EQ(of.written(), 5);
    EXPECT_EQ(of.devices.look(2, 1, *waits)->done, 0U);
}
