#include "hyplink/app/rpq/session.hpp"

#include "hyplink/app/kernel_calls.hpp"
#include "hyplink/base/text.hpp"

namespace hyplink::rpq {

using guest::ChannelReply;
using guest::Sys;
using guest::SysReply;
using guest::SysRequest;

void OpenHandle::close() { app::close_handle(*application_, handle_); }

Result<std::unique_ptr<Session>> Session::open(std::shared_ptr<app::Application> application,
                                               const std::string& device, const std::string& info,
                                               Role role, Deadline deadline) {
    SysRequest open;
    open.op = Sys::open;
    open.data = device;
    SysReply opened = HYPLINK_TRY(application->call(std::move(open), deadline));
    std::unique_ptr<Session> session(new Session);
    session->device_handle_ =
        std::make_unique<OpenHandle>(application, static_cast<std::uint32_t>(opened.values[0]));
    SysRequest request;
    request.op = role == Role::client ? Sys::rpq_session_create : Sys::rpq_session_accept;
    request.handle = session->device_handle_->number();
    request.data = info;
    auto made = application->call(std::move(request), deadline);
    if (!made)
        return std::move(made).error().with(
            text(role == Role::client ? "create a session on " : "accept a session on ", device));
    session->handle_ =
        std::make_unique<OpenHandle>(application, static_cast<std::uint32_t>(made->values[0]));
    session->role_ = role;
    session->device_ = device;
    session->number_ = static_cast<std::uint32_t>(made->values[1]);
    session->peer_ = static_cast<VmId>(made->values[2]);
    session->status_ = application->status_word(made->values[3]);
    session->peer_app_ = static_cast<std::uint32_t>(made->values[4]);
    session->info_ = std::move(made->data);
    if (session->status_ == nullptr) return Error::make(Errc::protocol, "status word out of range");
    return session;
}

Result<std::unique_ptr<Session>> Session::create(std::shared_ptr<app::Application> application,
                                                 const std::string& device, const std::string& info,
                                                 Deadline deadline) {
    return open(std::move(application), device, info, Role::client, deadline);
}

Result<std::unique_ptr<Session>> Session::accept(std::shared_ptr<app::Application> application,
                                                 const std::string& device, Deadline deadline) {
    return open(std::move(application), device, {}, Role::server, deadline);
}

ChannelState Session::state() const {
    if (!handle_->is_open()) return ChannelState::closed;
    return static_cast<ChannelState>(status_->load(std::memory_order_acquire));
}

template <class Channel>
Result<std::unique_ptr<OpenChannel<Channel>>> Session::finish(SysReply reply) {
    auto handle = std::make_unique<OpenHandle>(
        handle_->shared(), static_cast<std::uint32_t>(reply.values[ChannelReply::handle]));
    if (reply.regions.size() != 1 || reply.fds.size() != 2)
        return Error::make(Errc::protocol, "a channel came without its memory");
    app::Application& application = handle_->application();
    struct Keep {
        std::shared_ptr<app::Application> application;
        std::shared_ptr<mem::Region> port;
        std::vector<std::shared_ptr<sys::Fd>> fds;
    };
    auto keep = std::make_shared<Keep>(Keep{handle_->shared(), reply.regions[0], reply.fds});
    ChannelContext context;
    context.runtime = &application.runtime();
    context.scope = &application.scope();
    context.port = keep->port->data();
    context.port_bytes = keep->port->size();
    context.state = application.status_word(reply.values[ChannelReply::status_word]);
    context.link = static_cast<std::uint32_t>(reply.values[ChannelReply::link]);
    context.session = static_cast<std::uint32_t>(reply.values[ChannelReply::session]);
    context.channel = static_cast<std::uint32_t>(reply.values[ChannelReply::channel]);
    context.peer = static_cast<VmId>(reply.values[ChannelReply::peer]);
    context.label = device_;
    context.max_requests = static_cast<std::uint32_t>(reply.values[ChannelReply::max_requests]);
    context.own_fd = keep->fds[0]->get();
    context.peer_fd = keep->fds[1]->get();
    context.keep = keep;
    if (context.state == nullptr) return Error::make(Errc::protocol, "status word out of range");
    auto channel = HYPLINK_TRY(Channel::make(std::move(context)));
    const app::Sleeper sleeper{&channel->bell(), keep->fds[0]->get()};
    application.add_sleeper(sleeper);
    return std::make_unique<OpenChannel<Channel>>(std::move(handle), std::move(channel), sleeper,
                                                  std::move(reply.data));
}

Result<std::unique_ptr<OpenClient>> Session::create_channel(std::uint64_t parameter_bytes,
                                                            const std::string& info,
                                                            Deadline deadline) {
    SysRequest request;
    request.op = Sys::rpq_channel_create;
    request.handle = handle_->number();
    request.args[0] = parameter_bytes;
    request.data = info;
    auto reply = handle_->application().call(std::move(request), deadline);
    if (!reply) return std::move(reply).error().with(text("create a channel on ", device_));
    return finish<ClientChannel>(*std::move(reply));
}

Result<std::unique_ptr<OpenServer>> Session::accept_on(OpenHandle& handle, Deadline deadline) {
    SysRequest request;
    request.op = Sys::rpq_channel_accept;
    request.handle = handle.number();
    auto reply = handle.application().call(std::move(request), deadline);
    if (!reply) return std::move(reply).error().with(text("accept a channel on ", device_));
    return finish<ServerChannel>(*std::move(reply));
}

}  // namespace hyplink::rpq
