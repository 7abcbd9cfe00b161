/// An application's way to a kernel in another process: a socket, and who takes the answers from
/// it.
///
/// A thread that waits for its answer reads the socket itself, first without sleeping where that
/// pays (never on a single processor): the kernel's answer wakes it and nobody in between. The link
/// has a thread of its own for everything else: words nobody asked for, the kernel's end, answers
/// while another thread reads, one descriptor that somebody watches. Thread rule: any thread.
#pragma once

#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>

#include "hyplink/app/application.hpp"
#include "hyplink/backend/task_thread.hpp"
#include "hyplink/sys/fd.hpp"
#include "hyplink/sys/look_or_sleep.hpp"
#include "hyplink/sys/socket.hpp"

namespace hyplink::backend {

class SocketLink final : public app::KernelLink {
   public:
    static Result<std::unique_ptr<SocketLink>> make(sys::Fd socket, app::Application& application,
                                                    VmId vm);
    ~SocketLink() override;
    Status send(guest::SysRequest&& request) override;
    Turn take_turn() override;
    Errc wait(const BellWait& until, Deadline deadline, Turn& turn, guest::Sys asked) override;
    Status when_readable(int fd, std::function<int()> ready) override;
    void close() override;

   private:
    void end_turn() override;
    SocketLink(sys::Fd socket, sys::Fd poke, sys::Fd poll, app::Application& application, VmId vm);
    void loop();
    /// The thread's part of what has arrived; false: there will be no more.
    bool take(Result<sys::Message> message);
    /// Call whoever watches, if it is due; when next, in milliseconds.
    int look(bool due);
    /// Read until the bell is rung; nothing: the caller must wait on the bell itself.
    std::optional<Errc> read_until(const BellWait& until, Deadline deadline, guest::Sys asked);
    /// Whether the thread is woken by what arrives.
    void thread_listens(bool listens);

    sys::Fd socket_;
    sys::Fd poke_;  // eventfd: the thread is to look at `stop_` and `handed_`
    sys::Fd poll_;  // epoll: what the thread sleeps on
    app::Application* application_;
    VmId vm_;
    std::atomic<bool> stop_{false};
    std::mutex send_mutex_;
    std::mutex watch_mutex_;  // held while `ready_` runs
    int watched_ = -1;
    std::function<int()> ready_;
    std::mutex reading_;  // whoever takes messages off the socket (a turn); guards what follows
    std::optional<Result<sys::Message>> handed_;   // to the thread, before all that comes later
    bool closed_ = false;                          // the other end has been seen closed once
    const bool may_look_;                          // there are processors for that
    std::map<guest::Sys, sys::LookOrSleep> ways_;  // of waiting threads
    TaskThread thread_;
};

/// In a process that a VM started: the application behind the inherited descriptor.
Result<std::shared_ptr<app::Application>> application_from_fd(int fd);

}  // namespace hyplink::backend
