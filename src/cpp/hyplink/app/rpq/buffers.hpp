/// vUmem buffers as parameters: a reference on the wire, memory on each side.
///
/// Generated code knows this interface only. Who owns the buffers implements it; without one, a
/// request that names a buffer is refused (rule D13) and a client sends large data inside the
/// block.
#pragma once

#include <span>

#include "hyplink/app/rpq/wire.hpp"

namespace hyplink::rpq {

/// A piece of a buffer. All zero: none.
struct BufferRef {
    std::uint32_t slot = 0;
    std::uint32_t generation = 0;
    alignas(8) std::uint64_t offset = 0;
    alignas(8) std::uint64_t length = 0;
    bool operator==(const BufferRef&) const = default;
    explicit operator bool() const { return *this != BufferRef{}; }
};
static_assert(sizeof(BufferRef) == 24);

inline bool wire_valid(const BufferRef&) { return true; }
inline void wire_put(std::byte* p, const BufferRef& ref) {
    put(p, ref.slot);
    put(p + 4, ref.generation);
    put(p + 8, ref.offset);
    put(p + 16, ref.length);
}
inline bool wire_get(const std::byte* p, BufferRef& ref) {
    ref = {load<std::uint32_t>(p), load<std::uint32_t>(p + 4), load<std::uint64_t>(p + 8),
           load<std::uint64_t>(p + 16)};
    return true;
}

/// A resolved reference: its memory is shared with the peer, who may write while it is read.
struct Buffer {
    BufferRef ref;
    std::span<std::byte> bytes;
};

enum Rights : std::uint32_t { kRead = 1, kWrite = 2 };

class BufferTable {
   public:
    BufferTable() = default;
    BufferTable(const BufferTable&) = delete;
    BufferTable& operator=(const BufferTable&) = delete;
    virtual ~BufferTable() = default;

    /// Exactly `ref.length` bytes, or why not: no such buffer, beyond its end, rights missing.
    virtual Result<std::span<std::byte>> resolve(const BufferRef& ref, std::uint32_t rights) = 0;
    /// Whether this side may name the buffer now: asked by the sender before anything is sent.
    /// Errors: not_permitted (it was given away), no such buffer, beyond its end.
    virtual Status admit(const BufferRef&) { return {}; }
    /// The buffer is the peer's from now on (`given`), or this side's. Said exactly once for each
    /// way: by the sender before the peer can know of the request, whatever becomes of it after
    /// that (a peer that died or refused has it all the same, and it comes back with its channel's
    /// end or not at all); by the receiver when the request has passed its checks, before it is
    /// handled. What was given is not to be resolved for the peer again until it gave it back.
    virtual void transferred(const BufferRef&, bool /*given*/) {}
    /// Copy one large parameter into a buffer, where it stays until its request is done. `first`:
    /// no other one of the same request came before. Errors: timed_out, interrupted, ring_full
    /// while it waits for room; any other: it travels in the block. Blocks: while there is no room.
    virtual Result<BufferRef> place(std::span<const std::byte>, bool /*first*/) {
        return Errc::unsupported;
    }
};

/// What a stub does with a large parameter from `threshold` bytes on: where it is now, or nothing:
/// it travels in the block. Errors: it cannot be sent now.
inline Result<BufferRef> place(BufferTable* table, std::span<const std::byte> data,
                               std::uint64_t threshold, bool first) {
    if (table == nullptr || data.size() < threshold) return BufferRef{};
    auto placed = table->place(data, first);
    switch (placed.code()) {
        case Errc::ok:
        case Errc::timed_out:
        case Errc::interrupted:
        case Errc::ring_full:
            return placed;
        default:  // what is wrong with the channel, `begin` will say
            return BufferRef{};
    }
}

/// What a stub asks before it sends. No table, or no buffer: the receiver will see.
inline Status admit(BufferTable* table, const BufferRef& ref) {
    return table != nullptr && ref ? table->admit(ref) : Status{};
}

/// `gives`: what a stub says to its table. No table, or no buffer: nothing.
inline void transfer(BufferTable* table, const BufferRef& ref, bool given) {
    if (table != nullptr && ref) table->transferred(ref, given);
}

/// Fill in the memory of a reference that a peer sent; false when it is not good for this.
inline bool resolve(BufferTable* table, Buffer& buffer, std::uint32_t rights, std::uint64_t most) {
    if (table == nullptr || buffer.ref.length > most) return false;
    auto bytes = table->resolve(buffer.ref, rights);
    if (!bytes.has_value() || bytes->size() != buffer.ref.length) return false;
    buffer.bytes = *bytes;
    return true;
}

}  // namespace hyplink::rpq
