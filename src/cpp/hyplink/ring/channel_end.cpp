#include "hyplink/ring/channel_end.hpp"

#include "hyplink/base/text.hpp"

namespace hyplink::rings {
namespace {
// What a failed end looks at instead of the kernel's word, so that the fast path has one check, not
// two.
constinit const std::atomic<std::uint32_t> kFailedState{
    static_cast<std::uint32_t>(ChannelState::dead)};
}  // namespace

ChannelEnd::ChannelEnd(ChannelContext context, Role role)
    : state_(context.state), counters_(&spare_counters_), context_(std::move(context)) {
    if (context_.scope != nullptr)
        if (ChannelCounters* slot = context_.scope->take_counters()) counters_ = slot;
    const auto say = [](std::uint32_t& word,
                        std::uint32_t value) {  // read by the bench at any time
        std::atomic_ref(word).store(value, std::memory_order_relaxed);
    };
    say(counters_->link, context_.link);
    say(counters_->session, context_.session);
    say(counters_->channel, context_.channel);
    say(counters_->role, static_cast<std::uint32_t>(role));
}

ChannelEnd::~ChannelEnd() {
    if (counters_ != &spare_counters_) Scope::close_counters(*counters_);
}

void ChannelEnd::note(Event event, std::uint64_t b, std::uint64_t c) {
    if (!journalling()) return;
    context_.scope->write(context_.runtime->now(), event, context_.link, context_.channel, b, c);
}

ProcedureCounters* ChannelEnd::procedure(std::uint32_t proc) {
    if (counters_ == &spare_counters_) return nullptr;
    ProcedureCounters* found = context_.scope->procedure(*counters_, proc);
    if (found == nullptr) bump(counters_->uncounted);
    return found;
}

std::string ChannelEnd::where(const char* doing) const {
    return text(doing, " on \"", context_.label, "\"");
}

Error ChannelEnd::fail_with(Error error, std::uint64_t field, std::uint64_t found) {
    if (failed_.code() != Errc::ok) return failed_.copy();
    failed_ = std::move(error);
    state_ = &kFailedState;
    if (failed_.code() == Errc::corrupt) note(Event::corrupt, field, found);
    return failed_.copy();
}

Error ChannelEnd::fault_error(const char* doing, const Fault& fault) {
    std::uint64_t hash = 0;  // the journal's field: the first eight letters of the name
    for (int i = 0; i < 8 && fault.field[i] != 0; ++i)
        hash |= std::uint64_t{static_cast<unsigned char>(fault.field[i])} << (8 * i);
    return fail_with(
        Error::make(Errc::corrupt, text(where(doing), ": VM ", context_.peer, " wrote ",
                                        fault.field, " = ", fault.found, ", possible is up to ",
                                        fault.limit, "; the channel is closed for good")),
        hash, fault.found);
}

Error ChannelEnd::refused(const char* doing, std::uint64_t pending) {
    if (failed_.code() != Errc::ok) return failed_.copy();
    switch (state()) {
        case ChannelState::closed:
            return Error::make(Errc::closed, where(doing) + ": closed");
        case ChannelState::none:
            return Error::make(Errc::closed, where(doing) + ": never opened");
        case ChannelState::open:
            return Error(Errc::would_block);
        case ChannelState::peer_closed:
        case ChannelState::dead:
            break;
    }
    if (!death_noted_) {
        death_noted_ = true;
        bump(counters_->lost, pending);
        note(Event::peer_death, pending, 0);
    }
    const bool closed = state() == ChannelState::peer_closed;
    return Error::make(Errc::peer_dead, text(where(doing), ": peer VM ", context_.peer,
                                             closed ? " closed its end" : " died", ", ", pending,
                                             " requests pending"))
        .with_pending(pending);
}

}  // namespace hyplink::rings
