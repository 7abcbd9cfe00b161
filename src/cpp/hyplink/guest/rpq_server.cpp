#include "hyplink/guest/rpq_server.hpp"

#include <algorithm>

#include "hyplink/base/text.hpp"
#include "hyplink/ring/rpq_port.hpp"

namespace hyplink::guest {
namespace {

using rpq::ChannelState;

class SessionHandle final : public RpqHandle {
   public:
    SessionHandle(RpqServerLink& link, std::shared_ptr<RpqServerSession> session)
        : link_(&link), session_(std::move(session)) {}
    void close() override { link_->close_session(session_); }
    void request(Pending pending, SysRequest& request) override {
        if (request.op != Sys::rpq_channel_accept)
            return link_->kernel().fail(pending, Errc::bad_argument,
                                        "a server session only accepts channels");
        link_->accept_channel(session_, pending);
    }

   private:
    RpqServerLink* link_;
    std::shared_ptr<RpqServerSession> session_;
};

class DeviceHandle final : public RpqHandle {
   public:
    explicit DeviceHandle(RpqServerLink& link) : link_(&link) {}
    void close() override {}
    void request(Pending pending, SysRequest& request) override {
        if (request.op == Sys::rpq_session_accept) return link_->accept_session(pending);
        if (request.op == Sys::rpq_channel_accept) return link_->accept_channel(nullptr, pending);
        link_->kernel().fail(
            pending, Errc::bad_argument,
            text(link_->device(), " is a server device: sessions are accepted on it, not created"));
    }

