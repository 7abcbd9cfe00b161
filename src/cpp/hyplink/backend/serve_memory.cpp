#include "hyplink/backend/serving.hpp"

namespace hyplink::backend {

Status serve_memory(hyp::Hypercalls& guest, HypOp op, Unpacker& reader, sys::Message& message,
                    Reply& reply) {
    switch (op) {
        case HypOp::mem_alloc: {
            const auto app = reader.get<std::uint32_t>();
            reply.address(guest.mem_alloc(app, reader.get<std::uint64_t>()));
            break;
        }
        case HypOp::mem_free: {
            const auto app = reader.get<std::uint32_t>();
            reply.status(guest.mem_free(app, reader.get<mem::Ipa>()));
            break;
        }
        case HypOp::mem_grant:
        case HypOp::mem_deny:
        case HypOp::mem_verify: {
            auto call = unpack_mem_call(reader, message);
            if (!call) return Errc::protocol;
            reply.status(op == HypOp::mem_grant  ? guest.mem_grant(*call)
                         : op == HypOp::mem_deny ? guest.mem_deny(*call)
                                                 : guest.mem_verify(*call));
            break;
        }
        case HypOp::mem_hold: {
            auto call = unpack_mem_call(reader, message);
            if (!call) return Errc::protocol;
            auto result = guest.mem_hold(*call);
            if (!result) {
                reply.failed(result.error());
                break;
            }
            reply.packer.put(Errc::ok).put(*result);
            break;
        }
        case HypOp::mem_release:
            reply.status(guest.mem_release(reader.get<std::uint32_t>()));
            break;
        case HypOp::mem_held:
            reply.status(guest.mem_held(reader.get<std::uint32_t>()));
            break;
        case HypOp::mem_map: {
            const auto range = reader.get<hyp::MemRange>();
            const bool writable = reader.get<std::uint8_t>() != 0;
            const auto show =
                reader.get<std::uint8_t>() == 0 ? hyp::Show::whole : hyp::Show::partly;
            auto result = guest.mem_map(range, writable, show);
            if (!result) {
                reply.failed(result.error());
                break;
            }
            reply.packer.put(Errc::ok).put(static_cast<std::uint32_t>(result->size()));
            for (const hyp::WindowPiece& piece : *result) {
                reply.packer.put(piece.range)
                    .put(piece.offset)
                    .put(piece.generation)
                    .put(std::uint8_t{piece.fd != nullptr});
                if (!piece.fd) continue;
                reply.fd(piece.fd);
            }
            break;
        }
        case HypOp::mem_watch: {
            const auto range = reader.get<hyp::MemRange>();
            reply.status(guest.mem_watch(range, reader.get<std::uint32_t>()));
            break;
        }
        case HypOp::mem_unmap:
            reply.status(guest.mem_unmap(reader.get<hyp::MemRange>()));
            break;
        case HypOp::dma: {
            if (message.fds.size() > 1) return Errc::protocol;
            const auto order = reader.get<hyp::DmaOrder>();
            const auto result = guest.dma(
                order, message.fds.empty() ? std::shared_ptr<sys::Fd>()
                                           : std::make_shared<sys::Fd>(std::move(message.fds[0])));
            if (result)
                reply.packer.put(Errc::ok).put(*result);
            else
                reply.failed(result.error());
            break;
        }
        case HypOp::lend: {
            const auto slot = reader.get<std::uint32_t>();
            const auto offset = reader.get<std::uint64_t>();
            const auto bytes = reader.get<std::uint64_t>();
            const auto kind = reader.get<hyp::LoanKind>();
            reply.address(guest.lend(slot, std::make_shared<sys::Fd>(std::move(message.fds[0])),
                                     offset, bytes, kind));
            break;
        }
        case HypOp::borrow: {
            const auto slot = reader.get<std::uint32_t>();
            auto loan = guest.borrow(slot, reader.get<mem::Ipa>());
            if (!loan) {
                reply.failed(loan.error());
                break;
            }
            reply.packer.put(Errc::ok).put(loan->at).put(loan->bytes).put(loan->offset);
            reply.fd(loan->object);
            break;
        }
        case HypOp::recall: {
            const auto slot = reader.get<std::uint32_t>();
            const auto at = reader.get<mem::Ipa>();
            reply.status(guest.recall(slot, at, reader.get<std::uint8_t>() != 0));
            break;
        }
        default:
            return Errc::protocol;
    }
    return {};
}

}  // namespace hyplink::backend
