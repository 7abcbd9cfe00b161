/// Memory of applications that other VMs may be given, and granted memory that applications map:
/// the device "vlx-mem". The kernel passes on and keeps count; what is granted to whom the
/// hypervisor decides, and whose application's it is the kernel says. When an application closes it
/// or dies, its memory is taken back from everybody. Source: spec 003; vlx-facts 6.7. Thread rule:
/// the kernel's.
#pragma once

#include <map>
#include <set>

#include "hyplink/guest/kernel.hpp"

namespace hyplink::guest {

class MemHandle;

class MemDriver final : public Driver {
   public:
    explicit MemDriver(GuestKernel& kernel) : kernel_(&kernel) {}
    std::vector<std::string> devices() const override { return {"vlx-mem"}; }
    Result<std::unique_ptr<Handle>> open(AppId app, const std::string& device) override;
    bool handle(Pending pending, Handle& handle, SysRequest& request) override;
    void on_window(const hyp::MemRange& range) override;

   private:
    friend class MemHandle;
    struct Window {
        hyp::MemRange range;
        bool writable = false;
    };
    Result<SysReply> map(MemHandle& handle, const SysRequest& request);
    void unmap(hyp::MemRange range);
    GuestKernel* kernel_;
    std::set<MemHandle*> open_;
};

}  // namespace hyplink::guest
