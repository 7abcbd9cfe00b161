/// Windows of an application on memory that other VMs granted.
#include <algorithm>
#include <cstring>

#include "hyplink/app/memory/vm_memory.hpp"
#include "hyplink/base/text.hpp"
#include "hyplink/mem/address.hpp"
#include "hyplink/sys/memfd.hpp"

namespace hyplink::app {

using guest::Sys;
using guest::SysReply;
using guest::SysRequest;
using hyp::MemRange;

using Piece = guest::MemPiece;

Result<std::shared_ptr<VmMemory::Window>> VmMemory::map(MemRange range, bool writable,
                                                        Taken taken) {
    if (range.bytes == 0 || range.bytes % sys::page_size() != 0 ||
        range.bytes > (std::uint64_t{1} << 40))
        return Error::make(Errc::bad_argument,
                           text("map ", range.bytes, " bytes: expected whole pages"));
    auto window = std::make_shared<Window>();
    window->mapping_ = HYPLINK_TRY(sys::Mapping::anonymous(static_cast<std::size_t>(range.bytes)));
    window->range_ = range;
    window->writable_ = writable;
    window->taken_ = taken;
    std::call_once(prepared_, [this] { prepare_windows(); });
    std::string watched;
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
            {
                std::lock_guard held(windows_mutex_);
                HYPLINK_TRY(show(*window, reply, watched));
            }
            Piece last{};
            std::memcpy(&last, reply.data.data() + reply.data.size() - sizeof last, sizeof last);
            next = last.at + last.bytes;
        }
        return {};
    };
    Status done = body();
    std::vector<std::uint32_t> asked;
    {
        std::lock_guard held(windows_mutex_);
        --mapping_now_;
        if (done) windows_.emplace(window->id_, window);
        // What was said before the kernel's answer had arrived here is true by now, too.
        for (const SysReply& word : early_) {
            if (!done) break;
            if (word.values[0] == window->id_) (void)show(*window, word, watched);
            if (word.values[0] == 0 && hold(*window, word)) asked.push_back(window->id_);
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
    say_watched(*window, watched);
    for (const std::uint32_t id : asked) ask_to_show(id);
    return window;
}

Status VmMemory::take_away(Window& window, MemRange range) {
    std::byte* at = window.mapping_.data() + (range.at - window.range_.at);
    const auto bytes = static_cast<std::size_t>(range.bytes);
    HYPLINK_TRY(window.taken_ == Taken::zeroes
                    ? sys::map_zeroes_over(at, bytes, window.writable_)
                    : sys::map_nothing_over(at, bytes, window.writable_));
    window.lost_.put(range);
    window.held_.take(range);
    return {};
}

/// Put the pieces of a reply in their places. A piece that cannot be mapped is lost to the window.
Status VmMemory::show(Window& window, const SysReply& reply, std::string& watched) {
    if (reply.data.empty() || reply.data.size() % sizeof(Piece) != 0) return Errc::protocol;
    std::size_t next = 0;
    Status all;
    for (std::size_t i = 0; i < reply.data.size(); i += sizeof(Piece)) {
        Piece piece{};
        std::memcpy(&piece, reply.data.data() + i, sizeof piece);
        const std::uint64_t offset = piece.at - window.range_.at;
        if (!mem::fits(offset, piece.bytes, window.range_.bytes)) return Errc::protocol;
        std::byte* at = window.mapping_.data() + offset;
        const auto bytes = static_cast<std::size_t>(piece.bytes);
        const bool taken = piece.offset == guest::kTakenBack;
        if (!taken && next >= reply.fds.size()) return Errc::protocol;
        Status shown = Errc::no_memory;
        for (int attempt = 0; !shown && attempt < 3; ++attempt)
            shown = taken ? take_away(window, {piece.at, piece.bytes})
                          : sys::map_over(at, bytes, reply.fds[next]->get(),
                                          static_cast<std::size_t>(piece.offset), window.writable_);
        if (!taken) ++next;
        window.held_.take({piece.at, piece.bytes});
        if (!shown || taken)
            window.lost_.put({piece.at, piece.bytes});
        else
            window.lost_.take({piece.at, piece.bytes});
        if (shown && piece.generation != 0 && watch(at, bytes))
            for (const std::uint64_t word : {piece.at, piece.bytes, piece.generation})
                watched.append(reinterpret_cast<const char*>(&word), sizeof word);
        window.changes_ += 1;
        window.revoked_.store(window.lost_.bytes(), std::memory_order_release);
        met_.erase(met_.lower_bound(at), met_.lower_bound(at + bytes));
        if (holder_) shown ? holder_->replaced(at, bytes) : holder_->release(at, bytes);
        if (!shown) all = std::move(shown);
    }
    return all;
}

/// The ranges of a word that lie in a window are held back from, or let go. Where the window shows
/// zeroes there is nothing to hold; a machine that cannot hold shows the emptied pages for a
/// moment.
/// Whoever watches lets nobody go into pages that may be moved: it has them shown again.
bool VmMemory::hold(Window& window, const SysReply& word) {
    const bool begin = word.values[2] != 0;
    bool ask = false;
    if (!holder_) return ask;
    for (std::size_t i = 0; i + sizeof(MemRange) <= word.data.size(); i += sizeof(MemRange)) {
        MemRange range;
        std::memcpy(&range, word.data.data() + i, sizeof range);
        const std::uint64_t low = std::max(range.at, window.range_.at);
        const std::uint64_t high =
            std::min(range.at + range.bytes, window.range_.at + window.range_.bytes);
        if (low >= high) continue;
        auto place = [&window](MemRange part) {
            return window.mapping_.data() + (part.at - window.range_.at);
        };
        const MemRange held{low, high - low};
        if (begin) {
            if (holder_->hold(place(held), static_cast<std::size_t>(held.bytes)))
                window.held_.put(held);
            continue;
        }
        for (const MemRange& part : window.held_.of(held)) {
            ask = ask || watches_;
            if (!watches_) holder_->release(place(part), static_cast<std::size_t>(part.bytes));
        }
        if (!ask) window.held_.take(held);
    }
    return ask;
}

std::optional<SysRequest> VmMemory::on_word(SysReply&& word) {
    if (word.code != Errc::ok) {
        forget_windows();
        return {};
    }
    std::shared_ptr<Window> window;
    std::string watched;
    {
        std::lock_guard held(windows_mutex_);
        if (word.values[0] == 0) {
            for (const auto& [id, shown] : windows_)
                if (hold(*shown, word)) ask_to_show(id);
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
        (void)show(*window, word, watched);
        if (!word.fds.empty()) window->remapped_.fetch_add(1, std::memory_order_release);
    }
    ring(application_->runtime(), window->changed_);
    if (watched.empty()) return {};
    return watched_request(*window, watched);
}

/// The VM has ended, or this application has: what it mapped is unmapped.
void VmMemory::forget_windows() {
    std::lock_guard held(windows_mutex_);
    for (const auto& [id, window] : windows_) {
        (void)take_away(*window, window->range_);
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
    ring(application_->runtime(), window->changed_);
    SysRequest request;
    request.op = Sys::mem_unmap;
    request.args[0] = window->id_;
    HYPLINK_TRY(ask(std::move(request)));
    return {};
}

Result<std::uint64_t> VmMemory::changes(Window& window, MemRange range) {
    std::lock_guard held(windows_mutex_);
    // Lost first: where the VM has gone, nothing is open any more.
    if (window.lost_.any(range))
        return Error::make(Errc::revoked, text(range.bytes, " bytes at 0x", std::hex, range.at,
                                               ": some of it was taken back"));
    if (!windows_.contains(window.id_)) return Error::make(Errc::closed, "the window is closed");
    return window.changes_;
}

Status VmMemory::check(Window& window, std::uint64_t offset, std::uint64_t bytes) {
    if (bytes == 0 || !mem::fits(offset, bytes, window.size()))
        return Error::make(Errc::bad_argument,
                           text(bytes, " bytes at ", offset, " of a window of ", window.size()));
    const std::uint64_t page = sys::page_size();
    MemRange range;
    range.at = window.range_.at + offset / page * page;
    range.bytes = mem::round_up(window.range_.at + offset + bytes - range.at, page);
    HYPLINK_TRY(changes(window, range));
    SysRequest request;
    request.op = Sys::mem_check;
    request.args[0] = window.id_;
    request.args[1] = range.at;
    request.args[2] = range.bytes;
    auto answer = ask(std::move(request));
    // Whatever there was before the answer was said before it.
    HYPLINK_TRY(changes(window, range));
    if (!answer && answer.code() == Errc::access_denied)
        return Error::make(Errc::revoked, answer.error().text());
    if (!answer) return std::move(answer).error();
    return {};
}

Status VmMemory::read(Window& window, std::uint64_t offset, std::span<std::byte> into) {
    if (!mem::fits(offset, into.size(), window.size()))
        return Error::make(Errc::bad_argument, text(into.size(), " bytes at ", offset,
                                                    " of a window of ", window.size()));
    if (window.taken_ == Taken::signal)
        return Error::make(Errc::bad_argument, "read: the window was mapped to raise a signal");
    const MemRange range{window.range_.at + offset, into.size()};
    for (int turn = 0; turn < 16 && !into.empty(); ++turn) {
        const std::uint64_t before = HYPLINK_TRY(changes(window, range));
        std::memcpy(into.data(), window.data() + offset, into.size());
        HYPLINK_TRY(check(window, offset, into.size()));
        if (HYPLINK_TRY(changes(window, range)) == before) return {};
    }
    if (into.empty()) return {};
    return Error::make(Errc::busy, "the pages are taken from others all the time: try again");
}

Status VmMemory::wait_revoked(Window& window, Deadline deadline) {
    for (bool waited = false;; waited = true) {
        const std::uint32_t seen = bell_seen(window.changed_);
        if (window.revoked() != 0) return {};
        {
            std::lock_guard held(windows_mutex_);
            if (window.revoked() == 0 && !windows_.contains(window.id_))
                return Error::make(waited ? Errc::cancelled : Errc::closed, "the window is closed");
        }
        const BellWait wait{&window.changed_, seen};
        const Errc outcome = application_->runtime().wait(std::span(&wait, 1), deadline);
        if (outcome != Errc::ok) return Status(outcome);
    }
}

}  // namespace hyplink::app
