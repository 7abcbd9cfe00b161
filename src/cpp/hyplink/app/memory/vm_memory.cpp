#include "hyplink/app/memory/vm_memory.hpp"

#include <algorithm>

#include "hyplink/app/kernel_calls.hpp"
#include "hyplink/base/text.hpp"
#include "hyplink/mem/address.hpp"
#include "hyplink/mem/owned.hpp"
#include "hyplink/sys/mapping.hpp"
#include "hyplink/sys/memfd.hpp"

namespace hyplink::app {

using guest::Sys;
using guest::SysReply;
using guest::SysRequest;
using hyp::MemCall;
using hyp::MemRange;

Result<std::shared_ptr<VmMemory>> VmMemory::open(std::shared_ptr<Application> application) {
    std::shared_ptr<VmMemory> made(new VmMemory(std::move(application)));
    SysRequest request;
    request.op = Sys::open;
    request.data = "vlx-mem";
    made->handle_ = static_cast<std::uint32_t>(
        HYPLINK_TRY(made->application_->call(std::move(request), Deadline::never())).values[0]);
    made->application_->set_listener(
        [raw = made.get()](SysReply&& word) { return raw->on_word(std::move(word)); });
    return made;
}

VmMemory::~VmMemory() { close(); }

void VmMemory::close() {
    {
        auto held = lock();
        if (std::exchange(closed_, true)) return;
        for (const auto& [at, block] : blocks_) part_from(*block);
        blocks_.clear();
        given_.clear();
        objects_.clear();
    }
    if (handle_ != 0) {
        (void)application_->when_readable(-1, {});
        application_->set_listener({});
        SysRequest request;
        request.op = Sys::close;
        request.handle = handle_;
        (void)application_->call(std::move(request), Deadline::never());
    }
    forget_windows();
}

std::unique_lock<std::mutex> VmMemory::lock() { return in_turn(mutex_, application_->runtime()); }

Result<SysReply> VmMemory::ask(SysRequest request, Signals signals) {
    request.handle = handle_;
    return application_->call(std::move(request), Deadline::never(), signals);
}

/// As many at a time as a message carries objects; all of them take effect with the last.
Status VmMemory::ask_ranges(Sys op, VmId vm, std::uint32_t flags, std::span<const MemRange> ranges,
                            std::span<const std::shared_ptr<sys::Fd>> objects, Signals signals) {
    if (ranges.empty() || ranges.size() > MemCall::kMostRanges)
        return Error::make(Errc::bad_argument,
                           text(ranges.size(), " regions: expected 1..", MemCall::kMostRanges));
    for (std::size_t first = 0; first < ranges.size(); first += MemCall::kMaxRanges) {
        const auto part =
            ranges.subspan(first, std::min(ranges.size() - first, MemCall::kMaxRanges));
        SysRequest request;
        request.op = op;
        request.args[0] = vm;
        request.args[1] = flags;
        if (op != Sys::mem_verify && first != 0) request.args[1] |= hyp::kCallGoesOn;
        if (op != Sys::mem_verify && first + part.size() < ranges.size())
            request.args[1] |= hyp::kCallHasMore;
        for (std::size_t i = 0; i < part.size() && first + i < objects.size(); ++i) {
            if (!objects[first + i]) continue;
            request.args[2] |= std::uint64_t{1} << i;
            request.fds.push_back(objects[first + i]);
        }
        request.data.assign(reinterpret_cast<const char*>(part.data()), part.size_bytes());
        HYPLINK_TRY(ask(std::move(request), signals));
    }
    return {};
}

// --- own memory ----------------------------------------------------------------------------------

Result<std::shared_ptr<VmMemory::Block>> VmMemory::alloc(std::uint64_t bytes) {
    auto held = lock();
    if (closed_) return Error::make(Errc::closed, "the memory was closed");
    const std::uint64_t size = mem::round_up(bytes, sys::page_size());
    if (bytes == 0 || size < bytes)
        return Error::make(Errc::bad_argument, text("memory of ", bytes, " bytes"));
    auto block = std::make_shared<Block>();
    block->mapping_ = HYPLINK_TRY(sys::Mapping::anonymous(static_cast<std::size_t>(size)));
    SysRequest request;
    request.op = Sys::mem_alloc;
    request.args[0] = size;
    block->at_ = HYPLINK_TRY(ask(std::move(request))).values[0];
    blocks_.emplace(block->at_, block);
    return block;
}

Status VmMemory::free(const std::shared_ptr<Block>& block) {
    auto held = lock();
    const auto found = blocks_.find(block->at());
    if (found == blocks_.end() || found->second != block)
        return Error::make(Errc::not_permitted, "not a block of this application");
    part_from(*block);
    SysRequest request;
    request.op = Sys::mem_free;
    request.args[0] = block->at();
    HYPLINK_TRY(ask(std::move(request)));
    given_.take_out({block->at(), block->size()});
    given_.mark_stale({block->at(), block->size()}, false);
    objects_.take({block->at(), block->size()});
    blocks_.erase(found);
    return {};
}

std::byte* VmMemory::place(MemRange range) const {
    auto found = blocks_.upper_bound(range.at);
    if (found == blocks_.begin()) return nullptr;
    --found;
    const std::uint64_t offset = range.at - found->first;
    if (!mem::fits(offset, range.bytes, found->second->size())) return nullptr;
    return found->second->data() + offset;
}

/// Views of a block outlive it: what is written there must not reach who keeps the old objects.
void VmMemory::part_from(const Block& block) {
    const MemRange all{block.at(), block.size()};
    if (!given_.held_besides(0, all)) return;
    given_.mark_stale(all, true);
    // Without room for a copy what was in them is lost, which is better than shared.
    if (!renew(all)) (void)sys::map_zeroes_over(block.data(), block.size(), true);
}

/// A fresh object behind the pages. Null for a range the hypervisor is going to refuse.
Result<std::shared_ptr<sys::Fd>> VmMemory::renew(MemRange range) {
    const std::size_t page = sys::page_size();
    std::byte* at = place(range);
    if (at == nullptr || range.bytes == 0 || range.at % page != 0 || range.bytes % page != 0)
        return std::shared_ptr<sys::Fd>();
    if (!freezer_) freezer_ = HYPLINK_TRY(sys::WriteFreezer::make());
    const auto bytes = static_cast<std::size_t>(range.bytes);
    const auto behind = objects_.one(range) ? mem::Behind::one_object : mem::Behind::anything;
    auto fresh =
        std::make_shared<sys::Fd>(HYPLINK_TRY(mem::migrate(freezer_.get(), at, bytes, behind)));
    objects_.put(range);
    return fresh;
}

Status VmMemory::grant(VmId importer, std::uint32_t flags, std::span<const MemRange> ranges) {
    auto held = lock();
    if (closed_) return Error::make(Errc::closed, "the memory was closed");
    std::vector<std::shared_ptr<sys::Fd>> objects(ranges.size());
    // Where an object is behind some of it already it stays, or the grant is refused.
    for (std::size_t i = 0; !overlapping(ranges) && i < objects.size(); ++i) {
        if (given_.stale(ranges[i]))
            return Error::make(Errc::busy, "a deny of these pages failed half way: repeat it");
        if (!given_.held_besides(0, ranges[i])) objects[i] = HYPLINK_TRY(renew(ranges[i]));
    }
    HYPLINK_TRY(ask_ranges(Sys::mem_grant, importer, flags, ranges, objects));
    given_.add(importer, flags & hyp::kGrantRights, ranges);
    return {};
}

Status VmMemory::deny(VmId importer, std::uint32_t flags, std::span<const MemRange> wanted) {
    auto held = lock();
    if (closed_) return Error::make(Errc::closed, "the memory was closed");
    // The pages move on before the hypervisor empties what the importer has. If nothing of the kind
    // was granted they must not: others would be left with what is behind them now.
    const std::uint32_t rights = flags & hyp::kGrantRights;
    const bool known =
        !overlapping(wanted) && std::all_of(wanted.begin(), wanted.end(), [&](MemRange range) {
            return given_.covers(importer, rights, range);
        });
    const std::vector<MemRange> ranges =
        known ? given_.cut(importer, wanted) : std::vector<MemRange>(wanted.begin(), wanted.end());
    std::vector<bool> kept(known ? ranges.size() : 0);  // by somebody else
    for (std::size_t i = 0; i < kept.size(); ++i)
        kept[i] = given_.held_besides(importer, ranges[i]);
    const bool all_kept = std::find(kept.begin(), kept.end(), false) == kept.end();
    if (known && all_kept && (rights & hyp::kGrantWrite) != 0) {
        Status moved = deny_moving(importer, flags, ranges);
        if (moved)
            for (const MemRange& range : ranges) given_.take_out(importer, range);
        if (moved.code() != Errc::would_block) return moved;
    }
    // Whoever keeps the pages must neither write to the old ones any more when they are copied, nor
    // see them emptied. A seeded bench cannot have threads that wait in a page fault; there the
    // pages stay where they are and the importer is told, which is all its level promises.
    const bool moves = !application_->runtime().seeded();
    const bool hold = moves && std::find(kept.begin(), kept.end(), true) != kept.end();
    bool denied = false;
    auto release = [this, hold, &denied](void*) {
        SysRequest request;
        request.op = Sys::mem_release;
        if (hold && !denied) (void)ask(std::move(request), Signals::deferred);
    };
    const std::unique_ptr<void, decltype(release)> undo(this, release);
    if (hold)
        HYPLINK_TRY(ask_ranges(Sys::mem_hold, importer, flags, ranges, {}, Signals::deferred));
    std::vector<std::shared_ptr<sys::Fd>> objects(kept.size());
    for (std::size_t i = 0; i < objects.size(); ++i) {
        if (kept[i] && !moves) continue;
        auto fresh = HYPLINK_TRY(renew(ranges[i]));
        if (kept[i]) objects[i] = fresh;
        given_.mark_stale(ranges[i], true);
    }
    HYPLINK_TRY(ask_ranges(Sys::mem_deny, importer, flags, ranges, objects,
                           hold ? Signals::deferred : Signals::heard));
    denied = true;
    for (const MemRange& range : ranges) {
        given_.take_out(importer, range);
        given_.mark_stale(range, false);
    }
    return {};
}

/// The hypervisor moves the pages into new objects, from under all who keep them; this application
/// watches its own meanwhile. Errors: would_block (ask those who keep them to hold).
Status VmMemory::deny_moving(VmId importer, std::uint32_t flags, std::span<const MemRange> ranges) {
    if (application_->runtime().seeded()) return Errc::would_block;
    if (!guard_) {
        auto made = sys::AccessHolder::make();
        if (!made) return Errc::would_block;
        guard_ = *std::move(made);
    }
    // After a deny that failed half way other pages than the hypervisor's are behind these.
    if (std::any_of(ranges.begin(), ranges.end(),
                    [&](MemRange range) { return given_.stale(range); }))
        return Errc::would_block;
    std::vector<std::shared_ptr<sys::Fd>> objects;
    for (const MemRange& range : ranges)
        objects.push_back(std::make_shared<sys::Fd>(HYPLINK_TRY(
            sys::make_open_memfd("hyplink-owned", static_cast<std::size_t>(range.bytes)))));
    std::size_t watched = 0;
    Status done;
    while (done && watched < ranges.size()) {
        const MemRange& range = ranges[watched];
        done = guard_->watch(place(range), static_cast<std::size_t>(range.bytes));
        if (done) ++watched;
    }
    if (done)
        done = ask_ranges(Sys::mem_deny, importer, flags | hyp::kDenyMoves, ranges, objects,
                          Signals::deferred);
    Status failed;
    for (std::size_t i = 0; i < watched; ++i) {
        const auto bytes = static_cast<std::size_t>(ranges[i].bytes);
        if (!done) {
            guard_->release(place(ranges[i]), bytes);
            continue;
        }
        Status shown = Errc::no_memory;
        for (int attempt = 0; !shown && attempt < 3; ++attempt)
            shown = sys::map_over(place(ranges[i]), bytes, objects[i]->get());
        if (!shown) {  // what was in them is kept, though not shared any more
            guard_->release(place(ranges[i]), bytes);
            (void)sys::read_at(objects[i]->get(), std::span(place(ranges[i]), bytes), 0);
            given_.mark_stale(ranges[i], true);
            failed = std::move(shown);
        } else {
            objects_.put(ranges[i]);
        }
        guard_->replaced(place(ranges[i]), bytes);
    }
    if (!done) return done;
    return failed;
}

Status VmMemory::verify(VmId exporter, std::uint32_t flags, std::span<const MemRange> ranges) {
    HYPLINK_TRY(ask_ranges(Sys::mem_verify, exporter, flags, ranges));
    return {};
}

}  // namespace hyplink::app
