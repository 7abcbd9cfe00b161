/// Process backend, bench side: one thread that serves the hypercalls of all `hyplink-vm`
/// processes, passes events on, spawns and reaps. It lives as long as the bench; the VMs die with
/// it.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <vector>

#include "hyplink/backend/task_thread.hpp"
#include "hyplink/hyp/hypervisor.hpp"
#include "hyplink/hyp/local_hypercalls.hpp"
#include "hyplink/sys/process.hpp"
#include "hyplink/sys/socket.hpp"

namespace hyplink::backend {

/// One `hyplink-vm` process.
class VmChannel final : public hyp::GuestWaker {
   public:
    VmChannel(hyp::Hypervisor& hypervisor, VmId vm, int poke_fd);
    void wake() override;  // under the hypervisor's lock: only notes it and pokes the loop
    bool hears_lines() const override { return true; }
    void offer(std::uint32_t slot, const hyp::Loan& loan) override;

    hyp::Hypervisor* hypervisor;
    VmId vm;
    hyp::LocalHypercalls hypercalls;
    sys::Fd socket;
    sys::Fd offers;  // what was lent to it; it reads them when it wants one, nobody is woken
    sys::Child child;
    std::atomic<bool> events_due{false};
    bool gone = false;  ///< under the loop's lock
    int exit_status = 0;
    BellWords ended{};

   private:
    int poke_fd_;
};

class ControlLoop {
   public:
    static Result<std::unique_ptr<ControlLoop>> make(hyp::Hypervisor& hypervisor);
    ~ControlLoop();

    int poke_fd() const { return poke_.get(); }
    /// Run `body` in the loop's thread (spawning must happen there, see sys::die_with_parent) and
    /// wait for it.
    Status in_loop(std::function<Status()> body);
    void add(std::shared_ptr<VmChannel> channel);

   private:
    ControlLoop(hyp::Hypervisor& hypervisor, sys::Fd poke)
        : hypervisor_(&hypervisor), poke_(std::move(poke)) {}
    struct Job {
        std::function<Status()> body;
        Status status;
        BellWords done{};
    };
    void loop();
    void run_jobs();
    void serve(VmChannel& channel);
    void drop(VmChannel& channel, Errc code);
    void end(VmChannel& channel);

    hyp::Hypervisor* hypervisor_;
    sys::Fd poke_;
    std::mutex mutex_;
    std::vector<std::shared_ptr<VmChannel>> channels_;
    std::vector<std::shared_ptr<Job>> jobs_;
    bool stop_ = false;
    bool answered_ = false;  // the loop's thread: somebody may have been woken by an answer
    BellWords changed_{};    // subscribed, so that a new deadline is noticed
    TaskThread thread_;
};

}  // namespace hyplink::backend
