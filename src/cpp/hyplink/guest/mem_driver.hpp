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
    void on_windows(std::span<const hyp::MemRange> changed) override;
    void on_hold(const hyp::HoldEvent& event) override;
    void on_held(std::uint32_t hold) override;
    void on_ready(AppId app) override;

   private:
    friend class MemHandle;
    struct Window {
        hyp::MemRange range;
        bool writable = false;
    };
    /// A request to map what is held, or to check what has changed: looked at again when this VM
    /// has heard of the change.
    struct Later {
        Pending pending;
        MemHandle* handle = nullptr;
        SysRequest request;
    };
    Result<SysReply> map(MemHandle& handle, const SysRequest& request);
    Result<SysReply> check(MemHandle& handle, const SysRequest& request);
    void look_again();
    void answer_or_wait(Pending pending, MemHandle& handle, SysRequest& request);
    void unmap(hyp::MemRange range);
    Status watched(MemHandle& handle, const SysRequest& request);
    void show(const hyp::MemRange& range);
    void show(MemHandle& handle, std::uint32_t id, const Window& window, hyp::MemRange range);
    void hold(Pending pending, const hyp::MemCall& call);
    void held(std::uint32_t hold, MemHandle& handle);
    /// Whether what is there now has yet to be shown.
    bool outdated(const MemHandle& handle, const hyp::MemRange& range) const;
    void tell_hold(const MemHandle& handle, std::uint32_t id, bool begin,
                   std::span<const hyp::MemRange> ranges);
    /// At once, or as soon as the windows show what is there.
    void release(MemHandle& handle, std::span<const hyp::MemRange> ranges);
    void release_late();
    void forget(MemHandle& handle);
    GuestKernel* kernel_;
    std::set<MemHandle*> open_;
    std::vector<Later> later_;
    std::set<hyp::MemRange> unshown_;                     // held when they were to be shown
    std::map<std::uint32_t, std::set<MemHandle*>> told_;  // by hold: who has to say that it holds
    std::map<std::uint32_t, Pending> asked_;              // by hold: who waits for it
};

}  // namespace hyplink::guest
