/// The vUmem driver of a guest kernel: what the front end (client) and the back end (server) share.
///
/// Rides on the same vlink ends as vRPQ ("vogl") or alone ("vumem"). One remote call at a time per
/// link, through a PDEV piece; the memory itself is lent through the hypervisor and mapped by the
/// applications. Source: spec 002 3.2; vlx-facts 1.6, 3. Thread rule: the guest kernel's.
#pragma once

#include <array>
#include <memory>
#include <string>
#include <vector>

#include "hyplink/guest/buffer_book.hpp"
#include "hyplink/guest/kernel.hpp"
#include "hyplink/guest/umem_area.hpp"
#include "hyplink/guest/vlink_end.hpp"

namespace hyplink::guest {

/// Does this device class carry vUmem?
bool carries_umem(std::string_view device_class);

struct UmemEnd {
    VlinkEnd* end;
    std::string info;
};

Result<std::unique_ptr<Driver>> make_umem_driver(GuestKernel& kernel,
                                                 const std::vector<UmemEnd>& ends);

/// What a driver counts about one device, in the order of `vumemProf`. A server counts what it
/// handled, a client what it asked for.
struct UmemProfile {
    enum Counter : std::size_t {
        sessions,
        masters,
        allocs,
        frees,
        registers,
        unregisters,
        maps,
        unmaps,
        cache_local,
        cache_remote,
        controls,
        revokes,
        errors,
        buffers_now,
        bytes_now,
        count
    };
    std::array<std::uint64_t, count> values{};
    std::uint64_t& operator[](Counter which) { return values[which]; }
};
static_assert(UmemProfile::count == 15);

/// Base of what an application may have open of this driver.
class UmemHandle : public Handle {
   public:
    virtual void request(Pending pending, SysRequest& request) = 0;
};

/// What is counted by kind beside the commands: what a client's driver does without the server.
enum : std::uint32_t { kCountsMap = 32, kCountsUnmap = 33, kCountsCache = 34, kCountsImport = 35 };

class UmemLink : public LinkUser, public XirqHandler {
   public:
    UmemLink(GuestKernel& kernel, VlinkEnd& end, std::uint64_t pdev_bytes, std::string device);
    const std::string& device() const { return device_; }
    VlinkEnd& end() { return *end_; }
    GuestKernel& kernel() { return *kernel_; }
    virtual std::unique_ptr<Handle> open_device(AppId app) = 0;
    void request_resources(std::vector<hyp::ResourceRequest>& requests) const;
    Status take_resources(std::span<const hyp::ResourceReply> replies);
    static constexpr std::size_t kResources = 3;

    Status reset() override;
    Status start() override;
    void up() override;
    void stop() override;
    void on_xirq(XirqNumber number) override;

   protected:
    virtual void on_up() = 0;
    virtual void on_call(const umem::Call& call) = 0;
    virtual void on_reply(umem::Reply reply) = 0;
    void call(std::uint32_t server, const umem::Request& request);
    void answer_call(std::uint32_t server, std::int32_t error, const umem::Answer& head = {},
                     std::span<const umem::Chunk> chunks = {});
    void corrupt(const Error& error);
    /// A buffer more, and one less.
    void hold(std::uint64_t bytes);
    void let_go(std::uint64_t bytes);
    /// Answer a request for the counters of this device.
    void profile(Pending pending, bool reset);

    GuestKernel* kernel_;
    VlinkEnd* end_;
    std::uint64_t pdev_bytes_;
    std::string device_;
    UmemProfile profile_;
    BufferBook book_;
    umem::CallerEnd caller_;  ///< calls that this side makes
    umem::CalledEnd called_;  ///< calls that it answers

   private:
    void notify_peer();
    XirqNumber own_xirq_ = 0;
    XirqNumber peer_xirq_ = 0;
    BellWords* own_bell_ = nullptr;
    bool polling_ = false;
};

}  // namespace hyplink::guest
