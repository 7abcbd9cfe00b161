#include "hyplink/guest/mem_driver.hpp"

#include <algorithm>
#include <bit>
#include <cstring>
#include <utility>

#include "hyplink/base/text.hpp"

namespace hyplink::guest {
namespace {

constexpr std::size_t kMaxWindows = 4096;  // of one application
constexpr std::size_t kMaxHolds = 1024;    // not answered

void put(std::string& data, std::uint64_t value) {
    data.append(reinterpret_cast<const char*>(&value), sizeof value);
}

bool overlap(const hyp::MemRange& a, const hyp::MemRange& b) {
    return a.at < b.at + b.bytes && b.at < a.at + a.bytes;
}

}  // namespace

class MemHandle final : public Handle {
   public:
    MemHandle(MemDriver& driver, AppId owner) : app(owner), driver_(&driver) {
        driver.open_.insert(this);
    }
    ~MemHandle() override { drop(); }
    void close() override { drop(); }

    const AppId app;
    std::set<std::uint64_t> regions;
    std::map<std::uint32_t, MemDriver::Window> windows;
    /// By window: the least range around all that changed while the application read nothing. Told
    /// when it reads again, as it is then.
    std::map<std::uint32_t, hyp::MemRange> untold;
    /// Nothing came of a hold there, but what is there now was not shown yet: who went on would see
    /// what was emptied.
    std::set<hyp::MemRange> to_release;
    std::uint32_t next_window = 1;

