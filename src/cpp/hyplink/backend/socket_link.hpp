/// An application's way to a kernel in another process: a socket, and a thread that takes the
/// answers.
#pragma once

#include <memory>

#include "hyplink/app/application.hpp"
#include "hyplink/backend/task_thread.hpp"
#include "hyplink/sys/fd.hpp"

namespace hyplink::backend {

class SocketLink final : public app::KernelLink {
   public:
    static Result<std::unique_ptr<SocketLink>> make(sys::Fd socket, app::Application& application,
                                                    VmId vm);
    ~SocketLink() override;
    Status send(guest::SysRequest&& request) override;
    void close() override;

   private:
    SocketLink(sys::Fd socket, sys::Fd stop, app::Application& application, VmId vm);
    void loop();

    sys::Fd socket_;
    sys::Fd stop_;  // eventfd: leave the loop
    app::Application* application_;
    VmId vm_;
    std::mutex send_mutex_;
    TaskThread thread_;
};

/// In a process that a VM started: the application behind the inherited descriptor.
Result<std::shared_ptr<app::Application>> application_from_fd(int fd);

}  // namespace hyplink::backend
