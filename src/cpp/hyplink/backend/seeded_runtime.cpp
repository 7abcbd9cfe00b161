#include "hyplink/backend/seeded_runtime.hpp"

#include <algorithm>

namespace hyplink::backend {

SeededRuntime::SeededRuntime(std::uint64_t seed) : random_(seed) {
    seeded_ = true;
    tasks_.push_back(std::make_unique<Task>());
    tasks_[0]->state = State::running;
    ids_[std::this_thread::get_id()] = 0;
}

std::int64_t SeededRuntime::now() {
    std::lock_guard lock(mutex_);
    return ++clock_;  // every look at the clock is a different time, so records have one order
}

SeededRuntime::TaskId SeededRuntime::announce() {
    std::lock_guard lock(mutex_);
    tasks_.push_back(std::make_unique<Task>());
    return static_cast<TaskId>(tasks_.size() - 1);
}

void SeededRuntime::enter(TaskId task) {
    std::unique_lock lock(mutex_);
    ids_[std::this_thread::get_id()] = task;
    Task& mine = *tasks_[task];
    mine.turn.wait(lock, [&] { return mine.state == State::running; });
}

void SeededRuntime::leave() {
    std::unique_lock lock(mutex_);
    Task& mine = self(lock);
    mine.state = State::finished;
    ids_.erase(std::this_thread::get_id());
    hand_over(lock, nullptr);
}

SeededRuntime::Task& SeededRuntime::self(std::unique_lock<std::mutex>& lock) {
    auto found = ids_.find(std::this_thread::get_id());
    if (found != ids_.end()) return *tasks_[found->second];
    // A thread the bench did not start: from now on it takes turns like the others.
    const auto id = static_cast<TaskId>(tasks_.size());
    tasks_.push_back(std::make_unique<Task>());
    ids_[std::this_thread::get_id()] = id;
    Task& mine = *tasks_[id];
    const bool idle = std::none_of(tasks_.begin(), tasks_.end(),
                                   [](const auto& task) { return task->state == State::running; });
    if (idle) mine.state = State::running;
    mine.turn.wait(lock, [&] { return mine.state == State::running; });
    return mine;
}

bool SeededRuntime::rung(const Task& task) {
    return std::any_of(task.bells.begin(), task.bells.end(), [](const BellWait& wait) {
        return wait.bell->rung.load(std::memory_order_acquire) != wait.seen;
    });
}

SeededRuntime::Task* SeededRuntime::choose() {
    for (;;) {
        std::vector<Task*> candidates;
        Deadline nearest;
        Task* first_blocked = nullptr;
        for (auto& task : tasks_) {
            if (task->state == State::ready) candidates.push_back(task.get());
            if (task->state != State::blocked) continue;
            if (first_blocked == nullptr) first_blocked = task.get();
            if (rung(*task)) {
                candidates.push_back(task.get());
            } else if (task->deadline.at <= clock_) {
                candidates.push_back(task.get());
            } else {
                nearest.at = std::min(nearest.at, task->deadline.at);
            }
        }
        if (!candidates.empty()) {
            Task* next = candidates[static_cast<std::size_t>(random_() % candidates.size())];
            if (next->state == State::blocked)
                next->outcome = rung(*next) ? Errc::ok : Errc::timed_out;
            return next;
        }
        if (!nearest.is_never()) {
            clock_ = nearest.at;
            continue;
        }
        if (first_blocked != nullptr) first_blocked->outcome = Errc::deadlock;
        return first_blocked;
    }
}

void SeededRuntime::hand_over(std::unique_lock<std::mutex>& lock, Task* mine) {
    Task* next = choose();
    if (next == mine && mine != nullptr) {
        mine->state = State::running;
        return;
    }
    if (next != nullptr) {
        next->state = State::running;
        next->turn.notify_one();
    }
    if (mine != nullptr) mine->turn.wait(lock, [&] { return mine->state == State::running; });
}

void SeededRuntime::switch_point(SwitchPoint) {
    std::unique_lock lock(mutex_);
    Task& mine = self(lock);
    mine.state = State::ready;
    hand_over(lock, &mine);
}

Errc SeededRuntime::wait(std::span<const BellWait> bells, Deadline deadline) {
    std::unique_lock lock(mutex_);
    Task& mine = self(lock);
    mine.bells.assign(bells.begin(), bells.end());
    mine.deadline = deadline;
    mine.outcome = Errc::ok;
    mine.state = State::blocked;
    hand_over(lock, &mine);
    mine.bells.clear();
    return mine.outcome;
}

}  // namespace hyplink::backend
