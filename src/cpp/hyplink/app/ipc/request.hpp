/// The server's side of a vIPC: calls that came over a vMQ, answered in place and in any order.
///
///     for (;;) {
///         auto request = HYPLINK_TRY(ipc::receive(queue, deadline));
///         const std::size_t size = serve(request.params());       // the answer in their place
///         HYPLINK_TRY(request.reply());
///     }
///
/// Nothing is copied. What is in place the other VM can change: copy, check, then use.
/// Thread rule: the queue's. Source: document 001 4.4; vlx-facts 5.3.
#pragma once

#include <cstring>
#include <span>

#include "hyplink/app/ipc/call.hpp"
#include "hyplink/app/mq/queue.hpp"

namespace hyplink::ipc {

/// A call at its server, until it is answered. A value: who copies it answers once all the same.
class Request {
   public:
    Request(mq::Queue& queue, std::uint32_t slot) : queue_(&queue), slot_(slot) {}

    /// The message without its cookie.
    std::span<std::byte> params() const {
        const std::span<std::byte> all = queue_->received(slot_);
        return all.size() > kCookieBytes ? all.subspan(kCookieBytes) : all.subspan(all.size());
    }
    /// The buffer whose offset ends the message. Errors: bad_argument (none begins there).
    Result<std::span<std::byte>> buffer() const {
        std::uint64_t offset = 0;
        const std::span<std::byte> params = this->params();
        if (params.size() >= sizeof offset)
            std::memcpy(&offset, params.data() + params.size() - sizeof offset, sizeof offset);
        if (params.size() < sizeof offset || !queue_->data_offset_ok(offset))
            return Error::make(Errc::bad_argument, "vIPC: no buffer begins there");
        return std::span<std::byte>(queue_->received_data(offset), queue_->rx().data_max);
    }
    std::uint32_t slot() const { return slot_; }
    /// Answer with what `params()` holds now, and ring. Errors: bad_argument (answered already),
    /// peer_dead (who called is gone).
    Status reply() const { return queue_->return_(slot_); }

   private:
    mq::Queue* queue_;
    std::uint32_t slot_;
};

/// The next call. Errors: those of `Queue::receive`.
inline Result<Request> receive(mq::Queue& queue, Deadline deadline) {
    const std::uint32_t slot = HYPLINK_TRY(queue.receive(deadline));
    return Request(queue, slot);
}

}  // namespace hyplink::ipc
