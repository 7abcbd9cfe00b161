/// The messages between a `hyplink-vm` process and its bench.
#pragma once

#include <cstdint>

namespace hyplink::backend {

/// From the VM: a hypercall; answered by {Reply, Errc, results…} in order.
enum class HypOp : std::uint32_t {
    identity = 1,
    pdev,
    publish,
    resources,
    mem_open,
    xirq_bell,
    xirq_trigger,
    port_alloc,
    port_open,
    port_free,
    scope,
    boot_done,
    halt,
    take_events,
    mem_alloc,
    mem_free,
    mem_grant,
    mem_deny,
    mem_verify,
    mem_map,
    mem_unmap,
    lend,  ///< fd 0 = the object
    borrow,
    recall,
    mem_hold,
    mem_release,
    mem_held,
    xirq_route,
    xirq_line,
    xirq_numbers,
    dma,  ///< fd 0 = an object to attach
};

/// To the VM.
enum class VmMessage : std::uint32_t {
    reply = 1,   ///< answer to the hypercall in progress
    events = 2,  ///< take_events has something
    attach = 3,  ///< fd 0 = an application's socket
    run = 4,     ///< arguments, environment; fds for the program
};

}  // namespace hyplink::backend
