#include "hyplink/app/memory/vm_memory.hpp"

#include <algorithm>
#include <array>
#include <cstring>

#include "hyplink/base/text.hpp"
#include "hyplink/mem/address.hpp"
#include "hyplink/mem/owned.hpp"
#include "hyplink/sys/memfd.hpp"

namespace hyplink::app {

using guest::Sys;
using guest::SysReply;
using guest::SysRequest;
using hyp::MemCall;
using hyp::MemRange;

namespace {
/// A piece as it travels.
struct Piece {
    std::uint64_t at = 0;
    std::uint64_t bytes = 0;
    std::uint64_t offset = 0;
};
}  // namespace

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
        blocks_.clear();
        given_.clear();
    }
    if (handle_ != 0) {
        application_->set_listener({});
        SysRequest request;
        request.op = Sys::close;
        request.handle = handle_;
        (void)application_->call(std::move(request), Deadline::never());
    }
    forget_windows();
}

std::unique_lock<std::mutex> VmMemory::lock() {
    std::unique_lock held(mutex_, std::defer_lock);
    Runtime& runtime = application_->runtime();
    if (!runtime.seeded()) {
        held.lock();
    } else {
        while (!held.try_lock()) runtime.switch_point(SwitchPoint::wait);
    }
    return held;
}

Result<SysReply> VmMemory::ask(SysRequest request, Signals signals) {
    request.handle = handle_;
    return application_->call(std::move(request), Deadline::never(), signals);
}

