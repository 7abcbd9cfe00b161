/// The messages between a `hyplink-vm` process and its bench.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "hyplink/backend/codec.hpp"
#include "hyplink/hyp/hypercalls.hpp"
#include "hyplink/sys/socket.hpp"

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
    dma,          ///< fd 0 = an object to attach
    recall_soon,  ///< as recall, without an answer
    mem_watch,
};

/// To the VM.
enum class VmMessage : std::uint32_t {
    reply = 1,   ///< answer to the hypercall in progress
    events = 2,  ///< take_events has something
    attach = 3,  ///< fd 0 = an application's socket
    run = 4,     ///< arguments, environment; fds for the program
};

constexpr std::size_t kEndsPerMessage = 4096;  // of publish

/// A hypercall's message, as far as its number.
Packer request(HypOp op);

/// The descriptors that go with it: the call's, which it keeps.
std::vector<int> pack_mem_call(Packer& packer, const hyp::MemCall& call);
/// Takes the message's descriptors. Nothing if the message is no such call: its length or its
/// descriptors do not fit.
std::optional<hyp::MemCall> unpack_mem_call(Unpacker& reader, sys::Message& message);

void pack_events(Packer& packer, const hyp::GuestEvents& events);
hyp::GuestEvents unpack_events(Unpacker& reader);

}  // namespace hyplink::backend
