/// Memory that the server lends its clients for large blocks and pictures, through vUmem.
///
/// Thread rule: any thread.
#pragma once

#include <string>

namespace hyplink::vogl {

/// Lend on this vUmem device until the VM ends; for a thread of its own.
void lend_frames(const std::string& device);
/// Whether there is such a device. Waits until that is known, which is when the link is up.
bool frames_are_lent();

}  // namespace hyplink::vogl