   private:
    RpqServerLink* link_;
};

}  // namespace

std::unique_ptr<Handle> RpqServerLink::open_device() {
    return std::make_unique<DeviceHandle>(*this);
}

void RpqServerLink::reply(AdminKind kind, std::uint32_t session, std::uint32_t channel,
                          std::int32_t status) {
    AdminMessage message;
    message.kind = kind;
    message.session = session;
    message.channel = channel;
    message.status = status;
    send(std::move(message));
}

// --- sessions
// ----------------------------------------------------------------------------------------------

void RpqServerLink::accept_session(Pending pending) {
    if (end_->stopping()) return kernel_->fail(pending, Errc::shutting_down, "the VM shuts down");
    accepting_.push_back(pending);
    kernel_->wait(pending, [this, pending] {
        std::erase_if(accepting_, [&](const Pending& p) {
            return p.app == pending.app && p.sequence == pending.sequence;
        });
    });
    match_sessions();
}

void RpqServerLink::match_sessions() {
    while (!accepting_.empty() && !unaccepted_.empty()) {
        const Pending pending = accepting_.front();
        auto status = kernel_->take_status_word(pending.app);
        if (!status) {
            accepting_.pop_front();
            kernel_->fail(pending, status.code(), status.error().text());
            continue;
        }
        auto session = unaccepted_.front();
        accepting_.pop_front();
        unaccepted_.pop_front();
        session->accepted = true;
        session->app = pending.app;
        session->status = *status;
        session->status.word->store(word(ChannelState::open), std::memory_order_release);
        reply(AdminKind::session_reply, session->number, 0, 0);
        SysReply answer;
        answer.values[0] =
            kernel_->add_handle(pending.app, std::make_unique<SessionHandle>(*this, session));
        answer.values[1] = session->number;
        answer.values[2] = end_->peer_vm();
        answer.values[3] = session->status.index;
        answer.values[4] = session->client_app;
        answer.data = session->info;
        kernel_->journal(Event::session_open, end_->index(), session->number,
                         static_cast<std::uint64_t>(Role::server));
        kernel_->answer(pending, std::move(answer));
        if (auto any = accepting_any_.find(session->app); any != accepting_any_.end())
            match_channels(session);
    }
}

void RpqServerLink::on_session_create(const AdminMessage& message) {
    if (message.session == 0 || message.session > kMaxSessions ||
        sessions_.contains(message.session))
        return corrupt(Error::make(Errc::corrupt, text("session number ", message.session)));
    auto session = std::make_shared<Session>();
    session->number = message.session;
    session->client_app = message.app;
    session->info = message.info;
    session->session = std::make_unique<VlinkSession>(*end_, [this, weak = std::weak_ptr(session)] {
        if (auto lost = weak.lock()) lose(*lost, true);
    });
    sessions_[message.session] = session;
    unaccepted_.push_back(session);
    match_sessions();
}

void RpqServerLink::on_session_destroy(std::uint32_t number) {
    if (auto found = sessions_.find(number); found != sessions_.end()) {
        auto session = found->second;
        sessions_.erase(found);
        std::erase(unaccepted_, session);
        session->known = false;
        session->session.reset();
        lose(*session, false);
    }
    reply(AdminKind::session_gone, number, 0, 0);
}

void RpqServerLink::lose(Session& session, bool dead) {
    if (session.gone) return;
    if (session.status.word != nullptr)
        session.status.word->store(word(dead ? ChannelState::dead : ChannelState::peer_closed),
                                   std::memory_order_release);
    for (const Pending& pending : std::exchange(session.accepting, {}))
        kernel_->fail(pending, Errc::peer_dead,
                      text(device_, ": the client of this session is gone"));
    for (auto& channel : std::exchange(session.unaccepted, {})) {
        channels_.erase(channel->number);
        free_port(*channel);
    }
    for (auto& weak : session.channels)
        if (auto channel = weak.lock()) lose(*channel, dead);
    if (dead)
        kernel_->journal(Event::session_abort, end_->index(), session.number,
                         static_cast<std::uint64_t>(Role::server));
}

void RpqServerLink::close_session(const std::shared_ptr<Session>& session) {
    if (session->gone) return;
    for (const Pending& pending : std::exchange(session->accepting, {}))
        kernel_->fail(pending, Errc::cancelled, "the session was closed");
    for (auto& channel : std::exchange(session->unaccepted, {})) {
        reply(AdminKind::channel_reply, 0, channel->number,
              static_cast<std::int32_t>(Errc::peer_dead));
        channels_.erase(channel->number);
        free_port(*channel);
    }
    for (auto& weak : std::exchange(session->channels, {}))
        if (auto channel = weak.lock()) close_channel(channel);
    session->gone = true;
    if (session->status.word != nullptr) kernel_->drop_status_word(session->app, session->status);
    session->status = {};
    kernel_->journal(Event::session_close, end_->index(), session->number,
                     static_cast<std::uint64_t>(Role::server));
    if (session->known && end_->is_up()) reply(AdminKind::session_closed, session->number, 0, 0);
}

// --- channels
// ----------------------------------------------------------------------------------------------

void RpqServerLink::accept_channel(const std::shared_ptr<Session>& session, Pending pending) {
    auto forget = [pending](std::deque<Pending>& queue) {
        std::erase_if(queue, [&](const Pending& p) {
            return p.app == pending.app && p.sequence == pending.sequence;
        });
    };
    if (session == nullptr) {
        accepting_any_[pending.app].push_back(pending);
        kernel_->wait(pending, [this, pending, forget] {
            auto queue = accepting_any_.find(pending.app);
            if (queue == accepting_any_.end()) return;
            forget(queue->second);
            if (queue->second.empty()) accepting_any_.erase(queue);
        });
        for (auto& [number, candidate] : std::map(sessions_))
            if (candidate->accepted && candidate->app == pending.app) match_channels(candidate);
        return;
    }
    if (session->gone) return kernel_->fail(pending, Errc::closed, "the session is closed");
    if (!session->known || !session->session ||
        session->session->state() == VlinkSession::State::aborted)
        if (session->unaccepted.empty())
            return kernel_->fail(pending, Errc::peer_dead,
                                 text(device_, ": the client of this session is gone"));
    session->accepting.push_back(pending);
    kernel_->wait(pending, [session, forget] { forget(session->accepting); });
    match_channels(session);
}

void RpqServerLink::match_channels(const std::shared_ptr<Session>& session) {
    while (!session->unaccepted.empty()) {
        std::deque<Pending>* queue = &session->accepting;
        if (queue->empty()) {
            auto any = accepting_any_.find(session->app);
            if (any == accepting_any_.end() || any->second.empty()) return;
            queue = &any->second;
        }
        const Pending pending = queue->front();
        queue->pop_front();
        auto channel = session->unaccepted.front();
        session->unaccepted.pop_front();
        take(channel, pending);
    }
}

void RpqServerLink::take(const std::shared_ptr<Channel>& channel, Pending pending) {
    auto session = channel->session.lock();
    auto status = kernel_->take_status_word(pending.app);
    if (!status) {
        session->unaccepted.push_front(channel);
        return kernel_->fail(pending, status.code(), status.error().text());
    }
    channel->accepted = true;
    channel->app = pending.app;
    channel->status = *status;
    channel->status.word->store(word(ChannelState::open), std::memory_order_release);
    std::erase_if(session->channels, [](const auto& weak) { return weak.expired(); });
    session->channels.push_back(channel);
    reply(AdminKind::channel_reply, session->number, channel->number, 0);
    SysReply answer;
    answer.values[ChannelReply::handle] = kernel_->add_handle(
        pending.app, std::make_unique<RpqChannelHandle<RpqServerLink>>(*this, channel));
    answer.values[ChannelReply::channel] = channel->number;
    answer.values[ChannelReply::session] = session->number;
    answer.values[ChannelReply::peer] = end_->peer_vm();
    answer.values[ChannelReply::status_word] = channel->status.index;
    answer.values[ChannelReply::max_requests] = config_.requests_in(channel->port.region->size());
    answer.values[ChannelReply::link] = end_->index();
    answer.data = channel->info;
    answer.regions = {channel->port.region};
    answer.fds = {channel->port.fds[0], channel->port.fds[1]};
    kernel_->journal(Event::channel_open, end_->index(), channel->number,
                     static_cast<std::uint64_t>(Role::server), channel->port.region->size());
    kernel_->answer(pending, std::move(answer));
}

void RpqServerLink::on_channel_create(const AdminMessage& message) {
    auto found = sessions_.find(message.session);
    if (message.channel == 0 || message.channel > kMaxChannels ||
        channels_.contains(message.channel))
        return corrupt(Error::make(Errc::corrupt, text("channel number ", message.channel)));
    // A copy: an answer that meets a corrupt ring aborts the link, and with it the map.
    const std::shared_ptr<Session> session = found == sessions_.end() ? nullptr : found->second;
    if (session == nullptr || session->gone || !session->accepted)
        return reply(AdminKind::channel_reply, message.session, message.channel,
                     static_cast<std::int32_t>(Errc::peer_dead));
    // The hypervisor says how big the port is, not the client.
    auto port = kernel_->hypercalls().port_open(end_->slot(), message.port);
    // A client that withdraws a creation frees the port at once: this message may come after that.
    if (port.code() == Errc::bad_argument)
        return reply(AdminKind::channel_reply, message.session, message.channel,
                     static_cast<std::int32_t>(Errc::peer_dead));
    if (!port || port->region->size() < rpq::port_bytes_min() ||
        port->region->size() > rpq::port_bytes_max())
        return corrupt(Error::make(Errc::corrupt, text("port number ", message.port)));
    auto channel = std::make_shared<Channel>();
    channel->number = message.channel;
    channel->session = session;
    channel->info = message.info;
    channel->port = *std::move(port);
    channels_[message.channel] = channel;
    session->unaccepted.push_back(channel);
    match_channels(session);
}

void RpqServerLink::on_channel_destroy(std::uint32_t number) {
    if (auto found = channels_.find(number); found != channels_.end()) {
        auto channel = found->second;
        channels_.erase(found);
        channel->known = false;
        if (auto session = channel->session.lock()) std::erase(session->unaccepted, channel);
        if (channel->accepted)
            lose(*channel, false);
        else
            free_port(*channel);
    }
    reply(AdminKind::channel_gone, 0, number, 0);
}

void RpqServerLink::lose(Channel& channel, bool dead) {
    if (channel.gone || !channel.accepted) return;
    // What the client published before it closed is still delivered; a dead link delivers nothing
    // more.
    set_status(channel.status, word(dead ? ChannelState::dead : ChannelState::peer_closed),
               channel.port.region->data(), Role::server, channel.port.fds[0]);
}

void RpqServerLink::close_channel(const std::shared_ptr<Channel>& channel) {
    if (channel->gone) return;
    channel->gone = true;
    set_status(channel->status, word(ChannelState::closed), channel->port.region->data(),
               Role::server, channel->port.fds[0]);
    kernel_->drop_status_word(channel->app, channel->status);
    channel->status = {};
    kernel_->journal(Event::channel_close, end_->index(), channel->number,
                     static_cast<std::uint64_t>(Role::server));
    if (channel->known && end_->is_up()) reply(AdminKind::channel_closed, 0, channel->number, 0);
    free_port(*channel);
}

void RpqServerLink::free_port(Channel& channel) {
    if (!channel.port.region) return;
    (void)kernel_->hypercalls().port_free(end_->slot(), channel.port.id);
    channel.port = {};
}

// --- link
// --------------------------------------------------------------------------------------------------

void RpqServerLink::abort() {
    // Sessions were told by their callbacks; every waiter gets EPIPE and accepts anew.
    for (const Pending& pending : std::exchange(accepting_, {}))
        kernel_->fail(pending, Errc::peer_dead, text(device_, ": the client VM is gone"));
    for (auto& [app, queue] : std::exchange(accepting_any_, {}))
        for (const Pending& pending : queue)
            kernel_->fail(pending, Errc::peer_dead, text(device_, ": the client VM is gone"));
    for (auto& [number, session] : sessions_) {
        session->known = false;
        session->session.reset();
    }
    for (auto& [number, channel] : channels_) channel->known = false;
    sessions_.clear();
    channels_.clear();
    unaccepted_.clear();
}

void RpqServerLink::on_message(const AdminMessage& message) {
    switch (message.kind) {
        case AdminKind::session_create:
            return on_session_create(message);
        case AdminKind::session_destroy:
            return on_session_destroy(message.session);
        case AdminKind::channel_create:
            return on_channel_create(message);
        case AdminKind::channel_destroy:
            return on_channel_destroy(message.channel);
        default:
            break;
    }
    corrupt(Error::make(Errc::corrupt,
                        text("message kind ", static_cast<std::uint32_t>(message.kind))));
}

}  // namespace hyplink::guest
