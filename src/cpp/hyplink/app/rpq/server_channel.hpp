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
/// Callbacks go the other way. Asynchronous ones never wait for the client; synchronous ones are
/// answered by a client that waits in a call of its own or in `handle_callbacks`:
///
///     std::byte* block = HYPLINK_TRY(channel->callback_begin(proc, 24, Drop::oldest, 256));
///     …write the 24 bytes…
///     HYPLINK_TRY(channel->callback_post());
///
///     block = HYPLINK_TRY(channel->callback_begin_call(proc, 8, 16));
///     ReplyView reply = HYPLINK_TRY(channel->callback_call(deadline));
///
/// Nesting: one callback within a call, and one call within a callback (served by `on_nested`);
/// what would go deeper fails with EDEADLK instead of waiting for ever.
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
#include <functional>
#include <memory>
#include <span>

#include "hyplink/app/rpq/backlog.hpp"
#include "hyplink/app/rpq/port.hpp"
#include "hyplink/app/rpq/refusal.hpp"
#include "hyplink/app/rpq/wire.hpp"
#include "hyplink/ring/record_reader.hpp"
#include "hyplink/ring/record_writer.hpp"

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
        if (max == 0 || special_ != 0) [[unlikely]]
            return receive_special(max, deadline);
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
    /// Give the channel up because of what the client said it speaks: it sees EPROTONOSUPPORT with
    /// both versions at its next operation (at the latest once this end is closed).
    void refuse(const Refusal& refusal);
    /// Whether the client has given up the call that is being handled: nobody will read its answer.
    bool call_given_up() const {
        return answering_ != nullptr &&
               call_over(answering_->done->load(std::memory_order_acquire), answering_->number);
    }

    /// Room for an asynchronous callback: its parameter block, 8-byte aligned. Beginning again
    /// before `callback_post` replaces what was begun. When the ring is full, `drop` decides; what
    /// is kept back goes out, in order, with later operations of this end, and what is forgotten is
    /// counted. Errors: would_block (refuse only; the own bell is rung when there is room),
    /// too_long (names the limit). Blocks: no.
    Result<std::byte*> callback_begin(std::uint32_t proc, std::uint32_t in_bytes,
                                      Drop drop = Drop::refuse, std::uint32_t keep = 0);
    /// Send it, or do with it what `drop` said; one XIRQ if the client sleeps. Errors: bad_argument
    /// when none was begun. Blocks: no.
    Status callback_post();

    /// Room for a synchronous callback, with `out_bytes` for the answer behind it; what was kept
    /// back goes first. Errors: too_long, timed_out, interrupted, busy while one waits for its
    /// answer, deadlock where it would nest too deep. Blocks: while the ring is full.
    Result<std::byte*> callback_begin_call(std::uint32_t proc, std::uint32_t in_bytes,
                                           std::uint32_t out_bytes,
                                           Deadline deadline = kChannelTimeout);
    /// Send it and wait for the client's answer, which lies in the port
    /// and is good until the next callback is begun or the next receive. Requests that the client
    /// makes from inside its handler are served meanwhile (`on_nested`). After timed_out it is
    /// given up: a client that has not picked it up never will, a late answer is dropped. Errors:
    /// timed_out, interrupted (call again), deadlock (the client called from inside its handler and
    /// nobody serves that), bad_argument when none was begun. Blocks: until the answer.
    Result<ReplyView> callback_call(Deadline deadline = kChannelTimeout);
    /// Give the waiting callback up, as a time-out does.
    void callback_forget();
    /// Who serves requests of a client that calls from inside a handler: the status is the answer's
    /// reason. Such a request's memory is good until the function returns, that of the batch that
    /// is being handled as long as before. Not from inside: receive, acknowledge and synchronous
    /// callbacks, which say deadlock.
    using Dispatch = std::function<std::int32_t(const Request&)>;
    void on_nested(Dispatch dispatch) {
        dispatch_ = dispatch ? std::make_shared<const Dispatch>(std::move(dispatch)) : nullptr;
    }
    /// Name the procedure of the callback begun last, when it was not known at the begin. Directly
    /// after the begin only.
    void callback_set_proc(std::uint32_t proc) {
        callbacks_.retag(proc);
        begun_.proc = asked_proc_ = proc;
    }
    /// The largest callback: parameters and answer together, each rounded up to 8.
    std::uint32_t callback_block_max() const { return callbacks_.largest_block_bytes(); }
    /// Callbacks kept back because the ring was full.
    std::size_t callbacks_kept() const { return backlog_.size(); }

   private:
    explicit ServerChannel(ChannelContext context);
    static Result<std::span<const Request>> nothing() { return std::span<const Request>(); }
    Result<std::span<const Request>> receive_slow(std::uint32_t max, Deadline deadline);
    Result<std::span<const Request>> attempt(std::uint32_t max);
    Result<std::span<const Request>> idle();
    Result<std::span<const Request>> batch(std::uint32_t count);
    void answer();
    Result<std::span<const Request>> receive_special(std::uint32_t max, Deadline deadline);
    Error nested_misuse(const char* doing);

    enum class Stage : std::uint32_t { idle, begun, waiting };
    Result<bool> callback_room(std::uint32_t in_bytes, std::uint32_t out_bytes);
    void callback_publish();
    void callback_sent(std::uint32_t proc, bool synchronous);
    void keep_back();
    Status send_backlog();
    void want_callback_room();
    Result<std::byte*> callback_place();
    Status callback_send();
    Result<ReplyView> callback_attempt();
    Result<ReplyView> callback_reply();
    Status serve_nested();
    Error corrupted(const char* doing, const rings::Fault& fault);
    bool may_not_wait() const { return (special_ & kInsideNested) != 0 || answering_ == &nested_; }
    void room_wanted(std::uint32_t wanted);
    void count_procedures(std::uint32_t count);

    /// Hand the room of the previous batch back. What was a call is answered.
    void acknowledge_batch() {
        if (reader_.unreleased().bytes == 0 || !reachable(state_word())) return;
        reader_.release();
        if (answering_ != nullptr) answer();
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
        reader_.read(max < kMaxBatch ? max : kMaxBatch, [&](const rings::RecordView& record) {
            next->proc = record.tag;
            next->in = record.in;
            next->in_bytes = record.in_bytes;
            next->out = record.out;
            next->out_bytes = record.out_bytes;
            next->is_call = record.kind != rings::kRecordPost;
            if (!next->is_call) [[likely]] {
                ++next;
                return true;
            }
            if (!take_call(*next, record.kind)) return true;  // given up: as if never sent
            ++next;
            return false;  // a batch ends at the first call
        });
        return reader_.fault() ? 0 : static_cast<std::uint32_t>(next - requests_.data());
    }
    bool take_call(const Request& request, std::uint32_t kind);
    std::uint32_t state_word() const { return state_->load(std::memory_order_acquire); }
    /// open or peer_closed
    static bool reachable(std::uint32_t state) { return state - 1 <= 1; }

    rings::RecordReader reader_;
    std::atomic<std::uint32_t>* wanted_word_;
    std::atomic<std::uint32_t>* fault_word_;
    std::uint32_t wanted_seen_ = 0;
    std::uint32_t state_seen_ = 0;  ///< the kernel's word as of the last look
    bool alive_ = true;             ///< not failed
    /// What `receive` has to mind, one bit each, so that it looks at one word.
    enum Special : std::uint32_t { kKeptBack = 1, kInsideNested = 2 };
    std::uint32_t special_ = 0;

    /// Calls as the client numbers them: its own, and those from inside a handler.
    struct Calls {
        std::uint32_t number = 0;  ///< of the last one received
        std::uint32_t proc = 0;    ///< for the journal
        std::atomic<std::uint64_t>* reply = nullptr;
        const std::atomic<std::uint32_t>* done = nullptr;
    };
    Calls outer_;
    Calls nested_;
    Calls* answering_ = nullptr;  ///< the previous batch ended with a call of these
    std::int32_t reason_ = 0;

    rings::RecordWriter callbacks_;
    Backlog backlog_;
    KeptCallback begun_;  ///< asynchronous; its block is used only while the ring is full
    bool begun_in_ring_ = false;
    Stage begun_stage_ = Stage::idle;
    Drop drop_ = Drop::refuse;
    std::uint32_t keep_ = 0;

    std::uint32_t asked_proc_ = 0;  ///< synchronous
    std::uint32_t asked_in_bytes_ = 0;
    std::uint32_t asked_out_bytes_ = 0;
    Stage asked_stage_ = Stage::idle;
    rings::Reservation asked_room_{};
    std::shared_ptr<const Dispatch> dispatch_;  ///< shared: it may replace itself while it runs
    const std::byte* asked_out_ = nullptr;
    std::uint32_t callback_number_ = 0;    ///< of the last synchronous one sent
    std::uint32_t callback_answered_ = 0;  ///< the highest answered
    std::uint32_t callback_wanted_ = 0;
    std::atomic<std::uint32_t>* callback_wanted_word_;
    std::atomic<std::uint32_t>* callback_done_word_;
    const std::atomic<std::uint64_t>* callback_reply_word_;

    std::array<Request, kMaxBatch> requests_;
};

}  // namespace hyplink::rpq
