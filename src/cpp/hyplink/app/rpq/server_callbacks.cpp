#include <cstring>
#include <utility>

#include "hyplink/app/rpq/server_channel.hpp"

namespace hyplink::rpq {

/// Whether there is room now. Errors: too_long, corrupt.
Result<bool> ServerChannel::callback_room(std::uint32_t in_bytes, std::uint32_t out_bytes) {
    switch (callbacks_.make_room(in_bytes, out_bytes)) {
        case rings::RecordWriter::Room::ok:
            return true;
        case rings::RecordWriter::Room::full:
            break;
        case rings::RecordWriter::Room::too_long:
            return Error::make(
                Errc::too_long,
                text(where("rpq callback"), ": ", in_bytes, " bytes of parameters and ", out_bytes,
                     " of answer; a port of ", context_.port_bytes, " bytes takes ",
                     callback_block_max(), " at most (half of its callback ring)"));
        case rings::RecordWriter::Room::fault:
            reader_.shut();
            return corrupted("rpq callback", callbacks_.fault());
    }
    want_callback_room();
    // The client looks at that word after it has released; the look that follows decides.
    return callbacks_.make_room(in_bytes, out_bytes) == rings::RecordWriter::Room::ok;
}

void ServerChannel::want_callback_room() {
    callback_wanted_word_->store(++callback_wanted_, std::memory_order_seq_cst);
    ring_peer();
}

void ServerChannel::callback_sent(std::uint32_t proc, bool synchronous) {
    bump(synchronous ? counters_->callback_calls : counters_->callbacks);
    if (journalling()) [[unlikely]]
        note(Event::callback_sent, proc, synchronous);
}

void ServerChannel::callback_publish() {
    callbacks_.publish();  // partner: acquire loads in ClientChannel
    ring_peer();
    if (context_.runtime->seeded()) [[unlikely]]
        context_.runtime->switch_point(SwitchPoint::publish);
}

/// Send what was kept back, as far as there is room.
Status ServerChannel::send_backlog() {
    if (!open()) backlog_.clear();
    bool sent = false;
    while (!backlog_.empty()) {
        KeptCallback& next = backlog_.front();
        if (!HYPLINK_TRY(callback_room(next.in_bytes, 0))) break;
        std::byte* block = callbacks_.reserve(next.proc, next.in_bytes, 0, rings::kRecordPost);
        if (next.in_bytes != 0) std::memcpy(block, next.data(), next.in_bytes);
        static_cast<void>(callbacks_.commit());
        callback_sent(next.proc, false);
        backlog_.pop();
        sent = true;
    }
    if (sent) callback_publish();
    if (backlog_.empty()) special_ &= ~kKeptBack;
    return {};
}

// ---- asynchronous

Result<std::byte*> ServerChannel::callback_begin(std::uint32_t proc, std::uint32_t in_bytes,
                                                 Drop drop, std::uint32_t keep) {
    begun_stage_ = Stage::idle;
    if (!open()) return refused("rpq callback", backlog_.size());
    if (!backlog_.empty()) HYPLINK_TRY(send_backlog());
    std::byte* block = nullptr;
    if (backlog_.empty()) {
        block = callbacks_.reserve(proc, in_bytes, 0, rings::kRecordPost);
        if (block == nullptr && HYPLINK_TRY(callback_room(in_bytes, 0)))
            block = callbacks_.reserve(proc, in_bytes, 0, rings::kRecordPost);
    }
    begun_in_ring_ = block != nullptr;
    begun_.proc = proc;
    if (!begun_in_ring_) {
        if (drop == Drop::refuse) return Errc::would_block;
        if (in_bytes > callback_block_max()) return callback_room(in_bytes, 0).error().copy();
        begun_.in_bytes = in_bytes;
        block = begun_.make_block();
    }
    drop_ = drop;
    keep_ = keep;
    begun_stage_ = Stage::begun;
    return block;
}

Status ServerChannel::callback_post() {
    if (!open()) return refused("rpq callback", backlog_.size());
    if (std::exchange(begun_stage_, Stage::idle) != Stage::begun)
        return Error::make(Errc::bad_argument, where("rpq callback") + ": nothing was begun");
    if (!begun_in_ring_) return keep_back(), send_backlog();
    if (!callbacks_.commit())
        return Error::make(Errc::bad_argument,
                           where("rpq callback") + ": what was begun is overwritten by another");
    callback_sent(begun_.proc, false);
    callback_publish();
    return {};
}

void ServerChannel::keep_back() {
    const std::uint32_t proc = begun_.proc;
    const auto room = [&](std::uint32_t most) {
        return backlog_.count(proc) <= most && backlog_.bytes() <= Backlog::kMaxBytes;
    };
    const auto dropped = [&] {
        bump(counters_->callbacks_dropped);
        if (journalling()) note(Event::callback_lost, proc, 0);
    };
    if (drop_ == Drop::newest && (keep_ == 0 || !room(keep_ - 1))) return dropped();
    backlog_.push(begun_);
    for (; !room(keep_) && backlog_.count(proc) != 0; dropped()) backlog_.forget(proc);
    if (!backlog_.empty()) special_ |= kKeptBack;
}

// ---- synchronous

/// Room behind what was kept back; served meanwhile is a client that waits for us.
Result<std::byte*> ServerChannel::callback_place() {
    if (!open()) return refused("rpq callback", backlog_.size());
    HYPLINK_TRY(send_backlog());
    if (!backlog_.empty() || !HYPLINK_TRY(callback_room(asked_in_bytes_, asked_out_bytes_))) {
        HYPLINK_TRY(serve_nested());
        return Errc::would_block;
    }
    std::byte* block =
        callbacks_.reserve(asked_proc_, asked_in_bytes_, asked_out_bytes_, rings::kRecordCall);
    asked_room_ = callbacks_.set_aside();
    asked_out_ = block + rings::round8(asked_in_bytes_);
    asked_stage_ = Stage::begun;
    return block;
}

Result<std::byte*> ServerChannel::callback_begin_call(std::uint32_t proc, std::uint32_t in_bytes,
                                                      std::uint32_t out_bytes, Deadline deadline) {
    if (may_not_wait()) return nested_misuse("rpq callback");
    if (asked_stage_ == Stage::waiting)
        return Error::make(Errc::busy, where("rpq callback") + ": one waits for its answer");
    begun_stage_ = asked_stage_ = Stage::idle;
    asked_proc_ = proc;
    asked_in_bytes_ = in_bytes;
    asked_out_bytes_ = out_bytes;
    auto block = wait_for(deadline, [&] { return callback_place(); });
    if (block.code() == Errc::timed_out)
        return Error::make(Errc::timed_out, where("rpq callback") + ": no room");
    return block;
}

Status ServerChannel::callback_send() {
    if (!open()) return refused("rpq callback", backlog_.size());
    const std::uint32_t at = asked_room_.at;
    if (!callbacks_.take_back(asked_room_))
        return Error::make(Errc::bad_argument,
                           where("rpq callback") + ": what was begun is overwritten by another");
    callbacks_.hold_from(at);
    static_cast<void>(callbacks_.commit());
    // Every earlier one was answered or given up. Before publish, which makes it visible.
    callback_done_word_->store(callback_number_++, std::memory_order_relaxed);
    asked_stage_ = Stage::waiting;
    callback_sent(asked_proc_, true);
    callback_publish();
    return {};
}

Result<ReplyView> ServerChannel::callback_reply() {
    // The state first: an answer that came before the end is still an answer.
    const bool gone = !open();
    // partner: release store in ClientChannel::finish; loaded once
    const std::uint64_t word = callback_reply_word_->load(std::memory_order_acquire);
    const auto number = static_cast<std::uint32_t>(word);
    if (number - callback_answered_ > callback_number_ - callback_answered_) {
        reader_.shut();
        return corrupted("rpq callback", {"callback answer", number, callback_number_});
    }
    callback_answered_ = number;
    if (number == callback_number_)
        return ReplyView{static_cast<std::int32_t>(static_cast<std::uint32_t>(word >> 32)),
                         asked_out_, asked_out_bytes_};
    if (gone) return refused("rpq callback", 1);
    return Errc::would_block;
}

Result<ReplyView> ServerChannel::callback_attempt() {
    auto reply = callback_reply();
    if (reply.code() == Errc::would_block) HYPLINK_TRY(serve_nested());
    return reply;
}

Result<ReplyView> ServerChannel::callback_call(Deadline deadline) {
    if (may_not_wait()) return nested_misuse("rpq callback");
    if (asked_stage_ == Stage::idle)
        return Error::make(Errc::bad_argument, where("rpq callback") + ": nothing was begun");
    if (asked_stage_ == Stage::begun)
        if (Status sent = callback_send(); !sent) {
            asked_stage_ = Stage::idle;
            return std::move(sent).error();
        }
    auto reply = wait_for(deadline, [&] { return callback_attempt(); });
    if (reply.code() == Errc::interrupted) return reply;
    callback_forget();
    if (reply.code() != Errc::timed_out) return reply;
    auto last = callback_reply();  // it may have come just before
    if (last.code() != Errc::would_block) return last;
    return Error::make(Errc::timed_out, text(where("rpq callback"), ": no answer to callback ",
                                             asked_proc_, " from VM ", context_.peer));
}

void ServerChannel::callback_forget() {
    if (asked_stage_ == Stage::waiting) {
        // partner: acquire load in ClientChannel::handle
        callback_done_word_->store(callback_number_, std::memory_order_release);
        callbacks_.let_go();
    }
    asked_stage_ = Stage::idle;
}

// ---- requests from inside a handler

Status ServerChannel::serve_nested() {
    if (!alive_ || !reachable(state_word())) return {};
    // Look ahead on a copy: nothing is taken unless a client waits for it inside its handler.
    rings::RecordReader ahead = reader_;
    bool found = false;
    bool other = false;
    if (ahead.look())
        ahead.read(ahead.waiting(), [&](const rings::RecordView& record) {
            found = record.kind == rings::kRecordNested;
            other = other || record.kind == rings::kRecordCall;
            return !found;
        });
    if (ahead.fault()) {
        const rings::Fault fault = ahead.fault();
        reader_.shut();
        return corrupted("rpq callback", fault);
    }
    if (!found) return {};
    const std::shared_ptr<const Dispatch> dispatch = dispatch_;
    if (!dispatch || other)
        return Error::make(Errc::deadlock, text(where("rpq callback"), ": VM ", context_.peer,
                                                " called from inside a callback, ",
                                                other ? "behind a call that is not served yet"
                                                      : "and nobody serves that here (on_nested)"));

    const bool all_released = reader_.unreleased().bytes == 0;
    Calls* const outer = std::exchange(answering_, nullptr);
    const std::int32_t outer_reason = std::exchange(reason_, 0);
    struct Ending {  // however the dispatcher ends
        ServerChannel& channel;
        Calls* outer;
        std::int32_t reason;
        ~Ending() {
            channel.special_ &= ~kInsideNested;
            channel.answering_ = outer;
            channel.reason_ = reason;
        }
    } ending{*this, outer, outer_reason};
    special_ |= kInsideNested;
    static_cast<void>(reader_.look());
    rings::RecordView record;
    for (bool more = true; more && alive_ && reader_.next(record);) {
        Request request;
        request.proc = record.tag;
        request.in = record.in;
        request.in_bytes = record.in_bytes;
        request.out = record.out;
        request.out_bytes = record.out_bytes;
        request.is_call = record.kind != rings::kRecordPost;
        more = record.kind != rings::kRecordNested;
        if (request.is_call && !take_call(request, record.kind)) continue;
        bump(counters_->requests);
        const std::int32_t status = (*dispatch)(request);
        if (!alive_ || !reachable(state_word())) break;
        if (!request.is_call) continue;
        if (all_released) reader_.release();
        reason_ = status;
        answer();
    }
    if (alive_ && all_released && reader_.unreleased().bytes != 0) reader_.release();
    return {};
}

}  // namespace hyplink::rpq
