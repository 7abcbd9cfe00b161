#include "hyplink/app/rpq/client_channel.hpp"

#include <utility>

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
    reply_word_ = &port_word<std::atomic<std::uint64_t>>(port, kReplyAt);
    fault_word_ = &port_word<std::atomic<std::uint32_t>>(port, kFaultAt);
}

Error ClientChannel::misused(const char* doing) {
    if (!open()) return stopped(doing);
    return Error::make(Errc::bad_argument, where(doing) + ": nothing was begun");
}

Error ClientChannel::stopped(const char* doing) {
    const std::uint64_t left = pending();
    writer_.shut();
    phase_ = Phase::idle;
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
            return Error::make(Errc::too_long,
                               text(where("rpq begin"), ": ", in_bytes, " bytes of parameters and ",
                                    out_bytes, " of answer; a port of ", context_.port_bytes,
                                    " bytes takes ", block_max(), " at most (half of its ring)"));
        case rings::RecordWriter::Room::fault:
            return fault_error("rpq begin", writer_.fault());
        case rings::RecordWriter::Room::full:
            break;
    }
    if (const std::uint32_t why = fault_word_->load(std::memory_order_acquire); why != 0)
        return given_up("rpq begin", why);
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

// ---- calling

Result<std::byte*> ClientChannel::call_begun(Result<std::byte*> block, std::uint32_t proc,
                                             std::uint32_t in_bytes, std::uint32_t out_bytes) {
    if (!block) return block;
    call_ = writer_.set_aside();
    call_proc_ = proc;
    call_out_ = *block + rings::round8(in_bytes);
    call_out_bytes_ = out_bytes;
    phase_ = Phase::begun;
    return block;
}

Result<std::byte*> ClientChannel::begin_call(std::uint32_t proc, std::uint32_t in_bytes,
                                             std::uint32_t out_bytes, Deadline deadline) {
    if (!open()) return stopped("rpq call");
    if (phase_ == Phase::waiting)
        return Error::make(Errc::busy, where("rpq call") + ": a call waits for its answer");
    if (std::byte* block = writer_.reserve(proc, in_bytes, out_bytes, rings::kRecordCall))
        return call_begun(block, proc, in_bytes, out_bytes);
    bool first = true;
    auto block = wait_for(deadline, [&] {
        return place(proc, in_bytes, out_bytes, rings::kRecordCall, std::exchange(first, false));
    });
    if (block.code() == Errc::timed_out) return no_room();
    return call_begun(std::move(block), proc, in_bytes, out_bytes);
}

Result<std::byte*> ClientChannel::try_begin_call(std::uint32_t proc, std::uint32_t in_bytes,
                                                 std::uint32_t out_bytes) {
    if (phase_ == Phase::waiting)
        return Error::make(Errc::busy, where("rpq call") + ": a call waits for its answer");
    own_.look();
    return call_begun(place(proc, in_bytes, out_bytes, rings::kRecordCall, true), proc, in_bytes,
                      out_bytes);
}

Status ClientChannel::call_start() {
    if (!open()) return stopped("rpq call");
    if (phase_ != Phase::begun || !writer_.take_back(call_)) return misused("rpq call");
    static_cast<void>(writer_.commit());
    writer_.count_answer(static_cast<std::uint32_t>(rings::round8(call_out_bytes_)));
    ++calls_sent_;
    phase_ = Phase::waiting;
    const bool timed = calls_sent_ % kTimedCalls == 1 || journalling() || counting();
    call_started_ = timed ? context_.runtime->now() : -1;
    announce(writer_.publish(), 1);
    return {};
}

Result<ReplyView> ClientChannel::reply_or_wait() {
    // The state first: an answer that came before the end is still an answer.
    const auto now = state();
    // partner: release store in ServerChannel::acknowledge; loaded once
    const std::uint64_t word = reply_word_->load(std::memory_order_acquire);
    const auto number = static_cast<std::uint32_t>(word);
    if (number == calls_sent_) [[likely]]
        return answered(static_cast<std::int32_t>(static_cast<std::uint32_t>(word >> 32)));
    if (now != ChannelState::open && now != ChannelState::peer_closed) return stopped("rpq call");
    if (number - calls_answered_ > calls_sent_ - calls_answered_)
        return fault_error("rpq call", {"answer number", number, calls_sent_});
    calls_answered_ = number;  // the late answer of a call that was given up
    if (const std::uint32_t why = fault_word_->load(std::memory_order_acquire); why != 0)
        return given_up("rpq call", why);
    if (now == ChannelState::peer_closed) return stopped("rpq call");
    return Errc::would_block;
}

void ClientChannel::time_procedure(std::uint64_t took) {
    if (ProcedureCounters* const counters = procedure(call_proc_)) {
        bump(counters->latency_count);
        bump(counters->latency_sum, took);
        raise(counters->latency_max, took);
    }
}

Result<ReplyView> ClientChannel::answered(std::int32_t status) {
    calls_answered_ = calls_sent_;
    phase_ = Phase::idle;
    if (call_started_ >= 0) {
        const auto took = static_cast<std::uint64_t>(context_.runtime->now() - call_started_);
        bump(counters_->latency_count);
        bump(counters_->latency_sum, took);
        raise(counters_->latency_max, took);
        if (counting()) [[unlikely]]
            time_procedure(took);
        if (journalling()) note(Event::call, call_proc_, took);
    }
    return ReplyView{status, call_out_, call_out_bytes_};
}

Result<ReplyView> ClientChannel::call(Deadline deadline) {
    if (phase_ != Phase::waiting) HYPLINK_TRY(call_start());
    auto reply = wait_for(deadline, [&] { return reply_or_wait(); });
    if (reply || reply.code() == Errc::interrupted) return reply;
    phase_ = Phase::idle;
    if (reply.code() == Errc::timed_out)
        return Error::make(Errc::timed_out, text(where("rpq call"), ": no answer to procedure ",
                                                 call_proc_, " from VM ", context_.peer));
    return reply;
}

Result<ReplyView> ClientChannel::try_reply() {
    if (phase_ != Phase::waiting) return misused("rpq reply");
    own_.look();
    auto reply = reply_or_wait();
    if (!reply && reply.code() != Errc::would_block) phase_ = Phase::idle;
    return reply;
}

Error ClientChannel::given_up(const char* doing, std::uint32_t why) {
    const bool bad = why == static_cast<std::uint32_t>(Errc::corrupt);
    const std::uint64_t left = pending();
    writer_.shut();
    return fail_with(
        Error::make(bad ? Errc::corrupt : Errc::peer_dead,
                    text(where(doing), ": VM ", context_.peer, " gave the channel up (",
                         bad ? "it could not make sense of a request" : "its end failed", "), ",
                         left, " requests pending"))
            .with_pending(left),
        kFaultAt, why);
}

}  // namespace hyplink::rpq
