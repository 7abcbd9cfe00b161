#include "hyplink/guest/rpq_client.hpp"

#include <algorithm>

#include "hyplink/base/text.hpp"
#include "hyplink/ring/rpq_port.hpp"

namespace hyplink::guest {
namespace {

using rpq::ChannelState;

/// The lowest number of 1..limit that is not taken, or 0.
template <class Map>
std::uint32_t lowest_free(const Map& taken, std::uint32_t limit) {
    std::uint32_t number = 1;
    for (const auto& [used, object] : taken) {
        if (used != number) break;
        ++number;
    }
    return number <= limit ? number : 0;
}

class SessionHandle final : public RpqHandle {
   public:
    SessionHandle(RpqClientLink& link, std::shared_ptr<RpqClientSession> session)
        : link_(&link), session_(std::move(session)) {}
    void close() override { link_->close_session(session_); }
    void request(Pending pending, SysRequest& request) override {
        if (request.op != Sys::rpq_channel_create)
            return link_->kernel().fail(pending, Errc::bad_argument,
                                        "a client session only creates channels");
        link_->create_channel(session_, pending, request.args[0], std::move(request.data));
    }

   private:
    RpqClientLink* link_;
    std::shared_ptr<RpqClientSession> session_;
};

class DeviceHandle final : public RpqHandle {
   public:
    explicit DeviceHandle(RpqClientLink& link) : link_(&link) {}
    void close() override {}
    void request(Pending pending, SysRequest& request) override {
        if (request.op != Sys::rpq_session_create)
            return link_->kernel().fail(
                pending, Errc::bad_argument,
                text(link_->device(),
                     " is a client device: sessions are created on it, not accepted"));
        link_->create_session(pending, std::move(request.data));
    }

