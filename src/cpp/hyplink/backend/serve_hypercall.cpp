#include "hyplink/backend/serve_hypercall.hpp"

#include <optional>

#include "hyplink/backend/serving.hpp"

namespace hyplink::backend {
namespace {

/// Bytes of a hypercall's arguments; nothing for those that carry a list and check it themselves.
std::optional<std::size_t> argument_bytes(HypOp op) {
    switch (op) {
        case HypOp::mem_open:
        case HypOp::xirq_bell:
        case HypOp::xirq_trigger:
        case HypOp::port_open:
        case HypOp::port_free:
        case HypOp::xirq_route:
        case HypOp::xirq_line:
        case HypOp::xirq_numbers:
            return 8;
        case HypOp::port_alloc:
        case HypOp::mem_alloc:
        case HypOp::mem_free:
        case HypOp::borrow:
            return 12;
        case HypOp::mem_map:
            return 18;
        case HypOp::mem_unmap:
            return 16;
        case HypOp::mem_watch:
            return 20;
        case HypOp::recall:
        case HypOp::recall_soon:
            return 13;
        case HypOp::lend:
            return 24;
        case HypOp::dma:
            return sizeof(hyp::DmaOrder);
        case HypOp::scope:
        case HypOp::mem_release:
        case HypOp::mem_held:
            return 4;
        case HypOp::publish:
        case HypOp::resources:
        case HypOp::mem_grant:
        case HypOp::mem_deny:
        case HypOp::mem_verify:
        case HypOp::mem_hold:
            return std::nullopt;
        default:
            return 0;
    }
}

}  // namespace

Status serve_hypercall(hyp::Hypercalls& guest, int socket, sys::Message& message) {
    Unpacker reader(message.bytes);
    Reply reply;
    const auto op = reader.get<HypOp>();
    if (const auto expected = argument_bytes(op); !reader.ok() ||
                                                  (expected && reader.left() != *expected) ||
                                                  (op == HypOp::lend && message.fds.size() != 1))
        return Errc::protocol;
    if (op == HypOp::recall_soon) {
        const auto slot = reader.get<std::uint32_t>();
        const auto at = reader.get<mem::Ipa>();
        guest.recall_soon(slot, at, reader.get<std::uint8_t>() != 0);
        return {};
    }
    switch (op) {
        case HypOp::identity: {
            auto result = guest.identity();
            if (!result) {
                reply.failed(result.error());
                break;
            }
            reply.packer.put(Errc::ok)
                .put(result->id)
                .put(result->last_id)
                .put(result->running)
                .put_text(result->name);
            break;
        }
        case HypOp::pdev:
            reply.view(guest.pdev());
            break;
        case HypOp::publish: {
            const auto count = reader.get<std::uint32_t>();
            if (count > kEndsPerMessage || reader.left() != count * sizeof(hyp::EndRef))
                return Errc::protocol;
            std::vector<hyp::EndRef> ends(count);
            for (hyp::EndRef& end : ends) end = reader.get<hyp::EndRef>();
            reply.status(guest.publish(ends));
            break;
        }
        case HypOp::resources: {
            const auto count = reader.get<std::uint32_t>();
            if (reader.left() != std::uint64_t{count} * sizeof(hyp::ResourceRequest))
                return Errc::protocol;
            std::vector<hyp::ResourceRequest> requests(count);
            for (hyp::ResourceRequest& item : requests) item = reader.get<hyp::ResourceRequest>();
            auto result = guest.resources(requests);
            if (!result) {
                reply.failed(result.error());
                break;
            }
            reply.packer.put(Errc::ok);
            for (const hyp::ResourceReply& item : *result) reply.packer.put(item);
            break;
        }
        case HypOp::mem_open:
            reply.view(guest.mem_open(reader.get<mem::Ipa>()));
            break;
        case HypOp::xirq_bell: {
            const auto number = reader.get<XirqNumber>();
            reply.address(guest.xirq_bell(number, reader.get<VmId>()));
            break;
        }
        case HypOp::xirq_trigger: {
            const auto number = reader.get<XirqNumber>();
            reply.status(guest.xirq_trigger(number, reader.get<VmId>()));
            break;
        }
        case HypOp::xirq_route: {
            const auto number = reader.get<XirqNumber>();
            auto route = guest.xirq_route(number, reader.get<VmId>());
            if (!route) {
                reply.failed(route.error());
                break;
            }
            reply.packer.put(Errc::ok).put(route->link).put(route->bit).put(route->bell);
            break;
        }
        case HypOp::xirq_line: {
            const auto owner = reader.get<VmId>();
            auto line = guest.xirq_line(owner, reader.get<VmId>());
            if (!line) {
                reply.failed(line.error());
                break;
            }
            reply.packer.put(Errc::ok);
            reply.region(line->pending);
            reply.fd(line->fd);
            break;
        }
        case HypOp::xirq_numbers: {
            const auto raiser = reader.get<VmId>();
            auto numbers = guest.xirq_numbers(raiser, reader.get<std::uint32_t>());
            if (!numbers) {
                reply.failed(numbers.error());
                break;
            }
            reply.packer.put(Errc::ok);
            for (const XirqNumber number : *numbers) reply.packer.put(number);
            break;
        }
        case HypOp::port_alloc: {
            const auto slot = reader.get<std::uint32_t>();
            reply.port(guest.port_alloc(slot, reader.get<std::uint64_t>()));
            break;
        }
        case HypOp::port_open: {
            const auto slot = reader.get<std::uint32_t>();
            reply.port(guest.port_open(slot, reader.get<std::uint32_t>()));
            break;
        }
        case HypOp::port_free: {
            const auto slot = reader.get<std::uint32_t>();
            reply.status(guest.port_free(slot, reader.get<std::uint32_t>()));
            break;
        }
        case HypOp::scope: {
            auto result = guest.scope(reader.get<std::uint32_t>());
            if (!result) {
                reply.failed(result.error());
                break;
            }
            reply.packer.put(Errc::ok);
            reply.region(*result);
            break;
        }
        case HypOp::boot_done:
            reply.status(guest.boot_done());
            break;
        case HypOp::halt:
            reply.status(guest.halt());
            break;
        case HypOp::take_events:
            reply.packer.put(Errc::ok);
            pack_events(reply.packer, guest.take_events());
            break;
        default:
            HYPLINK_TRY(serve_memory(guest, op, reader, message, reply));
    }
    return sys::send_message(socket, reply.packer.bytes(), reply.fds, false);
}

}  // namespace hyplink::backend
