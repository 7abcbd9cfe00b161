/// Hypervisor: memory of VMs' applications, and granting it. Source: spec 003 2.1.2; vlx-facts 6.7.
#include <algorithm>

#include "hyplink/base/text.hpp"
#include "hyplink/hyp/hypervisor.hpp"

namespace hyplink::hyp {
namespace {
constexpr std::uint64_t kMaxRegion = std::uint64_t{1} << 32;
}  // namespace

Result<mem::Ipa> Hypervisor::mem_alloc(VmId caller, std::uint32_t app, std::uint64_t bytes) {
    runtime_->switch_point(SwitchPoint::hypercall);
    std::lock_guard lock(mutex_);
    HYPLINK_TRY(guest(caller));
    if (bytes == 0 || bytes > kMaxRegion)
        return Error::make(Errc::bad_argument,
                           text("memory of ", bytes, " bytes: expected 1..", kMaxRegion));
    const mem::Ipa at = addresses_.take(bytes);
    HYPLINK_TRY(grants_.add_region(caller, app, {at.value, bytes}, limits_));
    return at;
}

Status Hypervisor::mem_free(VmId caller, std::uint32_t app, mem::Ipa at) {
    runtime_->switch_point(SwitchPoint::hypercall);
    std::lock_guard lock(mutex_);
    HYPLINK_TRY(guest(caller));
    const MemRange range = HYPLINK_TRY(grants_.find_region(caller, app, at.value));
    taken_back(grants_.revoke(range), Event::grant_revoked);
    grants_.drop_region(at.value);
    return {};
}

Result<bool> Hypervisor::whole(VmId caller, MemOp op, const MemCall& part, MemCall& call) {
    const std::pair key{caller, part.app};
    auto begun = begun_calls_.extract(key);
    const std::uint32_t flags = part.flags & ~(kCallHasMore | kCallGoesOn);
    if ((part.flags & kCallGoesOn) == 0) {
        call = part;
        call.objects.resize(call.ranges.size());
        call.flags = flags;
    } else {
        if (begun.empty() || begun.mapped().op != op || begun.mapped().call.vm != part.vm ||
            begun.mapped().call.flags != flags)
            return Error::make(Errc::bad_argument, "the part of a call that was not begun so");
        call = std::move(begun.mapped().call);
        call.ranges.insert(call.ranges.end(), part.ranges.begin(), part.ranges.end());
        call.objects.insert(call.objects.end(), part.objects.begin(), part.objects.end());
        call.objects.resize(call.ranges.size());
    }
    if ((part.flags & kCallHasMore) == 0) return true;
    std::size_t ranges = call.ranges.size();
    for (const auto& [whose, other] : begun_calls_)
        if (whose.first == caller) ranges += other.call.ranges.size();
    if (ranges > MemCall::kMostRanges)
        return Error::make(Errc::over_quota, text("VM ", caller, ": more than ",
                                                  MemCall::kMostRanges, " regions in calls begun"));
    begun_calls_.emplace(key, BegunCall{op, std::move(call)});
    return false;
}

Status Hypervisor::mem_grant(VmId caller, const MemCall& part) {
    runtime_->switch_point(SwitchPoint::hypercall);
    std::lock_guard lock(mutex_);
    HYPLINK_TRY(guest(caller));
    MemCall call;
    if (!HYPLINK_TRY(whole(caller, MemOp::grant, part, call))) return {};
    const Vm* importer = find(call.vm);
    if (importer == nullptr)
        return Error::make(Errc::bad_argument, text("grant to VM ", call.vm, ": no such VM"));
    if (call.vm != caller && std::find(importer->spec.imports.begin(), importer->spec.imports.end(),
                                       caller) == importer->spec.imports.end())
        return Error::make(Errc::access_denied,
                           text("grant to VM ", call.vm, ": its platform tree has no vl,vm-memory ",
                                "node with vl,vm-id = <", caller, ">"));
    if ((call.flags & kGrantBroker) != 0 && limits_.grant_level >= GrantLevel::memfd)
        HYPLINK_TRY(pass_through());
    HYPLINK_TRY(grants_.grant(caller, call, limits_));
    for (const MemRange& range : call.ranges)
        write(Event::grant, Record::kNoLink, between(caller, call.vm), range.at, range.bytes);
    return {};
}

Status Hypervisor::mem_deny(VmId caller, const MemCall& part) {
    runtime_->switch_point(SwitchPoint::hypercall);
    std::lock_guard lock(mutex_);
    HYPLINK_TRY(guest(caller));
    MemCall call;
    if (!HYPLINK_TRY(whole(caller, MemOp::deny, part, call))) return {};
    const bool moves = (call.flags & kDenyMoves) != 0;
    call.flags &= ~kDenyMoves;
    auto denied = grants_.deny(caller, call, limits_, moves ? HYPLINK_TRY(page_mover()) : nullptr);
    // Who holds hears of the new object; of nothing, if there is none.
    const auto hold = hold_of(caller, call.app);
    std::uint32_t holding = 0;
    if (hold != holds_.end()) {
        holding = hold->second.holding;
        const bool stays = std::none_of(call.objects.begin(), call.objects.end(),
                                        [](const auto& object) { return object != nullptr; });
        end_hold(hold,
                 !denied || hold->second.ranges != call.ranges || hold->second.coarse || stays);
    }
    if (!denied) return std::move(denied).error();
    for (const MemRange& range : call.ranges)
        write(Event::deny, Record::kNoLink, between(caller, call.vm), range.at, range.bytes);
    if (!moves) missed_holds(*denied, call.vm, holding);
    taken_back(*denied, Event::none);
    return {};
}

Status Hypervisor::mem_verify(VmId caller, const MemCall& call) {
    runtime_->switch_point(SwitchPoint::hypercall);
    std::lock_guard lock(mutex_);
    HYPLINK_TRY(guest(caller));
    if ((call.flags & ~(kGrantRights | kGrantLevels | kVerifyShown)) != 0 || call.ranges.empty() ||
        call.ranges.size() > MemCall::kMaxRanges)
        return Error::make(Errc::bad_argument,
                           text("verify: 1..", MemCall::kMaxRanges, " regions, known flags"));
    // What was taken is heard of before it is said to be refused, too.
    for (const MemRange& changed : find(caller)->windows_pending)
        for (const MemRange& range : call.ranges)
            if ((call.flags & kVerifyShown) != 0 && changed.at < range.at + range.bytes &&
                range.at < changed.at + changed.bytes)
                return Error::make(Errc::would_block, "the caller has not heard of a change");
    for (const MemRange& range : call.ranges)
        HYPLINK_TRY(grants_.verify(caller, call.vm, call.flags & kGrantRights, range));
    return {};
}

Result<std::vector<WindowPiece>> Hypervisor::mem_map(VmId caller, MemRange range, bool writable,
                                                     Show show) {
    runtime_->switch_point(SwitchPoint::hypercall);
    std::lock_guard lock(mutex_);
    HYPLINK_TRY(guest(caller));
    if (map_later(caller, range))
        return Error::make(Errc::would_block, "some of it is being taken from another VM");
    auto pieces = HYPLINK_TRY(grants_.map(caller, range, writable, show, pass_through_.get()));
    for (const WindowPiece& piece : pieces) {
        if (!piece.fd) continue;
        write(Event::grant_map, Record::kNoLink,
              between(grants_.exporter_at(piece.range.at), caller), range.at, range.bytes);
        break;
    }
    return pieces;
}

Status Hypervisor::mem_watch(VmId caller, MemRange range, std::uint32_t generation) {
    runtime_->switch_point(SwitchPoint::hypercall);
    std::lock_guard lock(mutex_);
    HYPLINK_TRY(guest(caller));
    grants_.watch(caller, range, generation);
    return {};
}

Result<sys::PageMover*> Hypervisor::page_mover() {
    if (!page_mover_ && !cannot_move_) {
        auto made = sys::PageMover::make();
        if (made) page_mover_ = *std::move(made);
        if (page_mover_ && tidied_) page_mover_->keep_old_pages();
        cannot_move_ = made.code() == Errc::unsupported;
    }
    if (!page_mover_) return Error::make(Errc::would_block, "pages cannot be moved here");
    return page_mover_.get();
}

void Hypervisor::leave_to_tidy() {
    std::lock_guard lock(mutex_);
    tidied_ = true;
    if (page_mover_) page_mover_->keep_old_pages();
}

bool Hypervisor::untidy() {
    std::lock_guard lock(mutex_);
    return page_mover_ && page_mover_->has_old_pages();
}

void Hypervisor::tidy() {
    sys::PageMover::OldPages old;
    std::lock_guard lock(mutex_);
    if (page_mover_ && page_mover_->has_old_pages()) old = page_mover_->take_old_pages();
}

Result<sys::PassThrough*> Hypervisor::pass_through() {
    if (!pass_through_) {
        auto made = sys::PassThrough::make();
        if (!made) return std::move(made).error().with("level broker");
        pass_through_ = *std::move(made);
    }
    return pass_through_.get();
}

Status Hypervisor::mem_unmap(VmId caller, MemRange range) {
    runtime_->switch_point(SwitchPoint::hypercall);
    std::lock_guard lock(mutex_);
    HYPLINK_TRY(guest(caller));
    grants_.unmap(caller, range);
    return {};
}

std::vector<GrantRow> Hypervisor::grants() {
    std::lock_guard lock(mutex_);
    return grants_.rows();
}

void Hypervisor::taken_back(const std::vector<GrantRow>& rows, Event event) {
    for (const GrantRow& row : rows) {
        if (event != Event::none)
            write(event, Record::kNoLink, between(row.exporter, row.importer), row.range.at,
                  row.range.bytes);
        Vm& importer = *find(row.importer);
        if (!row.notify || importer.waker == nullptr) continue;
        importer.windows_pending.insert(row.range);
        importer.waker->wake();
    }
}

void Hypervisor::exporter_ended(VmId exporter) {
    if (!grants_.exporter_ended(exporter)) return;
    auto& waiting = ended_exporters_[exporter];
    const std::uint32_t importers = grants_.importers_of_ended(exporter);
    for (LinkIndex index : find(exporter)->slots) {
        Link& link = links_[index];
        for (Role role : {Role::server, Role::client}) {
            const VmId peer = link.vm(role);
            // A peer that is OFF itself says nothing: it counts as one that has let go.
            if (peer != exporter && (importers >> peer & 1) != 0 && link.of(role) == LinkState::on)
                waiting.emplace(index, role);
        }
    }
}

void Hypervisor::revoke_exports() {
    for (auto next = ended_exporters_.begin(); next != ended_exporters_.end();) {
        const auto ended = next++;
        if (!ended->second.empty()) continue;
        taken_back(grants_.revoke_ended(ended->first), Event::grant_revoked);
        ended_exporters_.erase(ended);
    }
}

}  // namespace hyplink::hyp
