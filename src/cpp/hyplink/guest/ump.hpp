/// NKDDI for user processes ("vlx-ump"): an application may itself be the end-point of a vlink whose class no
/// kernel driver owns. When it dies, every end it had announced goes OFF and the peers are told.
///
/// Such an application is as trusted as a kernel driver: it maps the memory its VM shares with the peer VM.
/// Source: vlx-facts 6.6. Thread rule: the guest kernel's.
#pragma once

#include <set>

#include "hyplink/guest/kernel.hpp"

namespace hyplink::guest {

class UmpDriver final : public Driver {
   public:
    explicit UmpDriver(GuestKernel& kernel) : kernel_(&kernel) {}
    std::vector<std::string> devices() const override { return {"vlx-ump"}; }
    Result<std::unique_ptr<Handle>> open(AppId app, const std::string& device) override;
    bool handle(Pending pending, Handle& handle, SysRequest& request) override;

   private:
    friend class UmpHandle;
    Status publish(std::uint32_t slot, Role role);
    GuestKernel* kernel_;
    std::set<std::pair<std::uint32_t, std::uint32_t>> taken_;  // (slot, role) in use by an application
};

}  // namespace hyplink::guest
