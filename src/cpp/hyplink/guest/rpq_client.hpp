/// vRPQ driver, client end: numbers sessions and channels, allocates ports, waits for the server's
/// answers.
///
/// Thread rule: the guest kernel's. Source: vlx-facts 2.12.
#pragma once

#include <map>

#include "hyplink/guest/rpq_link.hpp"

namespace hyplink::guest {

struct RpqClientChannel;

struct RpqClientSession {
    std::uint32_t number = 0;  ///< 0 while it waits for the link to come up
    AppId app = 0;
    Pending pending{};
    std::string info;
    bool waiting = true;  ///< the application still waits for the answer
    bool open = false;    ///< the server accepted
    bool gone = false;    ///< closed by the application
    StatusWord status;
    std::unique_ptr<VlinkSession> session;
    std::vector<std::weak_ptr<RpqClientChannel>> channels;
};

struct RpqClientChannel {
    std::uint32_t number = 0;
    std::shared_ptr<RpqClientSession> session;
    Pending pending{};
    bool waiting = true;
    bool gone = false;
    StatusWord status;
    hyp::PortGrant port;  ///< no region once freed
    std::uint64_t parameter_bytes = 0;
};

class RpqClientLink final : public RpqLink {
   public:
    using Session = RpqClientSession;
    using Channel = RpqClientChannel;
    using RpqLink::RpqLink;

    std::unique_ptr<Handle> open_device();
    void create_session(Pending pending, std::string info);
    /// `bytes` of parameters; 0 asks for the default.
    void create_channel(const std::shared_ptr<Session>& session, Pending pending,
                        std::uint64_t bytes, std::string info);
    void close_session(const std::shared_ptr<Session>& session);
    void close_channel(const std::shared_ptr<Channel>& channel);

    void abort() override;

   private:
    void on_message(const AdminMessage& message) override;
    void on_up() override;
    void announce(const std::shared_ptr<Session>& session);
    void on_session_reply(const std::shared_ptr<Session>& session, std::int32_t status);
    void on_channel_reply(const std::shared_ptr<Channel>& channel, std::int32_t status);
    /// The server's side is gone: EPIPE for whoever waits or comes later.
    /// The server closed it, or (`dead`) it and the link are gone.
    void lose(Channel& channel, bool dead);
    void lose(Session& session, bool dead);
    void free_port(Channel& channel);

    // By number; an entry stays until the server has let go of the number (or the link went down).
    std::map<std::uint32_t, std::shared_ptr<Session>> sessions_;
    std::map<std::uint32_t, std::shared_ptr<Channel>> channels_;
    std::vector<std::shared_ptr<Session>> waiting_up_;  // created before the link came up, in order
    std::uint64_t parameter_bytes_ = 0;                 // of all live channels
};

}  // namespace hyplink::guest
