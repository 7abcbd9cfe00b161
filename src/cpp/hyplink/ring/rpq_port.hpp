/// A port: the one memory object through which both ends of one channel exchange requests and
/// answers.
///
///     port_reset(memory, bytes);        // the guest kernel, before either end sees it
///     auto client = ClientChannel::make({.runtime = …, .port = memory, .port_bytes = bytes, …});
///
/// Nothing in it is shared with another channel, so threads with a channel each do not contend and
/// a corrupt channel stays alone. Every place is computed from the port's size by each side; the
/// numbers in the header are there for whoever looks at a dump, nobody acts on them.
///
///     0     header            magic, version, layout (informative)
///     64    client's line     rung of the server's bell · requests published · space wanted ·
///     calls
///                             that are over
///     128   server's line     armed of the server's bell
///     192   server's line     rung of the client's bell · fault · requests released · answer
///     256   client's line     armed of the client's bell
///     320   server's line     callbacks published · answer to a nested call · space wanted ·
///     refusal 384   client's line     callbacks released · answer to a callback 1024  request ring
///     records with their parameters and room for answers …     callback ring     the same in the
///     other direction, at the end
///
/// A word lies beside the bell that announces it, so a delivery moves one cache line.
///
/// Thread rule: pure functions and values.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "hyplink/base/bell.hpp"
#include "hyplink/base/text.hpp"
#include "hyplink/ring/channel_end.hpp"
#include "hyplink/ring/record.hpp"

namespace hyplink::rpq {

using rings::ChannelContext;
using rings::ChannelState;
using rings::kChannelTimeout;

struct PortHeader {
    std::uint32_t magic;  ///< kMagic
    std::uint32_t version;
    std::uint64_t port_bytes;
    std::uint32_t ring_at, ring_bytes;
    std::uint32_t callback_at, callback_bytes;
    std::uint32_t reserved[8];

