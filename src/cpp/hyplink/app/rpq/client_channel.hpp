/// The client's end of a vRPQ channel: requests are marshalled straight into the port.
///
///     std::byte* block = HYPLINK_TRY(channel->begin(proc, 24));  // may wait for room
///     …write the 24 bytes…
///     HYPLINK_TRY(channel->post());                // private still: no shared word is touched
///     HYPLINK_TRY(channel->notify());              // published; one XIRQ if the server sleeps
///
///     block = HYPLINK_TRY(channel->begin_call(proc, 8, 16));
///     ReplyView reply = HYPLINK_TRY(channel->call());   // sends all before it, then waits
///
/// A request is a post (no answer) or a call (one at a time, the last of its batch). When the ring
/// or the number of requests is used up, `begin` publishes what was posted and waits until the
/// server has acknowledged enough.
///
/// What the server sends by itself comes as callbacks: `on_callback` says who handles them,
/// `handle_callbacks` does it, and so does `call` while it waits. The handler may post and call on
/// this channel: such a call is served by a server that waits for the callback. One level deep: a
/// handler is never entered again from within.
///
///     channel->on_callback([&](const RequestView& callback) { … return 0; });
///     HYPLINK_TRY(channel->handle_callbacks(deadline));
///
/// A call that is given up (time-out, signal, `call_forget`): if the server has not picked it up it
/// never will; if it is at it, the answer is dropped; if the answer is there, it is delivered.
///
/// Any operation that waits may return `interrupted` (a signal): call it again with the same
/// arguments and it goes on. Errors common to all: peer_dead with `pending` (requests not known to
/// be consumed), corrupt (the server wrote something impossible, or gave the channel up because of
/// what it read), version (the server refused what this end said it speaks), closed.
///
/// Thread rule: one thread at a time. Copies: one, the marshalling by the caller. Source:
/// vlx-facts 2.9.
#pragma once

#include <functional>
#include <memory>
#include <optional>

#include "hyplink/app/rpq/port.hpp"
#include "hyplink/app/rpq/wire.hpp"
#include "hyplink/ring/record_reader.hpp"
#include "hyplink/ring/record_writer.hpp"

namespace hyplink::rpq {

class ClientChannel final : public rings::ChannelEnd {
   public:
    /// Errors: bad_argument, version.
    static Result<std::unique_ptr<ClientChannel>> make(ChannelContext context);

    /// Room for a request; its parameter block, 8-byte aligned, to be filled and then posted.
    /// Beginning again before `post` replaces what was begun. The block may hold bytes of earlier
    /// requests: overwrite all of it. Errors: too_long, timed_out, interrupted. Blocks: while the
    /// ring is full.
    [[gnu::always_inline]] Result<std::byte*> begin(std::uint32_t proc, std::uint32_t in_bytes,
                                                    Deadline deadline = kChannelTimeout) {
        if (std::byte* block = begin_fast(proc, in_bytes)) [[likely]]
            return block;
        return begin_slow(proc, in_bytes, deadline);
    }
    /// The same; `would_block` instead of waiting. The own bell is rung when there is room again.
    [[gnu::always_inline]] Result<std::byte*> try_begin(std::uint32_t proc,
                                                        std::uint32_t in_bytes) {
        if (std::byte* block = begin_fast(proc, in_bytes)) [[likely]]
            return block;
        return try_begin_slow(proc, in_bytes);
    }
    /// The good path of `begin` alone: null when it takes more than a few instructions. For
    /// generated code.
    [[gnu::always_inline]] std::byte* begin_fast(std::uint32_t proc, std::uint32_t in_bytes) {
        if (!open()) [[unlikely]]
            return nullptr;
        return writer_.reserve(proc, in_bytes, 0, rings::kRecordPost);
    }