   private:
    RpqClientLink* link_;
};

}  // namespace

std::unique_ptr<Handle> RpqClientLink::open_device() {
    return std::make_unique<DeviceHandle>(*this);
}

// --- sessions
// ----------------------------------------------------------------------------------------------

void RpqClientLink::create_session(Pending pending, std::string info) {
    if (end_->stopping()) return kernel_->fail(pending, Errc::shutting_down, "the VM shuts down");
    if (info.size() > AdminRing::kMaxInfo)
        return kernel_->fail(
            pending, Errc::too_long,
            text("session info of ", info.size(), " bytes, at most ", AdminRing::kMaxInfo));
    auto status = kernel_->take_status_word(pending.app);
    if (!status) return kernel_->fail(pending, status.code(), status.error().text());
    auto session = std::make_shared<Session>();
    session->app = pending.app;
    session->pending = pending;
    session->info = std::move(info);
    session->status = *status;
    kernel_->wait(pending, [this, session] {
        session->waiting = false;
        close_session(session);
    });
    if (end_->is_up())
        announce(session);
    else
        waiting_up_.push_back(session);  // announced when the link comes up
    kernel_->kick();
}

void RpqClientLink::announce(const std::shared_ptr<Session>& session) {
    session->number = lowest_free(sessions_, kMaxSessions);
    if (session->number == 0) {
        session->waiting = false;
        kernel_->drop_status_word(session->app, session->status);
        session->status = {};
        return kernel_->fail(session->pending, Errc::would_block,
                             text(device_, ": all ", kMaxSessions, " session numbers are taken"));
    }
    sessions_[session->number] = session;
    session->session = std::make_unique<VlinkSession>(*end_, [this, weak = std::weak_ptr(session)] {
        if (auto lost = weak.lock()) lose(*lost, true);
    });
    AdminMessage message;
    message.kind = AdminKind::session_create;
    message.session = session->number;
    message.app = session->app;
    message.info = session->info;
    send(std::move(message));
}

void RpqClientLink::on_session_reply(const std::shared_ptr<Session>& session, std::int32_t status) {
    if (!session->waiting || session->open) return;
    session->waiting = false;
    if (status != 0) {
        kernel_->fail(session->pending, static_cast<Errc>(status),
                      text(device_, ": the server refused"));
        return close_session(session);
    }
    session->open = true;
    session->status.word->store(word(ChannelState::open), std::memory_order_release);
    SysReply reply;
    reply.values[0] =
        kernel_->add_handle(session->app, std::make_unique<SessionHandle>(*this, session));
    reply.values[1] = session->number;
    reply.values[2] = end_->peer_vm();
    reply.values[3] = session->status.index;
    kernel_->journal(Event::session_open, end_->index(), session->number,
                     static_cast<std::uint64_t>(Role::client));
    kernel_->answer(session->pending, std::move(reply));
}

void RpqClientLink::close_session(const std::shared_ptr<Session>& session) {
    if (session->gone) return;
    session->gone = true;
    for (auto& weak : session->channels)
        if (auto channel = weak.lock()) close_channel(channel);
    std::erase(waiting_up_, session);
    if (session->status.word != nullptr) kernel_->drop_status_word(session->app, session->status);
    session->status = {};
    if (session->open)
        kernel_->journal(Event::session_close, end_->index(), session->number,
                         static_cast<std::uint64_t>(Role::client));
    auto found = sessions_.find(session->number);
    if (found == sessions_.end() || found->second != session) return;  // lost with the link
    session->session.reset();
    AdminMessage message;
    message.kind = AdminKind::session_destroy;
    message.session = session->number;
    send(std::move(message));  // the number is free when session_gone comes back
}

void RpqClientLink::lose(Session& session, bool dead) {
    if (session.gone) return;
    if (session.waiting) return;  // creation is retried with the next server
    if (session.status.word != nullptr)
        session.status.word->store(word(ChannelState::dead), std::memory_order_release);
    for (auto& weak : session.channels)
        if (auto channel = weak.lock()) lose(*channel, dead);
    kernel_->journal(Event::session_abort, end_->index(), session.number,
                     static_cast<std::uint64_t>(Role::client));
}

// --- channels
// ----------------------------------------------------------------------------------------------

void RpqClientLink::create_channel(const std::shared_ptr<Session>& session, Pending pending,
                                   std::uint64_t bytes, std::string info) {
    if (!session->session || session->session->state() == VlinkSession::State::aborted ||
        session->status.word->load(std::memory_order_relaxed) != word(ChannelState::open))
        return kernel_->fail(pending, Errc::peer_dead,
                             text(device_, ": the session's server is gone"));
    if (bytes == 0) bytes = config_.default_port();
    if (bytes > config_.pmem || parameter_bytes_ + bytes > config_.pmem)
        return kernel_->fail(
            pending, Errc::no_memory,
            text(device_, ": a channel of ", bytes, " parameter bytes; ", parameter_bytes_, " of ",
                 config_.pmem, " are in use; raise vrpq-pmem"));
    if (info.size() > AdminRing::kMaxInfo)
        return kernel_->fail(
            pending, Errc::too_long,
            text("channel info of ", info.size(), " bytes, at most ", AdminRing::kMaxInfo));
    const std::uint32_t number = lowest_free(channels_, kMaxChannels);
    if (number == 0)
        return kernel_->fail(pending, Errc::would_block,
                             text(device_, ": all ", kMaxChannels, " channel numbers are taken"));
    auto status = kernel_->take_status_word(pending.app);
    if (!status) return kernel_->fail(pending, status.code(), status.error().text());
    auto port = kernel_->hypercalls().port_alloc(end_->slot(), config_.port_bytes(bytes));
    if (!port) {
        kernel_->drop_status_word(pending.app, *status);
        return kernel_->fail(pending, port.code(), port.error().text());
    }
    auto channel = std::make_shared<Channel>();
    channel->number = number;
    channel->session = session;
    channel->pending = pending;
    channel->status = *status;
    channel->port = *std::move(port);
    channel->parameter_bytes = bytes;
    parameter_bytes_ += bytes;
    rpq::port_reset(channel->port.region->data(), channel->port.region->size());
    channels_[number] = channel;
    std::erase_if(session->channels, [](const auto& weak) { return weak.expired(); });
    session->channels.push_back(channel);
    kernel_->wait(pending, [this, channel] {
        channel->waiting = false;
        close_channel(channel);
    });
    AdminMessage message;
    message.kind = AdminKind::channel_create;
    message.session = session->number;
    message.channel = number;
    message.port = channel->port.id;
    message.info = std::move(info);
    send(std::move(message));
}

void RpqClientLink::on_channel_reply(const std::shared_ptr<Channel>& channel, std::int32_t status) {
    if (!channel->waiting) return;
    channel->waiting = false;
    const AppId app = channel->session->app;
    if (status != 0) {
        kernel_->fail(channel->pending, static_cast<Errc>(status),
                      text(device_, ": the server refused"));
        return close_channel(channel);
    }
    channel->status.word->store(word(ChannelState::open), std::memory_order_release);
    SysReply reply;
    reply.values[ChannelReply::handle] =
        kernel_->add_handle(app, std::make_unique<RpqChannelHandle<RpqClientLink>>(*this, channel));
    reply.values[ChannelReply::channel] = channel->number;
    reply.values[ChannelReply::session] = channel->session->number;
    reply.values[ChannelReply::peer] = end_->peer_vm();
    reply.values[ChannelReply::status_word] = channel->status.index;
    reply.values[ChannelReply::max_requests] = config_.requests_for(channel->parameter_bytes);
    reply.values[ChannelReply::link] = end_->index();
    reply.regions = {channel->port.region};
    reply.fds = {channel->port.fds[1], channel->port.fds[0]};
    kernel_->journal(Event::channel_open, end_->index(), channel->number,
                     static_cast<std::uint64_t>(Role::client), channel->port.region->size());
    kernel_->answer(channel->pending, std::move(reply));
}

void RpqClientLink::close_channel(const std::shared_ptr<Channel>& channel) {
    if (channel->gone) return;
    channel->gone = true;
    const AppId app = channel->session->app;
    // Its session was closed while the server had yet to answer: what the answer will be is
    // nobody's any more.
    if (std::exchange(channel->waiting, false))
        kernel_->fail(channel->pending, Errc::cancelled, text(device_, ": the session was closed"));
    set_status(channel->status, word(ChannelState::closed),
               channel->port.region ? channel->port.region->data() : nullptr, Role::client,
               channel->port.fds[1]);
    kernel_->drop_status_word(app, channel->status);
    channel->status = {};
    kernel_->journal(Event::channel_close, end_->index(), channel->number,
                     static_cast<std::uint64_t>(Role::client));
    auto found = channels_.find(channel->number);
    const bool known = found != channels_.end() && found->second == channel;
    if (known) {
        AdminMessage message;
        message.kind = AdminKind::channel_destroy;
        message.channel = channel->number;
        send(std::move(message));
    }
    free_port(*channel);
}

void RpqClientLink::lose(Channel& channel, bool dead) {
    if (channel.gone) return;
    if (channel.waiting) {
        channel.waiting = false;
        channel.gone = true;
        kernel_->drop_status_word(channel.session->app, channel.status);
        kernel_->fail(channel.pending, Errc::peer_dead, text(device_, ": the server died"));
    } else {
        // What the server published before it closed is still delivered, as the other way round.
        set_status(channel.status, word(dead ? ChannelState::dead : ChannelState::peer_closed),
                   channel.port.region->data(), Role::client, channel.port.fds[1]);
    }
    if (channel.gone) free_port(channel);
}

void RpqClientLink::free_port(Channel& channel) {
    if (!channel.port.region) return;
    (void)kernel_->hypercalls().port_free(end_->slot(), channel.port.id);
    channel.port = {};
    parameter_bytes_ -= channel.parameter_bytes;
}

// --- link
// --------------------------------------------------------------------------------------------------

void RpqClientLink::on_up() {
    // Announcing may meet a corrupt ring and take the link down: the rest waits for the next time.
    for (const auto& session : std::exchange(waiting_up_, {}))
        end_->is_up() ? announce(session) : waiting_up_.push_back(session);
}

void RpqClientLink::abort() {
    // Sessions were told by their callbacks. Numbers are free again; creations in flight wait for
    // the next server; what the applications still hold goes when they close it.
    for (auto& [number, session] : sessions_) {
        session->session.reset();
        if (session->waiting && !session->gone && !end_->stopping()) {
            session->number = 0;
            waiting_up_.push_back(session);
        }
    }
    sessions_.clear();
    channels_.clear();
}

void RpqClientLink::on_message(const AdminMessage& message) {
    auto session = sessions_.find(message.session);
    auto channel = channels_.find(message.channel);
    switch (message.kind) {
        case AdminKind::session_reply:
            if (session != sessions_.end())
                on_session_reply(std::shared_ptr(session->second), message.status);
            return;
        case AdminKind::channel_reply:
            if (channel != channels_.end())
                on_channel_reply(std::shared_ptr(channel->second), message.status);
            return;
        case AdminKind::session_closed:
            if (session != sessions_.end()) lose(*session->second, false);
            return;
        case AdminKind::channel_closed:
            if (channel != channels_.end()) lose(*std::shared_ptr(channel->second), false);
            return;
        case AdminKind::session_gone:
            if (session != sessions_.end() && session->second->gone) sessions_.erase(session);
            return;
        case AdminKind::channel_gone:
            if (channel != channels_.end() && channel->second->gone) channels_.erase(channel);
            return;
        default:
            break;
    }
    corrupt(Error::make(Errc::corrupt,
                        text("message kind ", static_cast<std::uint32_t>(message.kind))));
}

}  // namespace hyplink::guest
