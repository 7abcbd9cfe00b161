/// The administration messages of vRPQ between the two guest kernels: PMEM 0 of the link, one small
/// ring in each direction, rung through PXIRQ 1 (the client's) and 2 (the server's).
///
/// Single producer, single consumer each way. Own indexes are private and only published; a message
/// is copied out once and checked before it is used. Source: vlx-facts 1.6, 2.3, 2.12; layout ours
/// (MODEL). Thread rule: the guest kernel's.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>

#include "hyplink/base/ids.hpp"
#include "hyplink/base/result.hpp"

namespace hyplink::guest {

enum class AdminKind : std::uint32_t {
    session_create = 1,   ///< client → server: session, app, info
    session_destroy = 2,  ///< client → server: session
    channel_create = 3,   ///< client → server: session, channel, port, info
    channel_destroy = 4,  ///< client → server: channel
    session_reply = 5,    ///< server → client: session, status
    channel_reply = 6,    ///< server → client: channel, status
    session_closed = 7,   ///< server → client: the server closed it
    channel_closed = 8,
    session_gone = 9,  ///< server → client: destroy is done, the number is free
    channel_gone = 10,
};

struct AdminMessage {
    AdminKind kind{};
    std::uint32_t session = 0;
    std::uint32_t channel = 0;
    std::uint32_t port = 0;
    std::uint32_t app = 0;
    std::int32_t status = 0;
    std::string info;
};

/// As it lies in PMEM.
struct AdminSlot {
    std::uint32_t kind, session, channel, port, app;
    std::int32_t status;
    std::uint32_t info_bytes, reserved;
    std::byte info[480];
};
static_assert(sizeof(AdminSlot) == 512);

struct AdminArea {
    static constexpr std::uint32_t kSlots = 7;
    struct Direction {
        alignas(64) std::atomic<std::uint32_t> head;  ///< messages ever sent; the producer's
        alignas(64) std::atomic<std::uint32_t> tail;  ///< messages ever taken; the consumer's
    };
    Direction directions[2];  ///< by Role of the producer
    std::byte pad[256];
    AdminSlot slots[2][kSlots];
};
static_assert(sizeof(AdminArea) == 7680);

/// One kernel's view of the area.
class AdminRing {
   public:
    static constexpr std::size_t kMaxInfo = sizeof(AdminSlot::info);
    static constexpr std::uint64_t kBytes = 8192;  // what both sides ask PMEM for

    AdminRing() = default;
    AdminRing(std::byte* area, Role own) : area_(reinterpret_cast<AdminArea*>(area)), own_(own) {}

    /// Clear what is ours: our head and our tail. Done in OFF→RESET.
    void reset();
    /// The peer has cleared its part too.
    /// Errors: would_block when the peer has not taken enough yet.
    Status try_send(const AdminMessage& message);
    /// Nothing when empty. Errors: corrupt says which field held what; the link must be failed.
    Result<std::optional<AdminMessage>> try_receive();
    /// True if the producer may have found the ring full since the last look.
    bool was_full() const { return was_full_; }

   private:
    AdminArea* area_ = nullptr;
    Role own_ = Role::server;
    std::uint32_t sent_ = 0;
    std::uint32_t taken_ = 0;
    bool was_full_ = false;
};

}  // namespace hyplink::guest
