/// The inside of a `hyplink-vm` process: one guest kernel and an event loop. Single-threaded.
#pragma once

#include <list>
#include <map>
#include <memory>

#include "hyplink/backend/remote_hypercalls.hpp"
#include "hyplink/guest/kernel.hpp"
#include "hyplink/sys/process.hpp"
#include "hyplink/sys/real_runtime.hpp"

namespace hyplink::backend {

class VmProcess {
   public:
    VmProcess(sys::Fd hypervisor, std::string own_program);
    ~VmProcess();

    /// Boot and serve until halted or until the bench is gone. Returns the exit status.
    int run();

   private:
    struct App;
    bool on_hypervisor(sys::Message& message);
    Status adopt(sys::Fd socket);
    Status run_program(sys::Message& message);
    void on_app(App& app);
    void drop(App& app, bool died);
    /// After a shutdown: let the programs see it and end.
    void see_off();

    sys::Fd hypervisor_;
    std::string own_program_;
    sys::RealRuntime runtime_;
    RemoteHypercalls hypercalls_;
    std::list<std::unique_ptr<App>> apps_;  // before the kernel goes, see ~GuestKernel
    guest::GuestKernel kernel_;
    std::list<sys::Child> children_;
};

}  // namespace hyplink::backend
