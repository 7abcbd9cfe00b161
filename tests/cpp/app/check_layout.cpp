// What two sides share lies where it always lies, whatever machine and compiler each was built
// with. tests/cpp/test_layout.py builds this for 32 bits too and compares what the two say.

#include <cstddef>
#include <iostream>

#include "check.hpp"
#include "hyplink/app/rpq/client_channel.hpp"
#include "hyplink/app/rpq/server_channel.hpp"
#include "hyplink/base/bell.hpp"
#include "hyplink/base/journal.hpp"
#include "hyplink/guest/rpq_admin.hpp"
#include "hyplink/guest/syscalls.hpp"
#include "hyplink/hyp/vlink.hpp"
#include "hyplink/sys/real_runtime.hpp"

using namespace hyplink;

// Once where the compiler sees it, once where a reader does.
#define LIES(type, member, offset)                     \
    static_assert(offsetof(type, member) == (offset)); \
    std::cout << #type "." #member " at " << offsetof(type, member) << '\n'
#define TAKES(type, bytes)                  \
    static_assert(sizeof(type) == (bytes)); \
    std::cout << #type " takes " << sizeof(type) << '\n'

CHECK_CASE("every shared structure has its fixed size and offsets") {
    TAKES(BellWords, 128);
    LIES(BellWords, armed, 64);

    TAKES(rpq::PortHeader, 64);
    LIES(rpq::PortHeader, port_bytes, 8);
    LIES(rpq::PortHeader, callback_bytes, 28);
    TAKES(rings::RecordHeader, 16);
    LIES(rings::RecordHeader, kind, 12);
    static_assert(rpq::kServerBellAt == 64 && rpq::kHeadAt == 72 && rpq::kWantedAt == 80);
    static_assert(rpq::kClientBellAt == 192 && rpq::kFaultAt == 196 && rpq::kTailAt == 200);
    static_assert(rpq::kReplyAt == 208 && rpq::kRingAt == 1024);
    static_assert(sizeof(std::atomic<std::uint64_t>) == 8 &&
                  alignof(std::atomic<std::uint64_t>) == 8);

    TAKES(hyp::VlinkDescriptor, 64);
    LIES(hyp::VlinkDescriptor, link, 16);
    LIES(hyp::VlinkDescriptor, s_id, 20);
    LIES(hyp::VlinkDescriptor, s_state, 24);
    LIES(hyp::VlinkDescriptor, c_id, 28);
    LIES(hyp::VlinkDescriptor, c_state, 32);
    LIES(hyp::VlinkDescriptor, index, 36);
    LIES(hyp::VlinkDescriptor, s_info, 40);
    LIES(hyp::VlinkDescriptor, c_info, 48);
    TAKES(hyp::PdevHeader, 32);
    LIES(hyp::PdevHeader, base, 16);
    LIES(hyp::PdevHeader, bytes, 24);

    TAKES(guest::AdminSlot, 512);
    LIES(guest::AdminSlot, status, 20);
    LIES(guest::AdminSlot, info_bytes, 24);
    LIES(guest::AdminSlot, info, 32);
    TAKES(guest::AdminArea, 7680);
    LIES(guest::AdminArea::Direction, tail, 64);
    LIES(guest::AdminArea, slots, 512);
    static_assert(guest::StatusPage::kSysconfBellAt + sizeof(BellWords) <=
                  guest::StatusPage::kDroppedAt);
    static_assert(guest::StatusPage::kDroppedAt + sizeof(guest::AppDropped) <=
                  guest::StatusPage::kBytes);

    TAKES(Record, 64);
    LIES(Record, event, 8);
    LIES(Record, link, 16);
    LIES(Record, b, 24);
    LIES(Record, sequence, 56);
    TAKES(ChannelCounters, 256);
    LIES(ChannelCounters, posts, 32);
    LIES(ChannelCounters, latency_max, 152);
    TAKES(ScopeHeader, 56);
    LIES(ScopeHeader, enabled, 24);
    LIES(ScopeHeader, head, 32);
}

CHECK_CASE("both ends compute the same port from its size alone") {
    for (const std::size_t bytes : {4096UL, 8192UL, 65536UL, 1UL << 20, 7UL << 20, 1UL << 30}) {
        const rpq::PortLayout layout = rpq::port_layout(bytes);
        std::cout << "port of " << bytes << ": ring " << layout.ring_bytes << ", callbacks at "
                  << layout.callback_at << " with " << layout.callback_bytes << ", block "
                  << rpq::port_block_max(bytes) << '\n';
    }
    for (const std::size_t bytes : {0UL, 1000UL, 65536UL, 1UL << 20})
        std::cout << "for " << bytes << ": " << rpq::port_bytes_for(bytes) << '\n';
}

CHECK_CASE("a request and its answer cross a port, byte for byte the same port everywhere") {
    struct alignas(64) Memory {
        std::byte bytes[4096];
    } memory{};
    std::atomic<std::uint32_t> state{1};
    sys::RealRuntime runtime(0);
    rpq::port_reset(memory.bytes, sizeof memory.bytes);
    rpq::ChannelContext contexts[2];
    for (rpq::ChannelContext& context : contexts) {
        context.runtime = &runtime;
        context.port = memory.bytes;
        context.port_bytes = sizeof memory.bytes;
        context.state = &state;
        context.label = "layout0";
    }
    auto client = rpq::ClientChannel::make(std::move(contexts[0]));
    auto server = rpq::ServerChannel::make(std::move(contexts[1]));
    REQUIRE(client && server);
    for (std::uint32_t value = 1; value <= 3; ++value) {
        auto block = (*client)->try_begin(value, 12);
        REQUIRE(block);
        std::memcpy(*block, &value, sizeof value);
        std::memset(*block + 4, 0xab, 8);
        REQUIRE((*client)->post());
    }
    auto block = (*client)->try_begin_call(9, 8, 24);
    REQUIRE(block);
    std::memset(*block, 0xcd, 8);
    REQUIRE((*client)->call_start());
    auto batch = (*server)->try_receive(8);
    REQUIRE(batch);
    REQUIRE(batch->size() == 4);
    std::memset(batch->back().out, 0xef, 24);
    (*server)->set_reason(5);
    REQUIRE((*server)->acknowledge());
    auto reply = (*client)->try_reply();
    REQUIRE(reply);
    EXPECT_EQ(reply->status, 5);
    EXPECT_EQ((*client)->offset_of(reply->out), 1024 + 3 * 32 + 16 + 8);
    for (std::size_t at = 0; at < sizeof memory.bytes; ++at)
        if (memory.bytes[at] != std::byte{0})
            std::cout << at << ':' << static_cast<unsigned>(memory.bytes[at]) << ' ';
    std::cout << '\n';
}
