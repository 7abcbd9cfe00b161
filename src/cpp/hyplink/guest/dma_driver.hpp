/// The device "vlx-dma": an application's way to a device that moves memory by itself. The kernel
/// says whose order it is and tells when a job has ended; what the device may touch the hypervisor
/// decides. When an application closes it or dies, its jobs end. Thread rule: the kernel's.
#pragma once

#include <map>
#include <vector>

#include "hyplink/guest/kernel.hpp"

namespace hyplink::guest {

class DmaHandle;

class DmaDriver final : public Driver {
   public:
    explicit DmaDriver(GuestKernel& kernel) : kernel_(&kernel) {}
    std::vector<std::string> devices() const override { return {"vlx-dma"}; }
    Result<std::unique_ptr<Handle>> open(AppId app, const std::string& device) override;
    bool handle(Pending pending, Handle& handle, SysRequest& request) override;
    void on_dma(std::uint32_t job) override;

   private:
    friend class DmaHandle;
    void leave(AppId app);
    void answer(Pending pending, AppId app, std::uint32_t job);
    GuestKernel* kernel_;
    std::map<AppId, DmaHandle*> open_;
    std::multimap<std::uint32_t, Pending> waiting_;  // by job
};

}  // namespace hyplink::guest
