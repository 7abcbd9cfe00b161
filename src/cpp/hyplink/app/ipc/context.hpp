/// vIPC as an application uses it: many calls at a time over one vMQ, answered in any order.
///
///     ipc::Context context(queue);                        // opened with `returns`, and on
///     std::array<ipc::Call, 32> calls;
///     for (ipc::Call& call : calls) {
///         HYPLINK_TRY(context.begin(call, {}, deadline));
///         fill(call.params());
///         HYPLINK_TRY(context.send_async(call));
///     }
///     context.flush();
///     for (ipc::Call& call : calls) {
///         HYPLINK_TRY(context.wait(call, deadline));
///         use(call.answer());
///     }
///
/// A message begins with a cookie of 64 bits that names its call. It is compared with what this
/// side remembers of the slot that came back, so every message that comes back ends the call it was
/// sent for, and no other: with the answer if it bears the cookie, with corrupt if it bears another
/// one (counted as unknown), with protocol if it was given back without an answer. Cookies count on
/// from the clock, so those of an earlier life, or of another context, are nobody's.
///
/// When the other end goes, or writes impossible indices, every call under way ends with peer_dead
/// or revoked; `wait_on` and go on with the same context.
///
/// Several threads may call at once: one of those that wait takes what comes back for all.
///
/// Copies: the answer, once, out of memory that the peer can write. Thread rule: any thread; nobody
/// else sends or takes returned messages on the queue meanwhile, and `wait_on` and the destructor
/// want no call being waited for. Source: document 001 4.4; vlx-facts 5.3.
#pragma once

#include <memory>
#include <mutex>
#include <span>
#include <vector>

#include "hyplink/app/ipc/call.hpp"
#include "hyplink/app/mq/queue.hpp"

namespace hyplink::ipc {

struct CallOptions {
    std::uint64_t data_bytes = 0;  ///< of a buffer that goes along; 0: none
    bool keep = false;  ///< the buffer is the call's until it is released, for an answer in it
};

class Context {
   public:
    explicit Context(std::shared_ptr<mq::Queue> queue);
    Context(const Context&) = delete;
    Context& operator=(const Context&) = delete;
    /// Ends what is under way with cancelled; its buffers are free at once.
    ~Context();

    /// A message for a call, its cookie written. Takes answers while it waits for one that is free.
    /// Errors: too_long (the buffer), ring_full (all buffers are in use, and not by calls under
    /// way), would_block (the other end is not on), peer_dead, revoked, timed_out, interrupted,
    /// bad_argument (the call is under way, or a message has no room for a cookie).
    Status begin(Call& call, const CallOptions& options, Deadline deadline);
    /// Hand it over and ring. Errors: bad_argument (not begun), peer_dead, revoked.
    Status send(Call& call);
    /// The same without ringing: `flush` does, and whatever waits.
    Status send_async(Call& call);
    void flush();
    /// `begin`, fill in (the rest is zero), `send`. The buffer's offset follows the parameters, at
    /// the very end of the message. Errors: too_long besides.
    Status submit(Call& call, std::span<const std::byte> params, std::span<const std::byte> data,
                  const CallOptions& options, Deadline deadline);

    /// Until it is answered: ok, and `answer()`. Errors: those it ended with (peer_dead, revoked,
    /// corrupt, protocol, cancelled), timed_out and interrupted (it is still under way), closed.
    Status wait(Call& call, Deadline deadline);
    /// Until any message came back, or all calls were aborted.
    Status wait_any(Deadline deadline);
    /// Take what came back without waiting; how many calls have ended since the last look.
    std::uint64_t poll();
    /// A message that somebody else took with `return_receive`: end its call and free it. False:
    /// it was nobody's.
    bool process_reply(std::uint32_t slot);
    /// End every call under way, as for a peer's death; returns how many.
    std::uint64_t abort_calls(const Error& why);

    std::uint64_t under_way() const;
    /// Messages that came back and did not bear the cookie of the call they were sent for.
    std::uint64_t unknown() const;
    /// Bytes of a message that parameters may take.
    std::size_t room() const;
    mq::Queue& queue() const { return *queue_; }

   private:
    friend class Call;
    /// What is remembered of a message that is at the other end.
    struct Entry {
        bool used = false;
        Call* call = nullptr;  ///< null: given up
        std::uint64_t cookie = 0;
        std::uint64_t buffer = Call::kNoBuffer;
    };
    /// A thread that waits; who takes answers rings it.
    struct Waiter {
        BellWords bell{};
        const Call* call = nullptr;  ///< null: for whatever comes
        Waiter* next = nullptr;
    };
    // All of these with the lock held.
    Status take();
    void settle(std::uint32_t slot);
    void end(Entry& entry, Error error);
    void drop_buffer(Entry& entry);
    void notice_life();
    void notice_freed();
    Error without_answer() const;
    std::uint64_t abort_all(const Error& why, bool lost);
    Status try_begin(Call& call, const CallOptions& options);
    void rouse(bool everybody);
    void hand_on();

    /// Without the lock: what `send_async` left is rung for before this thread waits.
    void flush_untold();
    void give_up(Call& call);
    /// Wait until `ready()` says otherwise than would_block; it is called with the lock held, after
    /// what came back was taken.
    template <class Ready>
    Status wait_until(const Call* call, Deadline deadline, Ready&& ready);

    std::shared_ptr<mq::Queue> queue_;
    mutable std::mutex mutex_;  ///< never held while waiting
    std::vector<Entry> entries_;
    std::uint64_t next_cookie_;
    std::uint64_t under_way_ = 0;
    std::uint64_t buffers_ = 0;  ///< of messages at the other end
    std::uint64_t unknown_ = 0;
    std::uint64_t ended_ = 0;  ///< calls that have ended
    std::uint64_t came_ = 0;   ///< messages that came back, and aborts
    std::uint64_t polled_ = 0;
    std::uint32_t life_ = 0;
    std::uint64_t freed_ = 0;
    bool pumping_ = false;  ///< a thread waits on the queue for all
    Waiter* waiters_ = nullptr;
};

}  // namespace hyplink::ipc
