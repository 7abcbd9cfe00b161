/// The mounted tree: a FUSE file system whose files are pipes of the VMs of a bench.
///
/// One thread takes requests and answers what need not wait; the rest gets threads of their own.
/// Thread rule: run() in one thread, stop() from any.
#pragma once

#include <pthread.h>

#include <atomic>
#include <string>

#include "hyplink/base/result.hpp"
#include "hyplink/dev/vms.hpp"

struct fuse_session;

namespace hyplink::dev {

class Mount {
   public:
    explicit Mount(Vms& vms) : vms_(&vms) {}
    ~Mount();
    Mount(const Mount&) = delete;
    Mount& operator=(const Mount&) = delete;

    /// Errors: unsupported (no FUSE here), the kernel's.
    Status mount(const std::string& folder);
    /// Serve until it is unmounted, by stop() or by anybody.
    void run();
    void stop();

    struct State;

   private:
    Vms* vms_;
    State* state_ = nullptr;
    fuse_session* session_ = nullptr;
    std::atomic<bool> running_{false};
    pthread_t runner_{};
};

}  // namespace hyplink::dev
