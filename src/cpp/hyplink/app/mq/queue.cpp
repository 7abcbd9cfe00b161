#include "hyplink/app/mq/queue.hpp"

#include <utility>

#include "hyplink/base/text.hpp"
#include "hyplink/ring/rpq_port.hpp"

namespace hyplink::mq {

Queue::Link::Link(const port::Joined& joined, Role role) : ChannelEnd(joined.context, role) {
    own_.attach(*context_.runtime, rpq::port_bell(context_.port, role), context_.own_fd);
    peer_.attach(*context_.runtime, rpq::port_bell(context_.port, other(role)), context_.peer_fd);
}

Result<std::unique_ptr<Queue>> Queue::open(std::shared_ptr<app::Application> application,
                                           const QueueOptions& options, Deadline deadline) {
    HYPLINK_TRY(options.tx.check());
    port::Lookup what;
    what.device = "vmq";
    what.name = options.name;
    what.role = options.role;
    what.peer = options.peer;
    return open(HYPLINK_TRY(port::End::lookup(std::move(application), what, deadline)), options);
}

Result<std::unique_ptr<Queue>> Queue::open(std::unique_ptr<port::End> end,
                                           const QueueOptions& options) {
    HYPLINK_TRY(options.tx.check());
    std::unique_ptr<Queue> queue(new Queue);
    queue->options_ = options;
    queue->end_ = std::move(end);
    return queue;
}

Status Queue::wait_on(Deadline deadline) {
    if (is_on()) return {};
    if (link_ && held() != 0)
        return Error::make(
            Errc::busy,
            text(link_->where("wait_on"), ": ", sender_.held() + receiver_.held(), " messages and ",
                 sender_.data_held(), " buffers of the last time are still held"));
    membership_.reset();
    port::JoinOptions options;
    options.bytes = Direction(options_.tx).bytes;
    options.words = options_.tx.to_words();
    port::Joined joined = HYPLINK_TRY(end_->join(options, deadline));
    const auto rx = Config::from_words(joined.words);
    if (!rx) return Error::make(Errc::protocol, rx.error().text());
    if ((options_.rx && !options_.rx->fits(*rx)) || Direction(*rx).bytes > joined.peer_bytes)
        return Error::make(
            Errc::protocol,
            text("vMQ \"", end_->info(), "\": VM ", end_->peer(), " sends ", rx->msg_count,
                 " messages of ", rx->msg_max, " bytes and ", rx->data_count, " buffers of ",
                 rx->data_max, "; another configuration was expected"));
    link_ = std::make_unique<Link>(joined, end_->role());
    sender_.attach(Direction(options_.tx, joined.own), options_.returns, options_.frees);
    receiver_.attach(Direction(*rx, joined.peer));
    membership_ = std::move(joined.membership);
    ++life_;
    if (off_)
        end_->application().watch(membership_.handle(),
                                  [off = off_, peer = end_->peer()] { off(peer); });
    return {};
}

// --- what can be wrong --------------------------------------------------------------------------

Error Queue::misuse(const char* doing, std::uint32_t slot) const {
    return Error::make(Errc::bad_argument, text("vMQ ", doing, ": slot ", slot,
                                                " is not a message that is held for that"));
}

Error Queue::stale(const char* doing, const rings::Fault& fault) {
    std::uint64_t field = 0;
    std::memcpy(&field, fault.field, std::min(sizeof field, std::strlen(fault.field)));
    link_->note(Event::corrupt, field, fault.found);
    Error error = link_->fail_with(
        Error::make(Errc::revoked, text(link_->where(doing), ": VM ", end_->peer(), " wrote ",
                                        fault.field, " = ", fault.found, ", possible is up to ",
                                        fault.limit, "; the link is aborted")),
        0, 0);
    membership_.reset();  // this end is off for the peer, too
    receiver_.drop_known();
    return error;
}

Error Queue::blocked(const char* doing) {
    if (!end_->is_open()) return Error::make(Errc::closed, text("vMQ ", doing, ": closed"));
    if (!link_)
        return Error::make(Errc::link_down, text("vMQ ", doing, ": nobody at the other end yet"));
    return link_->refused(doing, sender_.under_way());
}

// --- sending ------------------------------------------------------------------------------------

Result<std::uint32_t> Queue::attempt_allocate() {
    if (!is_on()) [[unlikely]]
        return blocked("allocate");
    const std::uint32_t slot = sender_.try_allocate();
    if (slot != Sender::kNone) [[likely]]
        return slot;
    if (sender_.fault().field != nullptr) return stale("allocate", sender_.fault());
    return Errc::would_block;
}

Result<std::uint32_t> Queue::allocate_slowly(Deadline deadline) {
    auto slot = try_allocate();
    if (slot.code() == Errc::link_down || slot.code() == Errc::peer_dead)
        return Error::make(Errc::would_block, slot.error().text());
    if (slot.code() != Errc::would_block) return slot;
    send_flush();
    Link::bump(link_->counters_->full_events);
    sender_.say_stopped(true);
    slot = wait_until("allocate", deadline, [this] { return try_allocate(); });
    if (link_->is_on()) sender_.say_stopped(false);
    return slot;
}

Result<std::uint64_t> Queue::data_allocate(std::uint64_t bytes) {
    if (bytes > options_.tx.data_max)
        return Error::make(Errc::too_long, text("vMQ: a buffer of ", bytes, " bytes, at most ",
                                                options_.tx.data_max));
    if (!is_on()) return blocked("data_allocate");
    const std::uint64_t offset = sender_.data_allocate();
    if (offset == ~std::uint64_t{0})
        return Error::make(Errc::ring_full,
                           text("vMQ: all ", options_.tx.data_count, " buffers are in use"));
    Link::bump(link_->counters_->in_place_bytes, bytes);
    return offset;
}

Status Queue::data_free(std::uint64_t offset) {
    if (sender_.data_free(offset)) return {};
    return Error::make(Errc::bad_argument, text("vMQ: no buffer in use at ", offset));
}

Status Queue::send(std::uint32_t slot) {
    HYPLINK_TRY(send_async(slot));
    if (!is_on()) return blocked("send");
    send_flush();
    return {};
}

void Queue::deliver() {
    if (!link_ || !link_->is_on()) return;
    sender_.publish();
    sender_.told();
    link_->count_sent(sender_.sent(), sender_.under_way(), options_.tx.msg_max);
    link_->ring_peer();
}

void Queue::hand_over() {
    if (link_ && link_->is_on() && link_->context().runtime->seeded()) [[unlikely]]
        link_->context().runtime->switch_point(SwitchPoint::publish);
}

Status Queue::discard(std::uint32_t slot) {
    if (!sender_.owns(slot)) return misuse("discard", slot);
    sender_.release(slot);
    return {};
}

// --- receiving ----------------------------------------------------------------------------------

Result<std::uint32_t> Queue::attempt_receive() {
    if (!link_) [[unlikely]]
        return blocked("receive");
    // The state first: what was sent before the other end closed is still delivered.
    const std::uint32_t state = static_cast<std::uint32_t>(link_->state());
    const bool reachable = state - 1 <= 1 && membership_;
    const std::uint32_t slot = reachable ? receiver_.try_receive() : Receiver::kNone;
    if (slot != Receiver::kNone) [[likely]] {
        Link::bump(link_->counters_->requests);
        return slot;
    }
    if (reachable && receiver_.fault().field != nullptr) return stale("receive", receiver_.fault());
    if (link_->is_on()) return Errc::would_block;
    return blocked("receive");
}

Result<std::uint32_t> Queue::receive_slowly(Deadline deadline) {
    auto slot = attempt_receive();
    if (slot.code() != Errc::would_block) return slot;
    if (sender_.untold()) send_flush();
    if (receiver_.sender_stopped()) link_->ring_peer();
    return wait_until("receive", deadline, [this] { return try_receive(); });
}

void Queue::ring_if_on() {
    if (is_on()) link_->ring_peer();
}

void Queue::rouse_sender() {
    if (!is_on()) return;
    std::atomic_thread_fence(std::memory_order_seq_cst);  // partner: Sender::say_stopped
    if (receiver_.sender_stopped()) link_->ring_peer();
}

Status Queue::return_(std::uint32_t slot) {
    if (!receiver_.holds(slot)) return misuse("return", slot);
    receiver_.give_back(slot, true);
    if (!is_on()) return blocked("return");
    link_->ring_peer();
    if (link_->context().runtime->seeded()) [[unlikely]]
        link_->context().runtime->switch_point(SwitchPoint::publish);
    return {};
}

Result<std::uint32_t> Queue::attempt_return_receive() {
    if (!link_) return blocked("return_receive");
    const bool on = is_on();
    const std::uint32_t slot = membership_ ? sender_.try_returned() : Sender::kNone;
    if (slot != Sender::kNone) return slot;
    if (sender_.fault().field != nullptr && membership_)
        return stale("return_receive", sender_.fault());
    if (on) return Errc::would_block;
    return blocked("return_receive");
}

Result<std::uint32_t> Queue::return_receive(Deadline deadline) {
    if (sender_.untold()) send_flush();
    return wait_until("return_receive", deadline, [this] { return try_return_receive(); });
}

Status Queue::return_free(std::uint32_t slot) {
    if (!sender_.holds_reply(slot)) return misuse("return_free", slot);
    sender_.release(slot);
    return {};
}

Status Queue::wait_any(Deadline deadline) {
    if (sender_.untold()) send_flush();
    bool looked = false;
    return wait_until("wait", deadline, [&]() -> Status {
        if (std::exchange(looked, true)) return {};
        return is_on() ? Status(Error(Errc::would_block)) : Status(blocked("wait"));
    });
}

// --- the rest -----------------------------------------------------------------------------------

Result<int> Queue::fileno() {
    if (!link_) return blocked("fileno");
    return link_->fileno();
}

void Queue::fd_rearm() {
    if (link_) link_->fd_rearm();
}

void Queue::close() {
    membership_.leave();
    receiver_.drop_known();
    if (end_) end_->release();
}

}  // namespace hyplink::mq
