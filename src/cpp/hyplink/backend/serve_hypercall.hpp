/// Hypercalls as messages: the bench's end.
#pragma once

#include "hyplink/hyp/hypercalls.hpp"
#include "hyplink/sys/socket.hpp"

namespace hyplink::backend {

/// Serve one hypercall of `guest`. Errors: protocol (the message was none: the VM is misbehaving),
/// and those of sending the answer: peer_dead, would_block (the VM does not read its answers).
Status serve_hypercall(hyp::Hypercalls& guest, int socket, sys::Message& message);

}  // namespace hyplink::backend
