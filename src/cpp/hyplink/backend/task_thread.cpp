#include "hyplink/backend/task_thread.hpp"

#include "hyplink/sys/thread.hpp"

namespace hyplink::backend {

TaskThread::TaskThread(Runtime& runtime, std::function<void()> body)
    : runtime_(&runtime), ended_(std::make_unique<BellWords>()) {
    auto* seeded = dynamic_cast<SeededRuntime*>(&runtime);
    const SeededRuntime::TaskId task = seeded != nullptr ? seeded->announce() : 0;
    thread_ = sys::start_thread([seeded, task, ended = ended_.get(), run = std::move(body)] {
        if (seeded != nullptr) seeded->enter(task);
        run();
        bell_ring(*ended);
        if (seeded != nullptr) seeded->leave();
    });
}

void TaskThread::join() {
    if (!thread_.joinable()) return;
    if (runtime_->seeded()) {
        const BellWait wait{ended_.get(), 0};
        while (bell_seen(*ended_) == 0)
            if (runtime_->wait(std::span(&wait, 1), Deadline::never()) == Errc::deadlock) break;
    }
    thread_.join();
}

}  // namespace hyplink::backend
