/// A thread of a backend. Blocks all signals, so that Ctrl-C goes to the user's threads; a task of
/// the scheduler when there is one.
#pragma once

#include <functional>
#include <thread>

#include "hyplink/backend/seeded_runtime.hpp"

namespace hyplink::backend {

class TaskThread {
   public:
    TaskThread() = default;
    TaskThread(Runtime& runtime, std::function<void()> body);
    TaskThread(TaskThread&&) = default;
    TaskThread& operator=(TaskThread&&) = default;
    ~TaskThread() { join(); }
    /// Wait for its end; in a seeded run the others go on meanwhile.
    void join();

   private:
    Runtime* runtime_ = nullptr;
    std::unique_ptr<BellWords> ended_;
    std::thread thread_;
};

}  // namespace hyplink::backend
