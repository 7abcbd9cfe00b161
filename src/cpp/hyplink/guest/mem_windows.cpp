/// What applications hear of pages that others took, or are about to take.
#include <algorithm>
#include <cstring>

#include "hyplink/guest/mem_handle.hpp"

namespace hyplink::guest {
namespace {
constexpr std::size_t kMaxHolds = 1024;  // not answered
}

void MemDriver::on_windows(std::span<const hyp::MemRange> changed) {
    std::set<hyp::MemRange> ranges = std::exchange(unshown_, {});
    ranges.insert(changed.begin(), changed.end());
    for (const hyp::MemRange& range : ranges) show(range);
    release_late();
    look_again();
}

void MemDriver::look_again() {
    for (Later& later : std::exchange(later_, {}))
        answer_or_wait(later.pending, *later.handle, later.request);
}

/// Every application that has some of it in a window hears what is there now.
void MemDriver::show(const hyp::MemRange& range) {
    for (MemHandle* handle : open_)
        for (const auto& [id, window] : handle->windows)
            if (overlap(window.range, range)) show(*handle, id, window, range);
}

void MemDriver::show(MemHandle& handle, std::uint32_t id, const Window& window,
                     hyp::MemRange range) {
    std::uint64_t next = std::max(window.range.at, range.at);
    const std::uint64_t end =
        std::min(window.range.at + window.range.bytes, range.at + range.bytes);
    while (next < end) {
        if (kernel_->congested(handle.app)) {
            auto [untold, fresh] = handle.untold.try_emplace(id, hyp::MemRange{next, end - next});
            if (!fresh) {
                hyp::MemRange& all = untold->second;
                const std::uint64_t last = std::max(all.at + all.bytes, end);
                all.at = std::min(all.at, next);
                all.bytes = last - all.at;
            }
            return;
        }
        SysReply word;
        word.values[0] = id;
        // More may have changed than the event said: what is granted of it now is what counts.
        const std::uint64_t bytes = end - next;
        const auto pieces =
            kernel_->hypercalls().mem_map({next, bytes}, window.writable, hyp::Show::partly);
        if (!pieces && pieces.code() == Errc::would_block) {
            unshown_.insert({next, end - next});
            return;
        }
        if (!pieces || pieces->empty()) {
            put(word.data, {next, bytes, kTakenBack, 0});
            next += bytes;
        } else {
            for (const hyp::WindowPiece& piece : *pieces) {
                put(word.data, {piece.range.at, piece.range.bytes,
                                piece.fd ? piece.offset : kTakenBack, piece.generation});
                if (piece.fd) word.fds.push_back(piece.fd);
                next = piece.range.at + piece.range.bytes;
            }
        }
        kernel_->tell(handle.app, std::move(word));
    }
}

void MemDriver::on_ready(AppId app) {
    for (MemHandle* handle : open_) {
        if (handle->app != app) continue;
        const auto untold = std::exchange(handle->untold, {});
        for (const auto& [id, range] : untold)
            if (const auto window = handle->windows.find(id); window != handle->windows.end())
                show(*handle, id, window->second, range);
    }
    release_late();
    look_again();
}

bool MemDriver::outdated(const MemHandle& handle, const hyp::MemRange& range) const {
    return std::any_of(unshown_.begin(), unshown_.end(),
                       [&](const hyp::MemRange& unshown) { return overlap(unshown, range); }) ||
           std::any_of(handle.untold.begin(), handle.untold.end(),
                       [&](const auto& untold) { return overlap(untold.second, range); });
}

/// Only where one window shows them: who has several would have to be asked about each.
Status MemDriver::watched(MemHandle& handle, const SysRequest& request) {
    struct Watched {
        std::uint64_t at, bytes, generation;
    };
    const auto window = handle.windows.find(static_cast<std::uint32_t>(request.args[0]));
    if (window == handle.windows.end() || request.data.size() % sizeof(Watched) != 0)
        return Error::make(Errc::bad_argument, "no such window, or not triples");
    for (std::size_t i = 0; i < request.data.size(); i += sizeof(Watched)) {
        Watched one;
        std::memcpy(&one, request.data.data() + i, sizeof one);
        const hyp::MemRange range{one.at, one.bytes};
        if (one.generation > 0xffffffffU || range.at < window->second.range.at ||
            !mem::fits(range.at - window->second.range.at, range.bytes, window->second.range.bytes))
            return Error::make(Errc::bad_argument, "the window does not show that");
        std::size_t shown = 0;
        for (const MemHandle* other : open_)
            shown += static_cast<std::size_t>(std::count_if(
                other->windows.begin(), other->windows.end(),
                [&](const auto& entry) { return overlap(entry.second.range, range); }));
        if (shown == 1)
            HYPLINK_TRY(
                kernel_->hypercalls().mem_watch(range, static_cast<std::uint32_t>(one.generation)));
    }
    return {};
}

void MemDriver::tell_hold(const MemHandle& handle, std::uint32_t id, bool begin,
                          std::span<const hyp::MemRange> ranges) {
    if (ranges.empty()) return;
    SysReply word;
    word.values[1] = id;
    word.values[2] = begin ? 1 : 0;
    for (const hyp::MemRange& range : ranges) {
        put(word.data, range.at);
        put(word.data, range.bytes);
    }
    kernel_->tell(handle.app, std::move(word));
}

void MemDriver::release(MemHandle& handle, std::span<const hyp::MemRange> ranges) {
    std::vector<hyp::MemRange> now;
    for (const hyp::MemRange& range : ranges)
        if (outdated(handle, range))
            handle.to_release.insert(range);
        else
            now.push_back(range);
    if (handle.to_release.size() > kMaxHolds) {
        const std::uint64_t low = handle.to_release.begin()->at;
        std::uint64_t high = low;
        for (const hyp::MemRange& range : handle.to_release)
            high = std::max(high, range.at + range.bytes);
        handle.to_release = {{low, high - low}};
    }
    tell_hold(handle, 0, false, now);
}

void MemDriver::release_late() {
    for (MemHandle* handle : open_) {
        const auto late = std::exchange(handle->to_release, {});
        release(*handle, std::vector<hyp::MemRange>(late.begin(), late.end()));
    }
}

void MemDriver::on_hold(const hyp::HoldEvent& event) {
    std::set<MemHandle*> told;
    for (MemHandle* handle : open_) {
        const bool mapped =
            std::any_of(handle->windows.begin(), handle->windows.end(), [&](const auto& entry) {
                return std::any_of(
                    event.ranges.begin(), event.ranges.end(),
                    [&](const hyp::MemRange& range) { return overlap(entry.second.range, range); });
            });
        if (!mapped) continue;
        told.insert(handle);
        event.begin ? tell_hold(*handle, event.id, true, event.ranges)
                    : release(*handle, event.ranges);
    }
    if (!event.begin) {
        told_.erase(event.id);
    } else if (told.empty()) {
        (void)kernel_->hypercalls().mem_held(event.id);
    } else {
        told_[event.id] = std::move(told);
        while (told_.size() > kMaxHolds) told_.erase(told_.begin());  // over long ago
    }
}

void MemDriver::held(std::uint32_t hold, MemHandle& handle) {
    const auto found = told_.find(hold);
    if (found == told_.end() || found->second.erase(&handle) == 0 || !found->second.empty()) return;
    told_.erase(found);
    (void)kernel_->hypercalls().mem_held(hold);
}

void MemDriver::hold(Pending pending, const hyp::MemCall& call) {
    auto asked = kernel_->hypercalls().mem_hold(call);
    if (!asked) return kernel_->fail(pending, asked.code(), asked.error().text());
    if (*asked == 0) return kernel_->answer(pending, SysReply{});
    asked_[*asked] = pending;
    kernel_->wait(pending, [this, id = *asked] { asked_.erase(id); });
}

void MemDriver::on_held(std::uint32_t hold) {
    const auto found = asked_.find(hold);
    if (found == asked_.end()) return;
    const Pending pending = found->second;
    asked_.erase(found);
    kernel_->answer(pending, SysReply{});
}

}  // namespace hyplink::guest
