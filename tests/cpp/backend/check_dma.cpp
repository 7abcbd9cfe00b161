/// A device that moves memory by itself, in C++: what it may touch, and where it faults.
#include <cstring>

#include "check.hpp"
#include "hyplink/app/memory/dma_device.hpp"
#include "hyplink/sys/memfd.hpp"
#include "memory_bench.hpp"

using namespace hyplink;
using app::DmaDevice;

namespace {

constexpr std::uint64_t kPage = 4096;
constexpr std::uint32_t kDma = hyp::kGrantRead | hyp::kGrantWrite | hyp::kGrantDma;

void story(backend::BackendKind kind) {
    const MemoryBench world(kind);
    const auto soon = [&] { return world.soon(); };
    const auto& memory = world.exporter;
    auto opened = DmaDevice::open(world.importing);
    REQUIRE(opened);
    DmaDevice& device = **opened;
    EXPECT_EQ(DmaDevice::open(world.importing).code(), Errc::busy);
    auto block = memory->alloc(4 * kPage);
    REQUIRE(block);
    const hyp::MemRange granted{(*block)->at() + kPage, 2 * kPage};
    REQUIRE(memory->grant(2, kDma, {{granted}}));

    hyp::DmaOrder fill;
    fill.kind = hyp::DmaKind::fill;
    fill.value = 7;
    fill.to = granted.at;
    fill.bytes = 3 * kPage;
    auto job = device.start(fill);
    REQUIRE(job);
    auto end = device.wait(*job, soon());
    REQUIRE(end);
    EXPECT(end->state == hyp::DmaState::faulted);
    EXPECT(end->fault == hyp::DmaFault::unmapped);
    EXPECT_EQ(end->at, granted.at + granted.bytes);
    EXPECT_EQ(end->done, granted.bytes);
    const std::byte* data = (*block)->data();
    EXPECT_EQ(static_cast<int>(data[kPage - 1]), 0);
    EXPECT_EQ(static_cast<int>(data[kPage]), 7);
    EXPECT_EQ(static_cast<int>(data[3 * kPage - 1]), 7);
    EXPECT_EQ(static_cast<int>(data[3 * kPage]), 0);

    // An object of one's own, and from there into what was granted.
    auto object = sys::make_memfd("check", kPage);
    REQUIRE(object);
    REQUIRE(sys::write_at(object->get(), std::as_bytes(std::span("123456789", 9)), 0));
    auto at = device.attach(object->get());
    REQUIRE(at);
    hyp::DmaOrder sum;
    sum.kind = hyp::DmaKind::checksum;
    sum.from = *at;
    sum.bytes = 9;
    auto summing = device.start(sum);
    REQUIRE(summing);
    auto summed = device.wait(*summing, soon());
    REQUIRE(summed);
    EXPECT_EQ(summed->checksum, 0xcbf43926U);  // what every CRC-32 says of these nine
    hyp::DmaOrder copy;
    copy.from = *at;
    copy.to = granted.at + 5;
    copy.bytes = 9;
    auto copying = device.start(copy);
    REQUIRE(copying);
    REQUIRE(device.wait(*copying, soon()));
    EXPECT_EQ(std::memcmp(data + kPage + 5, "123456789", 9), 0);
    REQUIRE(device.detach(*at));
    EXPECT_EQ(device.detach(*at).code(), Errc::bad_address);

    // A job without end is ended by a deny.
    fill.bytes = granted.bytes;
    fill.repeat = 1;
    auto endless = device.start(fill);
    REQUIRE(endless);
    while (device.look(*endless)->rounds == 0) {
    }
    REQUIRE(memory->deny(2, kDma, {{granted}}));
    auto over = device.wait(*endless, soon());
    REQUIRE(over);
    EXPECT(over->state == hyp::DmaState::faulted);
    EXPECT_EQ(device.wait(999, soon()).code(), Errc::not_found);
    device.close();
    EXPECT_EQ(device.look(*endless).code(), Errc::closed);
}

}  // namespace

CHECK_CASE(
    "a device touches what was granted for DMA or attached, and faults outside, on threads") {
    story(backend::BackendKind::thread);
}
CHECK_CASE(
    "a device touches what was granted for DMA or attached, and faults outside, on processes") {
    story(backend::BackendKind::process);
}
