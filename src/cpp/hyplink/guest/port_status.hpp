/// How a kernel tells an application the state of the port it has: its word, then its bell.
#pragma once

#include "hyplink/guest/kernel.hpp"
#include "hyplink/ring/rpq_port.hpp"
#include "hyplink/sys/eventfd.hpp"

namespace hyplink::guest {

/// Wake the application that has `role`'s end, in both ways whatever `armed` says: the peer can
/// write that word, and must not be able to keep it asleep.
inline void wake_port(Runtime& runtime, std::byte* port, Role role,
                      const std::shared_ptr<sys::Fd>& fd) {
    if (port == nullptr) return;
    BellWords& bell = rpq::port_bell(port, role);
    bell_ring(bell);
    runtime.wake(bell);
    if (fd) sys::signal_shared_eventfd(fd->get());
}

}  // namespace hyplink::guest
