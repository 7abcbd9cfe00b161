/// The memory of one direction of a pipe: a ring of bytes, and a bell for each end.
///
///     port_reset(memory, bytes, capacity);              // the guest kernel, before either end
///     RingIn in(memory, capacity, own);  RingOut out(memory, capacity, own);
///
/// Each end publishes one word that runs freely: how many bytes it has written, or read, in all.
/// It never reads that word back; what it trusts is its own copy (`own`), in memory that the other
/// VM has not. The other end's word is loaded once and must leave 0..capacity bytes in the ring.
///
///     0     header         informative
///     64    writer's line  rung of the reader's bell · bytes written
///     128   reader's line  armed of the reader's bell
///     192   reader's line  rung of the writer's bell · bytes read
///     256   writer's line  armed of the writer's bell
///     4096  the bytes
///
/// Thread rule: one thread at a time on each end. Blocks: no. Source: vlx-facts 4.1.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <new>
#include <span>

#include "hyplink/base/bell.hpp"
#include "hyplink/base/ids.hpp"
#include "hyplink/ring/record.hpp"

namespace hyplink::pipe {

struct PortHeader {
    std::uint32_t magic;  ///< kMagic
    std::uint32_t version;
    std::uint64_t capacity;
    std::uint64_t reserved[6];

    static constexpr std::uint32_t kMagic = 0x50504c48;  // "HLPP"
    static constexpr std::uint32_t kVersion = 1;
};
static_assert(sizeof(PortHeader) == 64);

constexpr std::size_t kReaderBellAt = 64;
constexpr std::size_t kWrittenAt = 72;  ///< u64, by the writer
constexpr std::size_t kWriterBellAt = 192;
constexpr std::size_t kReadAt = 200;  ///< u64, by the reader
constexpr std::size_t kDataAt = 4096;
constexpr std::uint64_t kMaxCapacity = std::uint64_t{1} << 31;

constexpr std::uint64_t port_bytes_for(std::uint64_t capacity) {
    return kDataAt + (capacity + 4095) / 4096 * 4096;
}

/// The bell one end waits on: of the reader (server), data; of the writer (client), room.
inline BellWords& port_bell(std::byte* port, Role owner) {
    return *reinterpret_cast<BellWords*>(port +
                                         (owner == Role::server ? kReaderBellAt : kWriterBellAt));
}

/// The word that `owner` publishes.
inline std::atomic<std::uint64_t>& port_count(std::byte* port, Role owner) {
    return *reinterpret_cast<std::atomic<std::uint64_t>*>(
        port + (owner == Role::server ? kReadAt : kWrittenAt));
}

/// Make a port: zero every byte (nothing of an earlier pipe may reach the peer), write the header.
inline void port_reset(std::byte* memory, std::size_t bytes, std::uint64_t capacity) {
    std::memset(memory, 0, bytes);
    ::new (static_cast<void*>(memory))
        PortHeader{PortHeader::kMagic, PortHeader::kVersion, capacity, {}};
}

/// What one end may do now, or which word of the peer is impossible.
struct Amount {
    std::uint64_t bytes = 0;
    rings::Fault fault{};
};

/// Both ends of a ring of bytes; `own` counts what this end has written, or read.
class RingEnd {
   public:
    RingEnd() = default;
    RingEnd(std::byte* port, std::uint64_t capacity, std::atomic<std::uint64_t>* own, Role role)
        : data_(port + kDataAt),
          capacity_(capacity),
          own_(own),
          mine_(&port_count(port, role)),
          theirs_(&port_count(port, other(role))),
          role_(role) {}

    std::uint64_t capacity() const { return capacity_; }
    /// Bytes to be read, or room to write: the peer's word, loaded once and checked.
    Amount amount() const {
        const std::uint64_t own = own_->load(std::memory_order_relaxed);
        const std::uint64_t peer = theirs_->load(std::memory_order_acquire);  // partner: advance()
        const std::uint64_t filled = role_ == Role::server ? peer - own : own - peer;
        if (filled > capacity_) [[unlikely]]
            return {0, {role_ == Role::server ? "written" : "read", peer, own + capacity_}};
        return {role_ == Role::server ? filled : capacity_ - filled, {}};
    }
    /// The two pieces of the ring that begin at the own position, together `bytes` long.
    struct Pieces {
        std::span<std::byte> first, second;
    };
    Pieces pieces(std::uint64_t bytes) const {
        const std::uint64_t at = own_->load(std::memory_order_relaxed) % capacity_;
        const std::uint64_t front = std::min(bytes, capacity_ - at);
        return {{data_ + at, static_cast<std::size_t>(front)},
                {data_, static_cast<std::size_t>(bytes - front)}};
    }
    /// So many bytes further; the peer may see it. `bytes` is at most what amount() said.
    void advance(std::uint64_t bytes) {
        const std::uint64_t own = own_->load(std::memory_order_relaxed) + bytes;
        own_->store(own, std::memory_order_relaxed);
        mine_->store(own, std::memory_order_release);  // partner: amount()
    }
    std::byte* data() const { return data_; }
    std::uint64_t position() const { return own_->load(std::memory_order_relaxed) % capacity_; }

   private:
    std::byte* data_ = nullptr;
    std::uint64_t capacity_ = 1;
    std::atomic<std::uint64_t>* own_ = nullptr;
    std::atomic<std::uint64_t>* mine_ = nullptr;
    std::atomic<std::uint64_t>* theirs_ = nullptr;
    Role role_ = Role::server;
};

/// Copy out of the ring, or into it; `bytes` as amount() allows.
inline void take_bytes(RingEnd& end, std::byte* into, std::uint64_t bytes) {
    const RingEnd::Pieces from = end.pieces(bytes);
    std::memcpy(into, from.first.data(), from.first.size());
    if (!from.second.empty())
        std::memcpy(into + from.first.size(), from.second.data(), from.second.size());
    end.advance(bytes);
}
inline void put_bytes(RingEnd& end, const std::byte* from, std::uint64_t bytes) {
    const RingEnd::Pieces into = end.pieces(bytes);
    std::memcpy(into.first.data(), from, into.first.size());
    if (!into.second.empty())
        std::memcpy(into.second.data(), from + into.first.size(), into.second.size());
    end.advance(bytes);
}

}  // namespace hyplink::pipe
