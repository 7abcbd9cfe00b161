#include "hyplink/backend/app_messages.hpp"

#include <cerrno>

namespace hyplink::backend {
namespace {
constexpr std::size_t kMaxText = std::size_t{96} * 1024;

/// How many objects a request may hand over.
std::size_t most_fds(guest::Sys op) {
    switch (op) {
        case guest::Sys::mem_grant:
        case guest::Sys::mem_deny:
            return sys::kMaxFds;
        case guest::Sys::umem_respond:
        case guest::Sys::umem_respond_receive:
        case guest::Sys::ion_export:
        case guest::Sys::dma_order:
            return 1;
        default:
            return 0;
    }
}

}  // namespace

Status send_request(int socket, const guest::SysRequest& request) {
    Packer packer;
    packer.put(request.sequence).put(request.op).put(request.handle);
    for (std::uint64_t argument : request.args) packer.put(argument);
    packer.put_text(request.data);
    std::vector<int> fds;
    for (const auto& fd : request.fds) fds.push_back(fd->get());
    return sys::send_message(socket, packer.bytes(), fds, true);
}

Result<guest::SysRequest> decode_request(sys::Message& message) {
    Unpacker reader(message.bytes);
    guest::SysRequest request;
    request.sequence = reader.get<std::uint32_t>();
    request.op = reader.get<guest::Sys>();
    request.handle = reader.get<std::uint32_t>();
    for (std::uint64_t& argument : request.args) argument = reader.get<std::uint64_t>();
    request.data = reader.get_text();
    if (!reader.ok() || !reader.at_end() || message.fds.size() > most_fds(request.op))
        return Error::make(Errc::protocol, "a system call of the wrong size");
    for (sys::Fd& fd : message.fds) request.fds.push_back(std::make_shared<sys::Fd>(std::move(fd)));
    return request;
}

Status send_reply(int socket, const guest::SysReply& reply) {
    Packer packer;
    packer.put(reply.sequence).put(reply.code);
    for (std::uint64_t value : reply.values) packer.put(value);
    packer.put_text(std::string_view(reply.data).substr(0, kMaxText));
    packer.put(static_cast<std::uint8_t>(reply.regions.size()));
    packer.put(static_cast<std::uint8_t>(reply.spares_fds));
    std::vector<int> fds;
    for (const auto& region : reply.regions) fds.push_back(region->fd());
    for (const auto& fd : reply.fds) fds.push_back(fd->get());
    return sys::send_message(socket, packer.bytes(), fds, false);
}

bool answers_a_request(const sys::Message& message) {
    Unpacker reader(message.bytes);
    return reader.get<std::uint32_t>() != 0 && reader.ok();
}

Result<guest::SysReply> decode_reply(sys::Message& message) {
    Unpacker reader(message.bytes);
    guest::SysReply reply;
    reply.sequence = reader.get<std::uint32_t>();
    reply.code = reader.get<Errc>();
    for (std::uint64_t& value : reply.values) value = reader.get<std::uint64_t>();
    reply.data = reader.get_text();
    const std::size_t regions = reader.get<std::uint8_t>();
    reply.spares_fds = reader.get<std::uint8_t>() != 0;
    if (reader.ok() && message.lost && !reply.spares_fds)
        return Error::make(static_cast<Errc>(EMFILE), "descriptors of a message are lost");
    if (!reader.ok() || regions > message.fds.size())
        return Error::make(Errc::protocol, "a reply of the wrong size");
    for (std::size_t i = 0; i < message.fds.size(); ++i) {
        if (i < regions)
            reply.regions.push_back(HYPLINK_TRY(mem::Region::map(std::move(message.fds[i]))));
        else
            reply.fds.push_back(std::make_shared<sys::Fd>(std::move(message.fds[i])));
    }
    return reply;
}

}  // namespace hyplink::backend
