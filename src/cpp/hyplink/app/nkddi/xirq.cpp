// NKDDI: cross interrupts, both ways.
#include <algorithm>

#include "hyplink/app/nkddi/nkddi.hpp"
#include "hyplink/base/text.hpp"

namespace hyplink::nkddi {

using guest::Sys;
using guest::UmpBell;

// --- triggering
// --------------------------------------------------------------------------------------------

Result<BellWords*> Nkddi::open_bell(XirqNumber number, VmId owner, UmpBell what) {
    const auto reply =
        HYPLINK_TRY(ask(Sys::ump_bell, {number, owner, static_cast<std::uint64_t>(what)}));
    const Window window = HYPLINK_TRY(map(mem::Ipa{reply.values[0]}, sizeof(BellWords)));
    return reinterpret_cast<BellWords*>(window.data);  // its view stays in views_
}

Result<const Nkddi::Bell*> Nkddi::bell_of(XirqNumber number, VmId destination) {
    const std::uint64_t key = std::uint64_t{destination} << 32 | number;
    std::atomic<const Bell*>& place = fast_[(number * 31 + destination) % fast_.size()];
    const Bell* fast = place.load(std::memory_order_acquire);
    if (fast != nullptr && fast->key == key) [[likely]]
        return fast;
    {
        const std::lock_guard lock(mutex_);
        if (auto found = bells_.find(key); found != bells_.end()) {
            place.store(found->second.get(), std::memory_order_release);
            return static_cast<const Bell*>(found->second.get());
        }
    }
    BellWords* words = HYPLINK_TRY(open_bell(number, destination, UmpBell::look));
    const std::lock_guard lock(mutex_);
    auto made = std::make_unique<Bell>(Bell{key, words, Record::kNoLink});
    auto range = ranges_.upper_bound({destination, number});
    if (range != ranges_.begin()) {
        const auto& [first, what] = *std::prev(range);
        if (first.first == destination && number - first.second < what.first)
            made->link = what.second;
    }
    auto& kept = bells_[key];
    if (!kept) kept = std::move(made);
    place.store(kept.get(), std::memory_order_release);
    return static_cast<const Bell*>(kept.get());
}

Status Nkddi::trigger(XirqNumber number, VmId destination) {
    if (number == kSysconf) return trigger_sysconf(destination);
    if (closed_) [[unlikely]]
        return Error::make(Errc::closed, "the NKDDI was closed");
    const auto found = bell_of(number, destination);
    if (!found) {
        if (found.code() == Errc::peer_dead) return found.error().copy();
        return trigger_slowly(number, destination);  // refuses it, and counts that
    }
    const Bell& bell = **found;
    runtime().switch_point(SwitchPoint::trigger);
    // Who sleeps in an event loop of its kernel is woken by the hypervisor, which must find the
    // bell armed.
    if (bell.words->armed.load(std::memory_order_acquire) == kBellHook) [[unlikely]]
        return trigger_slowly(number, destination);
    bool woke = false;
    switch (bell_ring(*bell.words)) {
        case kBellAwake:
            [[likely]] break;
        case kBellHook: {
            // It was armed in between. Put the arming back; if it armed again by itself, it did so
            // after our ring and has seen that.
            std::uint32_t awake = kBellAwake;
            if (bell.words->armed.compare_exchange_strong(awake, kBellHook,
                                                          std::memory_order_seq_cst))
                return trigger_slowly(number, destination);
            break;
        }
        default:
            woke = runtime().wake(*bell.words);
    }
    Scope& scope = application_->scope();
    if (scope.enabled()) [[unlikely]]
        scope.write(runtime().now(), Event::xirq, bell.link, number, destination, woke ? 1 : 0);
    return {};
}

Status Nkddi::trigger_slowly(XirqNumber number, VmId destination) {
    HYPLINK_TRY(ask(Sys::ump_trigger, {number, destination}));
    return {};
}

Status Nkddi::trigger_sysconf(VmId destination) {
    struct Changed {
        std::uint32_t slot;
        Role role;
        std::uint32_t wanted;
    };
    std::vector<Changed> changed;
    {
        const std::lock_guard lock(mutex_);
        for (const auto& [end, announced] : known_) {
            const std::uint32_t word =
                state_word(at(end.first), end.second).load(std::memory_order_acquire);
            if (word != announced) changed.push_back({end.first, end.second, word});
        }
    }
    bool told = false;  // by the bridge, which raises SYSCONF for a step that it carries over
    for (const auto& [slot, role, wanted] : changed) {
        const Status announced = publish(slot, role);
        // Somebody else of this VM may drive that end and write it: his business.
        if (announced.code() == Errc::busy) continue;
        if (!announced) return announced.error().copy();
        const hyp::VlinkDescriptor& link = at(slot);
        const bool carried = state_word(at(slot), role).load(std::memory_order_acquire) == wanted;
        told = told || (carried && (role == Role::server ? link.c_id : link.s_id) == destination);
    }
    return told ? Status{} : trigger_slowly(kSysconf, destination);
}

// --- waiting
// -----------------------------------------------------------------------------------------------

Result<Nkddi::AttachId> Nkddi::attach(XirqNumber number, Handler handler, bool masked) {
    auto found = xirqs_.find(number);
    if (found == xirqs_.end()) {
        if (xirqs_.size() > kMaxXirqs)
            return Error::make(Errc::no_memory, text("attach XIRQ ", number, ": ", kMaxXirqs,
                                                     " are attached already"));
        BellWords* bell = HYPLINK_TRY(open_bell(number, id_, UmpBell::attach));
        application_->add_sleeper({bell, -1});  // rung when the own VM is lost
        // What was rung before somebody listened is nobody's, as in a kernel.
        found = xirqs_.emplace(number, Attached{bell, bell_seen(*bell), false, {}}).first;
    }
    if (masked) found->second.masked = true;
    const AttachId id = next_attach_++;
    found->second.handlers.emplace_back(id, std::move(handler));
    return id;
}

void Nkddi::detach(AttachId id) {
    for (auto& [number, xirq] : xirqs_) {
        if (std::erase_if(xirq.handlers, [&](const auto& entry) { return entry.first == id; }) == 0)
            continue;
        if (!xirq.handlers.empty()) return;
        xirq.masked = false;
        if (number == kSysconf) return;
        (void)ask(Sys::ump_bell, {number, id_, static_cast<std::uint64_t>(UmpBell::detach)});
        application_->remove_sleeper({xirq.bell, -1});
        xirqs_.erase(number);
        return;
    }
}

void Nkddi::mask(XirqNumber number) {
    if (auto found = xirqs_.find(number); found != xirqs_.end()) found->second.masked = true;
}

void Nkddi::unmask(XirqNumber number) {
    if (auto found = xirqs_.find(number); found != xirqs_.end()) found->second.masked = false;
}

bool Nkddi::took(XirqNumber number, Attached& xirq) {
    const std::uint32_t now = bell_seen(*xirq.bell);
    if (xirq.masked || now == xirq.seen) return false;
    xirq.seen = now;
    if (xirq.handlers.empty()) return false;
    last_ = number;
    if (number != kSysconf) turn_ = number;
    return true;
}

Result<XirqNumber> Nkddi::take() {
    const auto sysconf = xirqs_.find(kSysconf);
    // SYSCONF is also how the loss of the own VM is heard, so it is looked at even when nobody
    // listens.
    if (const std::uint32_t now = bell_seen(*sysconf->second.bell); now != checked_) {
        HYPLINK_TRY(running_ids());
        checked_ = now;
    }
    // SYSCONF before all others, so that a link is up before something is heard over it; but not
    // twice in a row while others wait.
    if (last_ != kSysconf && took(kSysconf, sysconf->second)) return kSysconf;
    // The others in turn: who rings one number without end holds up no other.
    const auto after = xirqs_.upper_bound(std::max(turn_, kSysconf));
    for (auto at = after; at != xirqs_.end(); ++at)
        if (took(at->first, at->second)) return XirqNumber{at->first};
    for (auto at = xirqs_.upper_bound(kSysconf); at != after; ++at)
        if (took(at->first, at->second)) return XirqNumber{at->first};
    if (took(kSysconf, sysconf->second)) return kSysconf;
    turn_ = last_ = 0;  // nothing waits: the next turn begins with the lowest
    if (closed_) return Error::make(Errc::closed, "the NKDDI was closed");
    return XirqNumber{0};
}

Result<XirqNumber> Nkddi::next(Deadline deadline) {
    if (waiting_.exchange(true))
        return Error::make(Errc::busy, "another thread waits for XIRQs of this application");
    struct Done {
        std::atomic<bool>& flag;
        ~Done() { flag = false; }
    } done{waiting_};
    for (;;) {
        const XirqNumber number = HYPLINK_TRY(take());
        if (number != 0) return number;
        std::array<BellWait, Runtime::kMaxBells> bells;
        std::size_t count = 0;
        for (const auto& [other, xirq] : xirqs_)
            if (!xirq.masked && !xirq.handlers.empty())
                bells[count++] = BellWait{xirq.bell, xirq.seen};
        // Sleeping on one bell is cheaper than on two; all of them ring when the own VM is lost.
        if (count == 0) bells[count++] = BellWait{&application_->sysconf_bell(), checked_};
        const Errc outcome = runtime().wait(std::span(bells.data(), count), deadline);
        if (outcome != Errc::ok) return Error(outcome);
    }
}

void Nkddi::deliver(XirqNumber number) {
    auto found = xirqs_.find(number);
    if (found == xirqs_.end()) return;
    // A handler may attach and detach, itself too: walk over the ids and skip those that are gone.
    std::vector<AttachId> ids;
    for (const auto& [id, handler] : found->second.handlers) ids.push_back(id);
    for (const AttachId id : ids) {
        found = xirqs_.find(number);
        if (found == xirqs_.end()) return;
        const auto& handlers = found->second.handlers;
        const auto entry = std::find_if(handlers.begin(), handlers.end(),
                                        [&](const auto& e) { return e.first == id; });
        if (entry == handlers.end()) continue;
        if (const Handler handler = entry->second) handler(number);
    }
}

Result<std::uint32_t> Nkddi::dispatch(Deadline deadline) {
    XirqNumber number = HYPLINK_TRY(next(deadline));
    std::uint32_t delivered = 0;
    while (number != 0) {
        deliver(number);
        // Bounded: a handler that rings itself must not keep the caller here.
        if (++delivered == Runtime::kMaxBells) break;
        number = HYPLINK_TRY(take());
    }
    return delivered;
}

}  // namespace hyplink::nkddi
