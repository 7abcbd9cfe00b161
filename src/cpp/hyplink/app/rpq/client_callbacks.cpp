#include <cstring>

#include "hyplink/app/rpq/client_channel.hpp"

namespace hyplink::rpq {

Result<std::uint32_t> ClientChannel::handle_callbacks(Deadline deadline) {
    if (handling_)
        return Error::make(Errc::deadlock, where("rpq callbacks") + ": inside a handler of one");
    auto handled = wait_for(deadline, [&] { return look_for_callbacks(); });
    if (handled.code() == Errc::timed_out) return std::uint32_t{0};
    return handled;
}

Result<std::uint32_t> ClientChannel::try_handle_callbacks() {
    if (handling_)
        return Error::make(Errc::deadlock, where("rpq callbacks") + ": inside a handler of one");
    own_.look();
    return look_for_callbacks();
}

Result<std::uint32_t> ClientChannel::look_for_callbacks() {
    // The state first: what was published before a close is still delivered.
    const ChannelState now = state();
    if (now != ChannelState::open && now != ChannelState::peer_closed)
        return stopped("rpq callbacks");
    if (callbacks_there()) {
        const std::uint32_t handled = HYPLINK_TRY(run_callbacks());
        if (handled != 0) return handled;
    }
    if (const std::uint32_t why = fault_word_->load(std::memory_order_acquire); why != 0)
        return given_up("rpq callbacks", why);
    if (now == ChannelState::peer_closed) return stopped("rpq callbacks");
    return Errc::would_block;
}

/// For `call`: what was published before the answer is handled before it. So the answer is that of
/// before the look for callbacks: one that came between the two looks may have some in front of it.
Result<ReplyView> ClientChannel::reply_or_callback() {
    const Reply reply = look_for_reply();
    if (!callbacks_there() || handling_) [[likely]]
        return reply_or_wait(reply);
    HYPLINK_TRY(run_callbacks());
    if (is_answer(reply)) return reply_or_wait(reply);
    // Not in a loop here: the wait looks at the time, and a server that never stops must not keep
    // us.
    own_.look_again();
    return Errc::would_block;
}

/// The same for who does not wait: callbacks that no answer is behind are left alone.
Result<ReplyView> ClientChannel::last_reply() {
    const Reply reply = look_for_reply();
    if (is_answer(reply) && callbacks_there() && !handling_) HYPLINK_TRY(run_callbacks());
    return reply_or_wait(reply);
}

Result<std::uint32_t> ClientChannel::run_callbacks() {
    const std::uint32_t wanted = callback_wanted_word_->load(std::memory_order_acquire);
    if (wanted != callback_wanted_seen_) {
        // We may have released just before it was written: let the server look again.
        callback_wanted_seen_ = wanted;
        ring_peer();
    }
    if (!callbacks_.look()) return fault_error("rpq callbacks", callbacks_.fault());
    callback_seen_ = callbacks_.head().pack();
    std::uint32_t handled = 0;
    rings::RecordView record;
    while (open_or_draining() && callbacks_.next(record)) {
        if (record.kind == rings::kRecordNested)
            return fault_error("rpq callbacks", {"callback kind", record.kind, rings::kRecordCall});
        handle(record);
        ++handled;
    }
    if (callbacks_.fault()) return fault_error("rpq callbacks", callbacks_.fault());
    return handled;
}

void ClientChannel::handle(const rings::RecordView& record) {
    const bool is_call = record.kind == rings::kRecordCall;
    if (is_call) {
        ++callback_calls_;
        // partner: release store in ServerChannel::callback_forget
        if (call_over(callback_done_word_->load(std::memory_order_acquire), callback_calls_))
            return finish(record, {});
        std::memset(record.out, 0, static_cast<std::size_t>(rings::round8(record.out_bytes)));
    }
    const std::shared_ptr<const Handler> handler = handler_;
    if (!handler) {
        bump(counters_->callbacks_dropped);
        if (journalling()) note(Event::callback_lost, record.tag, 0);
        return finish(record, static_cast<std::int32_t>(Errc::unsupported));
    }
    /// Whatever way the handler ends, the server hears of it and has its room back.
    struct Ending {
        ClientChannel& channel;
        const rings::RecordView& record;
        std::int32_t status = static_cast<std::int32_t>(Errc::internal);
        ~Ending() {
            channel.handling_ = channel.server_waits_ = false;
            channel.call_forget();  // a call that the handler left waiting
            channel.call_ = &channel.outer_;
            channel.writer_.let_go();
            if (channel.journalling()) [[unlikely]]
                channel.note(Event::callback_done, record.tag, static_cast<std::uint32_t>(status));
            channel.finish(record, status);
        }
    } ending{*this, record};
    handling_ = true;
    server_waits_ = is_call;
    if (outer_.phase == Phase::waiting) writer_.hold_from(outer_at_);
    call_ = &nested_;
    bump(counters_->callbacks);
    if (is_call) bump(counters_->callback_calls);
    ending.status = (*handler)(
        RequestView{record.tag, record.in, record.in_bytes, record.out, record.out_bytes, is_call});
}

void ClientChannel::finish(const rings::RecordView& record, std::optional<std::int32_t> status) {
    if (!open_or_draining()) return;
    callbacks_.release();
    if (record.kind == rings::kRecordCall && status) {
        // partner: acquire load in ServerChannel::callback_reply
        callback_reply_word_->store(
            std::uint64_t{static_cast<std::uint32_t>(*status)} << 32 | callback_calls_,
            std::memory_order_release);
        callback_wanted_seen_ = callback_wanted_word_->load(std::memory_order_acquire);
        ring_peer();
    } else if (const std::uint32_t wanted = callback_wanted_word_->load(std::memory_order_acquire);
               wanted != callback_wanted_seen_) {
        callback_wanted_seen_ = wanted;
        ring_peer();
    }
    if (context_.runtime->seeded()) [[unlikely]]
        context_.runtime->switch_point(SwitchPoint::publish);
}

}  // namespace hyplink::rpq
