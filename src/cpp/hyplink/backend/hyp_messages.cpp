#include "hyplink/backend/hyp_messages.hpp"

#include <bit>

namespace hyplink::backend {

Packer request(HypOp op) {
    Packer packer;
    packer.put(op);
    return packer;
}

std::vector<int> pack_mem_call(Packer& packer, const hyp::MemCall& call) {
    std::uint32_t present = 0;  // which ranges come with an object
    std::vector<int> fds;
    for (std::size_t i = 0; i < call.objects.size() && i < hyp::MemCall::kMaxRanges; ++i) {
        if (!call.objects[i]) continue;
        present |= 1U << i;
        fds.push_back(call.objects[i]->get());
    }
    packer.put(call.vm).put(call.flags).put(call.app).put(present);
    packer.put(static_cast<std::uint32_t>(call.ranges.size()));
    for (const hyp::MemRange& range : call.ranges) packer.put(range);
    return fds;
}

std::optional<hyp::MemCall> unpack_mem_call(Unpacker& reader, sys::Message& message) {
    hyp::MemCall call;
    call.vm = reader.get<VmId>();
    call.flags = reader.get<std::uint32_t>();
    call.app = reader.get<std::uint32_t>();
    const auto present = reader.get<std::uint32_t>();
    const auto count = reader.get<std::uint32_t>();
    if (count > hyp::MemCall::kMaxRanges || reader.left() != count * sizeof(hyp::MemRange) ||
        (present >> count) != 0 ||
        message.fds.size() != static_cast<std::size_t>(std::popcount(present)))
        return std::nullopt;
    std::size_t next = 0;
    for (std::uint32_t i = 0; i < count; ++i) {
        call.ranges.push_back(reader.get<hyp::MemRange>());
        call.objects.push_back((present >> i & 1) != 0
                                   ? std::make_shared<sys::Fd>(std::move(message.fds[next++]))
                                   : nullptr);
    }
    return call;
}

void pack_events(Packer& packer, const hyp::GuestEvents& events) {
    packer.put(static_cast<std::uint8_t>(events.sysconf))
        .put(static_cast<std::uint8_t>(events.shutdown));
    auto list = [&packer](const auto& values) {
        packer.put(static_cast<std::uint32_t>(values.size()));
        for (const auto& value : values) packer.put(value);
    };
    list(events.xirqs);
    list(events.windows);
    packer.put(static_cast<std::uint32_t>(events.holds.size()));
    for (const hyp::HoldEvent& event : events.holds) {
        packer.put(event.id).put(static_cast<std::uint8_t>(event.begin));
        list(event.ranges);
    }
    list(events.held);
    list(events.dma);
}

hyp::GuestEvents unpack_events(Unpacker& reader) {
    hyp::GuestEvents events;
    auto list = [&reader]<class T>(std::vector<T>& values) {
        for (auto left = reader.get<std::uint32_t>(); left != 0 && reader.ok(); --left)
            values.push_back(reader.get<T>());
    };
    events.sysconf = reader.get<std::uint8_t>() != 0;
    events.shutdown = reader.get<std::uint8_t>() != 0;
    list(events.xirqs);
    list(events.windows);
    for (auto left = reader.get<std::uint32_t>(); left != 0 && reader.ok(); --left) {
        hyp::HoldEvent& event = events.holds.emplace_back();
        event.id = reader.get<std::uint32_t>();
        event.begin = reader.get<std::uint8_t>() != 0;
        list(event.ranges);
    }
    list(events.held);
    list(events.dma);
    return events;
}

}  // namespace hyplink::backend