    static constexpr std::uint32_t kMagic = 0x50514c48;  // "HLQP"
    static constexpr std::uint32_t kVersion = 1;
};
static_assert(sizeof(PortHeader) == 64);

constexpr std::size_t kServerBellAt = 64;
constexpr std::size_t kHeadAt = 72;        ///< u64 Progress, by the client
constexpr std::size_t kWantedAt = 80;      ///< u32, by the client: how often it ran out of space
constexpr std::size_t kDoneAt = 84;        ///< u32, by the client: calls up to this number are over
constexpr std::size_t kNestedDoneAt = 88;  ///< u32, by the client: the same of nested calls
constexpr std::size_t kClientBellAt = 192;
constexpr std::size_t kFaultAt = 196;  ///< u32 errno, by the server: it gave the channel up
constexpr std::size_t kTailAt = 200;   ///< u64 Progress, by the server
constexpr std::size_t kReplyAt = 208;  ///< u64, by the server: number of the call | reason << 32
constexpr std::size_t kCallbackHeadAt = 320;    ///< u64 Progress, by the server
constexpr std::size_t kNestedReplyAt = 328;     ///< u64, by the server: as kReplyAt
constexpr std::size_t kCallbackWantedAt = 336;  ///< u32, by the server: how often it wanted space
constexpr std::size_t kCallbackDoneAt = 340;    ///< u32, by the server: as kDoneAt
constexpr std::size_t kRefusalAt =
    344;  ///< two u64, by the server: what it speaks, what it was told
constexpr std::size_t kCallbackTailAt = 384;   ///< u64 Progress, by the client
constexpr std::size_t kCallbackReplyAt = 392;  ///< u64, by the client: as kReplyAt
constexpr std::size_t kRingAt = 1024;
// The words share a line with `rung`, and not one with `armed`.
static_assert(kReplyAt + 8 <= kClientBellAt + offsetof(BellWords, armed));
static_assert(kNestedDoneAt + 4 <= kServerBellAt + offsetof(BellWords, armed));

/// Largest callback ring.
constexpr std::size_t kCallbackMax = 65536;

struct PortLayout {
    std::uint32_t ring_bytes = 0;
    std::uint32_t callback_at = 0;
    std::uint32_t callback_bytes = 0;
};

/// Smallest port: one page.
constexpr std::size_t port_bytes_min() { return 4096; }
/// Largest port.
constexpr std::size_t port_bytes_max() { return std::size_t{1} << 30; }

/// Where things lie in a port of `port_bytes`, port_bytes_min()..port_bytes_max().
constexpr PortLayout port_layout(std::size_t port_bytes) {
    const std::size_t quarter = port_bytes / 4;
    const std::size_t callback = (quarter < kCallbackMax ? quarter : kCallbackMax) / 64 * 64;
    const std::size_t ring = (port_bytes - kRingAt - callback) / 64 * 64;
    return {static_cast<std::uint32_t>(ring), static_cast<std::uint32_t>(kRingAt + ring),
            static_cast<std::uint32_t>(callback)};
}

/// The page-rounded port whose request ring has at least `ring_bytes` (parameters and 16 bytes for
/// each request).
constexpr std::uint64_t port_bytes_for(std::uint64_t ring_bytes) {
    const std::uint64_t share = ring_bytes / 3 + 512;
    const std::uint64_t callback = share < kCallbackMax ? share : kCallbackMax;
    const std::uint64_t bytes = (kRingAt + ring_bytes + callback + 64 + 4095) / 4096 * 4096;
    return bytes < port_bytes_min() ? port_bytes_min() : bytes;
}

/// The largest parameter block, room for the answer included: half the ring, less the record's
/// header.
constexpr std::uint32_t port_block_max(std::size_t port_bytes) {
    return rings::largest_block(port_layout(port_bytes).ring_bytes);
}

/// The word of type T at `offset` of a port.
template <class T>
T& port_word(std::byte* port, std::size_t offset) {
    return *reinterpret_cast<T*>(port + offset);
}

/// Make a port: zero every byte (nothing of an earlier channel may reach the peer), write the
/// header.
inline void port_reset(std::byte* memory, std::size_t bytes) {
    std::memset(memory, 0, bytes);
    const PortLayout layout = port_layout(bytes);
    const PortHeader header{
        PortHeader::kMagic, PortHeader::kVersion,  bytes, kRingAt, layout.ring_bytes,
        layout.callback_at, layout.callback_bytes, {}};
    std::memcpy(memory, &header, sizeof header);
}

/// The request ring of a port, as both ends compute it.
inline rings::RingMemory port_ring(const ChannelContext& context) {
    const std::uint32_t bytes = port_layout(context.port_bytes).ring_bytes;
    const std::uint32_t fit = bytes / rings::kHeaderBytes;
    const std::uint32_t asked = context.max_requests;
    return {context.port + kRingAt, bytes, asked == 0 || asked > fit ? fit : asked,
            &port_word<std::atomic<std::uint64_t>>(context.port, kHeadAt),
            &port_word<std::atomic<std::uint64_t>>(context.port, kTailAt)};
}

/// The callback ring of a port: written by the server.
inline rings::RingMemory port_callbacks(const ChannelContext& context) {
    const PortLayout layout = port_layout(context.port_bytes);
    return {context.port + layout.callback_at, layout.callback_bytes,
            layout.callback_bytes / rings::kHeaderBytes,
            &port_word<std::atomic<std::uint64_t>>(context.port, kCallbackHeadAt),
            &port_word<std::atomic<std::uint64_t>>(context.port, kCallbackTailAt)};
}

/// Whether call `number` is over for its caller, who says so in `done`.
constexpr bool call_over(std::uint32_t done, std::uint32_t number) {
    return static_cast<std::int32_t>(done - number) >= 0;
}

/// The bell one end waits on: of a server, requests; of a client, answers, room and callbacks.
inline BellWords& port_bell(std::byte* port, Role owner) {
    return port_word<BellWords>(port, owner == Role::server ? kServerBellAt : kClientBellAt);
}

/// Whether a channel can be built on this: sizes, alignment, and the mark `port_reset` left.
/// Errors: bad_argument, version.
inline Status port_check(const ChannelContext& context) {
    if (context.runtime == nullptr || context.state == nullptr || context.port == nullptr)
        return Error::make(Errc::bad_argument, "port: runtime, state or memory is missing");
    if (context.port_bytes < port_bytes_min() || context.port_bytes > port_bytes_max())
        return Error::make(Errc::bad_argument,
                           text("port of ", context.port_bytes, " bytes; possible are ",
                                port_bytes_min(), " to ", port_bytes_max()));
    if (reinterpret_cast<std::uintptr_t>(context.port) % 64 != 0)
        return Error::make(Errc::bad_argument, "port: not aligned to a cache line");
    PortHeader header;
    std::memcpy(&header, context.port, sizeof header);
    if (header.magic != PortHeader::kMagic || header.version != PortHeader::kVersion)
        return Error::make(Errc::version,
                           text("port: magic ", header.magic, " version ", header.version,
                                " is not a port of version ", PortHeader::kVersion));
    return {};
}

}  // namespace hyplink::rpq
