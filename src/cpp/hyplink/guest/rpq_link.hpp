/// The vRPQ driver of a guest kernel: sessions and channels of every "vogl"-like vlink end.
///
/// The client's driver numbers sessions and channels and allocates ports; the server's matches them
/// with the applications that accept. The two talk over `AdminRing`. Parameters never pass through
/// here: an application maps its channel's port and the peer application maps the same one. Source:
/// spec 002 3.1; vlx-facts 2. Thread rule: the guest kernel's.
#pragma once

#include <deque>
#include <memory>
#include <string>
#include <vector>

#include "hyplink/guest/kernel.hpp"
#include "hyplink/guest/rpq_admin.hpp"
#include "hyplink/guest/vlink_end.hpp"

namespace hyplink::guest {

/// Does this device class carry vRPQ?
bool carries_rpq(std::string_view device_class);

/// What the server's info string configures; both sides read that one string.
struct RpqConfig {
    std::uint64_t pmem = std::uint64_t{7} << 20;  ///< parameter bytes over all ports
    std::uint64_t requests = 4096;                ///< requests over all ports
    static Result<RpqConfig> parse(std::string_view info);
    /// Share of the requests for a port with that many parameter bytes.
    std::uint32_t requests_for(std::uint64_t parameter_bytes) const;
    std::uint64_t default_port() const { return pmem / 8; }
    /// Size of the memory object: parameters, and a record head for each request on top.
    std::uint64_t port_bytes(std::uint64_t parameter_bytes) const;
    /// Most requests a server accepts in a port of that size: as many as its client may post, or a
    /// few more.
    std::uint32_t requests_in(std::uint64_t port_bytes) const { return requests_for(port_bytes); }
};

constexpr std::uint32_t kMaxSessions = 1024;
constexpr std::uint32_t kMaxChannels = 1024;

struct RpqEnd {
    VlinkEnd* end;
    std::string info;
};

Result<std::unique_ptr<Driver>> make_rpq_driver(GuestKernel& kernel,
                                                const std::vector<RpqEnd>& ends);

/// What an application may have open: the device, a session, a channel.
class RpqHandle : public Handle {
   public:
    virtual void request(Pending pending, SysRequest& request) = 0;
};

/// What both kinds of end share: resources, the ring, sending, failing.
class RpqLink : public LinkUser, public XirqHandler {
   public:
    RpqLink(GuestKernel& kernel, VlinkEnd& end, RpqConfig config, std::string device);
    const std::string& device() const { return device_; }
    VlinkEnd& end() { return *end_; }
    GuestKernel& kernel() { return *kernel_; }
    /// The hypervisor's answers for the three resources of request_resources().
    Status take_resources(std::span<const hyp::ResourceReply> replies);
    void request_resources(std::vector<hyp::ResourceRequest>& requests) const;

    Status reset() override;
    Status start() override;
    void up() override;
    void stop() override;
    void on_xirq(XirqNumber number) override;

   protected:
    void send(AdminMessage message);
    virtual void on_message(const AdminMessage& message) = 0;
    virtual void on_up() = 0;
    void corrupt(const Error& error);
    /// Make a port's status visible to the application that waits on its bell.
    void set_status(const StatusWord& word, std::uint32_t state, std::byte* port, Role own,
                    const std::shared_ptr<sys::Fd>& own_fd);

    GuestKernel* kernel_;
    VlinkEnd* end_;
    RpqConfig config_;
    std::string device_;

   private:
    void drain();
    void flush();
    AdminRing ring_;
    std::deque<AdminMessage> outgoing_;
    XirqNumber own_xirq_ = 0;
    XirqNumber peer_xirq_ = 0;
    BellWords* own_bell_ = nullptr;
    bool draining_ = false;
};

/// A channel of either end.
template <class Link>
class RpqChannelHandle final : public RpqHandle {
   public:
    RpqChannelHandle(Link& link, std::shared_ptr<typename Link::Channel> channel)
        : link_(&link), channel_(std::move(channel)) {}
    void close() override { link_->close_channel(channel_); }
    void request(Pending pending, SysRequest&) override {
        link_->kernel().fail(pending, Errc::bad_argument,
                             "a channel takes no requests of its kernel");
    }

   private:
    Link* link_;
    std::shared_ptr<typename Link::Channel> channel_;
};

}  // namespace hyplink::guest
