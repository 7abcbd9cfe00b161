/// The vlink descriptor, as a guest sees it in its own PDEV, and the rules by which its state may
/// change.
///
/// Every VM has its own copy of each of its descriptors and writes only its own side's state; the
/// hypervisor (the bridge) reads that word once, checks the step against its private copy and
/// carries it to the peer's descriptor. Source: spec 000 "NKDDI vLink"; vlx-facts 1.1, 1.2.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "hyplink/base/ids.hpp"

namespace hyplink::hyp {

/// Shared with one guest; fixed width, so a 32-bit guest reads the same bytes. The C name is
/// NkDevVlink.
struct VlinkDescriptor {
    char name[16];  ///< class, NUL-terminated
    std::uint32_t link;
    std::uint32_t s_id;
    std::atomic<std::uint32_t> s_state;
    std::uint32_t c_id;
    std::atomic<std::uint32_t> c_state;
    std::uint32_t index;   ///< LinkIndex, the same in both VMs
    std::uint64_t s_info;  ///< IPA of a NUL-terminated string
    std::uint64_t c_info;
    std::uint64_t reserved;
};
static_assert(sizeof(VlinkDescriptor) == 64 && offsetof(VlinkDescriptor, s_info) == 40);

inline std::atomic<std::uint32_t>& state_word(VlinkDescriptor& descriptor, Role role) {
    return role == Role::server ? descriptor.s_state : descriptor.c_state;
}

/// Head of a VM's PDEV; the descriptors follow, then the strings.
struct PdevHeader {
    std::uint32_t magic;  ///< kMagic
    std::uint32_t count;  ///< descriptors
    std::uint32_t descriptors_at;
    std::uint32_t descriptor_bytes;
    std::uint64_t base;  ///< IPA of this header
    std::uint64_t bytes;

    static constexpr std::uint32_t kMagic = 0x48594c56;  // "HYLV"
};
static_assert(sizeof(PdevHeader) == 32);

/// May a side go from `from` to `to` while its peer is in `peer`?
/// OFF→RESET waits until the survivor of a restart has left ON; that rule alone protects shared
/// memory from being initialised under a survivor.
constexpr bool step_allowed(LinkState from, LinkState to, LinkState peer) {
    switch (to) {
        case LinkState::off:
            return true;
        case LinkState::reset:
            return from == LinkState::off ? peer != LinkState::on
                                          : from == LinkState::on && peer == LinkState::off;
        case LinkState::on:
            return from == LinkState::reset && peer != LinkState::off;
    }
    return false;
}

}  // namespace hyplink::hyp
