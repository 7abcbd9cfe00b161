/// vRPQ driver, server end: matches sessions and channels that clients create with applications
/// that accept.
///
/// Everything a client's kernel says is checked here: numbers, ports, order.
/// Thread rule: the guest kernel's. Source: vlx-facts 2.10, 2.12.
#pragma once

#include <deque>
#include <map>

#include "hyplink/guest/rpq_link.hpp"

namespace hyplink::guest {

struct RpqServerSession;

struct RpqServerChannel {
    std::uint32_t number = 0;
    std::weak_ptr<RpqServerSession> session;
    AppId app = 0;  ///< once accepted
    bool accepted = false;
    bool known = true;  ///< the client's kernel still uses the number
    bool gone = false;  ///< closed by the application
    std::string info;
    StatusWord status;
    hyp::PortGrant port;
};

struct RpqServerSession {
    std::uint32_t number = 0;
    AppId app = 0;
    std::uint32_t client_app = 0;
    bool accepted = false;
    bool known = true;
    bool gone = false;
    std::string info;
    StatusWord status;
    std::unique_ptr<VlinkSession> session;
    std::deque<std::shared_ptr<RpqServerChannel>> unaccepted;
    std::vector<std::weak_ptr<RpqServerChannel>> channels;
    std::deque<Pending> accepting;  ///< channel accepts that wait
};

class RpqServerLink final : public RpqLink {
   public:
    using Session = RpqServerSession;
    using Channel = RpqServerChannel;
    using RpqLink::RpqLink;

    std::unique_ptr<Handle> open_device();
    void accept_session(Pending pending);
    /// `session` null: of any session of this application.
    void accept_channel(const std::shared_ptr<Session>& session, Pending pending);
    void close_session(const std::shared_ptr<Session>& session);
    void close_channel(const std::shared_ptr<Channel>& channel);

    void abort() override;

   private:
    void on_message(const AdminMessage& message) override;
    void on_up() override {}
    void on_session_create(const AdminMessage& message);
    void on_channel_create(const AdminMessage& message);
    void on_session_destroy(std::uint32_t number);
    void on_channel_destroy(std::uint32_t number);
    void match_sessions();
    void match_channels(const std::shared_ptr<Session>& session);
    void take(const std::shared_ptr<Channel>& channel, Pending pending);
    /// The client closed, or (dead) its VM went: tell the application.
    void lose(Session& session, bool dead);
    void lose(Channel& channel, bool dead);
    void free_port(Channel& channel);
    void reply(AdminKind kind, std::uint32_t session, std::uint32_t channel, std::int32_t status);

    std::map<std::uint32_t, std::shared_ptr<Session>> sessions_;  // by the client's number
    std::map<std::uint32_t, std::shared_ptr<Channel>> channels_;
    std::deque<std::shared_ptr<Session>> unaccepted_;
    std::deque<Pending> accepting_;
    std::map<AppId, std::deque<Pending>> accepting_any_;  // channel accepts on VRPQ_SESSION_ANY
};

}  // namespace hyplink::guest
