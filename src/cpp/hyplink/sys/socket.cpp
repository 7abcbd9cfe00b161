#include "hyplink/sys/socket.hpp"

#include <sys/socket.h>

#include <array>
#include <cstring>
#include <memory>

#include "hyplink/sys/call.hpp"

namespace hyplink::sys {
namespace {
constexpr int kBuffer = 1 << 20;
}

Result<std::pair<Fd, Fd>> make_socket_pair() {
    int fds[2];
    HYPLINK_TRY(call("socketpair",
                     [&] { return ::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds); }));
    for (int fd : fds) (void)::setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &kBuffer, sizeof kBuffer);
    return std::pair<Fd, Fd>(Fd(fds[0]), Fd(fds[1]));
}

Status send_message(int socket, std::span<const std::byte> bytes, std::span<const int> fds,
                    bool wait) {
    if (bytes.size() > kMaxMessage || fds.size() > kMaxFds)
        return Error::make(Errc::too_long,
                           text("a message of ", bytes.size(), " bytes and ", fds.size(),
                                " descriptors, at most ", kMaxMessage, " and ", kMaxFds));
    struct iovec data{const_cast<std::byte*>(bytes.data()), bytes.size()};
    alignas(struct cmsghdr) std::array<char, CMSG_SPACE(sizeof(int) * kMaxFds)> control{};
    struct msghdr header{};
    header.msg_iov = &data;
    header.msg_iovlen = 1;
    if (!fds.empty()) {
        header.msg_control = control.data();
        header.msg_controllen = CMSG_SPACE(sizeof(int) * fds.size());
        struct cmsghdr* item = CMSG_FIRSTHDR(&header);
        item->cmsg_level = SOL_SOCKET;
        item->cmsg_type = SCM_RIGHTS;
        item->cmsg_len = CMSG_LEN(sizeof(int) * fds.size());
        std::memcpy(CMSG_DATA(item), fds.data(), sizeof(int) * fds.size());
    }
    auto sent = call("sendmsg", [&] {
        return ::sendmsg(socket, &header, MSG_NOSIGNAL | (wait ? 0 : MSG_DONTWAIT));
    });
    if (sent) return {};
    if (sent.code() == Errc::peer_reset || sent.code() == Errc::link_down) return Errc::peer_dead;
    return std::move(sent).error();
}

Result<Message> receive_message(int socket, bool wait, bool keep) {
    // Room for the longest message is far too much to be cleared for each.
    thread_local const auto room = std::make_unique_for_overwrite<std::byte[]>(kMaxMessage);
    Message message;
    struct iovec data{room.get(), kMaxMessage};
    alignas(struct cmsghdr) std::array<char, CMSG_SPACE(sizeof(int) * kMaxFds)> control{};
    struct msghdr header{};
    header.msg_iov = &data;
    header.msg_iovlen = 1;
    header.msg_control = control.data();
    header.msg_controllen = control.size();
    auto received = call("recvmsg", [&] {
        header.msg_controllen = control.size();
        return ::recvmsg(socket, &header, MSG_CMSG_CLOEXEC | (wait ? 0 : MSG_DONTWAIT));
    });
    if (!received) {
        if (received.code() == Errc::peer_reset) return Errc::peer_dead;
        return std::move(received).error();
    }
    // Take the descriptors first: whatever else is wrong, they must not leak.
    for (struct cmsghdr* item = CMSG_FIRSTHDR(&header); item != nullptr;
         item = CMSG_NXTHDR(&header, item)) {
        if (item->cmsg_level != SOL_SOCKET || item->cmsg_type != SCM_RIGHTS) continue;
        const std::size_t count = (item->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (std::size_t i = 0; i < count; ++i) {
            int fd = -1;
            std::memcpy(&fd, CMSG_DATA(item) + i * sizeof(int), sizeof fd);
            message.fds.emplace_back(fd);
        }
    }
    if (*received == 0) return Errc::peer_dead;
    if ((header.msg_flags & MSG_CTRUNC) != 0 && message.fds.size() < kMaxFds) {
        if (!keep) return system_error("recvmsg", EMFILE, "descriptors of a message are lost");
        message.lost = true;
        message.fds.clear();
    } else if ((header.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) != 0) {
        return Error::make(Errc::corrupt, "a message is longer than the protocol allows");
    }
    message.bytes.assign(room.get(), room.get() + *received);
    return message;
}

}  // namespace hyplink::sys
