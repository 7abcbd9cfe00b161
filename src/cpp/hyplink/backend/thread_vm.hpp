/// Thread backend: a guest kernel as an object, its event loop as one thread of this process.
#pragma once

#include <mutex>

#include "hyplink/backend/task_thread.hpp"
#include "hyplink/backend/vm_host.hpp"
#include "hyplink/guest/kernel.hpp"
#include "hyplink/hyp/local_hypercalls.hpp"

namespace hyplink::backend {

class ThreadVm final : public VmHost,
                       public hyp::GuestWaker,
                       public std::enable_shared_from_this<ThreadVm> {
   public:
    ThreadVm(hyp::Hypervisor& hypervisor, VmId vm);
    ~ThreadVm() override;

    Status start() override;
    Result<sys::Fd> attach_socket() override;
    Result<std::unique_ptr<app::KernelLink>> attach(
        const std::shared_ptr<app::Application>& application) override;
    Status run(const Program& program) override;
    void kill() override;
    void join() override;
    void wake() override;
    std::string last_words() const override;

   private:
    class Link;
    void loop();
    /// The kernel's lock. In a seeded run a task must not block on it while it holds the token, so
    /// it gives the token away until the holder has finished.
    std::unique_lock<std::mutex> lock_kernel();

    hyp::Hypervisor* hypervisor_;
    VmId vm_;
    hyp::LocalHypercalls hypercalls_;
    mutable std::mutex mutex_;
    std::unique_ptr<guest::GuestKernel> kernel_;
    BellWords bell_{};
    bool dead_ = false;
    std::string last_words_;  // why it did not boot
    std::vector<Link*> links_;
    TaskThread thread_;
};

}  // namespace hyplink::backend
