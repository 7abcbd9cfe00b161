/// Unix seqpacket sockets: whole messages, with descriptors passed along.
/// Thread rule: one sender and one receiver per socket at a time.
#pragma once

#include <cstddef>
#include <span>
#include <utility>
#include <vector>

#include "hyplink/base/result.hpp"
#include "hyplink/sys/fd.hpp"

namespace hyplink::sys {

constexpr std::size_t kMaxMessage = std::size_t{128} * 1024;
constexpr std::size_t kMaxFds = 8;

struct Message {
    std::vector<std::byte> bytes;
    std::vector<Fd> fds;
    bool lost = false;  ///< its descriptors found no room in this process
};

Result<std::pair<Fd, Fd>> make_socket_pair();

/// Send one whole message. `wait`: block while the other side does not read.
/// Errors: peer_dead (other end closed), would_block, too_long.
Status send_message(int socket, std::span<const std::byte> bytes, std::span<const int> fds,
                    bool wait);

/// Receive one whole message. Errors: peer_dead (other end closed), would_block, corrupt (longer
/// than kMaxMessage, or more than kMaxFds descriptors; nothing of it is kept), EMFILE (no room in
/// this process for the descriptors that came along), interrupted only if `wait`.
///
/// `keep`: a message whose descriptors found no room is received all the same, without any.
Result<Message> receive_message(int socket, bool wait, bool keep = false);

}  // namespace hyplink::sys
