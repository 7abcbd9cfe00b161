#include "hyplink/app/rpq/server_channel.hpp"

#include <cstring>
#include <utility>

namespace hyplink::rpq {

Result<std::unique_ptr<ServerChannel>> ServerChannel::make(ChannelContext context) {
    HYPLINK_TRY(port_check(context));
    return std::unique_ptr<ServerChannel>(new ServerChannel(std::move(context)));
}

ServerChannel::ServerChannel(ChannelContext context)
    : ChannelEnd(std::move(context), Role::server) {
    std::byte* const port = context_.port;
    reader_.attach(port_ring(context_));
    own_.attach(*context_.runtime, port_word<BellWords>(port, kServerBellAt), context_.own_fd);
    peer_.attach(*context_.runtime, port_word<BellWords>(port, kClientBellAt), context_.peer_fd);
    wanted_word_ = &port_word<std::atomic<std::uint32_t>>(port, kWantedAt);
    outer_.reply = &port_word<std::atomic<std::uint64_t>>(port, kReplyAt);
    outer_.done = &port_word<std::atomic<std::uint32_t>>(port, kDoneAt);
    nested_.reply = &port_word<std::atomic<std::uint64_t>>(port, kNestedReplyAt);
    nested_.done = &port_word<std::atomic<std::uint32_t>>(port, kNestedDoneAt);
    callbacks_.attach(port_callbacks(context_));
    callback_wanted_word_ = &port_word<std::atomic<std::uint32_t>>(port, kCallbackWantedAt);
    callback_done_word_ = &port_word<std::atomic<std::uint32_t>>(port, kCallbackDoneAt);
    callback_reply_word_ = &port_word<std::atomic<std::uint64_t>>(port, kCallbackReplyAt);
    fault_word_ = &port_word<std::atomic<std::uint32_t>>(port, kFaultAt);
}

bool ServerChannel::take_call(const Request& request, std::uint32_t kind) {
    Calls& calls = kind == rings::kRecordNested ? nested_ : outer_;
    ++calls.number;
    // partner: release store where ClientChannel gives a call up. It gets no answer.
    if (call_over(calls.done->load(std::memory_order_acquire), calls.number)) return false;
    answering_ = &calls;
    calls.proc = request.proc;
    bump(counters_->calls);
    std::memset(request.out, 0, static_cast<std::size_t>(rings::round8(request.out_bytes)));
    return true;
}

void ServerChannel::answer() {
    const Calls& calls = *std::exchange(answering_, nullptr);
    const auto reason = static_cast<std::uint32_t>(std::exchange(reason_, 0));
    // partner: acquire load in ClientChannel::look_for_reply
    calls.reply->store(std::uint64_t{reason} << 32 | calls.number, std::memory_order_release);
    ring_peer();
    if (journalling()) [[unlikely]]
        note(Event::reply, calls.proc, reason);
    if (context_.runtime->seeded()) [[unlikely]]
        context_.runtime->switch_point(SwitchPoint::publish);
}

void ServerChannel::room_wanted(std::uint32_t wanted) {
    wanted_seen_ = wanted;  // whatever the number is: at most one ring for each receive
    ring_peer();
}

Result<std::span<const Request>> ServerChannel::batch(std::uint32_t count) {
    const rings::Progress held = reader_.held();
    raise(counters_->ring_peak, held.records);
    raise(counters_->pmem_peak, held.bytes);
    bump(counters_->receives);
    bump(counters_->requests, count);
    set(counters_->ring_now, held.records);
    set(counters_->pmem_now, held.bytes);
    if (counting()) [[unlikely]]
        count_procedures(count);
    if (journalling()) [[unlikely]]
        note(Event::receive, count, 0);
    return std::span<const Request>(requests_.data(), count);
}

void ServerChannel::count_procedures(std::uint32_t count) {
    for (std::uint32_t i = 0; i < count; ++i) {
        if (ProcedureCounters* const counters = procedure(requests_[i].proc)) {
            bump(counters->requests);
            bump(counters->bytes, requests_[i].in_bytes);
        }
    }
}

Error ServerChannel::corrupted(const char* doing, const rings::Fault& fault) {
    alive_ = false;
    backlog_.clear();
    special_ &= ~kKeptBack;
    Error error = fault_error(doing, fault);
    fault_word_->store(static_cast<std::uint32_t>(Errc::corrupt), std::memory_order_release);
    ring_peer();
    return error;
}

Result<std::span<const Request>> ServerChannel::idle() {
    if (alive_ && reader_.fault()) return corrupted("rpq receive", reader_.fault());
    if (counters_->ring_now != 0 && reader_.held().records == 0) {
        set(counters_->ring_now, 0);
        set(counters_->pmem_now, 0);
    }
    if (state_seen_ == static_cast<std::uint32_t>(ChannelState::open)) return Errc::would_block;
    return refused("rpq receive", reader_.waiting());
}

Result<std::span<const Request>> ServerChannel::attempt(std::uint32_t max) {
    if ((special_ & kKeptBack) != 0) static_cast<void>(send_backlog());
    for (std::uint32_t left = kMaxBatch; left != 0; --left) {
        if (const std::uint32_t count = collect(max)) return batch(count);
        if (reader_.fault() || reader_.unreleased().bytes == 0) return idle();
        // Nothing but calls that were given up: their room goes back now, nobody else will do it,
        // and what lies behind them is still to be read.
        reader_.release();
        ring_peer();
    }
    own_.look_again();  // a client that sends nothing else must not keep us from the time
    return Errc::would_block;
}

Result<std::span<const Request>> ServerChannel::receive_special(std::uint32_t max,
                                                                Deadline deadline) {
    if (max == 0) return try_receive(0);
    if ((special_ & kInsideNested) != 0) return nested_misuse("rpq receive");
    acknowledge_batch();
    return receive_slow(max, deadline);
}

Error ServerChannel::nested_misuse(const char* doing) {
    return Error::make(Errc::deadlock,
                       where(doing) + ": while a request from inside a callback is served");
}

Result<std::span<const Request>> ServerChannel::receive_slow(std::uint32_t max, Deadline deadline) {
    auto requests = wait_for(deadline, [&] { return attempt(max); });
    if (requests.code() == Errc::timed_out)
        return std::move(requests).error().with(where("rpq receive"));
    return requests;
}

Result<std::span<const Request>> ServerChannel::try_receive(std::uint32_t max) {
    if ((special_ & kInsideNested) != 0) return nested_misuse("rpq receive");
    own_.look();
    acknowledge_batch();
    if (max != 0) return attempt(max);
    HYPLINK_TRY(acknowledge());
    return nothing();
}

Status ServerChannel::acknowledge() {
    if (!reachable(state_word())) return refused("rpq acknowledge", 0);
    if ((special_ & kInsideNested) != 0) return nested_misuse("rpq acknowledge");
    acknowledge_batch();
    if ((special_ & kKeptBack) != 0) static_cast<void>(send_backlog());
    const std::uint32_t wanted = wanted_word_->load(std::memory_order_acquire);
    if (wanted != wanted_seen_) room_wanted(wanted);
    return {};
}

void ServerChannel::fail(Error error) {
    if (!alive_) return;
    alive_ = false;
    reader_.shut();
    backlog_.clear();
    special_ &= ~kKeptBack;
    const bool said = error.code() == Errc::corrupt || error.code() == Errc::version;
    const Errc why = said ? error.code() : Errc::peer_dead;
    static_cast<void>(fail_with(std::move(error).with(where("rpq request")), 0, 0));
    fault_word_->store(static_cast<std::uint32_t>(why),
                       std::memory_order_release);  // partner: ClientChannel::given_up
    ring_peer();
}

void ServerChannel::refuse(const Refusal& refusal) {
    if (!alive_) return;
    store_refusal(context_.port, refusal);
    fail(refusal_error(refusal));
}

}  // namespace hyplink::rpq
