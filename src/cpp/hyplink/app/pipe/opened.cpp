#include "hyplink/app/pipe/opened.hpp"

#include <utility>

#include "hyplink/app/kernel_calls.hpp"
#include "hyplink/base/text.hpp"

namespace hyplink::pipe {

using guest::PipeReply;
using guest::Sys;
using guest::SysReply;
using rings::ChannelState;

// --- opening ------------------------------------------------------------------------------------

Status Opened::open(std::shared_ptr<app::Application> application, const std::string& device,
                    const OpenFlags& flags, std::uint64_t as, Deadline deadline) {
    std::uint32_t opened = HYPLINK_TRY(app::open_device(*application, device, deadline));
    const std::uint64_t access =
        (flags.read ? guest::kPipeRead : 0) | (flags.write ? guest::kPipeWrite : 0) | as;
    auto reply = application->call(app::request_of(Sys::pipe_open, opened, access), deadline);
    app::close_handle(*application, opened);
    if (!reply) return std::move(reply).error();
    application_ = std::move(application);
    device_ = device;
    flags_ = flags;
    set_nonblock(flags.nonblock);
    const auto& values = reply->values;
    handle_ = static_cast<std::uint32_t>(values[PipeReply::handle]);
    opener_ = static_cast<std::uint32_t>(values[PipeReply::opener]);
    kind_ = values[PipeReply::kind];
    peer_ = static_cast<VmId>(values[PipeReply::peer]);
    state_ = application_->status_word(values[PipeReply::status_word]);
    const std::uint64_t capacity[] = {values[PipeReply::in_capacity],
                                      values[PipeReply::out_capacity]};
    const std::size_t ports = (capacity[0] != 0 ? 1 : 0) + (capacity[1] != 0 ? 1 : 0);
    if (state_ == nullptr || reply->regions.size() != 1 + ports ||
        reply->regions[0]->size() < sizeof(Local)) {
        app::close_handle(*application_, handle_);
        return Error::make(Errc::protocol, "a pipe came without its memory");
    }
    local_region_ = reply->regions[0];
    local_ = reinterpret_cast<Local*>(local_region_->data());
    std::size_t next = 1;
    for (const Role role : {Role::server, Role::client}) {
        const std::uint64_t bytes = capacity[static_cast<std::size_t>(role)];
        if (bytes == 0) continue;
        auto made = std::make_unique<Direction>();
        made->port = reply->regions[next++];
        if (bytes > kMaxCapacity || made->port->size() < port_bytes_for(bytes)) {
            app::close_handle(*application_, handle_);
            return Error::make(Errc::protocol, "the memory of the pipe is too small");
        }
        made->local = role == Role::server ? &local_->in : &local_->out;
        made->ring = RingEnd(made->port->data(), bytes, &made->local->own, role);
        made->bell = &port_bell(made->port->data(), role);
        made->peer.attach(runtime(), port_bell(made->port->data(), other(role)), -1);
        made->link =
            static_cast<std::uint32_t>(values[PipeReply::links] >> (role == Role::server ? 0 : 32));
        made->counters = application_->scope().take_counters();
        made->counted = made->counters != nullptr;
        if (!made->counted) made->counters = &made->spare;
        made->counters->link = made->link;
        made->counters->channel = opener_;
        made->counters->role = static_cast<std::uint32_t>(role);
        (role == Role::server ? in_ : out_) = std::move(made);
    }
    each_bell([&](BellWords& bell) { application_->add_sleeper({&bell, -1}); });
    return {};
}

Opened::~Opened() { close(); }

void Opened::close() {
    if (application_ == nullptr || closing_.exchange(true)) return;
    if (local_ == nullptr) return;
    // Whoever waits in here leaves first, and gives its turn back itself.
    each_bell([&](BellWords& bell) {
        bell_ring(bell);
        runtime().wake(bell);
    });
    for (Direction* direction : {in_.get(), out_.get()}) {
        if (direction == nullptr) continue;
        for (;;) {
            const BellWait wait{&left_, bell_seen(left_)};
            if (direction->users.load(std::memory_order_seq_cst) == 0) break;
            (void)runtime().wait(std::span(&wait, 1), Deadline::never());
        }
    }
    each_bell([&](BellWords& bell) { application_->remove_sleeper({&bell, -1}); });
    for (Direction* direction : {in_.get(), out_.get()})
        if (direction != nullptr && direction->counted) Scope::close_counters(*direction->counters);
    app::close_handle(*application_, handle_);
}

void Opened::leave(Direction& direction) {
    if (direction.users.fetch_sub(1, std::memory_order_seq_cst) != 1) return;
    if (closing_.load(std::memory_order_seq_cst)) (void)ring(runtime(), left_);
}

// --- failing ------------------------------------------------------------------------------------

std::string Opened::where(const char* doing) const { return text(doing, " on \"", device_, "\""); }

Error Opened::gone(const char* doing) const {
    return Error::make(Errc::peer_dead,
                       text(where(doing), ": the other end, in VM ", peer_, ", is closed or dead"));
}

Error Opened::fail(Direction& direction, const char* doing, const rings::Fault& fault) {
    std::lock_guard lock(failure_mutex_);
    if (failure_.code() == Errc::ok) {
        failure_ = Error::make(Errc::corrupt,
                               text(where(doing), ": VM ", peer_, " says it has ", fault.field, " ",
                                    fault.found, " bytes, possible is up to ", fault.limit,
                                    "; the pipe is useless until it is opened again"));
        if (application_->scope().enabled())
            application_->scope().write(runtime().now(), Event::corrupt, direction.link, opener_, 0,
                                        fault.found);
        failed_.store(true, std::memory_order_release);
    }
    return failure_.copy();
}

Status Opened::usable(const char* doing) {
    if (closing_.load(std::memory_order_acquire)) [[unlikely]]
        return Error::make(Errc::closed, where(doing) + ": closed");
    if (failed_.load(std::memory_order_acquire)) [[unlikely]] {
        std::lock_guard lock(failure_mutex_);
        return failure_.copy();
    }
    const ChannelState now = state();
    if (now == ChannelState::dead) [[unlikely]]
        return Error::make(Errc::peer_dead,
                           text(where(doing), ": VM ", application_->vm(), " itself died"));
    if (now == ChannelState::closed) [[unlikely]]
        return Error::make(Errc::closed, where(doing) + ": closed");
    return {};
}

Result<std::uint64_t> Opened::amount(Direction& direction, const char* doing) {
    const Amount now = direction.ring.amount();
    if (now.fault) [[unlikely]]
        return fail(direction, doing, now.fault);
    return now.bytes;
}

// --- waiting ------------------------------------------------------------------------------------

void Opened::ring_peer(Direction& direction) {
    if (runtime().seeded()) runtime().switch_point(SwitchPoint::publish);
    const Rung rung = direction.peer.ring();
    if (!rung.sent) [[likely]]
        return;
    bump(direction.counters->xirqs);
    if (rung.woke) bump(direction.counters->wakes);
}

Errc Opened::wait_on(Direction& direction, BellWords& bell, std::uint32_t seen, Deadline deadline) {
    const BellWait wait{&bell, seen};
    // A turn is waited for because somebody else is there.
    return wait_on(std::span(&wait, 1), deadline,
                   &bell == &direction.local->turn_bell || shared(direction));
}

Errc Opened::wait_on(std::span<const BellWait> bells, Deadline deadline, bool is_shared) {
    Errc outcome = runtime().wait(bells, deadline);
    // Others may have begun to sleep meanwhile: their arming must not have been undone by ours.
    std::atomic_thread_fence(std::memory_order_seq_cst);
    if (!is_shared)
        for (Direction* direction : {in_.get(), out_.get()})
            is_shared = is_shared || (direction != nullptr && shared(*direction));
    if (is_shared)
        for (const BellWait& wait : bells) {
            bell_arm(*wait.bell, kBellFutex);
            if (wait.bell->rung.load(std::memory_order_seq_cst) != wait.seen)
                runtime().wake(*wait.bell);
        }
    if (outcome == Errc::interrupted && interrupt_check_ != nullptr && !interrupt_check_())
        outcome = Errc::ok;
    if (closing_.load(std::memory_order_acquire)) return Errc::cancelled;
    // A bell that never stops ringing must not outwit the deadline.
    if (outcome == Errc::ok && !deadline.is_never() && runtime().now() >= deadline.at)
        outcome = Errc::timed_out;
    return outcome;
}

Status Opened::Turn::take(bool wait, Deadline deadline) {
    for (;;) {
        BellWords& bell = direction_->local->turn_bell;
        const std::uint32_t seen = bell_seen(bell);
        has_ = try_turn(*direction_->local, pipe_->opener_, wait);
        if (has_) [[likely]]
            return {};
        if (!wait) return Errc::would_block;
        HYPLINK_TRY(pipe_->usable("waiting for a turn"));
        const Errc outcome = pipe_->wait_on(*direction_, bell, seen, deadline);
        if (outcome != Errc::ok) return outcome;
    }
}

// --- looking ------------------------------------------------------------------------------------

Result<std::uint64_t> Opened::readable() {
    if (!in_) return Error::make(Errc::bad_argument, where("FIONREAD") + ": this end is not read");
    const Use use(*this, *in_);
    HYPLINK_TRY(usable("FIONREAD"));
    return amount(*in_, "FIONREAD");
}

Result<std::uint32_t> Opened::poll() {
    const Status status = usable("poll");
    if (status.code() == Errc::closed) return status.error().copy();
    if (!status || !connected()) return kErr | kHup;
    std::uint32_t events = 0;
    for (Direction* direction : {in_.get(), out_.get()}) {
        if (direction == nullptr) continue;
        const auto now = amount(*direction, "poll");
        if (!now) return kErr | kHup;
        if (*now != 0) events |= direction == in_.get() ? kIn : kOut;
    }
    return events;
}

Result<std::uint32_t> Opened::poll(std::uint32_t events, Deadline deadline) {
    Direction& first = in_ ? *in_ : *out_;
    Direction& second = out_ ? *out_ : *in_;
    const Use use_first(*this, first);
    const Use use_second(*this, second);
    for (;;) {
        const BellWait bells[] = {{first.bell, bell_seen(*first.bell)},
                                  {second.bell, bell_seen(*second.bell)}};
        const std::uint32_t found = HYPLINK_TRY(poll()) & (events | kErr | kHup);
        if (found != 0) return found;
        const std::size_t count = &first == &second ? 1 : 2;
        const Errc outcome = wait_on(std::span(bells, count), deadline, false);
        if (outcome != Errc::ok) return outcome;
    }
}

Status Opened::wait_rings(Rings seen, Deadline deadline) {
    Direction& first = in_ ? *in_ : *out_;
    Direction& second = out_ ? *out_ : *in_;
    const Use use_first(*this, first);
    const Use use_second(*this, second);
    HYPLINK_TRY(usable("waiting for a change"));
    const BellWait bells[] = {{first.bell, in_ ? seen.in : seen.out}, {second.bell, seen.out}};
    return wait_on(std::span(bells, &first == &second ? 1 : 2), deadline, false);
}

}  // namespace hyplink::pipe
