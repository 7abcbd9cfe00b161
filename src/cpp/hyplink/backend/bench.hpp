/// A running board: one hypervisor, its VMs on one backend. What Python's `Bench` and C++ users
/// hold.
///
///     auto bench = HYPLINK_TRY(Bench::make(spec, {.kind = BackendKind::process, .vm_program =
///     path})); HYPLINK_TRY(bench->boot(2, deadline)); auto application =
///     HYPLINK_TRY(bench->attach(3));
///
/// Thread rule: any thread. Two benches in one process share nothing.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <mutex>

#include "hyplink/app/application.hpp"
#include "hyplink/backend/control_loop.hpp"
#include "hyplink/backend/vm_host.hpp"
#include "hyplink/hyp/hypervisor.hpp"

namespace hyplink::backend {

enum class BackendKind { thread, process };

struct BenchOptions {
    BackendKind kind = BackendKind::thread;
    bool seeded = false;  ///< thread backend only
    std::uint64_t seed = 0;
    std::string vm_program = "hyplink-vm";
    hyp::Limits limits;
};

class Bench : public std::enable_shared_from_this<Bench> {
   public:
    /// Errors: bad_argument (what the board says), unsupported (seed on the process backend),
    /// system.
    static Result<std::shared_ptr<Bench>> make(hyp::BoardSpec board, BenchOptions options);
    ~Bench();
    Bench(const Bench&) = delete;
    Bench& operator=(const Bench&) = delete;

    /// Boot and wait until RUNNING. Errors: no_such_link, busy, peer_dead (it died booting),
    /// timed_out.
    Status boot(VmId vm, Deadline deadline);
    /// Orderly: links OFF, then OFF. Errors: timed_out; it is killed then.
    Status shutdown(VmId vm, Deadline deadline);
    /// SIGKILL, or abandon on the thread backend. Returns once nothing of the VM runs.
    Status kill(VmId vm);
    /// This process as an application of the VM. Errors: peer_dead (not running).
    Result<std::shared_ptr<app::Application>> attach(VmId vm);
    /// A socket with which another process is an application of a VM (`application_from_fd`).
    Result<sys::Fd> attach_socket(VmId vm);
    /// A program as an application of the VM (process backend).
    Status run(VmId vm, const Program& program);
    /// Kill everything, wait for it. Idempotent.
    void close();

    /// Wait until both ends are (not) ON. Errors: timed_out, interrupted.
    Status wait_link(LinkIndex link, bool on, Deadline deadline);
    /// Wait until `ready` holds; it is asked again after every change of a VM's or link's state.
    Status wait_change(const std::function<bool()>& ready, Deadline deadline);

    int vm_pid(VmId vm);
    hyp::Hypervisor& hypervisor() { return *hypervisor_; }
    Runtime& runtime() { return *runtime_; }
    const BenchOptions& options() const { return options_; }
    void set_interrupt_check(std::function<bool()> check) { interrupt_check_ = std::move(check); }

   private:
    explicit Bench(BenchOptions options) : options_(std::move(options)) {}
    std::shared_ptr<VmHost> host(VmId vm);

    BenchOptions options_;
    std::unique_ptr<Runtime> runtime_;
    std::unique_ptr<hyp::Hypervisor> hypervisor_;
    std::unique_ptr<ControlLoop> loop_;  // process backend
    TaskThread timer_;                   // thread backend
    BellWords timer_bell_{};
    std::atomic<bool> closing_{false};
    std::mutex mutex_;
    std::map<VmId, std::shared_ptr<VmHost>> hosts_;
    std::function<bool()> interrupt_check_;
};

}  // namespace hyplink::backend
