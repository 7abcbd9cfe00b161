/// The driver of vBpipe, vPipe and vUpipe: finds the ends that make a device, names it, opens it.
/// Data never pass through here. Source: document 001 3.1 to 3.3; vlx-facts 4. Thread rule: the
/// guest kernel's.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "hyplink/guest/kernel.hpp"
#include "hyplink/guest/vlink_end.hpp"

namespace hyplink::guest {

struct PipeEnd {
    VlinkEnd* end;
    std::string server_info;
};

/// Nothing (a null driver) when there is no such vlink.
Result<std::unique_ptr<Driver>> make_pipe_driver(GuestKernel& kernel,
                                                 const std::vector<PipeEnd>& ends);

}  // namespace hyplink::guest
