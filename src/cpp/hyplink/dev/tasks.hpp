/// Threads for requests that wait, and how a request is interrupted.
///
/// A request runs in a thread of its own until it is done; threads are kept for the next ones. An
/// interrupted one gets a signal again and again until it has ended, because a signal that comes a
/// moment before the sleep would be lost. Thread rule: any thread.
#pragma once

#include <atomic>
#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <set>
#include <thread>
#include <vector>

#include <pthread.h>

namespace hyplink::dev {

class Tasks;

/// One request under way.
struct Task {
    std::function<void(Task&)> body;
    /// Ends a wait of the body that a signal does not end. Called again and again, under the lock
    /// of all tasks: takes no other.
    std::function<void()> wake;
    std::atomic<bool> interrupted{false};
    pthread_t thread{};
    Tasks* owner = nullptr;
};

class Tasks {
   public:
    Tasks();
    ~Tasks() { end(); }
    Tasks(const Tasks&) = delete;
    Tasks& operator=(const Tasks&) = delete;

    /// Run it in a thread. False when there are too many, or after `end`.
    bool start(const std::shared_ptr<Task>& task);
    /// End its waits: its thread sees `interrupted()`.
    static void interrupt(Task& task);
    void interrupt_all();
    /// The same, and wait until all of them have ended. Idempotent; not from a task.
    void end();

    /// Of the calling thread's request; what runs in no task is never interrupted.
    static bool interrupted();

   private:
    void work();
    void chase();

    std::mutex mutex_;
    std::condition_variable more_, chased_;
    std::deque<std::shared_ptr<Task>> queue_;
    std::set<std::shared_ptr<Task>> running_;
    std::vector<std::thread> threads_;
    std::size_t idle_ = 0;
    bool ending_ = false;
    std::thread chaser_;
};

}  // namespace hyplink::dev
