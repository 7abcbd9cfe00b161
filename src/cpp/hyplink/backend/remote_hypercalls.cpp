#include "hyplink/backend/remote_hypercalls.hpp"

#include <algorithm>

#include "hyplink/backend/hyp_messages.hpp"

namespace hyplink::backend {

Result<RemoteHypercalls::Answer> RemoteHypercalls::call(const Packer& request,
                                                        std::span<const int> fds) {
    HYPLINK_TRY(sys::send_message(socket_, request.bytes(), fds, true));
    send_put_off();  // served while its answer is on its way
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

void RemoteHypercalls::send_put_off() {
    // One that cannot be sent finds the bench gone, and whatever was lent with it.
    for (const Packer& packed : std::exchange(put_off_, {}))
        (void)sys::send_message(socket_, packed.bytes(), {}, true);
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
    auto answer = call(request(HypOp::take_events));
    if (!answer) return {};
    hyp::GuestEvents events = unpack_events(answer->results);
    if (events.sysconf) {
        had_sysconf_ = true;
        sender_.forget_lines();
    }
    return events;
}

}  // namespace hyplink::backend
