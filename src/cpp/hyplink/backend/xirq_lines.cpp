#include "hyplink/backend/xirq_lines.hpp"

#include <algorithm>

#include "hyplink/sys/eventfd.hpp"

namespace hyplink::backend {

// --- sending
// -------------------------------------------------------------------------------------------------

BellWords* XirqSender::bell_at(mem::Ipa at) {
    for (int attempt = 0; attempt < 2; ++attempt) {
        for (const hyp::MemoryView& view : memory_) {
            const std::uint64_t offset = at.value - view.base.value;
            if (at >= view.base && mem::fits(offset, sizeof(BellWords), view.region->size()))
                return reinterpret_cast<BellWords*>(view.region->data() + offset);
        }
        if (attempt != 0) break;
        auto view = hypercalls_->mem_open(at);
        if (!view) break;
        memory_.push_back(*std::move(view));
    }
    return nullptr;
}

const XirqSender::Route* XirqSender::route(XirqNumber number, VmId destination) {
    const std::uint64_t key = std::uint64_t{destination} << 32 | number;
    auto found = routes_.find(key);
    if (found == routes_.end()) {
        auto asked = hypercalls_->xirq_route(number, destination);
        // A number that is refused may exist later; one without a bit never gets one.
        if (!asked && asked.code() != Errc::unsupported) return nullptr;
        std::optional<Route> made;
        if (asked) made = Route{asked->link, asked->bit, bell_at(asked->bell)};
        if (made && made->bell == nullptr) return nullptr;
        found = routes_.emplace(key, made).first;
    }
    return found->second ? &*found->second : nullptr;
}

const hyp::XirqLine* XirqSender::line(VmId owner) {
    auto found = lines_.find(owner);
    if (found == lines_.end()) {
        std::optional<hyp::XirqLine> made;
        if (self_ == 0)
            if (auto identity = hypercalls_->identity()) self_ = identity->id;
        if (auto asked = hypercalls_->xirq_line(owner, self_)) made = *std::move(asked);
        found = lines_.emplace(owner, std::move(made)).first;
    }
    return found->second ? &*found->second : nullptr;
}

bool XirqSender::raise(XirqNumber number, VmId destination) {
    if (number == kSysconf) return false;
    const hyp::XirqLine* const way = line(destination);
    if (way == nullptr) return false;
    const Route* const to = route(number, destination);
    if (to == nullptr) return false;
    bool woke = false;
    switch (bell_ring(*to->bell)) {
        case kBellFutex:
            woke = runtime_->wake(*to->bell);
            break;
        case kBellHook:
            if (hyp::PendingBits(way->pending->data()).raise(to->bit))
                sys::signal_shared_eventfd(way->fd->get());
            woke = true;
            break;
        default:
            break;  // awake (or a hostile value): it will look by itself
    }
    if (journal_.enabled())
        journal_.write(runtime_->now(), Event::xirq, to->link, number, destination, woke ? 1 : 0);
    return true;
}

// --- receiving
// -----------------------------------------------------------------------------------------------

Status XirqReceiver::open() {
    const hyp::Identity self = HYPLINK_TRY(hypercalls_->identity());
    for (VmId raiser = 0; raiser <= self.last_id; ++raiser) {
        if (raiser == self.id) continue;
        auto line = hypercalls_->xirq_line(self.id, raiser);
        if (line.code() == Errc::no_such_link) continue;
        lines_.push_back({raiser, HYPLINK_TRY(std::move(line)), {}, kCredit});
    }
    return {};
}

std::vector<XirqNumber> XirqReceiver::take(std::size_t index) {
    Incoming& incoming = lines_[index];
    sys::drain_eventfd(incoming.line.fd->get());
    std::vector<XirqNumber> numbers;
    bool asked = false;
    bool unknown = false;
    hyp::PendingBits(incoming.line.pending->data()).take([&](std::uint32_t bit) {
        // Bits come lowest first, so one look at what the hypervisor knows by now serves them all.
        while (bit >= incoming.numbers.size() && !asked) {
            auto more = hypercalls_->xirq_numbers(
                incoming.raiser, static_cast<std::uint32_t>(incoming.numbers.size()));
            asked = !more || more->empty();
            if (more) incoming.numbers.insert(incoming.numbers.end(), more->begin(), more->end());
        }
        if (bit < incoming.numbers.size())
            numbers.push_back(incoming.numbers[bit]);
        else
            unknown = true;
    });
    if (unknown)
        incoming.credit -= kUnknown;
    else if (numbers.empty())
        incoming.credit -= 1;
    else
        incoming.credit = std::min(incoming.credit + static_cast<int>(numbers.size()), kCredit);
    return numbers;
}

void XirqReceiver::listen_again() {
    for (Incoming& incoming : lines_) incoming.credit = kCredit;
}

}  // namespace hyplink::backend
