#include "hyplink/app/event/back_end.hpp"

#include <algorithm>
#include <utility>

#include "hyplink/base/text.hpp"

namespace hyplink::vevent {

Result<std::unique_ptr<BackEnd>> BackEnd::open(std::shared_ptr<app::Application> application,
                                               const BackEndOptions& options, Deadline deadline) {
    std::unique_ptr<BackEnd> back(new BackEnd);
    back->application_ = application;
    back->name_ = options.name;
    back->hello_.ring = options.ring;
    back->hello_.properties = options.properties;
    back->hello_.properties.types[0] |= 1;  // EV_SYN
    HYPLINK_TRY(back->hello_.check());
    back->state_ = State(options.properties);
    port::Lookup what;
    what.device = "vevent";
    what.name = options.name;
    what.role = guest::PortRole::server;
    for (;;) {
        auto end = find_end(application, what, deadline);
        if (!end) {
            const bool all = end.code() == Errc::not_found || end.code() == Errc::busy;
            if (back->outlets_.empty() || !all) return end.error().copy();
            break;
        }
        Outlet outlet;
        outlet.end = *std::move(end);
        back->outlets_.push_back(std::move(outlet));
    }
    std::reverse(back->outlets_.begin(), back->outlets_.end());  // they come newest first
    HYPLINK_TRY(back->check_focus(options.focus));
    back->focus_ = options.focus;
    for (Outlet& outlet : back->outlets_) {
        const Status joined = back->join(outlet, true, deadline);
        if (!joined && joined.code() != Errc::would_block && joined.code() != Errc::link_down)
            return joined.error().copy();
    }
    return back;
}

// --- front ends that come and go ----------------------------------------------------------------

Status BackEnd::join(Outlet& outlet, bool now, Deadline deadline) {
    port::JoinOptions options;
    options.bytes = RingMemory(hello_).bytes;
    options.words = hello_.to_words();
    options.now = now;
    outlet.left = false;
    port::Joined joined = HYPLINK_TRY(outlet.end->join(options, deadline));
    if (joined.peer_bytes < RingMemory::kFrontBytes)
        return Error::make(Errc::protocol, text("vEvent \"", name_, "\": VM ", outlet.end->peer(),
                                                " has ", joined.peer_bytes, " bytes"));
    if (outlet.link) leave(outlet);
    outlet.link = std::make_unique<Link>(joined, Role::server);
    outlet.told = State(hello_.properties);
    outlet.writer.attach(RingMemory(hello_, joined.own, joined.peer), outlet.told);
    outlet.membership = std::move(joined.membership);
    if (focus_.includes(outlet.end->peer())) {
        filtered_ = state_.news_for(outlet.told);
        put(outlet, filtered_);
    }
    return {};
}

void BackEnd::leave(Outlet& outlet) {
    outlet.lost_before += outlet.writer.lost();
    outlet.writer = Writer();
    outlet.membership.reset();
    outlet.link.reset();
}

void BackEnd::look_after(Outlet& outlet) {
    if (outlet.membership != nullptr && !outlet.on()) leave(outlet);
    if (outlet.membership == nullptr && (outlet.end->presence() != 0 || outlet.left))
        (void)join(outlet, true, Deadline::never());
}

void BackEnd::service() {
    for (Outlet& outlet : outlets_) look_after(outlet);
    const std::uint64_t wanted = wanted_.exchange(0, std::memory_order_acq_rel);
    if (wanted == 0) return;
    move_focus({static_cast<Focus::Kind>((wanted >> 32) - 1), static_cast<VmId>(wanted)});
}

Status BackEnd::wait_front(VmId vm, Deadline deadline) {
    HYPLINK_TRY(check_focus(Focus::vm(vm)));
    service();
    for (Outlet& outlet : outlets_) {
        if (outlet.end->peer() != vm) continue;
        // The kernel looks whether who was there still is: busy.
        const Status joined = join(outlet, false, deadline);
        if (!joined && joined.code() != Errc::busy) return joined.error().copy();
    }
    return {};
}

std::vector<VmId> BackEnd::front_ends() {
    service();
    std::vector<VmId> vms;
    for (const Outlet& outlet : outlets_)
        if (outlet.on()) vms.push_back(outlet.end->peer());
    return vms;
}

// --- focus --------------------------------------------------------------------------------------

Status BackEnd::check_focus(const Focus& focus) const {
    if (!is_open()) return Error::make(Errc::closed, text("vEvent \"", name_, "\": closed"));
    if (focus.kind != Focus::Kind::one) return {};
    std::string known;
    for (const Outlet& outlet : outlets_) {
        if (outlet.end->peer() == focus.id) return {};
        known += text(known.empty() ? "" : ", ", outlet.end->peer());
    }
    return Error::make(Errc::not_found, text("vEvent \"", name_, "\": no vlink to VM ", focus.id,
                                             "; there are to VMs ", known));
}

Status BackEnd::set_focus(Focus focus) {
    HYPLINK_TRY(check_focus(focus));
    service();
    move_focus(focus);
    return {};
}

Status BackEnd::request_focus(Focus focus) {
    HYPLINK_TRY(check_focus(focus));
    wanted_.store((std::uint64_t{static_cast<std::uint32_t>(focus.kind)} + 1) << 32 | focus.id,
                  std::memory_order_release);
    return {};
}

Status BackEnd::focus_on_release(std::uint16_t key, Focus focus) {
    HYPLINK_TRY(check_focus(focus));
    if (!hello_.properties.has(EV_KEY, key))
        return Error::make(Errc::bad_argument, text("vEvent \"", name_, "\" has no key ", key));
    keys_.emplace_back(key, focus);
    return {};
}

void BackEnd::move_focus(Focus focus) {
    if (focus == focus_) return;
    const Focus before = std::exchange(focus_, focus);
    for (Outlet& outlet : outlets_) {
        const VmId vm = outlet.end->peer();
        if (before.includes(vm) == focus.includes(vm) || !outlet.on()) continue;
        filtered_ = before.includes(vm) ? outlet.told.releases() : state_.news_for(outlet.told);
        outlet.link->note(kEventFocus, focus.includes(vm) ? 1 : 0, filtered_.size());
        put(outlet, filtered_);
    }
}

// --- events -------------------------------------------------------------------------------------

Status BackEnd::emit(std::uint16_t type, std::uint16_t code, std::int32_t value) {
    if (!is_open()) return Error::make(Errc::closed, text("vEvent \"", name_, "\": closed"));
    const bool report = type == EV_SYN && code == SYN_REPORT;
    const bool touches = type == EV_SYN && code == SYN_MT_REPORT;
    if (!report && !touches && (type == EV_SYN || !hello_.properties.has(type, code)))
        return Error::make(Errc::bad_argument,
                           text("vEvent \"", name_, "\": the device has no event of type ", type,
                                " and code ", code));
    packet_.push_back(State::make(type, code, report ? 0 : value));
    if (report) {
        flush();
    } else if (packet_.size() + 1 >= hello_.ring / 2) {
        packet_.push_back(State::make(EV_SYN, SYN_REPORT, 0));
        flush();
    }
    return {};
}

void BackEnd::stamp(std::vector<InputEvent>& events) {
    const std::int64_t now = application_->runtime().now();
    for (InputEvent& event : events) {
        event.sec = now / 1'000'000'000;
        event.usec = now / 1'000 % 1'000'000;
    }
}

void BackEnd::flush() {
    service();
    for (const InputEvent& event : packet_) state_.apply(event);
    stamp(packet_);
    bool any = false;
    for (Outlet& outlet : outlets_)
        if (focus_.includes(outlet.end->peer()) && send(outlet, packet_)) any = true;
    (any ? sent_ : dropped_) += packet_.size() - 1;
    std::optional<Focus> next;
    for (const InputEvent& event : packet_)
        for (const auto& [key, focus] : keys_)
            if (event.is(EV_KEY, key) && event.value == 0) next = focus;
    packet_.clear();
    if (next) move_focus(*next);
}

/// What goes on from before somebody had the focus is not for them.
bool BackEnd::passes(const State& told, const InputEvent& event) {
    if (event.type == EV_KEY && event.value != 1) return told.on(EV_KEY, event.code);
    if (State::is_touch(event) && told.slot() < told.touches())
        return told.touching(told.slot()) || (event.code == ABS_MT_TRACKING_ID && event.value >= 0);
    return true;
}

bool BackEnd::send(Outlet& outlet, const std::vector<InputEvent>& packet) {
    if (!outlet.on()) return false;
    // What passes depends on what came before it in the packet, so that is followed here.
    filtered_.clear();
    std::optional<State> then;
    for (const InputEvent& event : packet) {
        if (event.is(EV_SYN, SYN_REPORT)) break;
        if (!passes(then ? *then : outlet.told, event)) continue;
        if (event.type == EV_KEY || event.type == EV_ABS) {
            if (!then) then = outlet.told;
            then->apply(event);
        }
        filtered_.push_back(event);
    }
    put(outlet, filtered_);
    return true;
}

void BackEnd::put(Outlet& outlet, std::vector<InputEvent>& events) {
    if (events.empty()) return;
    // What is longer than a ring takes goes in pieces.
    const std::size_t most = hello_.ring / 2 - 1;
    std::vector<InputEvent> piece;
    for (std::size_t at = 0; at < events.size(); at += most) {
        const std::size_t count = std::min(most, events.size() - at);
        const auto first = events.begin() + static_cast<std::ptrdiff_t>(at);
        piece.assign(first, first + static_cast<std::ptrdiff_t>(count));
        piece.push_back(State::make(EV_SYN, SYN_REPORT, 0));
        stamp(piece);
        Link& link = *outlet.link;
        const std::uint64_t lost = outlet.writer.lost();
        const Writer::Wrote wrote = outlet.writer.put(piece, outlet.told);
        if (wrote == Writer::Wrote::fault) {
            (void)link.fault_error("emit", outlet.writer.fault());
            outlet.left = true;
            return leave(outlet);
        }
        const std::uint64_t more = outlet.writer.lost() - lost;
        if (more != 0) {
            Link::bump(link.counters_->full_events);
            Link::bump(link.counters_->lost, more);
            link.note(kEventLost, more, outlet.writer.lost());
        } else {
            Link::bump(link.counters_->posts, count);
            Link::bump(link.counters_->batches);
            Link::bump(link.counters_->copies);
            Link::bump(link.counters_->copied_bytes, piece.size() * sizeof(InputEvent));
        }
        // Also when nothing was written: who met this end within a packet waits for its end.
        const Rung rung = link.ring_peer();
        if (wrote == Writer::Wrote::nothing) continue;
        link.note(Event::notify, wrote == Writer::Wrote::mark ? 1 : count,
                  (rung.sent ? 1U : 0U) | (rung.woke ? 2U : 0U));
        if (link.context().runtime->seeded()) [[unlikely]]
            link.context().runtime->switch_point(SwitchPoint::publish);
    }
}

std::uint64_t BackEnd::lost() const {
    std::uint64_t sum = 0;
    for (const Outlet& outlet : outlets_) sum += outlet.lost_before + outlet.writer.lost();
    return sum;
}

std::uint64_t BackEnd::lost(VmId vm) const {
    std::uint64_t sum = 0;
    for (const Outlet& outlet : outlets_)
        if (outlet.end->peer() == vm) sum += outlet.lost_before + outlet.writer.lost();
    return sum;
}

Link* BackEnd::link(VmId vm) {
    service();
    for (Outlet& outlet : outlets_)
        if (outlet.end->peer() == vm) return outlet.link.get();
    return nullptr;
}

void BackEnd::close() {
    for (Outlet& outlet : outlets_) {
        if (outlet.membership) outlet.membership->leave();
        outlet.end->release();
    }
    outlets_.clear();
}

}  // namespace hyplink::vevent