   private:
    void drop() {
        if (driver_ == nullptr) return;
        driver_->forget(*this);
        for (std::uint64_t at : regions)
            (void)driver_->kernel_->hypercalls().mem_free(app, mem::Ipa{at});
        const auto mapped = std::move(windows);
        windows.clear();
        for (const auto& [id, window] : mapped) driver_->unmap(window.range);
        driver_->open_.erase(this);
        driver_ = nullptr;
    }
    MemDriver* driver_;
};

Result<std::unique_ptr<Handle>> MemDriver::open(AppId app, const std::string& device) {
    for (const MemHandle* handle : open_)
        if (handle->app == app)
            return Error::make(Errc::busy, text("open ", device, ": this application has it open"));
    return std::unique_ptr<Handle>(std::make_unique<MemHandle>(*this, app));
}

/// The hypervisor need not tell about changes of what no window shows any more.
void MemDriver::unmap(hyp::MemRange range) {
    for (const MemHandle* handle : open_)
        for (const auto& [id, window] : handle->windows)
            if (overlap(window.range, range)) return;
    (void)kernel_->hypercalls().mem_unmap(range);
}

Result<SysReply> MemDriver::map(MemHandle& handle, const SysRequest& request) {
    const hyp::MemRange wanted{request.args[0], request.args[1]};
    const bool writable = request.args[2] != 0;
    auto id = static_cast<std::uint32_t>(request.args[3]);
    if (id == 0 && handle.windows.size() >= kMaxWindows)
        return Error::make(Errc::over_quota, text("an application has at most ", kMaxWindows,
                                                  " windows on granted memory"));
    if (id != 0) {
        auto window = handle.windows.find(id);
        if (window == handle.windows.end() || wanted.at < window->second.range.at ||
            !mem::fits(wanted.at - window->second.range.at, wanted.bytes,
                       window->second.range.bytes))
            return Error::make(Errc::bad_argument, text("window ", id, " does not hold that"));
    }
    const auto pieces =
        HYPLINK_TRY(kernel_->hypercalls().mem_map(wanted, writable, hyp::Show::whole));
    if (id == 0) {
        id = handle.next_window++;
        handle.windows.emplace(id, Window{wanted, writable});
    }
    SysReply reply;
    reply.values[0] = id;
    for (const hyp::WindowPiece& piece : pieces) {
        put(reply.data, piece.range.at);
        put(reply.data, piece.range.bytes);
        put(reply.data, piece.offset);
        reply.fds.push_back(piece.fd);
    }
    return reply;
}

Result<SysReply> MemDriver::check(MemHandle& handle, const SysRequest& request) {
    const auto window = handle.windows.find(static_cast<std::uint32_t>(request.args[0]));
    const hyp::MemRange range{request.args[1], request.args[2]};
    if (window == handle.windows.end() || range.at < window->second.range.at ||
        !mem::fits(range.at - window->second.range.at, range.bytes, window->second.range.bytes))
        return Error::make(Errc::bad_argument, "no window shows that");
    for (const hyp::MemRange& unshown : unshown_)
        if (overlap(unshown, range))
            return Error::make(Errc::would_block, "what is there now is held");
    if (const auto untold = handle.untold.find(window->first);
        untold != handle.untold.end() && overlap(untold->second, range))
        return Error::make(Errc::would_block, "the application reads nothing");
    hyp::MemCall call;
    call.flags = hyp::kGrantRead | hyp::kGrantCpu | hyp::kVerifyShown |
                 (window->second.writable ? hyp::kGrantWrite : 0U);
    call.ranges = {range};
    HYPLINK_TRY(kernel_->hypercalls().mem_verify(call));
    return SysReply{};
}

void MemDriver::answer_or_wait(Pending pending, MemHandle& handle, SysRequest& request) {
    auto done = request.op == Sys::mem_map ? map(handle, request) : check(handle, request);
    if (done) return kernel_->answer(pending, *std::move(done));
    if (done.code() != Errc::would_block)
        return kernel_->fail(pending, done.code(), done.error().text());
    later_.push_back({pending, &handle, std::move(request)});
    kernel_->wait(pending, [this, pending] {
        std::erase_if(later_, [&](const Later& later) {
            return later.pending.app == pending.app && later.pending.sequence == pending.sequence;
        });
    });
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
            put(word.data, next);
            put(word.data, bytes);
            put(word.data, kTakenBack);
            next += bytes;
        } else {
            for (const hyp::WindowPiece& piece : *pieces) {
                put(word.data, piece.range.at);
                put(word.data, piece.range.bytes);
                put(word.data, piece.fd ? piece.offset : kTakenBack);
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

void MemDriver::forget(MemHandle& handle) {
    (void)kernel_->hypercalls().mem_release(handle.app);
    for (auto next = told_.begin(); next != told_.end();) {
        const auto hold = next++;
        held(hold->first, handle);
    }
    for (const Later& later : std::exchange(later_, {})) {
        if (later.handle == &handle)
            kernel_->fail(later.pending, Errc::closed, "the handle was closed");
        else
            later_.push_back(later);
    }
}

bool MemDriver::handle(Pending pending, Handle& handle, SysRequest& request) {
    auto* memory = dynamic_cast<MemHandle*>(&handle);
    if (memory == nullptr) return false;
    SysReply reply;
    auto done = [&](const Status& status) {
        status ? kernel_->answer(pending, std::move(reply))
               : kernel_->fail(pending, status.code(), status.error().text());
        return true;
    };
    switch (request.op) {
        case Sys::mem_alloc: {
            auto at = kernel_->hypercalls().mem_alloc(memory->app, request.args[0]);
            if (!at) return done(std::move(at).error());
            memory->regions.insert(at->value);
            reply.values[0] = at->value;
            return done({});
        }
        case Sys::mem_free: {
            if (memory->regions.erase(request.args[0]) == 0)
                return done(Error::make(Errc::not_permitted, "not memory of this application"));
            return done(kernel_->hypercalls().mem_free(memory->app, mem::Ipa{request.args[0]}));
        }
        case Sys::mem_grant:
        case Sys::mem_hold:
        case Sys::mem_deny:
        case Sys::mem_verify: {
            hyp::MemCall call;
            call.vm = static_cast<VmId>(request.args[0]);
            call.flags = static_cast<std::uint32_t>(request.args[1]);
            call.app = memory->app;
            const std::uint64_t present = request.args[2];
            const std::size_t count = request.data.size() / sizeof(hyp::MemRange);
            if (request.args[0] > kMaxVm || request.args[1] > 0xffffffffU ||
                request.data.size() % sizeof(hyp::MemRange) != 0 ||
                count > hyp::MemCall::kMaxRanges || (present >> count) != 0 ||
                request.fds.size() != static_cast<std::size_t>(std::popcount(present)))
                return done(Error::make(Errc::bad_argument,
                                        text("grants: at most ", hyp::MemCall::kMaxRanges,
                                             " regions at a time, of a VM 1..", kMaxVm)));
            call.ranges.resize(count);
            if (count != 0)
                std::memcpy(call.ranges.data(), request.data.data(), request.data.size());
            std::size_t next = 0;
            for (std::size_t i = 0; i < count; ++i)
                call.objects.push_back((present >> i & 1) != 0 ? request.fds[next++] : nullptr);
            if (request.op == Sys::mem_hold) {
                hold(pending, call);
                return true;
            }
            hyp::Hypercalls& hypercalls = kernel_->hypercalls();
            return done(request.op == Sys::mem_grant  ? hypercalls.mem_grant(call)
                        : request.op == Sys::mem_deny ? hypercalls.mem_deny(call)
                                                      : hypercalls.mem_verify(call));
        }
        case Sys::mem_release:
            return done(kernel_->hypercalls().mem_release(memory->app));
        case Sys::mem_held:
            held(static_cast<std::uint32_t>(request.args[0]), *memory);
            return done({});
        case Sys::mem_map:
        case Sys::mem_check:
            answer_or_wait(pending, *memory, request);
            return true;
        case Sys::mem_unmap: {
            auto window = memory->windows.extract(static_cast<std::uint32_t>(request.args[0]));
            if (window.empty()) return done(Error::make(Errc::closed, "no such window"));
            memory->untold.erase(static_cast<std::uint32_t>(request.args[0]));
            unmap(window.mapped().range);
            return done({});
        }
        default:
            return false;
    }
}

}  // namespace hyplink::guest
