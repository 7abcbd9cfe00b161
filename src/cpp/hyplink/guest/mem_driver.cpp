#include "hyplink/guest/mem_driver.hpp"

#include <algorithm>
#include <bit>
#include <cstring>

#include "hyplink/base/text.hpp"
#include "hyplink/guest/mem_handle.hpp"

namespace hyplink::guest {
namespace {
constexpr std::size_t kMaxWindows = 4096;  // of one application
}  // namespace

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
        put(reply.data, {piece.range.at, piece.range.bytes, piece.offset, piece.generation});
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
        case Sys::mem_watched:
            return done(watched(*memory, request));
        case Sys::mem_show: {
            const auto window = memory->windows.find(static_cast<std::uint32_t>(request.args[0]));
            if (window == memory->windows.end())
                return done(Error::make(Errc::closed, "no such window"));
            show(*memory, window->first, window->second, window->second.range);
            return done({});
        }
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
