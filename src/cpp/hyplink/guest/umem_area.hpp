/// How the two kernels of a vUmem link talk: a PDEV piece cut in two halves, one remote call at a
/// time in each. The client calls in the first half, the server in the second (to revoke).
///
/// The caller writes data and then its number, the called side answers over the data and then
/// stores the same number. Whatever the other side wrote is copied once and checked in the copy.
/// Own numbers are private and only published. Source: vlx-facts 3.2, 3.4; layout ours (MODEL).
/// Thread rule: the guest kernel's.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "hyplink/base/result.hpp"

namespace hyplink::guest::umem {

enum class Command : std::uint32_t {
    none = 0,
    alloc = 1,
    free = 2,
    register_buffer = 3,
    unregister_buffer = 4,
    control = 5,
    session_create = 6,    ///< answered by the server's driver, once there is a server
    cache = 7,             ///< answered by the server's driver
    mappings_revoke = 13,  ///< server → client
};

constexpr std::uint32_t kMaxOpaque = 128;
constexpr std::uint64_t kNoMemory = ~std::uint64_t{0};  ///< a layout's size: VUMEM_BUFFER_NO_VADDR

/// Attribute bits of a buffer.
enum : std::uint32_t {
    kMappable = 1U << 0,
    kOuterCache = 1U << 13,
    kDeviceSync = 1U << 14,
    kMemorySync = 1U << 15,
    kPolicyShift = 16,  ///< none 0, write-combine 1, write-through 2, write-back 3, allocate 4
};
/// What memory of this machine is.
constexpr std::uint32_t kOrdinary = kMappable | 4U << kPolicyShift;

struct Request {
    std::uint32_t command, vm, app, buffer;
    std::uint32_t operation;  ///< cache operations; the number of what is revoked
    std::uint32_t opaque_bytes;
    std::uint64_t reserved;
    std::byte opaque[kMaxOpaque];
};
static_assert(sizeof(Request) == 160);

/// Head of an answer; the chunks of an allocated buffer follow.
struct Answer {
    std::uint32_t buffer, server, attributes, chunks;
    std::uint64_t bytes;
    std::uint64_t reserved;
    std::byte opaque[kMaxOpaque];
};
static_assert(sizeof(Answer) == 160);

/// A run of machine memory.
struct Chunk {
    std::uint64_t address, bytes;
};
static_assert(sizeof(Chunk) == 16);

/// Most bytes in one chunk: what this machine's memory is contiguous for (MODEL).
constexpr std::uint64_t kChunkBytes = 64 * 1024;

struct Slot {
    struct Caller {
        std::atomic<std::uint32_t> number;
        std::uint32_t server;  ///< number of the server this is meant for; 0: any
        std::uint32_t bytes;
        std::uint32_t reserved[13];
    };
    struct Called {
        std::atomic<std::uint32_t> number;
        std::uint32_t server;
        std::int32_t error;
        std::uint32_t bytes;
        std::uint32_t reserved[12];
    };
    alignas(64) Caller caller;
    alignas(64) Called called;
};
static_assert(sizeof(Slot) == 128);

/// The smallest PDEV that holds every message without chunks.
constexpr std::uint64_t kLeastPdev = 2 * (sizeof(Slot) + sizeof(Answer) + sizeof(Chunk));
/// Chunks that fit a PDEV of this size.
constexpr std::uint64_t chunks_in(std::uint64_t pdev_bytes) {
    return (pdev_bytes / 2 - sizeof(Slot) - sizeof(Answer)) / sizeof(Chunk);
}

struct Reply {
    std::int32_t error = 0;
    Answer head{};
    std::vector<Chunk> chunks;
};

/// What the called side answered: an errno, EINVAL if it sent none, peer_dead without an answer.
inline Errc status_of(const Reply* reply) {
    if (reply == nullptr) return Errc::peer_dead;
    if (reply->error < 0 || reply->error > 4095) return Errc::bad_argument;
    return static_cast<Errc>(reply->error);
}

/// The end that calls. One call at a time.
class CallerEnd {
   public:
    CallerEnd() = default;
    CallerEnd(std::byte* half, std::uint64_t bytes) : half_(half), bytes_(bytes) {}
    /// Clear what is ours. Done in OFF→RESET.
    void reset();
    void call(std::uint32_t server, const Request& request);
    bool calling() const { return calling_; }
    /// The answer, once it is there. Errors: corrupt says which field held what.
    Result<std::optional<Reply>> poll();

   private:
    std::byte* half_ = nullptr;
    std::uint64_t bytes_ = 0;
    std::uint32_t number_ = 0;
    bool calling_ = false;
};

struct Call {
    std::uint32_t server = 0;
    Request request{};
};

/// The end that is called.
class CalledEnd {
   public:
    CalledEnd() = default;
    CalledEnd(std::byte* half, std::uint64_t bytes) : half_(half), bytes_(bytes) {}
    void reset();
    /// A new call, if there is one. Errors: corrupt.
    Result<std::optional<Call>> poll();
    void answer(std::uint32_t server, std::int32_t error, const Answer& head,
                std::span<const Chunk> chunks);
    bool called() const { return called_; }

   private:
    std::byte* half_ = nullptr;
    std::uint64_t bytes_ = 0;
    std::uint32_t number_ = 0;
    bool called_ = false;
};

}  // namespace hyplink::guest::umem
