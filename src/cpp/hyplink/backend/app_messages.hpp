/// System calls as messages between an application's process and its guest kernel's.
#pragma once

#include "hyplink/backend/codec.hpp"
#include "hyplink/guest/syscalls.hpp"
#include "hyplink/sys/socket.hpp"

namespace hyplink::backend {

Status send_request(int socket, const guest::SysRequest& request);
/// Errors: protocol (not a request).
Result<guest::SysRequest> decode_request(sys::Message& message);

/// Never blocks: an application that does not read its answers has only itself to blame.
Status send_reply(int socket, const guest::SysReply& reply);
/// Whether it is an answer; else a word that nobody asked for, or no reply at all.
bool answers_a_request(const sys::Message& message);
/// Errors: protocol, system (mapping what came along).
Result<guest::SysReply> decode_reply(sys::Message& message);

}  // namespace hyplink::backend
