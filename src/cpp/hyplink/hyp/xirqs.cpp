/// Hypervisor: cross interrupts, through itself and by lines between two kernels. Source: vlx-facts
/// 6.2, 6.3.
#include <algorithm>

#include "hyplink/base/text.hpp"
#include "hyplink/hyp/hypervisor.hpp"
#include "hyplink/sys/eventfd.hpp"

namespace hyplink::hyp {

Result<mem::Ipa> Hypervisor::xirq_bell(VmId caller, XirqNumber number, VmId owner) {
    std::lock_guard lock(mutex_);
    HYPLINK_TRY(guest(caller));
    const Vm* target = find(owner);
    if (target == nullptr || number <= kSysconf || number - kSysconf > target->xirqs.size())
        return Error::make(Errc::bad_argument,
                           text("XIRQ ", number, " of VM ", owner, " was never allocated"));
    const Xirq& xirq = target->xirqs[number - kSysconf - 1];
    const LinkSpec& spec = links_[xirq.link].spec;
    if (caller != spec.server && caller != spec.client)
        return Error::make(
            Errc::not_permitted,
            text("XIRQ ", number, " of VM ", owner, " belongs to a vlink ", "without VM ", caller));
    return xirq.bell.at;
}

Result<const Xirq*> Hypervisor::raisable(VmId caller, XirqNumber number, VmId destination) {
    const Vm* target = find(destination);
    auto refuse = [&](Errc code, const char* why) {
        write(Event::xirq_refused, Record::kNoLink, number, destination, caller);
        return Error::make(code, text("trigger XIRQ ", number, " of VM ", destination, ": ", why));
    };
    if (target == nullptr) return refuse(Errc::bad_argument, "no such VM");
    if (number <= kSysconf || number - kSysconf > target->xirqs.size())
        return refuse(Errc::bad_argument, "never allocated");
    const Xirq& xirq = target->xirqs[number - kSysconf - 1];
    const LinkSpec& spec = links_[xirq.link].spec;
    if (caller != spec.server && caller != spec.client)
        return refuse(Errc::not_permitted, "no common vlink");
    return &xirq;
}

Status Hypervisor::xirq_trigger(VmId caller, XirqNumber number, VmId destination) {
    runtime_->switch_point(SwitchPoint::trigger);
    std::lock_guard lock(mutex_);
    HYPLINK_TRY(guest(caller));
    Vm* target = find(destination);
    if (target != nullptr && number == kSysconf) {
        raise_sysconf(*target);
        return {};
    }
    const Xirq& xirq = *HYPLINK_TRY(raisable(caller, number, destination));
    bool woke = false;
    switch (bell_ring(xirq.words())) {
        case kBellFutex:
            woke = runtime_->wake(xirq.words());
            break;
        case kBellHook:
            if (target->waker != nullptr) {
                target->xirqs_pending.insert(number);
                target->waker->wake();
                woke = true;
            }
            break;
        default:
            break;  // awake (or a hostile value): it will look by itself
    }
    write(Event::xirq, xirq.link, number, destination, woke ? 1 : 0);
    return {};
}

Result<XirqRoute> Hypervisor::xirq_route(VmId caller, XirqNumber number, VmId destination) {
    std::lock_guard lock(mutex_);
    HYPLINK_TRY(guest(caller));
    const Xirq& xirq = *HYPLINK_TRY(raisable(caller, number, destination));
    if (caller == destination || xirq.bit >= PendingBits::kBits)
        return Error::make(Errc::unsupported, text("XIRQ ", number, " of VM ", destination,
                                                   " is in no line from VM ", caller));
    return XirqRoute{xirq.link, xirq.bit, xirq.bell.at};
}

Result<XirqLine> Hypervisor::xirq_line(VmId caller, VmId owner, VmId raiser) {
    std::lock_guard lock(mutex_);
    HYPLINK_TRY(guest(caller));
    Vm* target = find(owner);
    const bool common =
        target != nullptr && owner != raiser && (caller == owner || caller == raiser) &&
        std::any_of(target->slots.begin(), target->slots.end(), [&](LinkIndex index) {
            return links_[index].spec.server == raiser || links_[index].spec.client == raiser;
        });
    if (!common)
        return Error::make(Errc::no_such_link,
                           text("VM ", caller, " asks for the XIRQs of VM ", owner, " from VM ",
                                raiser, ": they have no vlink"));
    if (target->waker == nullptr || !target->waker->hears_lines())
        return Error::make(Errc::unsupported, text("VM ", owner, " hears no lines"));
    XirqLine& line = target->lines[raiser];
    if (!line.fd) {
        XirqLine made;
        made.pending = HYPLINK_TRY(mem::Region::make("hyplink-xirqs", PendingBits::bytes()));
        made.fd = std::make_shared<sys::Fd>(HYPLINK_TRY(sys::make_eventfd()));
        line = std::move(made);
    }
    return XirqLine{line};
}

Result<std::vector<XirqNumber>> Hypervisor::xirq_numbers(VmId caller, VmId raiser,
                                                         std::uint32_t first) {
    std::lock_guard lock(mutex_);
    Vm* vm = HYPLINK_TRY(guest(caller));
    std::vector<XirqNumber> numbers;
    const auto found = vm->line_numbers.find(raiser);
    if (found == vm->line_numbers.end()) return numbers;
    const auto& all = found->second;
    const std::size_t from = std::min<std::size_t>(first, all.size());
    const std::size_t count = std::min(all.size() - from, GuestEvents::kMaxXirqs);
    numbers.assign(all.begin() + static_cast<std::ptrdiff_t>(from),
                   all.begin() + static_cast<std::ptrdiff_t>(from + count));
    return numbers;
}

}  // namespace hyplink::hyp
