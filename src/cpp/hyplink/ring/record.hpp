/// Records of different length in a ring of shared memory: what lies where, for the writer and the
/// reader.
///
/// A record is a 16-byte header, the parameter block, and (for a call) room for the answer, each
/// rounded up to 8 bytes. Records never wrap: where one does not fit in front of the ring's end, a
/// filler record covers the rest (nothing at all where less than a header is left) and the record
/// starts at the beginning.
///
/// Each side publishes one word, `Progress`: how many bytes and records it has written, or
/// released. Both halves run freely and wrap at 2^32; they are never read back by the side that
/// wrote them.
///
/// Thread rule: values.
#pragma once

#include <algorithm>
#include <atomic>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>

namespace hyplink::rings {

static_assert(std::endian::native == std::endian::little, "shared words are little-endian");

enum RecordKind : std::uint32_t {
    kRecordPost = 1,
    kRecordCall = 2,  ///< somebody waits for the answer; the room for it follows the parameters
    kRecordFiller = 3,
    kRecordNested = 6,  ///< a call made while its caller handles a request of the other direction
};

/// kRecordCall or kRecordNested.
constexpr bool is_call_kind(std::uint32_t kind) {
    return (kind & ~std::uint32_t{kRecordNested ^ kRecordCall}) == kRecordCall;
}

struct RecordHeader {
    std::uint32_t tag;        ///< the user's: a procedure
    std::uint32_t in_bytes;   ///< parameter block
    std::uint32_t out_bytes;  ///< room for the answer; 0 for a post
    std::uint32_t kind;       ///< RecordKind
};
static_assert(sizeof(RecordHeader) == 16);

constexpr std::uint32_t kHeaderBytes = sizeof(RecordHeader);
constexpr std::uint32_t kMinRingBytes = 256;
constexpr std::uint32_t kMaxRingBytes = 1U << 30;

constexpr std::uint64_t round8(std::uint64_t bytes) { return (bytes + 7) & ~std::uint64_t{7}; }
/// In 64 bits, so that no sum of what a peer wrote wraps.
constexpr std::uint64_t record_bytes(std::uint32_t in_bytes, std::uint32_t out_bytes) {
    return kHeaderBytes + round8(in_bytes) + round8(out_bytes);
}
/// The largest record: half the ring, so that one always fits somewhere once the ring has drained.
constexpr std::uint32_t largest_record(std::uint32_t ring_bytes) { return ring_bytes / 2 & ~7U; }
constexpr std::uint32_t largest_block(std::uint32_t ring_bytes) {
    return largest_record(ring_bytes) - kHeaderBytes;
}

/// How far one side has come.
struct Progress {
    std::uint32_t bytes = 0;
    std::uint32_t records = 0;

    constexpr std::uint64_t pack() const { return std::uint64_t{records} << 32 | bytes; }
    static constexpr Progress unpack(std::uint64_t word) {
        return {static_cast<std::uint32_t>(word), static_cast<std::uint32_t>(word >> 32)};
    }
    /// Distance ahead of `behind`, modulo 2^32 in each half.
    constexpr Progress since(Progress behind) const {
        return {bytes - behind.bytes, records - behind.records};
    }
    constexpr bool operator==(const Progress&) const = default;
};

/// Which word of a peer held something impossible. `field` null: none did.
struct Fault {
    const char* field = nullptr;
    std::uint64_t found = 0;
    std::uint64_t limit = 0;

    explicit operator bool() const { return field != nullptr; }
};

/// The memory of one ring and the two words that belong to it.
struct RingMemory {
    std::byte* base = nullptr;
    std::uint32_t bytes = 0;                     ///< multiple of 8, kMinRingBytes..kMaxRingBytes
    std::uint32_t records = 0;                   ///< most records written and not yet released
    std::atomic<std::uint64_t>* head = nullptr;  ///< written by the writer only
    std::atomic<std::uint64_t>* tail = nullptr;  ///< written by the reader only
};

#if defined(__clang__) && defined(__i386__)
// Clang speaks of a plain integer here, which may lie on 4; on 8 it, or libatomic, takes one
// instruction.
static_assert(alignof(std::atomic<std::uint64_t>) == 8);
#else
static_assert(std::atomic<std::uint64_t>::is_always_lock_free);
#endif

}  // namespace hyplink::rings
