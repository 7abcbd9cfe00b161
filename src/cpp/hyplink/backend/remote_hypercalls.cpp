#include "hyplink/backend/remote_hypercalls.hpp"

#include <algorithm>
#include <bit>
#include <optional>

#include "hyplink/base/text.hpp"

namespace hyplink::backend {
namespace {

constexpr std::size_t kEndsPerMessage = 4096;

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
        case HypOp::recall:
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

Packer request(HypOp op) {
    Packer packer;
    packer.put(op);
    return packer;
}

}  // namespace

Result<RemoteHypercalls::Answer> RemoteHypercalls::call(const Packer& request,
                                                        std::span<const int> fds) {
    HYPLINK_TRY(sys::send_message(socket_, request.bytes(), fds, true));
    for (;;) {
        sys::Message message = HYPLINK_TRY(sys::receive_message(socket_, true, true));
        Unpacker reader(message.bytes);
        if (reader.get<VmMessage>() != VmMessage::reply) {
            unread_.push_back(std::move(message));
            continue;
        }
        const auto code = reader.get<Errc>();
        if (code != Errc::ok) return Error::make(code, reader.get_text());
        if (message.lost)
            return Error::make(static_cast<Errc>(EMFILE), "no descriptors left in this process");
        if (!reader.ok()) return Errc::protocol;
        return Answer{std::move(message), reader};
    }
}

Result<hyp::Identity> RemoteHypercalls::identity() {
    Answer answer = HYPLINK_TRY(call(request(HypOp::identity)));
    hyp::Identity identity;
    identity.id = self_ = answer.results.get<VmId>();
    identity.last_id = answer.results.get<VmId>();
    identity.running = answer.results.get<std::uint32_t>();
    identity.name = answer.results.get_text();
    return identity;
}

Result<hyp::MemoryView> RemoteHypercalls::view(const Packer& packed) {
    Answer answer = HYPLINK_TRY(call(packed));
    if (answer.message.fds.size() != 1) return Errc::protocol;
    hyp::MemoryView view;
    view.base = answer.results.get<mem::Ipa>();
    view.region = HYPLINK_TRY(mem::Region::map(std::move(answer.message.fds[0])));
    return view;
}

Result<hyp::MemoryView> RemoteHypercalls::pdev() { return view(request(HypOp::pdev)); }

Result<hyp::MemoryView> RemoteHypercalls::mem_open(mem::Ipa address) {
    return view(request(HypOp::mem_open).put(address));
}

Status RemoteHypercalls::publish(std::span<const hyp::EndRef> ends) {
    while (!ends.empty()) {
        const auto part = ends.first(std::min(kEndsPerMessage, ends.size()));
        Packer packer = request(HypOp::publish);
        packer.put(static_cast<std::uint32_t>(part.size()));
        for (const hyp::EndRef& end : part) packer.put(end);
        HYPLINK_TRY(call(packer));
        ends = ends.subspan(part.size());
    }
    return {};
}

Result<std::vector<hyp::ResourceReply>> RemoteHypercalls::resources(
    std::span<const hyp::ResourceRequest> requests) {
    Packer packer = request(HypOp::resources);
    packer.put(static_cast<std::uint32_t>(requests.size()));
    for (const hyp::ResourceRequest& item : requests) packer.put(item);
    Answer answer = HYPLINK_TRY(call(packer));
    std::vector<hyp::ResourceReply> replies(requests.size());
    for (hyp::ResourceReply& reply : replies) reply = answer.results.get<hyp::ResourceReply>();
    if (!answer.results.ok()) return Errc::protocol;
    return replies;
}

Result<mem::Ipa> RemoteHypercalls::xirq_bell(XirqNumber number, VmId owner) {
    Answer answer = HYPLINK_TRY(call(request(HypOp::xirq_bell).put(number).put(owner)));
    return answer.results.get<mem::Ipa>();
}

Status RemoteHypercalls::xirq_trigger(XirqNumber number, VmId destination) {
    if (sender_.raise(number, destination)) return {};
    HYPLINK_TRY(call(request(HypOp::xirq_trigger).put(number).put(destination)));
    return {};
}

Result<hyp::XirqRoute> RemoteHypercalls::xirq_route(XirqNumber number, VmId destination) {
    Answer answer = HYPLINK_TRY(call(request(HypOp::xirq_route).put(number).put(destination)));
    hyp::XirqRoute route;
    route.link = answer.results.get<LinkIndex>();
    route.bit = answer.results.get<std::uint32_t>();
    route.bell = answer.results.get<mem::Ipa>();
    return route;
}

Result<hyp::XirqLine> RemoteHypercalls::xirq_line(VmId owner, VmId raiser) {
    Answer answer = HYPLINK_TRY(call(request(HypOp::xirq_line).put(owner).put(raiser)));
    if (answer.message.fds.size() != 2) return Errc::protocol;
    hyp::XirqLine line;
    line.pending = HYPLINK_TRY(mem::Region::map(std::move(answer.message.fds[0])));
    line.fd = std::make_shared<sys::Fd>(std::move(answer.message.fds[1]));
    return line;
}

Result<std::vector<XirqNumber>> RemoteHypercalls::xirq_numbers(VmId raiser, std::uint32_t first) {
    Answer answer = HYPLINK_TRY(call(request(HypOp::xirq_numbers).put(raiser).put(first)));
    std::vector<XirqNumber> numbers(answer.results.left() / sizeof(XirqNumber));
    for (XirqNumber& number : numbers) number = answer.results.get<XirqNumber>();
    return numbers;
}

Result<hyp::PortGrant> RemoteHypercalls::port(const Packer& packed) {
    Answer answer = HYPLINK_TRY(call(packed));
    if (answer.message.fds.size() != 3) return Errc::protocol;
    hyp::PortGrant grant;
    grant.id = answer.results.get<std::uint32_t>();
    grant.region = HYPLINK_TRY(mem::Region::map(std::move(answer.message.fds[0])));
    for (std::size_t i = 0; i < 2; ++i)
        grant.fds[i] = std::make_shared<sys::Fd>(std::move(answer.message.fds[1 + i]));
    return grant;
}

Result<hyp::PortGrant> RemoteHypercalls::port_alloc(std::uint32_t slot, std::uint64_t bytes) {
    return port(request(HypOp::port_alloc).put(slot).put(bytes));
}

Result<hyp::PortGrant> RemoteHypercalls::port_open(std::uint32_t slot, std::uint32_t id) {
    return port(request(HypOp::port_open).put(slot).put(id));
}

Status RemoteHypercalls::port_free(std::uint32_t slot, std::uint32_t id) {
    HYPLINK_TRY(call(request(HypOp::port_free).put(slot).put(id)));
    return {};
}

Result<mem::Ipa> RemoteHypercalls::mem_alloc(std::uint32_t app, std::uint64_t bytes) {
    Answer answer = HYPLINK_TRY(call(request(HypOp::mem_alloc).put(app).put(bytes)));
    return answer.results.get<mem::Ipa>();
}

Status RemoteHypercalls::mem_free(std::uint32_t app, mem::Ipa at) {
    HYPLINK_TRY(call(request(HypOp::mem_free).put(app).put(at)));
    return {};
}

Result<RemoteHypercalls::Answer> RemoteHypercalls::mem_call(HypOp op, const hyp::MemCall& mem) {
    Packer packer = request(op);
    std::uint32_t present = 0;  // which ranges come with an object
    std::vector<int> fds;
    for (std::size_t i = 0; i < mem.objects.size() && i < hyp::MemCall::kMaxRanges; ++i) {
        if (!mem.objects[i]) continue;
        present |= 1U << i;
        fds.push_back(mem.objects[i]->get());
    }
    packer.put(mem.vm).put(mem.flags).put(mem.app).put(present);
    packer.put(static_cast<std::uint32_t>(mem.ranges.size()));
    for (const hyp::MemRange& range : mem.ranges) packer.put(range);
    return call(packer, fds);
}

Status RemoteHypercalls::mem_grant(const hyp::MemCall& mem) {
    HYPLINK_TRY(mem_call(HypOp::mem_grant, mem));
    return {};
}
Status RemoteHypercalls::mem_deny(const hyp::MemCall& mem) {
    HYPLINK_TRY(mem_call(HypOp::mem_deny, mem));
    return {};
}
Status RemoteHypercalls::mem_verify(const hyp::MemCall& mem) {
    HYPLINK_TRY(mem_call(HypOp::mem_verify, mem));
    return {};
}

Result<std::uint32_t> RemoteHypercalls::mem_hold(const hyp::MemCall& mem) {
    Answer answer = HYPLINK_TRY(mem_call(HypOp::mem_hold, mem));
    return answer.results.get<std::uint32_t>();
}

Status RemoteHypercalls::mem_release(std::uint32_t app) {
    HYPLINK_TRY(call(request(HypOp::mem_release).put(app)));
    return {};
}

Status RemoteHypercalls::mem_held(std::uint32_t hold) {
    HYPLINK_TRY(call(request(HypOp::mem_held).put(hold)));
    return {};
}

Result<std::vector<hyp::WindowPiece>> RemoteHypercalls::mem_map(hyp::MemRange range, bool writable,
                                                                hyp::Show show) {
    Packer packer = request(HypOp::mem_map);
    packer.put(range).put(static_cast<std::uint8_t>(writable)).put(show);
    Answer answer = HYPLINK_TRY(call(packer));
    std::vector<hyp::WindowPiece> pieces;
    auto fd = answer.message.fds.begin();
    for (auto left = answer.results.get<std::uint32_t>(); left != 0; --left) {
        hyp::WindowPiece piece;
        piece.range = answer.results.get<hyp::MemRange>();
        piece.offset = answer.results.get<std::uint64_t>();
        const bool granted = answer.results.get<std::uint8_t>() != 0;
        if (!answer.results.ok() || (granted && fd == answer.message.fds.end()))
            return Errc::protocol;
        if (granted) piece.fd = std::make_shared<sys::Fd>(std::move(*fd++));
        pieces.push_back(std::move(piece));
    }
    return pieces;
}

Status RemoteHypercalls::mem_unmap(hyp::MemRange range) {
    HYPLINK_TRY(call(request(HypOp::mem_unmap).put(range)));
    return {};
}

Result<hyp::DmaReply> RemoteHypercalls::dma(const hyp::DmaOrder& order,
                                            const std::shared_ptr<sys::Fd>& object) {
    const int fd = object ? object->get() : -1;
    Answer answer =
        HYPLINK_TRY(call(request(HypOp::dma).put(order), std::span(&fd, object ? 1U : 0U)));
    return answer.results.get<hyp::DmaReply>();
}

Result<mem::Ipa> RemoteHypercalls::lend(std::uint32_t slot, const std::shared_ptr<sys::Fd>& object,
                                        std::uint64_t offset, std::uint64_t bytes,
                                        hyp::LoanKind kind) {
    const int fd = object->get();
    Answer answer = HYPLINK_TRY(
        call(request(HypOp::lend).put(slot).put(offset).put(bytes).put(kind), std::span(&fd, 1)));
    return answer.results.get<mem::Ipa>();
}

Result<hyp::Loan> RemoteHypercalls::borrow(std::uint32_t slot, mem::Ipa at) {
    Answer answer = HYPLINK_TRY(call(request(HypOp::borrow).put(slot).put(at)));
    if (answer.message.fds.size() != 1) return Errc::protocol;
    hyp::Loan loan;
    loan.at = answer.results.get<mem::Ipa>();
    loan.bytes = answer.results.get<std::uint64_t>();
    loan.offset = answer.results.get<std::uint64_t>();
    loan.object = std::make_shared<sys::Fd>(std::move(answer.message.fds[0]));
    return loan;
}

Status RemoteHypercalls::recall(std::uint32_t slot, mem::Ipa at, bool erase) {
    HYPLINK_TRY(
        call(request(HypOp::recall).put(slot).put(at).put(static_cast<std::uint8_t>(erase))));
    return {};
}

Result<std::shared_ptr<mem::Region>> RemoteHypercalls::scope(std::uint32_t app) {
    Answer answer = HYPLINK_TRY(call(request(HypOp::scope).put(app)));
    if (answer.message.fds.size() != 1) return Errc::protocol;
    auto region = HYPLINK_TRY(mem::Region::map(std::move(answer.message.fds[0])));
    if (app == 0) sender_.journal_to(Scope(region->data(), self_, 0));
    return region;
}

Status RemoteHypercalls::boot_done() {
    HYPLINK_TRY(call(request(HypOp::boot_done)));
    return {};
}

Status RemoteHypercalls::halt() {
    HYPLINK_TRY(call(request(HypOp::halt)));
    return {};
}

hyp::GuestEvents RemoteHypercalls::take_events() {
    hyp::GuestEvents events;
    auto answer = call(request(HypOp::take_events));
    if (!answer) return events;
    events.sysconf = answer->results.get<std::uint8_t>() != 0;
    if (events.sysconf) {
        had_sysconf_ = true;
        sender_.forget_lines();
    }
    events.shutdown = answer->results.get<std::uint8_t>() != 0;
    const auto count = answer->results.get<std::uint32_t>();
    for (std::uint32_t i = 0; i < count && answer->results.ok(); ++i)
        events.xirqs.push_back(answer->results.get<XirqNumber>());
    const auto windows = answer->results.get<std::uint32_t>();
    for (std::uint32_t i = 0; i < windows && answer->results.ok(); ++i)
        events.windows.push_back(answer->results.get<hyp::MemRange>());
    const auto holds = answer->results.get<std::uint32_t>();
    for (std::uint32_t i = 0; i < holds && answer->results.ok(); ++i) {
        hyp::HoldEvent event;
        event.id = answer->results.get<std::uint32_t>();
        event.begin = answer->results.get<std::uint8_t>() != 0;
        const auto ranges = answer->results.get<std::uint32_t>();
        for (std::uint32_t k = 0; k < ranges && answer->results.ok(); ++k)
            event.ranges.push_back(answer->results.get<hyp::MemRange>());
        events.holds.push_back(std::move(event));
    }
    const auto held = answer->results.get<std::uint32_t>();
    for (std::uint32_t i = 0; i < held && answer->results.ok(); ++i)
        events.held.push_back(answer->results.get<std::uint32_t>());
    const auto dma = answer->results.get<std::uint32_t>();
    for (std::uint32_t i = 0; i < dma && answer->results.ok(); ++i)
        events.dma.push_back(answer->results.get<std::uint32_t>());
    return events;
}

// --- the bench's end
// ---------------------------------------------------------------------------------------

namespace {

/// Nothing if the message is no such call: its length or its descriptors do not fit.
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

}  // namespace

Status serve_hypercall(hyp::Hypercalls& guest, int socket, sys::Message& message) {
    Unpacker reader(message.bytes);
    Packer reply;
    std::vector<int> fds;
    std::vector<std::shared_ptr<void>> keep;
    reply.put(VmMessage::reply);
    auto failed = [&](const Error& error) {
        reply.put(error.code()).put_text(error.text().substr(0, 1000));
    };
    auto status = [&](const Status& result) {
        if (!result) return failed(result.error());
        reply.put(Errc::ok);
    };
    auto region = [&](const std::shared_ptr<mem::Region>& memory) {
        fds.push_back(memory->fd());
        keep.push_back(memory);
    };
    auto view = [&](Result<hyp::MemoryView> result) {
        if (!result) return failed(result.error());
        reply.put(Errc::ok).put(result->base);
        region(result->region);
    };
    auto address = [&](Result<mem::Ipa> result) {
        if (!result) return failed(result.error());
        reply.put(Errc::ok).put(*result);
    };
    auto port = [&](Result<hyp::PortGrant> result) {
        if (!result) return failed(result.error());
        reply.put(Errc::ok).put(result->id);
        region(result->region);
        for (const auto& fd : result->fds) {
            fds.push_back(fd->get());
            keep.push_back(fd);
        }
    };
    const auto op = reader.get<HypOp>();
    if (const auto expected = argument_bytes(op); !reader.ok() ||
                                                  (expected && reader.left() != *expected) ||
                                                  (op == HypOp::lend && message.fds.size() != 1))
        return Errc::protocol;
    switch (op) {
        case HypOp::identity: {
            auto result = guest.identity();
            if (!result) {
                failed(result.error());
                break;
            }
            reply.put(Errc::ok)
                .put(result->id)
                .put(result->last_id)
                .put(result->running)
                .put_text(result->name);
            break;
        }
        case HypOp::pdev:
            view(guest.pdev());
            break;
        case HypOp::publish: {
            const auto count = reader.get<std::uint32_t>();
            if (count > kEndsPerMessage || reader.left() != count * sizeof(hyp::EndRef))
                return Errc::protocol;
            std::vector<hyp::EndRef> ends(count);
            for (hyp::EndRef& end : ends) end = reader.get<hyp::EndRef>();
            status(guest.publish(ends));
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
                failed(result.error());
                break;
            }
            reply.put(Errc::ok);
            for (const hyp::ResourceReply& item : *result) reply.put(item);
            break;
        }
        case HypOp::mem_open:
            view(guest.mem_open(reader.get<mem::Ipa>()));
            break;
        case HypOp::xirq_bell: {
            const auto number = reader.get<XirqNumber>();
            address(guest.xirq_bell(number, reader.get<VmId>()));
            break;
        }
        case HypOp::xirq_trigger: {
            const auto number = reader.get<XirqNumber>();
            status(guest.xirq_trigger(number, reader.get<VmId>()));
            break;
        }
        case HypOp::xirq_route: {
            const auto number = reader.get<XirqNumber>();
            auto route = guest.xirq_route(number, reader.get<VmId>());
            if (!route) {
                failed(route.error());
                break;
            }
            reply.put(Errc::ok).put(route->link).put(route->bit).put(route->bell);
            break;
        }
        case HypOp::xirq_line: {
            const auto owner = reader.get<VmId>();
            auto line = guest.xirq_line(owner, reader.get<VmId>());
            if (!line) {
                failed(line.error());
                break;
            }
            reply.put(Errc::ok);
            region(line->pending);
            fds.push_back(line->fd->get());
            keep.push_back(line->fd);
            break;
        }
        case HypOp::xirq_numbers: {
            const auto raiser = reader.get<VmId>();
            auto numbers = guest.xirq_numbers(raiser, reader.get<std::uint32_t>());
            if (!numbers) {
                failed(numbers.error());
                break;
            }
            reply.put(Errc::ok);
            for (const XirqNumber number : *numbers) reply.put(number);
            break;
        }
        case HypOp::port_alloc: {
            const auto slot = reader.get<std::uint32_t>();
            port(guest.port_alloc(slot, reader.get<std::uint64_t>()));
            break;
        }
        case HypOp::port_open: {
            const auto slot = reader.get<std::uint32_t>();
            port(guest.port_open(slot, reader.get<std::uint32_t>()));
            break;
        }
        case HypOp::port_free: {
            const auto slot = reader.get<std::uint32_t>();
            status(guest.port_free(slot, reader.get<std::uint32_t>()));
            break;
        }
        case HypOp::mem_alloc: {
            const auto app = reader.get<std::uint32_t>();
            address(guest.mem_alloc(app, reader.get<std::uint64_t>()));
            break;
        }
        case HypOp::mem_free: {
            const auto app = reader.get<std::uint32_t>();
            status(guest.mem_free(app, reader.get<mem::Ipa>()));
            break;
        }
        case HypOp::mem_grant:
        case HypOp::mem_deny:
        case HypOp::mem_verify: {
            auto call = unpack_mem_call(reader, message);
            if (!call) return Errc::protocol;
            status(op == HypOp::mem_grant  ? guest.mem_grant(*call)
                   : op == HypOp::mem_deny ? guest.mem_deny(*call)
                                           : guest.mem_verify(*call));
            break;
        }
        case HypOp::mem_hold: {
            auto call = unpack_mem_call(reader, message);
            if (!call) return Errc::protocol;
            auto result = guest.mem_hold(*call);
            if (!result) {
                failed(result.error());
                break;
            }
            reply.put(Errc::ok).put(*result);
            break;
        }
        case HypOp::mem_release:
            status(guest.mem_release(reader.get<std::uint32_t>()));
            break;
        case HypOp::mem_held:
            status(guest.mem_held(reader.get<std::uint32_t>()));
            break;
        case HypOp::mem_map: {
            const auto range = reader.get<hyp::MemRange>();
            const bool writable = reader.get<std::uint8_t>() != 0;
            const auto show =
                reader.get<std::uint8_t>() == 0 ? hyp::Show::whole : hyp::Show::partly;
            auto result = guest.mem_map(range, writable, show);
            if (!result) {
                failed(result.error());
                break;
            }
            reply.put(Errc::ok).put(static_cast<std::uint32_t>(result->size()));
            for (const hyp::WindowPiece& piece : *result) {
                reply.put(piece.range).put(piece.offset).put(std::uint8_t{piece.fd != nullptr});
                if (!piece.fd) continue;
                fds.push_back(piece.fd->get());
                keep.push_back(piece.fd);
            }
            break;
        }
        case HypOp::mem_unmap:
            status(guest.mem_unmap(reader.get<hyp::MemRange>()));
            break;
        case HypOp::dma: {
            if (message.fds.size() > 1) return Errc::protocol;
            const auto order = reader.get<hyp::DmaOrder>();
            const auto result = guest.dma(
                order, message.fds.empty() ? std::shared_ptr<sys::Fd>()
                                           : std::make_shared<sys::Fd>(std::move(message.fds[0])));
            if (result)
                reply.put(Errc::ok).put(*result);
            else
                failed(result.error());
            break;
        }
        case HypOp::lend: {
            const auto slot = reader.get<std::uint32_t>();
            const auto offset = reader.get<std::uint64_t>();
            const auto bytes = reader.get<std::uint64_t>();
            const auto kind = reader.get<hyp::LoanKind>();
            address(guest.lend(slot, std::make_shared<sys::Fd>(std::move(message.fds[0])), offset,
                               bytes, kind));
            break;
        }
        case HypOp::borrow: {
            const auto slot = reader.get<std::uint32_t>();
            auto loan = guest.borrow(slot, reader.get<mem::Ipa>());
            if (!loan) {
                failed(loan.error());
                break;
            }
            reply.put(Errc::ok).put(loan->at).put(loan->bytes).put(loan->offset);
            fds.push_back(loan->object->get());
            keep.push_back(loan->object);
            break;
        }
        case HypOp::recall: {
            const auto slot = reader.get<std::uint32_t>();
            const auto at = reader.get<mem::Ipa>();
            status(guest.recall(slot, at, reader.get<std::uint8_t>() != 0));
            break;
        }
        case HypOp::scope: {
            auto result = guest.scope(reader.get<std::uint32_t>());
            if (!result) {
                failed(result.error());
                break;
            }
            reply.put(Errc::ok);
            region(*result);
            break;
        }
        case HypOp::boot_done:
            status(guest.boot_done());
            break;
        case HypOp::halt:
            status(guest.halt());
            break;
        case HypOp::take_events: {
            const hyp::GuestEvents events = guest.take_events();
            reply.put(Errc::ok);
            reply.put(static_cast<std::uint8_t>(events.sysconf))
                .put(static_cast<std::uint8_t>(events.shutdown));
            reply.put(static_cast<std::uint32_t>(events.xirqs.size()));
            for (XirqNumber number : events.xirqs) reply.put(number);
            reply.put(static_cast<std::uint32_t>(events.windows.size()));
            for (const hyp::MemRange& range : events.windows) reply.put(range);
            reply.put(static_cast<std::uint32_t>(events.holds.size()));
            for (const hyp::HoldEvent& event : events.holds) {
                reply.put(event.id).put(static_cast<std::uint8_t>(event.begin));
                reply.put(static_cast<std::uint32_t>(event.ranges.size()));
                for (const hyp::MemRange& range : event.ranges) reply.put(range);
            }
            reply.put(static_cast<std::uint32_t>(events.held.size()));
            for (std::uint32_t hold : events.held) reply.put(hold);
            reply.put(static_cast<std::uint32_t>(events.dma.size()));
            for (std::uint32_t job : events.dma) reply.put(job);
            break;
        }
        default:
            return Errc::protocol;
    }
    return sys::send_message(socket, reply.bytes(), fds, false);
}

}  // namespace hyplink::backend
