#include "hyplink/dev/file.hpp"

#include <utility>

namespace hyplink::dev {

unsigned PipeFile::poll() {
    const auto events = pipe_->poll();
    return events ? *events : pipe::kErr | pipe::kHup;
}

void PipeFile::watch(Tasks& tasks, Notify notify) {
    std::lock_guard lock(mutex_);
    seen_ = pipe_->rings();
    notify_ = std::move(notify);
    changed_.notify_all();
    if (std::exchange(watching_, true)) return;
    auto task = std::make_shared<Task>();
    task->body = [self = shared_from_this()](Task&) { self->keep_watch(); };
    task->wake = [self = shared_from_this()] { self->changed_.notify_all(); };
    watching_ = tasks.start(task);
}

void PipeFile::keep_watch() {
    std::unique_lock lock(mutex_);
    for (;;) {
        // At the end of the mount nobody closes a file that is still open.
        changed_.wait(lock,
                      [this] { return notify_ != nullptr || closed_ || Tasks::interrupted(); });
        if (closed_ || Tasks::interrupted()) return;
        const pipe::Opened::Rings seen = seen_;
        lock.unlock();
        (void)pipe_->wait_rings(seen, Deadline::never());
        lock.lock();
        if (closed_ || Tasks::interrupted()) return;
        if (const Notify told = std::exchange(notify_, {})) told();
    }
}

void PipeFile::close() {
    {
        std::lock_guard lock(mutex_);
        closed_ = true;
        notify_ = {};
        changed_.notify_all();
    }
    pipe_->close();
}

}  // namespace hyplink::dev