Result<SysReply> VmMemory::ask_ranges(Sys op, VmId vm, std::uint32_t flags,
                                      std::span<const MemRange> ranges,
                                      std::vector<std::shared_ptr<sys::Fd>> objects,
                                      Signals signals) {
    if (ranges.empty() || ranges.size() > MemCall::kMaxRanges)
        return Error::make(Errc::bad_argument,
                           text(ranges.size(), " regions: expected 1..", MemCall::kMaxRanges));
    SysRequest request;
    request.op = op;
    request.args[0] = vm;
    request.args[1] = flags;
    for (std::size_t i = 0; i < objects.size(); ++i) {
        if (!objects[i]) continue;
        request.args[2] |= std::uint64_t{1} << i;
        request.fds.push_back(std::move(objects[i]));
    }
    request.data.assign(reinterpret_cast<const char*>(ranges.data()), ranges.size_bytes());
    return ask(std::move(request), signals);
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
    SysRequest request;
    request.op = Sys::mem_free;
    request.args[0] = block->at();
    HYPLINK_TRY(ask(std::move(request)));
    for (auto& [vm, given] : given_) take_out(given, {block->at(), block->size()});
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

/// A fresh object behind the pages. Null for a range the hypervisor is going to refuse.
Result<std::shared_ptr<sys::Fd>> VmMemory::renew(MemRange range) {
    const std::size_t page = sys::page_size();
    std::byte* at = place(range);
    if (at == nullptr || range.bytes == 0 || range.at % page != 0 || range.bytes % page != 0)
        return std::shared_ptr<sys::Fd>();
    if (!freezer_) freezer_ = HYPLINK_TRY(sys::WriteFreezer::make());
    return std::make_shared<sys::Fd>(
        HYPLINK_TRY(mem::migrate(freezer_.get(), at, static_cast<std::size_t>(range.bytes))));
}

VmMemory::GivenTo::iterator VmMemory::first_at(GivenTo& given, std::uint64_t at) {
    auto next = given.upper_bound(at);
    if (next != given.begin()) {
        auto before = std::prev(next);
        if (before->first + before->second.bytes > at) return before;
    }
    return next;
}

bool VmMemory::holds(GivenTo& given, MemRange range) {
    const auto found = first_at(given, range.at);
    return found != given.end() && found->first < range.at + range.bytes;
}

void VmMemory::take_out(GivenTo& given, MemRange range) {
    const std::uint64_t end = range.at + range.bytes;
    for (auto at = first_at(given, range.at); at != given.end() && at->first < end;) {
        const std::uint64_t low = at->first;
        const Given whole = at->second;
        at = given.erase(at);
        if (low < range.at) given.emplace(low, Given{range.at - low, whole.rights, whole.stale});
        if (low + whole.bytes > end)
            at =
                given.emplace(end, Given{low + whole.bytes - end, whole.rights, whole.stale}).first;
    }
}

Status VmMemory::grant(VmId importer, std::uint32_t flags, std::span<const MemRange> ranges) {
    auto held = lock();
    if (closed_) return Error::make(Errc::closed, "the memory was closed");
    std::vector<std::shared_ptr<sys::Fd>> objects(std::min(ranges.size(), MemCall::kMaxRanges));
    for (std::size_t i = 0; i < objects.size(); ++i) {
        bool shared = false;  // an object is behind some of it: it stays, or the grant is refused
        for (auto& [vm, given] : given_) {
            const auto found = first_at(given, ranges[i].at);
            if (found == given.end() || found->first >= ranges[i].at + ranges[i].bytes) continue;
            if (found->second.stale)
                return Error::make(Errc::busy, "a deny of these pages failed half way: repeat it");
            shared = true;
        }
        for (std::size_t k = 0; k < i; ++k) shared = shared || ranges[k].at == ranges[i].at;
        if (!shared) objects[i] = HYPLINK_TRY(renew(ranges[i]));
    }
    HYPLINK_TRY(ask_ranges(Sys::mem_grant, importer, flags, ranges, std::move(objects)));
    for (const MemRange& range : ranges)
        given_[importer].emplace(range.at, Given{range.bytes, flags & hyp::kGrantRights, false});
    return {};
}

Status VmMemory::deny(VmId importer, std::uint32_t flags, std::span<const MemRange> ranges) {
    auto held = lock();
    if (closed_) return Error::make(Errc::closed, "the memory was closed");
    // The pages move on before the hypervisor empties what the importer has. If nothing of the kind
    // was granted they must not: others would be left with what is behind them now.
    GivenTo& own = given_[importer];
    bool known = ranges.size() <= MemCall::kMaxRanges;
    for (std::size_t i = 0; known && i < ranges.size(); ++i) {
        const std::uint64_t end = ranges[i].at + ranges[i].bytes;
        std::uint64_t next = ranges[i].at;
        for (auto at = first_at(own, next); next < end; ++at) {
            known = at != own.end() && at->first <= next &&
                    at->second.rights == (flags & hyp::kGrantRights);
            if (!known) break;  // there is nothing behind the end
            next = at->first + at->second.bytes;
        }
        known = known && ranges[i].bytes != 0 && end > ranges[i].at &&
                ranges[i].bytes % sys::page_size() == 0 && ranges[i].at % sys::page_size() == 0;
        for (std::size_t k = 0; k < i; ++k)
            known =
                known && (end <= ranges[k].at || ranges[k].at + ranges[k].bytes <= ranges[i].at);
    }
    std::vector<bool> kept(known ? ranges.size() : 0);  // by somebody else
    for (auto& [vm, given] : given_)
        for (std::size_t i = 0; vm != importer && i < kept.size(); ++i)
            kept[i] = kept[i] || holds(given, ranges[i]);
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
    std::vector<std::shared_ptr<sys::Fd>> objects(known ? ranges.size() : 0);
    for (std::size_t i = 0; i < objects.size(); ++i) {
        if (kept[i] && !moves) continue;
        auto fresh = HYPLINK_TRY(renew(ranges[i]));
        if (kept[i]) objects[i] = fresh;
        for (auto& [vm, given] : given_)
            for (auto at = first_at(given, ranges[i].at);
                 at != given.end() && at->first < ranges[i].at + ranges[i].bytes; ++at)
                at->second.stale = true;
    }
    HYPLINK_TRY(ask_ranges(Sys::mem_deny, importer, flags, ranges, std::move(objects),
                           hold ? Signals::deferred : Signals::heard));
    denied = true;
    for (const MemRange& range : ranges) {
        take_out(own, range);
        for (auto& [vm, given] : given_)
            for (auto at = first_at(given, range.at);
                 at != given.end() && at->first < range.at + range.bytes; ++at)
                at->second.stale = false;
    }
    return {};
}

Status VmMemory::verify(VmId exporter, std::uint32_t flags, std::span<const MemRange> ranges) {
    HYPLINK_TRY(ask_ranges(Sys::mem_verify, exporter, flags, ranges));
    return {};
}

// --- windows -------------------------------------------------------------------------------------

Result<std::shared_ptr<VmMemory::Window>> VmMemory::map(MemRange range, bool writable) {
    if (range.bytes == 0 || range.bytes % sys::page_size() != 0 ||
        range.bytes > (std::uint64_t{1} << 40))
        return Error::make(Errc::bad_argument,
                           text("map ", range.bytes, " bytes: expected whole pages"));
    auto window = std::make_shared<Window>();
    window->mapping_ = HYPLINK_TRY(sys::Mapping::anonymous(static_cast<std::size_t>(range.bytes)));
    window->range_ = range;
    window->writable_ = writable;
    {
        std::lock_guard held(windows_mutex_);
        ++mapping_now_;
    }
    auto body = [&]() -> Status {
        for (std::uint64_t next = range.at; next < range.at + range.bytes;) {
            SysRequest request;
            request.op = Sys::mem_map;
            request.args[0] = next;
            request.args[1] = range.at + range.bytes - next;
            request.args[2] = writable ? 1 : 0;
            request.args[3] = window->id_;
            SysReply reply = HYPLINK_TRY(ask(std::move(request)));
            window->id_ = static_cast<std::uint32_t>(reply.values[0]);
            HYPLINK_TRY(show(*window, reply));
            Piece last;
            std::memcpy(&last, reply.data.data() + reply.data.size() - sizeof last, sizeof last);
            next = last.at + last.bytes;
        }
        return {};
    };
    Status done = body();
    {
        std::lock_guard held(windows_mutex_);
        --mapping_now_;
        if (done) windows_.emplace(window->id_, window);
        // What was said before the kernel's answer had arrived here is true by now, too.
        for (const SysReply& word : early_) {
            if (!done) break;
            if (word.values[0] == window->id_) (void)show(*window, word);
            if (word.values[0] == 0) hold(*window, word);
        }
        std::erase_if(early_, [&](const SysReply& word) { return word.values[0] == window->id_; });
        if (mapping_now_ == 0) early_.clear();
    }
    if (!done && window->id_ != 0) {
        SysRequest request;
        request.op = Sys::mem_unmap;
        request.args[0] = window->id_;
        (void)ask(std::move(request));
    }
    if (!done) return std::move(done).error();
    return window;
}

/// Put the pieces of a reply in their places.
Status VmMemory::show(Window& window, const SysReply& reply) {
    if (reply.data.empty() || reply.data.size() % sizeof(Piece) != 0) return Errc::protocol;
    std::size_t next = 0;
    for (std::size_t i = 0; i < reply.data.size(); i += sizeof(Piece)) {
        Piece piece;
        std::memcpy(&piece, reply.data.data() + i, sizeof piece);
        const std::uint64_t offset = piece.at - window.range_.at;
        if (!mem::fits(offset, piece.bytes, window.range_.bytes)) return Errc::protocol;
        std::byte* at = window.mapping_.data() + offset;
        const auto bytes = static_cast<std::size_t>(piece.bytes);
        if (piece.offset == guest::kTakenBack) {
            HYPLINK_TRY(sys::map_zeroes_over(at, bytes, window.writable_));
            window.revoked_.fetch_add(piece.bytes, std::memory_order_release);
        } else {
            if (next >= reply.fds.size()) return Errc::protocol;
            HYPLINK_TRY(sys::map_over(at, bytes, reply.fds[next++]->get(),
                                      static_cast<std::size_t>(piece.offset), window.writable_));
        }
        if (holder_) holder_->replaced(at, bytes);
    }
    return {};
}

/// The ranges of a word that lie in a window are held back from, or let go. Where the window shows
/// zeroes there is nothing to hold; a machine that cannot hold shows the emptied pages for a
/// moment.
void VmMemory::hold(Window& window, const SysReply& word) {
    const bool begin = word.values[2] != 0;
    if (!holder_ && begin) {
        auto made = sys::AccessHolder::make();
        if (made) holder_ = *std::move(made);
    }
    if (!holder_) return;
    for (std::size_t i = 0; i + sizeof(MemRange) <= word.data.size(); i += sizeof(MemRange)) {
        MemRange range;
        std::memcpy(&range, word.data.data() + i, sizeof range);
        const std::uint64_t low = std::max(range.at, window.range_.at);
        const std::uint64_t high =
            std::min(range.at + range.bytes, window.range_.at + window.range_.bytes);
        if (low >= high) continue;
        std::byte* at = window.mapping_.data() + (low - window.range_.at);
        if (begin)
            (void)holder_->hold(at, static_cast<std::size_t>(high - low));
        else
            holder_->release(at, static_cast<std::size_t>(high - low));
    }
}

std::optional<SysRequest> VmMemory::on_word(SysReply&& word) {
    if (word.code != Errc::ok) {
        forget_windows();
        return {};
    }
    std::shared_ptr<Window> window;
    {
        std::lock_guard held(windows_mutex_);
        if (word.values[0] == 0) {
            for (const auto& [id, shown] : windows_) hold(*shown, word);
            std::optional<SysRequest> said;
            if (word.values[2] != 0) {
                said.emplace();
                said->op = Sys::mem_held;
                said->handle = handle_;
                said->args[0] = word.values[1];
            }
            // Nobody can touch a window that is not there yet: it holds when it is.
            if (mapping_now_ != 0) early_.push_back(std::move(word));
            return said;
        }
        const auto found = windows_.find(static_cast<std::uint32_t>(word.values[0]));
        if (found == windows_.end()) {
            if (mapping_now_ != 0) early_.push_back(std::move(word));
            return {};
        }
        window = found->second;
        (void)show(*window, word);  // what cannot be mapped anew shows the emptied object
        if (!word.fds.empty()) window->remapped_.fetch_add(1, std::memory_order_release);
    }
    ring(application_->runtime(), window->changed_);
    return {};
}

/// The VM has ended, or this application has: what it mapped is unmapped.
void VmMemory::forget_windows() {
    std::lock_guard held(windows_mutex_);
    for (const auto& [id, window] : windows_) {
        (void)sys::map_zeroes_over(window->mapping_.data(), window->size(), window->writable_);
        if (holder_) holder_->replaced(window->mapping_.data(), window->size());
        window->revoked_.store(window->size(), std::memory_order_release);
        ring(application_->runtime(), window->changed_);
    }
    windows_.clear();
    early_.clear();
}

Status VmMemory::unmap(const std::shared_ptr<Window>& window) {
    {
        std::lock_guard held(windows_mutex_);
        if (windows_.erase(window->id_) == 0)
            return Error::make(Errc::closed, "the window is closed");
        // Its views may outlive it, and nobody tells them to go on.
        if (holder_) holder_->release(window->mapping_.data(), window->size());
    }
    SysRequest request;
    request.op = Sys::mem_unmap;
    request.args[0] = window->id_;
    HYPLINK_TRY(ask(std::move(request)));
    return {};
}

Status VmMemory::wait_revoked(Window& window, Deadline deadline) {
    for (;;) {
        const std::uint32_t seen = bell_seen(window.changed_);
        if (window.revoked() != 0) return {};
        const BellWait wait{&window.changed_, seen};
        const Errc outcome = application_->runtime().wait(std::span(&wait, 1), deadline);
        if (outcome != Errc::ok) return Status(outcome);
    }
}

}  // namespace hyplink::app
