#include "hyplink/dev/tasks.hpp"

#include <signal.h>

#include <algorithm>
#include <chrono>

namespace hyplink::dev {
namespace {
constexpr std::size_t kMostThreads = 512;
constexpr std::chrono::milliseconds kAgain{2};
thread_local Task* current = nullptr;
}  // namespace

Tasks::Tasks() {
    struct sigaction quiet{};
    quiet.sa_handler = [](int) {};  // no SA_RESTART: it is to end a sleep
    ::sigaction(SIGUSR1, &quiet, nullptr);
    chaser_ = std::thread([this] { chase(); });
}

void Tasks::end() {
    if (!chaser_.joinable()) return;
    interrupt_all();
    {
        std::lock_guard lock(mutex_);
        ending_ = true;
        more_.notify_all();
    }
    for (std::thread& thread : threads_) thread.join();
    {
        std::lock_guard lock(mutex_);
        chased_.notify_all();
    }
    chaser_.join();
}

bool Tasks::interrupted() { return current != nullptr && current->interrupted.load(); }

bool Tasks::start(const std::shared_ptr<Task>& task) {
    std::lock_guard lock(mutex_);
    if (ending_) return false;
    if (idle_ <= queue_.size()) {
        if (threads_.size() >= kMostThreads) return false;
        threads_.emplace_back([this] { work(); });
    }
    queue_.push_back(task);
    more_.notify_one();
    return true;
}

void Tasks::work() {
    std::unique_lock lock(mutex_);
    for (;;) {
        ++idle_;
        more_.wait(lock, [this] { return !queue_.empty() || ending_; });
        --idle_;
        if (queue_.empty()) return;
        const std::shared_ptr<Task> task = std::move(queue_.front());
        queue_.pop_front();
        task->thread = ::pthread_self();
        task->owner = this;
        running_.insert(task);
        if (task->interrupted.load()) chased_.notify_all();  // before it began
        lock.unlock();
        current = task.get();
        task->body(*task);
        current = nullptr;
        lock.lock();
        running_.erase(task);
    }
}

void Tasks::interrupt_all() {
    std::lock_guard lock(mutex_);
    for (const auto& task : running_) task->interrupted.store(true);
    for (const auto& task : queue_) task->interrupted.store(true);
    chased_.notify_all();
}

void Tasks::interrupt(Task& task) {
    std::lock_guard lock(task.owner->mutex_);
    task.interrupted.store(true);
    task.owner->chased_.notify_all();
}

void Tasks::chase() {
    std::unique_lock lock(mutex_);
    for (;;) {
        bool any = false;
        for (const auto& task : running_) {
            if (!task->interrupted.load()) continue;
            any = true;
            ::pthread_kill(task->thread, SIGUSR1);  // it runs: it has not left `running_`
            if (task->wake) task->wake();
        }
        if (ending_ && running_.empty() && queue_.empty()) return;
        // An idle mount sleeps: as long as nobody is interrupted, there is nobody to chase.
        if (any)
            chased_.wait_for(lock, kAgain);
        else
            chased_.wait(lock);
    }
}

}  // namespace hyplink::dev
