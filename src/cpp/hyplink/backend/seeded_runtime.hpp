/// The deterministic scheduler: exactly one task runs, switches happen at every wait, trigger,
/// hypercall, system call and publish, chosen by the seed; time is virtual. Same seed, same order,
/// same journal.
///
/// A task is an ordinary thread that holds the token while it runs. Bells need no wake-ups here: at
/// each switch the scheduler looks at every blocked task's bells. When nobody can run, the clock
/// jumps to the nearest deadline; when there is none either, the first blocked task (the bench's
/// own, normally) gets `deadlock`. Thread rule: any thread; an unknown one becomes a task at its
/// first call.
#pragma once

#include <condition_variable>
#include <map>
#include <memory>
#include <mutex>
#include <random>
#include <thread>
#include <vector>

#include "hyplink/base/runtime.hpp"

namespace hyplink::backend {

class SeededRuntime final : public Runtime {
   public:
    using TaskId = std::uint32_t;

    /// The calling thread becomes task 0 and runs.
    explicit SeededRuntime(std::uint64_t seed);

    std::int64_t now() override;
    Errc wait(std::span<const BellWait> bells, Deadline deadline) override;
    bool wake(BellWords&) override { return true; }
    void switch_point(SwitchPoint) override;

    /// Announce a task before its thread starts, so that numbers do not depend on thread start-up.
    TaskId announce();
    /// In the new thread: wait for one's first turn.
    void enter(TaskId task);
    /// In the thread, at its end.
    void leave();

   private:
    enum class State { ready, blocked, running, finished };
    struct Task {
        State state = State::ready;
        std::vector<BellWait> bells;
        Deadline deadline;
        Errc outcome = Errc::ok;
        std::condition_variable turn;
    };
    Task& self(std::unique_lock<std::mutex>& lock);
    /// Give the token to the next task; `mine` (if any) waits for its next turn.
    void hand_over(std::unique_lock<std::mutex>& lock, Task* mine);
    Task* choose();
    static bool rung(const Task& task);

    std::mutex mutex_;
    std::vector<std::unique_ptr<Task>> tasks_;
    std::map<std::thread::id, TaskId> ids_;
    std::mt19937_64 random_;
    std::int64_t clock_ = 0;
};

}  // namespace hyplink::backend
