#include "hyplink/compat/vipc.h"

#include <cstring>

#include "hyplink/app/ipc/call.hpp"
#include "hyplink/compat/place.hpp"
#include "hyplink/compat/vmq_link.hpp"

using namespace hyplink;
using Lock = std::unique_lock<std::mutex>;

/// One call, on the stack of its caller. Under the link's lock.
struct hyplink_vipc_call {
    VmqWaiter waiter;
    std::uint64_t cookie = 0;
    std::uint32_t slot = 0;
    nku64_f* reply = nullptr;
    bool done = false;
    hyplink_vipc_call* next = nullptr;
};

namespace {

void end(vmq_link_t& link, hyplink_vipc_call& call, nku64_f* reply) {
    if (call.done) return;
    call.reply = reply;
    call.done = true;
    ring(link.runtime(), call.waiter.bell);
}

/// Why nobody can be called, or ok. With the lock held.
Status callable(const vmq_link_t& link, std::uint32_t slot) {
    if (link.in_own_thread())
        return Error::make(Errc::deadlock, "vIPC: a call in a callback of its own link");
    if (slot == vmq_link_t::kNone)
        return Error::make(Errc::bad_argument, "vIPC: not an allocated message");
    if (link.aborted || link.hindrance() != 0)
        return Error::make(Errc::peer_dead, "vIPC: the link is not on");
    return {};
}

}  // namespace

extern "C" {

void vipc_ctx_init(vipc_ctx_t* ctx, vmq_link_t* link) {
    const auto now = static_cast<std::uint64_t>(link->runtime().now());
    *ctx = vipc_ctx_t{now << 16, nullptr, link};
}

nku64_f* vipc_ctx_call(vipc_ctx_t* ctx, nku64_f* request) {
    vmq_link_t& link = *ctx->link;
    Lock lock(link.mutex);
    hyplink_vipc_call call;
    call.slot = link.own_slot(request);
    if (const Status fit = callable(link, call.slot); !fit) {
        compat::failed(fit.error());
        if (call.slot != vmq_link_t::kNone) (void)link.queue->discard(call.slot);
        link.after_giving_back(lock);
        return nullptr;
    }
    call.cookie = ++ctx->last_cookie;
    call.waiter.own_answer = true;
    std::memcpy(request, &call.cookie, ipc::kCookieBytes);
    if (const Status sent = link.queue->send_async(call.slot); !sent)
        return compat::failed(sent.error()), nullptr;
    call.next = std::exchange(ctx->calls, &call);
    link.queue->deliver();
    const unsigned life = link.life;
    while (!call.done && link.life == life && link.phase == vmq_link_t::Phase::on)
        (void)link.sleep(lock, call.waiter);
    hyplink_vipc_call** at = &ctx->calls;
    while (*at != &call) at = &(*at)->next;
    *at = call.next;
    if (call.reply == nullptr)
        compat::failed(Errc::peer_dead,
                       "vIPC: the call was aborted, or answered with another cookie");
    return call.reply;
}

int vipc_ctx_process_reply(vipc_ctx_t* ctx, nku64_f* reply) {
    vmq_link_t& link = *ctx->link;
    const Lock lock(link.mutex);
    const std::uint32_t slot = link.own_slot(reply);
    if (slot == vmq_link_t::kNone)
        return compat::failed(Errc::bad_argument, "vIPC: not a message that came back"), -1;
    std::uint64_t cookie = 0;
    std::memcpy(&cookie, reply, ipc::kCookieBytes);
    for (hyplink_vipc_call* call = ctx->calls; call != nullptr; call = call->next) {
        if (call->slot != slot || call->done) continue;
        const bool answered = cookie == call->cookie;
        end(link, *call, answered ? reply : nullptr);
        if (answered) return 0;
        break;
    }
    return compat::failed(Errc::corrupt, "vIPC: the cookie is no call's"), -1;
}

void vipc_ctx_abort_calls(vipc_ctx_t* ctx) {
    vmq_link_t& link = *ctx->link;
    const Lock lock(link.mutex);
    for (hyplink_vipc_call* call = ctx->calls; call != nullptr; call = call->next)
        end(link, *call, nullptr);
}

}  // extern "C"
