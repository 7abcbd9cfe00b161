/// Room in one piece of memory for what the requests of a channel name beside the port.
///
/// Requests are done in the order in which they were sent, so the room is a ring: a piece is free
/// again when the server has given back the request it belongs to. Thread rule: the channel's.
#pragma once

#include <deque>

#include "hyplink/app/rpq/client_channel.hpp"

namespace hyplink::buffers {

class Room {
   public:
    /// Pieces begin on 64 bytes: no two share a cache line.
    static constexpr std::uint64_t kStep = 64;

    /// `channel` outlives it. `bytes`: of the memory.
    Room(rpq::ClientChannel& channel, std::uint64_t bytes)
        : channel_(&channel), bytes_(bytes / kStep * kStep) {}

    /// Where `bytes` may be copied for the request that is sent next; the copy is counted. `first`:
    /// nothing was taken for that request yet; what was taken for one that was not sent is free.
    /// Errors: too_long (they never fit, or not beside what the same request has taken), timed_out,
    /// interrupted, ring_full, peer_dead, closed, corrupt. Blocks: until earlier requests are done.
    Result<std::uint64_t> take(std::uint64_t bytes, bool first,
                               Deadline deadline = rpq::kChannelTimeout);
    /// The same; `would_block` instead of waiting.
    Result<std::uint64_t> try_take(std::uint64_t bytes, bool first);

   private:
    struct Piece {
        std::uint32_t request;
        std::uint64_t begin;
        std::uint64_t end;
    };
    /// The beginning of `need` free bytes in one piece; nothing: there are none.
    std::optional<std::uint64_t> find(std::uint64_t need) const;

    rpq::ClientChannel* channel_;
    std::uint64_t bytes_;
    std::deque<Piece> pieces_;  ///< the oldest first
};

}  // namespace hyplink::buffers
