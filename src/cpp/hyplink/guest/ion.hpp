/// vION: buffers that applications of several VMs map, by global ids.
///
/// An export gives a buffer an id that is never used again, the importer's kernel asks the
/// exporter's over vRPC, that one lends the memory through the hypervisor, and the application gets
/// a descriptor of it. A buffer lives until its exporter has closed it and every import has ended.
/// The exporting VM's death takes the memory away from whoever has it. Source: document 001 3.6;
/// vlx-facts 5.7. Thread rule: the guest kernel's.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "hyplink/guest/rpc_link.hpp"

namespace hyplink::guest {

/// Is a vlink of this class and info the kernel's, because it carries vION?
bool carries_ion(std::string_view device_class, std::string_view info);

struct IonEnd {
    VlinkEnd* end;
    std::string server_info, client_info;
};

/// The device "vion" of a VM. Nothing (a null driver) when there is no such vlink.
Result<std::unique_ptr<Driver>> make_ion_driver(GuestKernel& kernel,
                                                const std::vector<IonEnd>& ends);

}  // namespace hyplink::guest
