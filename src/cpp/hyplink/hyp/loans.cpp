// The hypervisor's part in memory that one VM lends to the VM at the other end of a vlink: who may
// map what, and that nobody can once its lender is gone. memory.md 3.
#include <algorithm>

#include "hyplink/base/text.hpp"
#include "hyplink/hyp/hypervisor.hpp"
#include "hyplink/sys/memfd.hpp"

namespace hyplink::hyp {
namespace {
constexpr std::size_t kMaxLoans = 4096 + 64;  // of one vlink, and some whose end is on its way
constexpr std::uint64_t kMaxLoan = std::uint64_t{1} << 40;

/// Take the pages away. Every mapping of them, in whatever process, reads zeroes from now on.
void take_away(const LentMemory& lent) {
    if (lent.kind == LoanKind::whole)
        (void)sys::punch(lent.loan.object->get(), static_cast<std::size_t>(lent.loan.offset),
                         static_cast<std::size_t>(lent.loan.bytes));
}
}  // namespace

Result<mem::Ipa> Hypervisor::lend(VmId caller, std::uint32_t slot,
                                  const std::shared_ptr<sys::Fd>& object, std::uint64_t offset,
                                  std::uint64_t bytes, LoanKind kind) {
    runtime_->switch_point(SwitchPoint::hypercall);
    std::lock_guard lock(mutex_);
    Vm* vm = HYPLINK_TRY(guest(caller));
    Link* link = HYPLINK_TRY(link_of(*vm, slot));
    const std::uint64_t page = sys::page_size();
    if (bytes == 0 || bytes > kMaxLoan || bytes % page != 0 || offset % page != 0 ||
        (kind != LoanKind::file && kind != LoanKind::whole))
        return Error::make(Errc::bad_argument, text("lend ", bytes, " bytes at ", offset,
                                                    " of an object: expected whole pages"));
    const std::size_t size = HYPLINK_TRY(sys::file_size(object->get()));
    if (!mem::fits(offset, bytes, mem::round_up(size, page)))
        return Error::make(Errc::bad_argument,
                           text("lend ", bytes, " bytes at ", offset, " of an object of ", size));
    // Whoever cuts an object short ends every process that looks at it.
    if (kind == LoanKind::whole && !sys::keeps_its_size(object->get()))
        return Error::make(Errc::bad_argument, "lend an object that can be cut short");
    if (kind == LoanKind::whole && !sys::can_be_emptied(object->get()))
        return Error::make(Errc::bad_argument,
                           "lend an object that is sealed against writing: it could never be taken "
                           "away");
    if (link->loans.size() >= kMaxLoans)
        return Error::make(Errc::no_memory, text("the vlink has ", kMaxLoans, " loans already"));
    LentMemory lent;
    lent.loan = Loan{addresses_.take(bytes), bytes, object, offset};
    lent.lender = caller;
    lent.kind = kind;
    const mem::Ipa at = lent.loan.at;
    const auto [placed, fresh] = link->loans.emplace(at, std::move(lent));
    const Role borrower = link->spec.server == caller ? Role::client : Role::server;
    if (const auto to = vms_.find(link->vm(borrower)); to != vms_.end() && to->second.waker)
        to->second.waker->offer(link->slot[static_cast<std::uint32_t>(borrower)],
                                placed->second.loan);
    write(Event::lend, vm->slots[slot], caller, at.value, bytes);
    return at;
}

Result<Loan> Hypervisor::borrow(VmId caller, std::uint32_t slot, mem::Ipa at) {
    std::lock_guard lock(mutex_);
    Vm* vm = HYPLINK_TRY(guest(caller));
    Link* link = HYPLINK_TRY(link_of(*vm, slot));
    auto after = link->loans.upper_bound(at);
    const bool loopback = link->spec.server == link->spec.client;
    if (after != link->loans.begin()) {
        const LentMemory& lent = std::prev(after)->second;
        if (at.value - lent.loan.at.value < lent.loan.bytes && (lent.lender != caller || loopback))
            return Loan{lent.loan};
    }
    return Error::make(Errc::bad_address,
                       text("nothing at 0x", std::hex, at.value, " was lent to VM ", std::dec,
                            caller, " on ", link->spec.name));
}

Status Hypervisor::recall(VmId caller, std::uint32_t slot, mem::Ipa at, bool erase) {
    runtime_->switch_point(SwitchPoint::hypercall);
    std::lock_guard lock(mutex_);
    Vm* vm = HYPLINK_TRY(guest(caller));
    Link* link = HYPLINK_TRY(link_of(*vm, slot));
    auto found = link->loans.find(at);
    if (found == link->loans.end() || found->second.lender != caller)
        return Error::make(Errc::bad_address,
                           text("VM ", caller, " has lent nothing at 0x", std::hex, at.value));
    if (erase) take_away(found->second);
    write(Event::recall, vm->slots[slot], caller, at.value, found->second.loan.bytes);
    link->loans.erase(found);
    return {};
}

void Hypervisor::drop_loans(Link& link, VmId lender) {
    for (auto& [at, lent] : link.loans) {
        if (lent.lender != lender) continue;
        take_away(lent);
        write(Event::recall, static_cast<LinkIndex>(&link - links_.data()), lender, at.value,
              lent.loan.bytes);
    }
    std::erase_if(link.loans, [&](const auto& item) { return item.second.lender == lender; });
}

}  // namespace hyplink::hyp
