/// NKDDI for user processes ("vlx-ump"): an application may itself be the end-point of a vlink
/// whose class no kernel driver owns. When it dies, every end it had taken goes OFF and the peers
/// are told.
///
/// An application takes an end when it allocates a resource on the vlink (on a loopback: when it
/// first announces that side); nobody else of the VM can drive it until it closes. The same holds
/// for a number it attaches.
///
/// Such an application is as trusted as a kernel driver: it maps the memory its VM shares with the
/// peer VM. Source: vlx-facts 6.6. Thread rule: the guest kernel's.
#pragma once

#include <set>

#include "hyplink/guest/kernel.hpp"

namespace hyplink::guest {

class UmpHandle;

class UmpDriver final : public Driver {
   public:
    explicit UmpDriver(GuestKernel& kernel) : kernel_(&kernel) {}
    std::vector<std::string> devices() const override { return {"vlx-ump"}; }
    Result<std::unique_ptr<Handle>> open(AppId app, const std::string& device) override;
    bool handle(Pending pending, Handle& handle, SysRequest& request) override;

   private:
    friend class UmpHandle;
    Status publish(std::uint32_t slot, Role role);
    Status take_ends(UmpHandle& handle, std::uint32_t slot);
    Error driven(std::uint32_t slot);
    GuestKernel* kernel_;
    std::set<std::pair<std::uint32_t, std::uint32_t>>
        taken_;                      // (slot, role) in use by an application
    std::set<XirqNumber> attached_;  // numbers that an application waits on
    std::set<AppId> users_;          // applications that have it open
};

}  // namespace hyplink::guest
