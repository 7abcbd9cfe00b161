/// The server's end of a vRPQ channel: requests are read where the client wrote them.
///
///     for (;;) {
///         auto batch = HYPLINK_TRY(channel->receive(64, Deadline::never()));
///         for (const Request& request : batch) …     // request.in, and for a call request.out
///     }                                              // the next receive acknowledges all of them
///
/// A receive first acknowledges what the previous one returned: its room goes back to the client,
/// and if the last was a call the client gets its answer (what was written to `out`, and the
/// reason). A batch ends at the first call. So parameters read in place are good until the next
/// receive or acknowledge.
///
/// The client is not trusted: positions, sizes and kinds are loaded once and checked before use;
/// what breaks a rule closes this channel for good and nothing else. What lies *inside* a block
/// stays writable for the client.
///
/// Errors common to all: peer_dead (after all that was published before a close was delivered; at
/// once when the client died), corrupt, closed. Operations that wait may return `interrupted`: call
/// again.
///
/// Thread rule: one thread at a time. Copies: none. Source: vlx-facts 2.10.
#pragma once

#include <array>
#include <memory>
#include <span>

#include "hyplink/app/rpq/port.hpp"
#include "hyplink/app/rpq/wire.hpp"
#include "hyplink/ring/record_reader.hpp"

namespace hyplink::rpq {

/// One request of a batch. `out` is zeroed when it is handed out, so an answer that is written only
/// in part carries nothing else.
struct Request : RequestView {};

class ServerChannel final : public rings::ChannelEnd {
   public:
    /// The most requests one receive returns.
    static constexpr std::uint32_t kMaxBatch = 256;

    /// Errors: bad_argument, version.
    static Result<std::unique_ptr<ServerChannel>> make(ChannelContext context);

    /// Acknowledge the previous batch, then return the next: up to `max` requests (and kMaxBatch),
    /// at least one. max 0: acknowledge only, an empty batch. Errors: timed_out, interrupted.
    /// Blocks: until a request comes.
    Result<std::span<const Request>> receive(std::uint32_t max,
                                             Deadline deadline = kChannelTimeout) {
        if (max == 0) [[unlikely]]
            return try_receive(0);
        acknowledge_batch();
        // Only waiting marks the bell as seen, so this look may come before.
        if (const std::uint32_t count = collect(max)) [[likely]]
            return batch(count);
        return receive_slow(max, deadline);
    }
    /// The same; `would_block` instead of waiting. The own bell is rung when a request comes.
    Result<std::span<const Request>> try_receive(std::uint32_t max);

    /// The reason the answer to the call in progress will carry; 0 again after it is sent. May be
    /// set before the call is received too.
    void set_reason(std::int32_t reason) { reason_ = reason; }
    /// The same as `receive(0)`: the client has its answer and its room back, nothing new is
    /// received.
    Status acknowledge();

    /// Give the channel up, because a request broke a rule that only its decoder knows: whatever is
    /// queued is dropped, every later receive returns `error`, the client sees its call fail
    /// (EBADMSG when the error is `corrupt`, else EPIPE). The first failure stays.
    void fail(Error error);

   private:
    explicit ServerChannel(ChannelContext context);
    static Result<std::span<const Request>> nothing() { return std::span<const Request>(); }
    Result<std::span<const Request>> receive_slow(std::uint32_t max, Deadline deadline);
    Result<std::span<const Request>> attempt(std::uint32_t max);
    Result<std::span<const Request>> idle();
    Error corrupted();
    Result<std::span<const Request>> batch(std::uint32_t count);
    void answer();
    void room_wanted(std::uint32_t wanted);
    void count_procedures(std::uint32_t count);

    /// Hand the room of the previous batch back. What was a call is answered.
    void acknowledge_batch() {
        if (reader_.unreleased().bytes == 0 || !reachable(state_word())) return;
        reader_.release();
        if (answering_) answer();
    }

    /// Fill `requests_`. 0: nothing there, or a reason to find out about (`idle`).
    std::uint32_t collect(std::uint32_t max) {
        // Before the look: what was published before a close is seen once the close is.
        state_seen_ = state_word();
        if (!reachable(state_seen_)) [[unlikely]]
            return 0;
        if (!reader_.look()) [[unlikely]]
            return 0;
        // partner: release store in ClientChannel::ask_for_room
        const std::uint32_t wanted = wanted_word_->load(std::memory_order_acquire);
        if (wanted != wanted_seen_) [[unlikely]]
            room_wanted(wanted);
        Request* next = requests_.data();
        const std::uint32_t count =
            reader_.read(max < kMaxBatch ? max : kMaxBatch, [&](const rings::RecordView& record) {
                next->proc = record.tag;
                next->in = record.in;
                next->in_bytes = record.in_bytes;
                next->out = record.out;
                next->out_bytes = record.out_bytes;
                next->is_call = record.kind == rings::kRecordCall;
                if (!next->is_call) [[likely]] {
                    ++next;
                    return true;
                }
                take_call(*next);
                return false;  // a batch ends at the first call
            });
        return reader_.fault() ? 0 : count;
    }
    void take_call(const Request& request);
    std::uint32_t state_word() const { return state_->load(std::memory_order_acquire); }
    /// open or peer_closed
    static bool reachable(std::uint32_t state) { return state - 1 <= 1; }

    rings::RecordReader reader_;
    std::atomic<std::uint32_t>* wanted_word_;
    std::atomic<std::uint64_t>* reply_word_;
    std::atomic<std::uint32_t>* fault_word_;
    std::uint32_t wanted_seen_ = 0;
    std::uint32_t state_seen_ = 0;  ///< the kernel's word as of the last look
    bool alive_ = true;             ///< not failed
    bool answering_ = false;        ///< the previous batch ended with a call
    std::uint32_t call_proc_ = 0;   ///< for the journal
    std::uint32_t calls_ = 0;       ///< number of the last call received
    std::int32_t reason_ = 0;
    std::array<Request, kMaxBatch> requests_;
};

}  // namespace hyplink::rpq
