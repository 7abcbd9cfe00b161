#include "hyplink/backend/socket_link.hpp"

#include <poll.h>

#include "hyplink/backend/app_messages.hpp"
#include "hyplink/base/text.hpp"
#include "hyplink/sys/eventfd.hpp"
#include "hyplink/sys/real_runtime.hpp"

namespace hyplink::backend {

SocketLink::SocketLink(sys::Fd socket, sys::Fd stop, app::Application& application, VmId vm)
    : socket_(std::move(socket)), stop_(std::move(stop)), application_(&application), vm_(vm) {}

Result<std::unique_ptr<SocketLink>> SocketLink::make(sys::Fd socket, app::Application& application,
                                                     VmId vm) {
    sys::Fd stop = HYPLINK_TRY(sys::make_eventfd());
    std::unique_ptr<SocketLink> link(
        new SocketLink(std::move(socket), std::move(stop), application, vm));
    link->thread_ = TaskThread(application.runtime(), [raw = link.get()] { raw->loop(); });
    return link;
}

SocketLink::~SocketLink() { close(); }

Status SocketLink::send(guest::SysRequest&& request) {
    std::lock_guard lock(send_mutex_);
    return send_request(socket_.get(), request);
}

void SocketLink::close() {
    sys::signal_eventfd(stop_.get());
    thread_.join();
    std::lock_guard lock(send_mutex_);
    socket_.reset();
}

void SocketLink::loop() {
    for (bool reset = false;;) {
        struct pollfd fds[2] = {{socket_.get(), POLLIN, 0}, {stop_.get(), POLLIN, 0}};
        if (::poll(fds, 2, -1) < 0) continue;
        if (fds[1].revents != 0) return;
        auto message = sys::receive_message(socket_.get(), false);
        if (!message) {
            if (message.code() == Errc::would_block) continue;
            if (message.code() != Errc::peer_dead)
                return application_->on_lost(message.error().text());
            // That the other end closed may be told before what it said last.
            if (!std::exchange(reset, true)) continue;
            return application_->on_lost(text(vm_ != 0 ? text("VM ", vm_) : "the VM", " died"));
        }
        auto reply = decode_reply(*message);
        if (!reply) return application_->on_lost(reply.error().text());
        if (auto said = application_->on_reply(*std::move(reply))) (void)send(std::move(*said));
    }
}

Result<std::shared_ptr<app::Application>> application_from_fd(int fd) {
    auto runtime = std::make_shared<sys::RealRuntime>();
    auto application = std::make_shared<app::Application>(*runtime);
    auto link = HYPLINK_TRY(SocketLink::make(sys::Fd(fd), *application, 0));
    HYPLINK_TRY(application->attach(std::move(link), runtime));
    return application;
}

}  // namespace hyplink::backend
