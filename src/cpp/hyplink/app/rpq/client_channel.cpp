#include "hyplink/app/rpq/client_channel.hpp"

#include <utility>

#include "hyplink/app/rpq/refusal.hpp"

namespace hyplink::rpq {
namespace {
// Reading the clock twice costs a quarter of a call, so one in 16 is timed; all while the journal
// is on.
constexpr std::uint32_t kTimedCalls = 16;
}  // namespace

Result<std::unique_ptr<ClientChannel>> ClientChannel::make(ChannelContext context) {
    HYPLINK_TRY(port_check(context));
    return std::unique_ptr<ClientChannel>(new ClientChannel(std::move(context)));
}

ClientChannel::ClientChannel(ChannelContext context)
    : ChannelEnd(std::move(context), Role::client) {
    std::byte* const port = context_.port;
    writer_.attach(port_ring(context_));
    own_.attach(*context_.runtime, port_word<BellWords>(port, kClientBellAt), context_.own_fd);
    peer_.attach(*context_.runtime, port_word<BellWords>(port, kServerBellAt), context_.peer_fd);
    wanted_word_ = &port_word<std::atomic<std::uint32_t>>(port, kWantedAt);
    outer_.reply = &port_word<std::atomic<std::uint64_t>>(port, kReplyAt);
    outer_.done = &port_word<std::atomic<std::uint32_t>>(port, kDoneAt);
    nested_.kind = rings::kRecordNested;
    nested_.reply = &port_word<std::atomic<std::uint64_t>>(port, kNestedReplyAt);
    nested_.done = &port_word<std::atomic<std::uint32_t>>(port, kNestedDoneAt);
    callbacks_.attach(port_callbacks(context_));
    callback_head_ = &port_word<std::atomic<std::uint64_t>>(port, kCallbackHeadAt);
    callback_wanted_word_ = &port_word<std::atomic<std::uint32_t>>(port, kCallbackWantedAt);
    callback_done_word_ = &port_word<std::atomic<std::uint32_t>>(port, kCallbackDoneAt);
    callback_reply_word_ = &port_word<std::atomic<std::uint64_t>>(port, kCallbackReplyAt);
    fault_word_ = &port_word<std::atomic<std::uint32_t>>(port, kFaultAt);
}

Error ClientChannel::misused(const char* doing) {
    if (!open()) return stopped(doing);
    return Error::make(Errc::bad_argument, where(doing) + ": nothing was begun");
}

Error ClientChannel::stopped(const char* doing) {
    const std::uint64_t left = pending();
    writer_.shut();
    call_->phase = Phase::idle;
    const ChannelState now = state();
    if (now == ChannelState::peer_closed || now == ChannelState::dead)
        if (const std::uint32_t why = fault_word_->load(std::memory_order_acquire); why != 0)
            return given_up(doing, why);
    return refused(doing, left);
}

std::uint64_t ClientChannel::pending() {
    if (!corrupt()) static_cast<void>(writer_.look());  // impossible progress is not believed
    return writer_.outstanding().records;
}

// ---- posting

void ClientChannel::announce(std::uint32_t records, std::uint32_t calls) {
    const Rung rung = ring_peer();
    const rings::RecordWriter::Tally tally = writer_.take_tally();
    bump(counters_->posts, records - calls);
    bump(counters_->calls, calls);
    bump(counters_->batches);
    raise(counters_->batch_max, records);
    bump(counters_->copies, records - tally.empty);
    bump(counters_->copied_bytes, tally.bytes);
    if (journalling()) [[unlikely]]
        note(Event::notify, records, (rung.sent ? 1U : 0U) | (rung.woke ? 2U : 0U));
    if (context_.runtime->seeded()) [[unlikely]]
        context_.runtime->switch_point(SwitchPoint::publish);
}

Status ClientChannel::notify() {
    if (!open()) [[unlikely]]
        return stopped("rpq notify");
    const std::uint32_t records = writer_.publish();
    if (records != 0) announce(records, 0);
    return {};
}

void ClientChannel::ask_for_room() {
    // The server looks at this word, on the line it reads anyway, after every acknowledgement; the
    // ring makes sure that it looks once more. So an acknowledgement needs neither fence nor bell
    // when nobody waits.
    const std::uint32_t records = writer_.publish();
    wanted_word_->store(++wanted_, std::memory_order_release);  // partner: ServerChannel::collect
    if (records != 0)
        announce(records, 0);
    else
        ring_peer();
}

Result<std::byte*> ClientChannel::place(std::uint32_t proc, std::uint32_t in_bytes,
                                        std::uint32_t out_bytes, rings::RecordKind kind,
                                        bool first) {
    if (!open()) return stopped("rpq begin");
    bump(counters_->recycles);
    switch (writer_.make_room(in_bytes, out_bytes)) {
        case rings::RecordWriter::Room::ok: {
            const rings::Progress held = writer_.outstanding();
            raise(counters_->ring_peak, held.records);
            raise(counters_->pmem_peak, held.bytes);
            return writer_.reserve(proc, in_bytes, out_bytes, kind);
        }
        case rings::RecordWriter::Room::too_long:
            return Error::make(
                Errc::too_long,
                text(where("rpq begin"), ": ", in_bytes, " bytes of parameters and ", out_bytes,
                     " of answer; a port of ", context_.port_bytes, " bytes takes ", block_max(),
                     " at most (half of its ring): ask for a larger port, or raise vrpq-pmem"));
        case rings::RecordWriter::Room::fault:
            return fault_error("rpq begin", writer_.fault());
        case rings::RecordWriter::Room::full:
            break;
    }
    if (const std::uint32_t why = fault_word_->load(std::memory_order_acquire); why != 0)
        return given_up("rpq begin", why);
    if (server_waits_)
        return Error::make(Errc::ring_full,
                           text(where("rpq begin"), ": no room, and VM ", context_.peer,
                                " makes none while it waits for this callback"));
    if (first) {
        bump(counters_->full_events);
        if (writer_.outstanding().records >= port_ring(context_).records)
            bump(counters_->full_requests);
    }
    ask_for_room();
    return Errc::would_block;
}

Result<std::byte*> ClientChannel::begin_slow(std::uint32_t proc, std::uint32_t in_bytes,
                                             Deadline deadline) {
    bool first = true;
    auto block = wait_for(deadline, [&] {
        return place(proc, in_bytes, 0, rings::kRecordPost, std::exchange(first, false));
    });
    if (block.code() == Errc::timed_out) return no_room();
    return block;
}

Error ClientChannel::no_room() {
    const std::uint64_t left = pending();
    return Error::make(Errc::timed_out,
                       text(where("rpq begin"), ": no room, ", left, " requests pending"));
}

Result<std::byte*> ClientChannel::try_begin_slow(std::uint32_t proc, std::uint32_t in_bytes) {
    own_.look();
    return place(proc, in_bytes, 0, rings::kRecordPost, true);
}

// ---- memory beside the port

Result<bool> ClientChannel::is_done(std::uint32_t number) {
    if (!open()) return stopped("rpq look");
    if (!writer_.look()) {
        writer_.shut();
        return fault_error("rpq look", writer_.fault());
    }
    return writer_.is_released(number);
}

Status ClientChannel::done_or_ask(std::uint32_t number) {
    if (HYPLINK_TRY(is_done(number))) return {};
    if (const std::uint32_t why = fault_word_->load(std::memory_order_acquire); why != 0)
        return given_up("rpq look", why);
    if (server_waits_)
        return Error::make(Errc::ring_full, text(where("rpq look"), ": VM ", context_.peer,
                                                 " is done with nothing while it waits for this "
                                                 "callback"));
    ask_for_room();
    return Errc::would_block;
}

Status ClientChannel::wait_done(std::uint32_t number, Deadline deadline) {
    auto done = wait_for(deadline, [&] { return done_or_ask(number); });
    if (done.code() != Errc::timed_out) return done;
    return Error::make(Errc::timed_out, text(where("rpq look"), ": ", pending(),
                                             " requests pending, none of them is done"));
}

// ---- calling

Result<std::byte*> ClientChannel::call_begun(Result<std::byte*> block, std::uint32_t proc,
                                             std::uint32_t in_bytes, std::uint32_t out_bytes) {
    if (!block) return block;
    call_->room = writer_.set_aside();
    call_->proc = proc;
    call_->out = *block + rings::round8(in_bytes);
    call_->out_bytes = out_bytes;
    call_->phase = Phase::begun;
    return block;
}

Result<std::byte*> ClientChannel::begin_call(std::uint32_t proc, std::uint32_t in_bytes,
                                             std::uint32_t out_bytes, Deadline deadline) {
    if (!open()) return stopped("rpq call");
    if (call_->phase == Phase::waiting)
        return Error::make(Errc::busy, where("rpq call") + ": a call waits for its answer");
    if (std::byte* block = writer_.reserve(proc, in_bytes, out_bytes, call_->kind))
        return call_begun(block, proc, in_bytes, out_bytes);
    bool first = true;
    auto block = wait_for(deadline, [&] {
        return place(proc, in_bytes, out_bytes, call_->kind, std::exchange(first, false));
    });
    if (block.code() == Errc::timed_out) return no_room();
    return call_begun(std::move(block), proc, in_bytes, out_bytes);
}

Result<std::byte*> ClientChannel::try_begin_call(std::uint32_t proc, std::uint32_t in_bytes,
                                                 std::uint32_t out_bytes) {
    if (call_->phase == Phase::waiting)
        return Error::make(Errc::busy, where("rpq call") + ": a call waits for its answer");
    own_.look();
    return call_begun(place(proc, in_bytes, out_bytes, call_->kind, true), proc, in_bytes,
                      out_bytes);
}

Status ClientChannel::call_start() {
    if (!open()) return stopped("rpq call");
    if (call_ == &outer_) outer_at_ = outer_.room.at;
    if (call_->phase != Phase::begun || !writer_.take_back(call_->room)) return misused("rpq call");
    static_cast<void>(writer_.commit());
    writer_.count_answer(static_cast<std::uint32_t>(rings::round8(call_->out_bytes)));
    // Every earlier one was answered or given up. Before publish, which makes it visible.
    call_->done->store(call_->sent, std::memory_order_relaxed);
    ++call_->sent;
    call_->phase = Phase::waiting;
    const bool timed = call_->sent % kTimedCalls == 1 || journalling() || counting();
    call_->started = timed ? context_.runtime->now() : -1;
    announce(writer_.publish(), 1);
    return {};
}

ClientChannel::Reply ClientChannel::look_for_reply() const {
    // The state first: an answer that came before the end is still an answer.
    const ChannelState now = state();
    // partner: release store in ServerChannel::answer; loaded once
    return {now, call_->reply->load(std::memory_order_acquire)};
}

Result<ReplyView> ClientChannel::reply_or_wait(const Reply& reply) {
    const auto [now, word] = reply;
    const auto number = static_cast<std::uint32_t>(word);
    if (number == call_->sent) [[likely]]
        return answered(static_cast<std::int32_t>(static_cast<std::uint32_t>(word >> 32)));
    if (now != ChannelState::open && now != ChannelState::peer_closed) return stopped("rpq call");
    if (number - call_->answered > call_->sent - call_->answered)
        return fault_error("rpq call", {"answer number", number, call_->sent});
    call_->answered = number;  // the late answer of a call that was given up
    if (const std::uint32_t why = fault_word_->load(std::memory_order_acquire); why != 0)
        return given_up("rpq call", why);
    if (now == ChannelState::peer_closed) return stopped("rpq call");
    return Errc::would_block;
}

void ClientChannel::time_procedure(std::uint64_t took) {
    if (ProcedureCounters* const counters = procedure(call_->proc)) {
        bump(counters->latency_count);
        bump(counters->latency_sum, took);
        raise(counters->latency_max, took);
    }
}

Result<ReplyView> ClientChannel::answered(std::int32_t status) {
    call_->answered = call_->sent;
    call_->phase = Phase::idle;
    if (call_->started >= 0) {
        const auto took = static_cast<std::uint64_t>(context_.runtime->now() - call_->started);
        bump(counters_->latency_count);
        bump(counters_->latency_sum, took);
        raise(counters_->latency_max, took);
        if (counting()) [[unlikely]]
            time_procedure(took);
        if (journalling()) note(Event::call, call_->proc, took);
    }
    return ReplyView{status, call_->out, call_->out_bytes};
}

Result<ReplyView> ClientChannel::call(Deadline deadline) {
    if (call_->phase != Phase::waiting) HYPLINK_TRY(call_start());
    auto reply = wait_for(deadline, [&] { return reply_or_callback(); });
    if (reply || reply.code() == Errc::interrupted) return reply;
    if (reply.code() != Errc::timed_out) {
        call_forget();
        return reply;
    }
    const std::uint32_t proc = call_->proc;
    call_->done->store(call_->sent,
                       std::memory_order_release);  // partner: ServerChannel::take_call
    auto last = last_reply();                       // it may have come just before
    if (last.code() != Errc::would_block) return last;
    call_->phase = Phase::idle;
    return Error::make(Errc::timed_out, text(where("rpq call"), ": no answer to procedure ", proc,
                                             " from VM ", context_.peer));
}

Result<ReplyView> ClientChannel::try_reply() {
    if (call_->phase != Phase::waiting) return misused("rpq reply");
    own_.look();
    auto reply = last_reply();
    if (!reply && reply.code() != Errc::would_block) call_->phase = Phase::idle;
    return reply;
}

void ClientChannel::call_forget() {
    if (call_->phase == Phase::waiting)
        call_->done->store(call_->sent, std::memory_order_release);  // partner: take_call
    call_->phase = Phase::idle;
}

Error ClientChannel::given_up(const char* doing, std::uint32_t why) {
    const std::uint64_t left = pending();
    writer_.shut();
    const auto fail = [&](Errc code, std::string reason) {
        return fail_with(Error::make(code, text(where(doing), ": VM ", context_.peer, reason, ", ",
                                                left, " requests pending"))
                             .with_pending(left),
                         kFaultAt, why);
    };
    switch (static_cast<Errc>(why)) {
        case Errc::corrupt:
            return fail(Errc::corrupt,
                        " gave the channel up (it could not make sense of a request)");
        case Errc::version:
            return fail(Errc::version, refusal_text(load_refusal(context_.port)));
        default:
            return fail(Errc::peer_dead, " gave the channel up (its end failed)");
    }
}

}  // namespace hyplink::rpq
