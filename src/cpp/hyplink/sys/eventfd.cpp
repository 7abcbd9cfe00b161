#include "hyplink/sys/eventfd.hpp"

#include <sys/eventfd.h>

#include <cstdint>

#include "hyplink/sys/call.hpp"

namespace hyplink::sys {

Result<Fd> make_eventfd() {
    return Fd(HYPLINK_TRY(call("eventfd", [] { return ::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK); })));
}

void signal_eventfd(int fd) {
    const std::uint64_t one = 1;
    while (::write(fd, &one, sizeof one) < 0 && errno == EINTR) {
    }
}

void drain_eventfd(int fd) {
    std::uint64_t count = 0;
    while (::read(fd, &count, sizeof count) < 0 && errno == EINTR) {
    }
}

}  // namespace hyplink::sys
