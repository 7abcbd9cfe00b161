#include "hyplink/app/port/end.hpp"

#include <utility>

#include "hyplink/app/kernel_calls.hpp"
#include "hyplink/base/text.hpp"
#include "hyplink/ring/rpq_port.hpp"

namespace hyplink::port {

using app::close_handle;
using app::request_of;
using guest::EndReply;
using guest::PortReply;
using guest::Sys;
using guest::SysReply;
using guest::SysRequest;

void Membership::leave() {
    std::uint32_t handle = handle_.exchange(0);
    if (handle == 0) return;
    application_->remove_sleeper(sleeper_);
    application_->unwatch(handle);
    close_handle(*application_, handle);
}

Result<std::unique_ptr<End>> End::lookup(std::shared_ptr<app::Application> application,
                                         const Lookup& what, Deadline deadline) {
    std::uint32_t device = HYPLINK_TRY(app::open_device(*application, what.device, deadline));
    SysRequest request = request_of(Sys::port_lookup, device);
    request.args[0] = static_cast<std::uint64_t>(what.role);
    request.args[1] = what.peer;
    request.args[2] = what.over;
    request.data = what.name;
    auto found = application->call(std::move(request), deadline);
    close_handle(*application, device);
    SysReply reply = HYPLINK_TRY(std::move(found));
    std::unique_ptr<End> end(new End);
    end->application_ = std::move(application);
    end->device_ = what.device;
    end->handle_ = static_cast<std::uint32_t>(reply.values[EndReply::handle]);
    end->role_ = static_cast<Role>(reply.values[EndReply::role]);
    end->peer_ = static_cast<VmId>(reply.values[EndReply::peer]);
    end->link_ = static_cast<std::uint32_t>(reply.values[EndReply::link]);
    end->number_ = static_cast<std::uint32_t>(reply.values[EndReply::number]);
    end->bytes_ = reply.values[EndReply::bytes];
    end->presence_ = end->application_->status_word(reply.values[EndReply::presence]);
    end->info_ = std::move(reply.data);
    if (end->presence_ == nullptr) return Error::make(Errc::protocol, "status word out of range");
    return end;
}

void End::release() { close_handle(*application_, handle_); }

Result<Joined> End::join(const JoinOptions& options, Deadline deadline) {
    if (handle_ == 0)
        return Error::make(Errc::closed, text(device_, " \"", info_, "\" was released"));
    SysRequest request = request_of(Sys::port_join, handle_, options.bytes);
    if (options.alone) request.args[1] |= guest::PortJoin::alone;
    if (options.now) request.args[1] |= guest::PortJoin::now;
    request.data = options.words;
    return finish(HYPLINK_TRY(application_->call(std::move(request), deadline)));
}

Result<Joined> End::finish(SysReply reply) {
    auto handle = static_cast<std::uint32_t>(reply.values[PortReply::handle]);
    struct Keep {
        std::shared_ptr<app::Application> application;
        std::shared_ptr<mem::Region> port;
        std::vector<std::shared_ptr<sys::Fd>> fds;
    };
    auto keep = std::make_shared<Keep>();
    Joined joined;
    const auto checked = [&]() -> Status {
        if (reply.regions.size() != 1 || reply.fds.size() != 2)
            return Error::make(Errc::protocol, "a port came without its memory");
        *keep = Keep{application_, reply.regions[0], reply.fds};
        rings::ChannelContext& context = joined.context;
        context.runtime = &application_->runtime();
        context.scope = &application_->scope();
        context.port = keep->port->data();
        context.port_bytes = keep->port->size();
        context.state = application_->status_word(reply.values[PortReply::status_word]);
        context.link = static_cast<std::uint32_t>(reply.values[PortReply::link]);
        context.channel = static_cast<std::uint32_t>(reply.values[PortReply::port]);
        context.peer = peer_;
        context.label = text(device_, " ", info_.substr(0, info_.find(',')));
        context.own_fd = keep->fds[0]->get();
        context.peer_fd = keep->fds[1]->get();
        context.keep = keep;
        HYPLINK_TRY(rpq::port_check(context));
        joined.own_bytes = reply.values[PortReply::own_bytes];
        joined.peer_bytes = reply.values[PortReply::peer_bytes];
        // The server's part comes first. What the peer's kernel said is checked against what there
        // is.
        const std::uint64_t room = context.port_bytes - rpq::kRingAt;
        const std::uint64_t first = role_ == Role::server ? joined.own_bytes : joined.peer_bytes;
        const std::uint64_t second = role_ == Role::server ? joined.peer_bytes : joined.own_bytes;
        if (first > room || second > room || (first + 63) / 64 * 64 + second > room)
            return Error::make(Errc::protocol, text("a port of ", context.port_bytes, " bytes for ",
                                                    first, " and ", second));
        std::byte* const at = context.port + rpq::kRingAt;
        std::byte* const behind = at + (first + 63) / 64 * 64;
        joined.own = role_ == Role::server ? at : behind;
        joined.peer = role_ == Role::server ? behind : at;
        joined.words = std::move(reply.data);
        joined.wish = static_cast<std::uint32_t>(reply.values[PortReply::wish]);
        return {};
    }();
    if (!checked) {
        close_handle(*application_, handle);
        return checked.error().copy();
    }
    const app::Sleeper sleeper{&rpq::port_bell(joined.context.port, role_), joined.context.own_fd};
    application_->add_sleeper(sleeper);
    joined.membership = std::make_unique<Membership>(application_, handle, sleeper);
    return joined;
}

}  // namespace hyplink::port
