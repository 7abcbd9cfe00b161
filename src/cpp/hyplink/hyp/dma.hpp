/// The devices of VMs that move memory by themselves, one for each application that wants one, each
/// behind the machine's memory protection. A device may touch what its application attached, what
/// it granted its own VM for DMA, and what other VMs granted its VM for DMA; it looks anew at every
/// piece, so what is taken back in the midst of a job ends the job. Thread rule: under the
/// hypervisor's lock.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <vector>

#include "hyplink/hyp/grants.hpp"
#include "hyplink/hyp/hypercalls.hpp"

namespace hyplink::hyp {

class DmaDevices {
   public:
    /// Make an object part of what the device of an application may touch, at `at`. Errors:
    /// bad_argument (no memfd that keeps its size), access_denied (granted memory: its grant says
    /// what may be done with it), over_quota.
    Result<std::uint64_t> attach(VmId vm, std::uint32_t app, const std::shared_ptr<sys::Fd>& object,
                                 const GrantTable& grants, std::uint64_t& bytes);
    /// Where the object of the last attach lies.
    void place(VmId vm, std::uint32_t app, std::uint64_t at, std::uint64_t bytes,
               const std::shared_ptr<sys::Fd>& object);
    /// Errors: bad_address.
    Status detach(VmId vm, std::uint32_t app, std::uint64_t at);
    /// Errors: bad_argument, over_quota (too many jobs).
    Result<std::uint32_t> start(VmId vm, const DmaOrder& order);
    /// Errors: not_found.
    Result<DmaReply> look(VmId vm, std::uint32_t app, std::uint32_t job) const;
    Status stop(VmId vm, std::uint32_t app, std::uint32_t job);
    void leave(VmId vm, std::uint32_t app);
    void vm_ended(VmId vm);

    struct Ended {
        VmId vm = 0;
        std::uint32_t app = 0;
        DmaReply reply;
    };
    /// Every job does one piece. `held`: whether pages are about to move; a job waits for that.
    std::vector<Ended> step(const GrantTable& grants, const std::function<bool(MemRange)>& held);
    /// Some job could go on at once.
    bool busy() const;
    /// Some job waits for pages that are held.
    bool waiting() const;
    /// Pages are not held any more.
    void go_on();

   private:
    struct Object {
        VmId vm = 0;
        std::uint32_t app = 0;
        std::uint64_t bytes = 0;
        std::shared_ptr<sys::Fd> fd;
        bool writable = false;
    };
    struct Job {
        VmId vm = 0;
        DmaOrder order;
        DmaReply reply;
        std::uint32_t checksum = 0;
        bool stalled = false;
    };
    DmaPlace find(const Job& job, std::uint64_t at, bool write, const GrantTable& grants) const;
    void piece(Job& job, const GrantTable& grants, const std::function<bool(MemRange)>& held);

    std::map<std::uint64_t, Object> objects_;
    std::map<std::uint32_t, Job> jobs_;
    std::vector<std::byte> buffer_;
    std::uint32_t next_job_ = 1;
};

}  // namespace hyplink::hyp
