#include "hyplink/guest/link_memory.hpp"

#include <array>

#include "hyplink/base/text.hpp"

namespace hyplink::guest {

Result<LinkMemory> link_memory(GuestKernel& kernel, VlinkEnd& end, std::uint64_t bytes,
                               std::string_view device) {
    using hyp::ResourceType;
    constexpr std::uint32_t kPmem = 0;
    constexpr std::uint32_t kServerXirq = 0;
    constexpr std::uint32_t kClientXirq = 1;
    const hyp::VlinkDescriptor& link = end.descriptor();
    const std::uint32_t slot = end.slot();
    const std::array<hyp::ResourceRequest, 3> requests{{
        {ResourceType::pmem, slot, kPmem, 0, bytes},
        {ResourceType::pxirq, slot, kServerXirq, link.s_id, 1},
        {ResourceType::pxirq, slot, kClientXirq, link.c_id, 1},
    }};
    const auto replies = HYPLINK_TRY(kernel.hypercalls().resources(requests));
    if (replies.size() != requests.size()) return Errc::internal;
    for (const hyp::ResourceReply& reply : replies)
        if (reply.code != Errc::ok)
            return Error::make(reply.code, text(device, ": resources of vlink slot ", slot));
    const std::size_t own = end.role() == Role::server ? 1 : 2;
    LinkMemory memory;
    memory.pmem = HYPLINK_TRY(kernel.map(replies[0].at, bytes));
    memory.own_xirq = replies[own].first;
    memory.peer_xirq = replies[3 - own].first;
    memory.own_bell =
        reinterpret_cast<BellWords*>(HYPLINK_TRY(kernel.map(replies[own].at, sizeof(BellWords))));
    return memory;
}

}  // namespace hyplink::guest