    /// The request begun last is complete. Nothing is published.
    /// Errors: bad_argument when none was begun. Blocks: no.
    [[gnu::always_inline]] Status post() {
        if (writer_.commit()) [[likely]]
            return {};
        return misused("post");
    }
    /// Name the procedure of the request or call begun last, when it was not known at `begin`.
    /// Directly after `begin` only.
    [[gnu::always_inline]] void set_proc(std::uint32_t proc) {
        writer_.retag(proc);
        if (call_->phase == Phase::begun) call_->proc = proc;
    }
    /// Publish what was posted, as one batch; ring if the server sleeps. Nothing posted: nothing
    /// happens. Blocks: no.
    Status notify();
    Status post_and_notify() {
        if (!writer_.commit()) [[unlikely]]
            return misused("post_and_notify");
        return notify();
    }

    /// Room for a call: its parameter block, with `out_bytes` reserved behind it for the answer.
    /// Errors: as `begin`; busy while a call waits for its answer.
    Result<std::byte*> begin_call(std::uint32_t proc, std::uint32_t in_bytes,
                                  std::uint32_t out_bytes, Deadline deadline = kChannelTimeout);
    Result<std::byte*> try_begin_call(std::uint32_t proc, std::uint32_t in_bytes,
                                      std::uint32_t out_bytes);
    /// Send the call begun last and wait for its answer. The answer lies in the port and is good
    /// until the next `begin`. Callbacks published before it are handled before this returns. After
    /// timed_out the call is given up, the next call works. Errors: timed_out, interrupted (call
    /// again: it goes on waiting), bad_argument when none was begun.
    Result<ReplyView> call(Deadline deadline = kChannelTimeout);

    /// `call` in two halves, for event loops. `try_reply` says would_block until the answer is
    /// there.
    Status call_start();
    Result<ReplyView> try_reply();
    /// Give the waiting call up, as a time-out does.
    void call_forget();

    /// Who handles callbacks: returns the status that a synchronous one is answered with. `out` of
    /// the view is writable and zeroed. Without a handler synchronous ones are answered EOPNOTSUPP
    /// and the others dropped, when they are looked at. May throw: the callback is answered with
    /// ENOTRECOVERABLE and the exception leaves the operation that handled it.
    using Handler = std::function<std::int32_t(const RequestView&)>;
    void on_callback(Handler handler) {
        handler_ = handler ? std::make_shared<const Handler>(std::move(handler)) : nullptr;
    }
    /// Handle what is there, or wait for the first. Returns how many; 0 when the time is over.
    /// Errors: deadlock inside a handler, interrupted. Blocks: until one comes.
    Result<std::uint32_t> handle_callbacks(Deadline deadline = kChannelTimeout);
    /// The same; `would_block` instead of waiting. The own bell is rung when one comes.
    Result<std::uint32_t> try_handle_callbacks();
    /// True while a handler runs.
    bool in_callback() const { return handling_; }

    /// Requests posted and not known to be acknowledged by the server.
    std::uint64_t pending();

    /// For memory beside the port that a request names: the number of the request posted or called
    /// next, and whether the server is done with the request of a number, modulo 2^32. It is when
    /// it has given the request's room back, that of a call before its answer is seen.
    std::uint32_t next_request() const { return writer_.next_record(); }
    /// Looks. Errors: those of every operation.
    Result<bool> is_done(std::uint32_t number);
    /// Publishes what was posted. Errors: timed_out, interrupted, ring_full (inside the handler of
    /// a synchronous callback the server gives nothing back). Blocks: until it is done.
    Status wait_done(std::uint32_t number, Deadline deadline = kChannelTimeout);
    /// The caller copies `bytes` for a request that go beside the port.
    void count_copy(std::uint64_t bytes) {
        bump(counters_->copies);
        bump(counters_->copied_bytes, bytes);
    }
    /// The largest block this port takes: for a call, parameters and answer together (each rounded
    /// up to 8).
    std::uint32_t block_max() const { return writer_.largest_block_bytes(); }

   private:
    enum class Phase : std::uint32_t { idle, begun, waiting };

