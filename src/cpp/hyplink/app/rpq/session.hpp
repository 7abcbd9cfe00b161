/// vRPQ sessions as an application uses them: open a device, create or accept a session, create or
/// accept channels on it.
///
///     auto session = HYPLINK_TRY(Session::create(application, "vrpq-clt-vogl0", info, deadline));
///     auto channel = HYPLINK_TRY(session->create_channel(0, info, deadline));
///     … generated::Client client(channel->channel()); …
///
/// Thread rule: a session any thread; a channel one thread. Source: spec 002 3.1; vlx-facts 2.
#pragma once

#include <memory>
#include <string>

#include "hyplink/app/application.hpp"
#include "hyplink/app/rpq/client_channel.hpp"
#include "hyplink/app/rpq/server_channel.hpp"

namespace hyplink::rpq {

/// What a kernel handle and its memory need to stay alive, and how they go.
class OpenHandle {
   public:
    OpenHandle(std::shared_ptr<app::Application> application, std::uint32_t handle)
        : application_(std::move(application)), handle_(handle) {}
    OpenHandle(const OpenHandle&) = delete;
    OpenHandle& operator=(const OpenHandle&) = delete;
    ~OpenHandle() { close(); }
    void close();
    app::Application& application() { return *application_; }
    const std::shared_ptr<app::Application>& shared() { return application_; }
    std::uint32_t number() const { return handle_; }
    bool is_open() const { return handle_ != 0; }

   private:
    std::shared_ptr<app::Application> application_;
    std::atomic<std::uint32_t> handle_;
};

/// One end of a channel together with its kernel handle.
template <class Channel>
class OpenChannel {
   public:
    OpenChannel(std::unique_ptr<OpenHandle> handle, std::unique_ptr<Channel> channel,
                app::Sleeper sleeper, std::string info)
        : handle_(std::move(handle)),
          channel_(std::move(channel)),
          sleeper_(sleeper),
          info_(std::move(info)) {}
    OpenChannel(const OpenChannel&) = delete;
    OpenChannel& operator=(const OpenChannel&) = delete;
    ~OpenChannel() { close(); }

    /// Close this end: the peer gets what was published, then EPIPE. Idempotent. Waiters of this
    /// end get `closed`.
    void close() {
        if (!handle_->is_open()) return;
        handle_->application().remove_sleeper(sleeper_);
        handle_->close();
    }
    bool is_open() const { return handle_->is_open(); }
    Channel& channel() { return *channel_; }
    app::Application& application() { return handle_->application(); }
    const std::string& info() const { return info_; }

   private:
    std::unique_ptr<OpenHandle> handle_;
    std::unique_ptr<Channel> channel_;
    app::Sleeper sleeper_;
    std::string info_;
};

using OpenClient = OpenChannel<ClientChannel>;
using OpenServer = OpenChannel<ServerChannel>;

class Session {
   public:
    /// Client: create on `device`; waits for the link and for a server that accepts.
    /// Errors: no_such_link, timed_out, shutting_down, too_long (info), would_block (no number
    /// free). Source: vlx-facts 2.12: a creation that meets a dying server waits for the next one.
    static Result<std::unique_ptr<Session>> create(std::shared_ptr<app::Application> application,
                                                   const std::string& device,
                                                   const std::string& info, Deadline deadline);
    /// Server: accept the next one. Errors: no_such_link, timed_out, peer_dead (the client VM died
    /// meanwhile).
    static Result<std::unique_ptr<Session>> accept(std::shared_ptr<app::Application> application,
                                                   const std::string& device, Deadline deadline);

    /// `parameter_bytes` 0: an eighth of vrpq-pmem. Errors: no_memory names the key to raise,
    /// peer_dead, timed_out.
    Result<std::unique_ptr<OpenClient>> create_channel(std::uint64_t parameter_bytes,
                                                       const std::string& info, Deadline deadline);
    Result<std::unique_ptr<OpenServer>> accept_channel(Deadline deadline) {
        return accept_on(*handle_, deadline);
    }
    /// Of whichever session this application has accepted on the same device.
    Result<std::unique_ptr<OpenServer>> accept_any_channel(Deadline deadline) {
        return accept_on(*device_handle_, deadline);
    }
    /// Close it, its channels and the device it was opened on. Idempotent.
    void close() {
        handle_->close();
        device_handle_->close();
    }

    Role role() const { return role_; }
    ChannelState state() const;
    std::uint32_t number() const { return number_; }
    VmId peer_vm() const { return peer_; }
    /// The client application's id, as its kernel says (server side).
    std::uint32_t peer_app() const { return peer_app_; }
    const std::string& info() const { return info_; }
    const std::string& device() const { return device_; }

   private:
    Session() = default;
    static Result<std::unique_ptr<Session>> open(std::shared_ptr<app::Application> application,
                                                 const std::string& device, const std::string& info,
                                                 Role role, Deadline deadline);
    Result<std::unique_ptr<OpenServer>> accept_on(OpenHandle& handle, Deadline deadline);
    template <class Channel>
    Result<std::unique_ptr<OpenChannel<Channel>>> finish(guest::SysReply reply);

    std::unique_ptr<OpenHandle> device_handle_;
    std::unique_ptr<OpenHandle> handle_;
    Role role_ = Role::client;
    std::string device_;
    std::string info_;
    std::uint32_t number_ = 0;
    VmId peer_ = 0;
    std::uint32_t peer_app_ = 0;
    const std::atomic<std::uint32_t>* status_ = nullptr;
};

}  // namespace hyplink::rpq
