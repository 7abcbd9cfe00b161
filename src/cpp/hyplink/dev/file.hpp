/// An open file of the mount: an opener of a pipe, and who is told when it may be looked at again.
///
/// Thread rule: any thread.
#pragma once

#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <string>

#include "hyplink/app/pipe/pipe.hpp"
#include "hyplink/dev/tasks.hpp"

namespace hyplink::dev {

class File : public std::enable_shared_from_this<File> {
   public:
    using Notify = std::function<void()>;
    explicit File(std::unique_ptr<pipe::Pipe> pipe) : pipe_(std::move(pipe)) {}
    pipe::Pipe& pipe() { return *pipe_; }

    /// Call `notify` once, when something happened after this moment.
    void watch(Tasks& tasks, Notify notify);
    void close();

   private:
    void keep_watch();
    std::unique_ptr<pipe::Pipe> pipe_;
    std::mutex mutex_;
    std::condition_variable changed_;
    Notify notify_;
    pipe::Opened::Rings seen_;
    bool watching_ = false;
    bool closed_ = false;
};

}  // namespace hyplink::dev
