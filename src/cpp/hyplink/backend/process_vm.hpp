/// Process backend: a VM as a `hyplink-vm` process, seen from the bench.
#pragma once

#include <mutex>

#include "hyplink/backend/control_loop.hpp"
#include "hyplink/backend/vm_host.hpp"

namespace hyplink::backend {

class ProcessVm final : public VmHost {
   public:
    ProcessVm(hyp::Hypervisor& hypervisor, ControlLoop& loop, VmId vm, std::string program);
    ~ProcessVm() override;

    /// The hypervisor's way to this VM; hand it to begin_boot() before start().
    hyp::GuestWaker& waker() { return *channel_; }
    Status start() override;
    Result<sys::Fd> attach_socket() override;
    Result<std::unique_ptr<app::KernelLink>> attach(
        const std::shared_ptr<app::Application>& application) override;
    Status run(const Program& program) override;
    void kill() override;
    void join() override;
    int pid() const override { return pid_; }
    std::string last_words() const override;

   private:
    Status send(std::span<const std::byte> bytes, std::span<const int> fds);
    hyp::Hypervisor* hypervisor_;
    ControlLoop* loop_;
    std::string program_;
    std::shared_ptr<VmChannel> channel_;
    std::mutex mutex_;
    std::vector<std::weak_ptr<app::Application>> here_;  // applications of the VM in this process
    sys::Fd lives_;                                      // ends when no process of the VM is left
    bool started_ = false;
    int pid_ = -1;
};

}  // namespace hyplink::backend
