/// Where a VM runs: as an object with a thread in this process, or as a `hyplink-vm` process.
///
/// A bench makes one host per boot. Thread rule: the bench's (any thread, one operation per VM at a
/// time).
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "hyplink/app/application.hpp"
#include "hyplink/hyp/hypervisor.hpp"

namespace hyplink::backend {

/// A program to run as an application of a VM.
struct Program {
    std::vector<std::string> arguments;
    std::vector<std::string> environment;
    std::vector<int> fds;  ///< become 4, 5, … in the application (3 is its way to the kernel)
};

class VmHost {
   public:
    virtual ~VmHost() = default;
    /// Start the guest kernel; it reports RUNNING to the hypervisor by itself.
    virtual Status start() = 0;
    /// A way for this process to be an application of the VM.
    virtual Result<std::unique_ptr<app::KernelLink>> attach(
        const std::shared_ptr<app::Application>& application) = 0;
    /// The same for another process: a socket for `application_from_fd`. Errors: unsupported on the
    /// thread backend.
    virtual Result<sys::Fd> attach_socket() = 0;
    /// Run a program as an application. Errors: unsupported on the thread backend.
    virtual Status run(const Program& program) = 0;
    /// Die at once, without cleaning up. The hypervisor hears of it before this returns.
    virtual void kill() = 0;
    /// Wait until nothing of it runs any more. Only after kill() or a halt.
    virtual void join() = 0;
    /// The kernel's process, or -1.
    virtual int pid() const { return -1; }
    virtual std::string last_words() const { return {}; }
};

}  // namespace hyplink::backend
