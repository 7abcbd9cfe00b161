/// vMQ as an application uses it: messages both ways between two VMs, with buffers and replies.
///
///     auto queue = HYPLINK_TRY(Queue::open(application, {.name = "disk"}, tx, deadline));
///     HYPLINK_TRY(queue->wait_on(deadline));                          // link_on
///     std::uint32_t slot = HYPLINK_TRY(queue->allocate(deadline));
///     fill(queue->header(slot));
///     queue->send_async(slot); … queue->send_flush();
///
///     std::uint32_t theirs = HYPLINK_TRY(queue->receive(deadline));
///     use(queue->received(theirs));
///     queue->free(theirs);                    // or return_ it, with a reply in its place
///
/// Both directions lie in the port, mapped by both applications; no kernel is on the way, nothing
/// is copied. Errors common to all: peer_dead (the other end or its VM is gone: give back what is
/// held and `wait_on` again), revoked (ESTALE: the peer wrote impossible indices; the same),
/// closed. Thread rule: one thread at a time. Source: document 001 4.3; vlx-facts 5.2.
#pragma once

#include <memory>
#include <optional>
#include <span>

#include "hyplink/app/mq/receiver.hpp"
#include "hyplink/app/mq/sender.hpp"
#include "hyplink/app/port/end.hpp"

namespace hyplink::mq {

struct QueueOptions {
    std::string name;  ///< the start of the end's info
    guest::PortRole role = guest::PortRole::either;
    VmId peer = 0;
    Config tx{};
    /// What the other end must send, as far as memory is concerned; absent: whatever it sends.
    std::optional<Config> rx{};
    bool returns = false;  ///< replies are wanted; else what is returned is just free again
    bool frees = false;    ///< `return_receive` gives what was freed as well
};

class Queue {
   public:
    static Result<std::unique_ptr<Queue>> open(std::shared_ptr<app::Application> application,
                                               const QueueOptions& options, Deadline deadline);
    /// The same with an end that was looked up earlier.
    static Result<std::unique_ptr<Queue>> open(std::unique_ptr<port::End> end,
                                               const QueueOptions& options);
    Queue(const Queue&) = delete;
    Queue& operator=(const Queue&) = delete;
    ~Queue() {
        close();
        membership_.reset();  // before the memory it speaks of
    }

    /// Until the application at the other end is there, too. Errors: busy (messages or buffers of
    /// the last time are still held), protocol (the two configurations do not fit).
    Status wait_on(Deadline deadline);
    bool is_on() const { return link_ != nullptr && link_->is_on(); }

    /// A message slot. Flushes before it waits. Errors: would_block (the other end is not on).
    Result<std::uint32_t> allocate(Deadline deadline) {
        if (const std::uint32_t slot = known_free(); slot != Sender::kNone) [[likely]]
            return slot;
        return allocate_slowly(deadline);
    }
    Result<std::uint32_t> try_allocate() {
        if (const std::uint32_t slot = known_free(); slot != Sender::kNone) [[likely]]
            return slot;
        return attempt_allocate();
    }
    /// A buffer's offset. Errors: too_long (E2BIG), ring_full (all are in use).
    Result<std::uint64_t> data_allocate(std::uint64_t bytes);
    /// Buffers are freed by the sender, when it knows that the other end is done. bad_argument.
    Status data_free(std::uint64_t offset);
    std::span<std::byte> header(std::uint32_t slot) const {
        return {sender_.ring().slot(slot), sender_.ring().config.msg_max};
    }
    std::byte* data(std::uint64_t offset) const {
        return sender_.ring().data() + static_cast<std::size_t>(offset);
    }

    /// Hand a message over and ring. Errors: bad_argument (not an allocated one).
    Status send(std::uint32_t slot);
    /// The same without ringing: `send_flush` does, and whatever waits.
    Status send_async(std::uint32_t slot) {
        if (!sender_.owns(slot)) [[unlikely]]
            return misuse("send", slot);
        sender_.put(slot);
        return {};
    }
    /// Something was sent that the other end was not rung for.
    bool untold() const { return sender_.untold(); }
    void send_flush() {
        deliver();
        hand_over();
    }
    /// The two steps of it: let the other end see and ring it; let a seeded run switch tasks (never
    /// with a lock held).
    void deliver();
    void hand_over();
    /// Forget an allocated message.
    Status discard(std::uint32_t slot);

    Result<std::uint32_t> receive(Deadline deadline) {
        if (const std::uint32_t slot = receiver_.try_known(); slot != Receiver::kNone) [[likely]]
            return slot;
        return receive_slowly(deadline);
    }
    /// would_block when there is none.
    Result<std::uint32_t> try_receive() {
        if (const std::uint32_t slot = receiver_.try_known(); slot != Receiver::kNone) return slot;
        auto got = attempt_receive();
        if (got.code() == Errc::would_block && link_->look()) return attempt_receive();
        return got;
    }
    std::span<std::byte> received(std::uint32_t slot) const {
        return {receiver_.ring().slot(slot), receiver_.ring().config.msg_max};
    }
    /// The other end's offsets are not to be believed.
    bool data_offset_ok(std::uint64_t offset) const {
        return receiver_.ring().data_offset_ok(offset);
    }
    std::byte* received_data(std::uint64_t offset) const {
        return receiver_.ring().data() + static_cast<std::size_t>(offset);
    }
    /// Give it back, in any order. Rings only a sender that waits for one; within what one look has
    /// found with every `Receiver::group`-th.
    Status free(std::uint32_t slot) {
        if (!receiver_.holds(slot)) [[unlikely]]
            return misuse("free", slot);
        if (receiver_.give_back(slot, false)) [[unlikely]]
            ring_if_on();
        return {};
    }
    /// Give it back with a reply in its place. Rings.
    Status return_(std::uint32_t slot);

