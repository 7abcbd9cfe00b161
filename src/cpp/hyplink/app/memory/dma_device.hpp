/// A device of a VM that moves memory by itself: copies, fills, checksums, by the addresses of the
/// VM's map. It may touch what was attached to it (a vION buffer, for instance), what its own
/// application granted its own VM for DMA (`VmMemory::grant` to oneself), and what other VMs
/// granted this VM for DMA; anything else ends the job with a fault that names the address, here
/// and in the journal. A deny ends a job in its midst, at the address where it was.
///
///     auto device = HYPLINK_TRY(DmaDevice::open(application));
///     auto at = HYPLINK_TRY(device->attach(buffer.fd()));
///     auto job = HYPLINK_TRY(device->start({.kind = hyp::DmaKind::fill, .value = 7, .to = at,
///                                           .bytes = 65536}));
///     auto end = HYPLINK_TRY(device->wait(job, deadline));         // state, fault, checksum
///
/// Data are copied once, by the hypervisor's process. Source: spec 003 (DMA access). Thread rule:
/// any thread.
#pragma once

#include <memory>

#include "hyplink/app/application.hpp"
#include "hyplink/hyp/hypercalls.hpp"

namespace hyplink::app {

class DmaDevice {
   public:
    /// Errors: busy (this application has it open), peer_dead.
    static Result<std::shared_ptr<DmaDevice>> open(std::shared_ptr<Application> application);
    ~DmaDevice() { close(); }
    DmaDevice(const DmaDevice&) = delete;
    DmaDevice& operator=(const DmaDevice&) = delete;
    /// Its jobs end. Idempotent.
    void close();

    /// Let it touch all of a memfd that is sealed against shrinking; written only if `fd` is open
    /// for writing. Its address. Errors: bad_argument, access_denied (granted memory), over_quota.
    Result<std::uint64_t> attach(int fd);
    /// Errors: bad_address.
    Status detach(std::uint64_t at);
    /// The number of a job: `op` and `app` of the order do not matter. At most 64 a VM. Errors:
    /// bad_argument, over_quota.
    Result<std::uint32_t> start(hyp::DmaOrder order);
    /// How far it is. Errors: not_found.
    Result<hyp::DmaReply> look(std::uint32_t job);
    /// Until it has ended. Errors: not_found, timed_out, interrupted.
    Result<hyp::DmaReply> wait(std::uint32_t job, Deadline deadline);
    /// Errors: not_found.
    Status stop(std::uint32_t job);

    Application& application() { return *application_; }

   private:
    explicit DmaDevice(std::shared_ptr<Application> application)
        : application_(std::move(application)) {}
    Result<hyp::DmaReply> order(hyp::DmaOp op, hyp::DmaOrder order,
                                std::shared_ptr<sys::Fd> object = {});
    std::shared_ptr<Application> application_;
    std::uint32_t handle_ = 0;
    std::atomic<bool> closed_{false};
};

}  // namespace hyplink::app
