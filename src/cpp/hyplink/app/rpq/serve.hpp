/// A server of generated code over real channels: who is served, and the loop of one channel.
///
///     auto session = HYPLINK_TRY(Session::accept(application, "vrpq-srv-vogl0", deadline));
///     auto channel = HYPLINK_TRY(session->accept_channel(deadline));
///     HYPLINK_TRY(greet(hello_bytes(groups()), *session, *channel));
///     RichServer server(handler, …);
///     serve(channel->channel(), [&](const Request& request) { return server.dispatch(request); });
///
/// Threads are the program's: one a channel, as many as it serves at a time.
#pragma once

#include <utility>

#include "hyplink/app/rpq/session.hpp"

namespace hyplink::rpq {

/// Whether this client may be served: what it said for the session and for the channel goes with
/// `own` (`hello_bytes`). Else the channel is refused and the client sees EPROTONOSUPPORT.
/// Errors: version. Blocks: no.
inline Status greet(std::string_view own, const Session& session, OpenServer& channel) {
    for (const std::string& info : {session.info(), channel.info()}) {
        if (const auto refusal = hello_refusal(own, info)) {
            channel.channel().refuse(*refusal);
            return refusal_error(*refusal);
        }
    }
    return {};
}

/// Perform the requests of one channel until its client is gone. `dispatch` is generated: the
/// status for the caller, or an error for a block that broke a rule, which fails the channel.
/// Requests from inside a callback's handler are performed, too. Returns why it ended: peer_dead,
/// closed, corrupt, interrupted. Blocks: until then.
template <class Dispatch>
Error serve(ServerChannel& channel, Dispatch&& dispatch) {
    const auto perform = [&](const Request& request) {
        Result<std::int32_t> status = dispatch(request);
        if (status.has_value()) return *status;
        const std::int32_t number = status.error().number();
        channel.fail(std::move(status).error());
        return number;
    };
    channel.on_nested(perform);
    struct Ending {  // what the function above refers to ends with this one
        ServerChannel& channel;
        ~Ending() { channel.on_nested({}); }
    } ending{channel};
    for (;;) {
        auto batch = channel.receive(64, Deadline::never());
        if (!batch.has_value()) return std::move(batch).error();
        for (const Request& request : *batch) {
            const std::int32_t status = perform(request);
            if (request.is_call) channel.set_reason(status);
        }
    }
}

}  // namespace hyplink::rpq
