/// The inside of a `hyplink-vm` process: one guest kernel and an event loop. Single-threaded.
#pragma once

#include <list>
#include <memory>
#include <vector>

#include "hyplink/backend/remote_hypercalls.hpp"
#include "hyplink/guest/kernel.hpp"
#include "hyplink/sys/process.hpp"
#include "hyplink/sys/real_runtime.hpp"

namespace hyplink::backend {

class VmProcess {
   public:
    VmProcess(sys::Fd hypervisor, sys::Fd offers, std::string own_program);
    ~VmProcess();

    /// Boot and serve until halted or until the bench is gone. Returns the exit status.
    int run();

   private:
    struct App;
    /// A program that was started here, with what it was given: whoever waits for the end of that
    /// hears of it when the end is in the journal.
    struct Program {
        sys::Child child;
        std::vector<sys::Fd> given;
        std::int64_t since = 0;
    };
    bool turn();
    void on_line(std::size_t line);
    Status on_hypervisor(sys::Message& message);
    void adopt(sys::Fd socket);
    void not_started(const Error& why);
    Status run_program(sys::Message& message);
    void on_app(App& app);
    void gone(App& app);
    void drop(App& app, Dropped reason, Errc code);
    void remove(App& app);
    void reap();
    /// After a shutdown: let the programs see it and end.
    void see_off();

    sys::Fd hypervisor_;
    std::string own_program_;
    sys::RealRuntime runtime_;
    RemoteHypercalls hypercalls_;
    int put_off_turns_ = 0;
    XirqReceiver xirqs_;
    std::list<std::unique_ptr<App>> apps_;  // before the kernel goes, see ~GuestKernel
    guest::GuestKernel kernel_;
    std::list<Program> programs_;
};

}  // namespace hyplink::backend
