/// Callbacks, server to client. The server fills memory of its own and the parameters are copied
/// once more when they are sent: a callback learns its procedure only then, and may be kept back.
#include "hyplink/compat/vrpq_objects.hpp"

namespace {

using namespace hyplink;
using compat::failed;
using rpq::RequestView;

/// Handlers see a copy: what they write into it is theirs.
VrpqReq as_req(const RequestView& request) {
    VrpqReq req{};
    req.procId = request.proc;
    req.in = const_cast<std::byte*>(request.in);
    req.inSize = request.in_bytes;
    req.out = request.out;
    req.outSize = request.out_bytes;
    req.isCall = request.is_call ? 1 : 0;
    return req;
}

int wrong_end(VrpqChan chan, const char* text) {
    if (chan == nullptr) return failed(Errc::closed, "no channel");
    return failed(Errc::bad_argument, text);
}
int no_client(VrpqChan chan) {
    return wrong_end(chan, "callbacks are handled at the client's end");
}
int no_server(VrpqChan chan) {
    return wrong_end(chan, "callbacks are performed at the server's end");
}

Deadline deadline(VrpqChanObj& chan, int milliseconds) {
    if (milliseconds < 0) return Deadline::never();
    return chan.end().context().runtime->in(std::int64_t{milliseconds} * 1'000'000);
}

/// These are the parameters allocated last; they can be sent once.
int take(VrpqChanObj& chan, const void* in, const void* out) {
    auto& staged = chan.callback;
    const bool call = out != nullptr;
    if (in == nullptr || in != staged.in.data() || !staged.allocated ||
        (call && (!staged.call || out != staged.out.data())))
        return failed(Errc::bad_argument, "these parameters are not those allocated last");
    staged.allocated = false;
    return 0;
}

int post(VrpqChanObj& chan, std::uint32_t proc, rpq::Drop drop, std::uint32_t keep) {
    auto block = chan.server->callback_begin(proc, chan.callback.in_bytes, drop, keep);
    if (!block) return failed(block.error());
    std::memcpy(*block, chan.callback.in.data(), chan.callback.in_bytes);
    return compat::outcome(chan.server->callback_post());
}

int call(VrpqChanObj& chan, std::uint32_t proc, Deadline until) {
    auto& staged = chan.callback;
    auto block = chan.server->callback_begin_call(proc, staged.in_bytes, staged.out_bytes, until);
    if (!block) return failed(block.error());
    std::memcpy(*block, staged.in.data(), staged.in_bytes);
    auto reply = chan.server->callback_call(until);
    if (!reply) {
        if (reply.code() == Errc::interrupted) chan.server->callback_forget();
        return failed(reply.error());
    }
    chan.reason = reply->status;
    const std::uint32_t bytes = std::min(reply->out_bytes, staged.out_bytes);
    if (bytes != 0) std::memcpy(staged.out.data(), reply->out, bytes);
    chan.out_bytes = bytes;
    return 0;
}

}  // namespace

extern "C" {

int vrpqCallbackHandle(VrpqChan chan, int32_t (*handler)(void*, VrpqReq*), void* cookie) {
    if (chan == nullptr || chan->client == nullptr) return no_client(chan);
    if (handler == nullptr) {
        chan->client->on_callback(nullptr);
        return 0;
    }
    chan->client->on_callback([handler, cookie](const RequestView& request) {
        VrpqReq req = as_req(request);
        return handler(cookie, &req);
    });
    return 0;
}

int vrpqCallbackRun(VrpqChan chan, int timeoutMs) {
    if (chan == nullptr || chan->client == nullptr) return no_client(chan);
    const auto handled = chan->client->handle_callbacks(deadline(*chan, timeoutMs));
    if (!handled) return failed(handled.error());
    return *handled == 0 ? failed(Errc::timed_out, "no callback came") : 0;
}

int vrpqNestedHandle(VrpqChan chan, int32_t (*handler)(void*, VrpqReq*), void* cookie) {
    if (chan == nullptr || chan->server == nullptr) return no_server(chan);
    if (handler == nullptr) {
        chan->server->on_nested(nullptr);
        return 0;
    }
    chan->server->on_nested([chan, handler, cookie](const rpq::Request& request) {
        VrpqReq req = as_req(request);
        // References of this request are looked for here meanwhile.
        const auto outer = std::exchange(chan->batch, std::span(&request, 1));
        const std::int32_t reason = handler(cookie, &req);
        chan->batch = outer;
        return reason;
    });
    return 0;
}

void* vrpqCallbackParamAlloc(VrpqChan chan, uint32_t inSize, uint32_t outSize, void** out) {
    if (chan == nullptr || chan->server == nullptr) {
        errno = no_server(chan);
        return nullptr;
    }
    auto& staged = chan->callback;
    const std::uint64_t needed = rpq::round8(inSize) + rpq::round8(outSize);
    staged.allocated = false;
    if (needed > chan->server->callback_block_max()) {
        errno = failed(Errc::too_long, "a callback of more bytes than the port takes");
        return nullptr;
    }
    // One word at least: the address names the allocation.
    staged.in.assign(static_cast<std::size_t>(rpq::round8(inSize) / 8 + 1), 0);
    staged.out.assign(static_cast<std::size_t>(rpq::round8(outSize) / 8 + 1), 0);
    staged.in_bytes = inSize;
    staged.out_bytes = outSize;
    staged.call = out != nullptr;
    staged.allocated = true;
    if (out != nullptr) *out = staged.out.data();
    return staged.in.data();
}

int vrpqCallbackPerform(VrpqChan chan, uint32_t procId, void* in, void* out) {
    if (chan == nullptr || chan->server == nullptr) return no_server(chan);
    if (const int wrong = take(*chan, in, out)) return wrong;
    chan->reason = 0;
    return out == nullptr ? post(*chan, procId, rpq::Drop::refuse, 0)
                          : call(*chan, procId, rings::kChannelTimeout);
}

int vrpqCallbackPerformTimed(VrpqChan chan, uint32_t procId, void* in, void* out, int timeoutMs) {
    if (chan == nullptr || chan->server == nullptr) return no_server(chan);
    if (const int wrong = take(*chan, in, out)) return wrong;
    chan->reason = 0;
    if (out == nullptr) return failed(Errc::bad_argument, "an asynchronous callback never waits");
    return call(*chan, procId, deadline(*chan, timeoutMs));
}

int vrpqCallbackPost(VrpqChan chan, uint32_t procId, void* in, VrpqDrop drop, uint32_t keep) {
    if (chan == nullptr || chan->server == nullptr) return no_server(chan);
    if (const int wrong = take(*chan, in, nullptr)) return wrong;
    switch (drop) {
        case VRPQ_DROP_REFUSE:
            return post(*chan, procId, rpq::Drop::refuse, keep);
        case VRPQ_DROP_NEWEST:
            return post(*chan, procId, rpq::Drop::newest, keep);
        case VRPQ_DROP_OLDEST:
            return post(*chan, procId, rpq::Drop::oldest, keep);
    }
    return failed(Errc::bad_argument, "no such policy");
}

}  // extern "C"