    /// A call of the caller's own, or one from inside a handler: the other may still be unanswered.
    struct Call {
        Phase phase = Phase::idle;
        std::uint32_t proc = 0;
        std::uint32_t out_bytes = 0;
        const std::byte* out = nullptr;
        rings::Reservation room{};
        std::uint32_t sent = 0;      ///< number of the last one sent
        std::uint32_t answered = 0;  ///< the highest answered, given-up ones included
        std::int64_t started = -1;   ///< time, when this call's latency is measured
        rings::RecordKind kind = rings::kRecordCall;
        const std::atomic<std::uint64_t>* reply = nullptr;
        std::atomic<std::uint32_t>* done = nullptr;
    };

    explicit ClientChannel(ChannelContext context);
    Result<std::byte*> begin_slow(std::uint32_t proc, std::uint32_t in_bytes, Deadline deadline);
    Result<std::byte*> try_begin_slow(std::uint32_t proc, std::uint32_t in_bytes);
    Result<std::byte*> place(std::uint32_t proc, std::uint32_t in_bytes, std::uint32_t out_bytes,
                             rings::RecordKind kind, bool first);
    Result<std::byte*> call_begun(Result<std::byte*> block, std::uint32_t proc,
                                  std::uint32_t in_bytes, std::uint32_t out_bytes);
    /// What is seen of a call's answer: how the channel was before, and the server's word.
    struct Reply {
        ChannelState state;
        std::uint64_t word;
    };
    Reply look_for_reply() const;
    bool is_answer(const Reply& reply) const {
        return static_cast<std::uint32_t>(reply.word) == call_->sent;
    }
    Result<ReplyView> reply_or_wait(const Reply& reply);
    Result<ReplyView> reply_or_callback();
    Result<ReplyView> last_reply();
    Result<std::uint32_t> look_for_callbacks();
    Result<std::uint32_t> run_callbacks();
    void handle(const rings::RecordView& record);
    void finish(const rings::RecordView& record, std::optional<std::int32_t> status);
    bool open_or_draining() const {
        return state() == ChannelState::open || state() == ChannelState::peer_closed;
    }
    /// Callbacks, or a server that waits for room.
    bool callbacks_there() const {
        return callback_head_->load(std::memory_order_acquire) != callback_seen_ ||
               callbacks_.waiting() != 0 ||
               callback_wanted_word_->load(std::memory_order_acquire) != callback_wanted_seen_;
    }
    Result<ReplyView> answered(std::int32_t status);
    void time_procedure(std::uint64_t took);
    void announce(std::uint32_t records, std::uint32_t calls);
    Error no_room();
    Status done_or_ask(std::uint32_t number);
    void ask_for_room();
    Error misused(const char* doing);
    Error stopped(const char* doing);
    Error given_up(const char* doing, std::uint32_t why);

    rings::RecordWriter writer_;

    Call outer_;
    Call nested_;
    std::uint32_t outer_at_ = 0;  ///< where its record starts
    Call* call_ = &outer_;        ///< the one that begin_call and call mean now

    rings::RecordReader callbacks_;
    std::shared_ptr<const Handler> handler_;  ///< shared: it may replace itself while it runs
    bool handling_ = false;
    bool server_waits_ = false;  ///< for the callback that is being handled
    const std::atomic<std::uint64_t>* callback_head_;
    std::uint64_t callback_seen_ = 0;
    std::uint32_t callback_calls_ = 0;  ///< number of the last synchronous one read
    std::uint32_t callback_wanted_seen_ = 0;
    const std::atomic<std::uint32_t>* callback_wanted_word_;
    const std::atomic<std::uint32_t>* callback_done_word_;
    std::atomic<std::uint64_t>* callback_reply_word_;

    std::uint32_t wanted_ = 0;  ///< how often room was asked for
    std::atomic<std::uint32_t>* wanted_word_;
    const std::atomic<std::uint32_t>* fault_word_;
};

}  // namespace hyplink::rpq