    /// Ring a sender that waits for messages, whatever its turn: for who frees one and may look for
    /// no more.
    void rouse_sender();
    /// Whether to be rung for each message that comes back: while one waits for any with
    /// `wait_until`.
    void await_slots(bool waiting) {
        if (is_on()) sender_.say_stopped(waiting);
    }

    /// A message of one's own that came back with a reply: `header(slot)`; free it when read.
    Result<std::uint32_t> return_receive(Deadline deadline);
    Result<std::uint32_t> try_return_receive() {
        auto got = attempt_return_receive();
        if (got.code() == Errc::would_block && link_->look()) return attempt_return_receive();
        return got;
    }
    Status return_free(std::uint32_t slot);
    /// Something came back and was not taken yet, as far as is known.
    bool returned_waiting() const { return sender_.returned_waiting(); }
    /// A message or a reply: wait for whichever comes first.
    Status wait_any(Deadline deadline);
    /// Try; while it would block, wait until something happened on the queue.
    template <class Attempt>
    auto wait_until(const char* doing, Deadline deadline, Attempt&& attempt)
        -> decltype(attempt()) {
        if (!link_) return blocked(doing);
        return link_->wait_for(deadline, attempt);
    }

    Result<int> fileno();
    void fd_rearm();
    void off_notifier(std::function<void(VmId)> off) { off_ = std::move(off); }
    void close();
    bool is_open() const { return end_ && end_->is_open(); }
    port::End& end() { return *end_; }
    const Config& tx() const { return options_.tx; }
    const Config& rx() const { return receiver_.ring().config; }
    /// Null until the other end was there.
    rings::ChannelEnd* link() { return link_.get(); }
    std::uint32_t under_way() const { return sender_.under_way(); }
    /// Messages and buffers that are still to be given back before `wait_on` after a loss.
    std::size_t held() const { return sender_.held() + receiver_.held() + sender_.data_held(); }
    /// How often both ends have met.
    std::uint32_t life() const { return life_; }
    /// Messages that came back without a reply, and whether one's own slot is free.
    std::uint64_t freed() const { return sender_.freed(); }
    bool is_free(std::uint32_t slot) const { return sender_.is_free(slot); }
    std::shared_ptr<void> keep() const { return link_->context().keep; }

   private:
    class Link : public rings::ChannelEnd {
       public:
        Link(const port::Joined& joined, Role role);
        using ChannelEnd::bump;
        using ChannelEnd::counters_;
        using ChannelEnd::fail_with;
        using ChannelEnd::note;
        using ChannelEnd::refused;
        using ChannelEnd::ring_peer;
        using ChannelEnd::wait_for;
        using ChannelEnd::where;
        /// Before the look after which an event loop's descriptor is armed again.
        bool look() {
            if (own_.hooked()) own_.look();
            return own_.hooked();
        }
        bool is_on() const { return open(); }
        /// `sent`: since both ends met. What was published without being asked is counted here,
        /// too.
        void count_sent(std::uint32_t sent, std::uint32_t under_way, std::uint64_t each) {
            const std::uint32_t fresh = sent - static_cast<std::uint32_t>(counters_->posts);
            bump(counters_->posts, fresh);
            bump(counters_->batches);
            bump(counters_->in_place_bytes, fresh * each);
            std::atomic_ref(counters_->ring_now).store(under_way, std::memory_order_relaxed);
            if (under_way > counters_->ring_peak)
                std::atomic_ref(counters_->ring_peak).store(under_way, std::memory_order_relaxed);
        }
    };
    Queue() = default;
    Error misuse(const char* doing, std::uint32_t slot) const;
    Error stale(const char* doing, const rings::Fault& fault);
    std::uint32_t known_free() { return is_on() ? sender_.try_known() : Sender::kNone; }
    void ring_if_on();
    Result<std::uint32_t> attempt_allocate();
    Result<std::uint32_t> allocate_slowly(Deadline deadline);
    Result<std::uint32_t> receive_slowly(Deadline deadline);
    Result<std::uint32_t> attempt_receive();
    Result<std::uint32_t> attempt_return_receive();
    /// Why nothing can be done now; would_block: nothing is wrong.
    Error blocked(const char* doing);
    QueueOptions options_;
    std::unique_ptr<port::End> end_;
    port::HeldMembership membership_;
    std::unique_ptr<Link> link_;
    Sender sender_;
    Receiver receiver_;
    std::function<void(VmId)> off_;
    std::uint32_t life_ = 0;
};

}  // namespace hyplink::mq
