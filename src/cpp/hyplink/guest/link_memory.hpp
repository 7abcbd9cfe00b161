/// What a driver of one vlink begins with when both ends have one memory and ring each other: PMEM
/// 0 and a cross interrupt each way.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "hyplink/guest/kernel.hpp"
#include "hyplink/guest/vlink_end.hpp"

namespace hyplink::guest {

struct LinkMemory {
    std::byte* pmem = nullptr;
    BellWords* own_bell = nullptr;
    XirqNumber own_xirq = 0;
    XirqNumber peer_xirq = 0;
};

/// Allocate them, or find those of an earlier life, and map what is this side's to see. `device`
/// names it in errors. Errors: those of the hypercall; internal.
Result<LinkMemory> link_memory(GuestKernel& kernel, VlinkEnd& end, std::uint64_t bytes,
                               std::string_view device);

}  // namespace hyplink::guest
