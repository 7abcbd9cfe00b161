/// One direction of a pipe at one end: a vlink end, and the port that both VMs map.
///
/// The client writes and the server reads. At every OFF→RESET the client allocates a fresh port and
/// leaves its number in PMEM 0; the server opens it before RESET→ON. PMEM 0 also holds a mark of
/// each side: "my applications have got this opening". So a side whose peer opens, writes and
/// closes again before it looks still knows that there was a rendez-vous. Thread rule: the guest
/// kernel's.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>

#include "hyplink/guest/kernel.hpp"
#include "hyplink/guest/pipe_config.hpp"
#include "hyplink/guest/vlink_end.hpp"

namespace hyplink::guest {

/// Who is told of what becomes of a link.
class PipeOwner {
   public:
    virtual ~PipeOwner() = default;
    virtual void link_up() = 0;
    /// It was ON; its port is still there.
    virtual void link_down(bool peer_had_opened) = 0;
    /// It cannot come up: the peer wrote something impossible, or there is no memory.
    virtual void link_failed(const Error& why) = 0;
};

class PipeLink final : public LinkUser {
   public:
    PipeLink(GuestKernel& kernel, VlinkEnd& end, PipeConfig config, PipeOwner& owner)
        : kernel_(&kernel), end_(&end), config_(std::move(config)), owner_(&owner) {
        end_->add_user(*this);
        end_->set_target(false);  // until an application opens the device
    }
    Status allocate();

    VlinkEnd& end() { return *end_; }
    const PipeConfig& config() const { return config_; }
    const std::shared_ptr<mem::Region>& port() const { return port_.region; }
    /// Go for ON, or for OFF.
    void want(bool on);
    /// Tell the peer that the opening has reached applications here.
    void mark_opened();

    Status reset() override;
    Status start() override;
    void up() override { owner_->link_up(); }
    void abort() override;
    void stop() override { free_port(); }

   private:
    struct Area {
        alignas(64) std::atomic<std::uint32_t> port;
        std::atomic<std::uint32_t> writer_opened;
        alignas(64) std::atomic<std::uint32_t> reader_opened;
    };
    static_assert(sizeof(Area) == 128);
    std::atomic<std::uint32_t>& mark(Role role) {
        return role == Role::client ? area_->writer_opened : area_->reader_opened;
    }
    void free_port();

    GuestKernel* kernel_;
    VlinkEnd* end_;
    PipeConfig config_;
    PipeOwner* owner_;
    Area* area_ = nullptr;
    hyp::PortGrant port_;
};

}  // namespace hyplink::guest
