#include "hyplink/sys/eventfd.hpp"

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/uio.h>

#include <cstdint>

#include "hyplink/sys/call.hpp"

namespace hyplink::sys {

Result<Fd> make_eventfd() {
    return Fd(
        HYPLINK_TRY(call("eventfd", [] { return ::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK); })));
}

void signal_eventfd(int fd) {
    const std::uint64_t one = 1;
    while (::write(fd, &one, sizeof one) < 0 && errno == EINTR) {
    }
}

bool signal_shared_eventfd(int fd) {
    struct pollfd entry{fd, POLLOUT, 0};
    if (::poll(&entry, 1, 0) != 1 || (entry.revents & POLLOUT) == 0) return false;
    signal_eventfd(fd);
    return true;
}

void drain_eventfd(int fd) {
    std::uint64_t count = 0;
    struct iovec into{&count, sizeof count};
    // O_NONBLOCK belongs to the description, which others may share: ask for it with the call.
    ssize_t got = 0;
    do got = ::preadv2(fd, &into, 1, -1, RWF_NOWAIT);
    while (got < 0 && errno == EINTR);
    if (got >= 0 || errno == EAGAIN) return;
    struct pollfd entry{fd, POLLIN, 0};  // a kernel without it
    if (::poll(&entry, 1, 0) == 1) (void)!::read(fd, &count, sizeof count);
}

}  // namespace hyplink::sys
