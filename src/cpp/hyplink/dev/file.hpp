/// An open file of the mount: what any of them is asked, and the openers of pipes.
///
/// Thread rule: any thread.
#pragma once

#include <cerrno>
#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <span>
#include <string>

#include "hyplink/app/pipe/pipe.hpp"
#include "hyplink/dev/tasks.hpp"

namespace hyplink::dev {

using Notify = std::function<void()>;

/// One ioctl: its number as the caller gave it, what came with it, how much may go back.
struct Ioctl {
    unsigned command = 0;
    std::span<const std::byte> in;
    std::size_t out_bytes = 0;
};
struct IoctlAnswer {
    int result = 0;
    std::string out;
};

class File {
   public:
    File() = default;
    File(const File&) = delete;
    File& operator=(const File&) = delete;
    virtual ~File() = default;

    virtual void set_nonblock(bool) {}
    /// would_block: `read` and `write` wait.
    virtual Result<std::size_t> try_read(std::span<std::byte> into) = 0;
    virtual Result<std::size_t> try_write(std::span<const std::byte> from) = 0;
    virtual Result<std::size_t> read(std::span<std::byte> into) = 0;
    virtual Result<std::size_t> write(std::span<const std::byte> from) = 0;
    /// Of <poll.h>.
    virtual unsigned poll() = 0;
    /// Call `notify` once, when something happened after this moment.
    virtual void watch(Tasks& tasks, Notify notify) = 0;
    virtual Result<IoctlAnswer> ioctl(const Ioctl&) { return Error(static_cast<Errc>(ENOTTY)); }
    virtual void close() = 0;
};

class PipeFile final : public File, public std::enable_shared_from_this<PipeFile> {
   public:
    explicit PipeFile(std::unique_ptr<pipe::Pipe> pipe) : pipe_(std::move(pipe)) {}

    void set_nonblock(bool on) override { pipe_->set_nonblock(on); }
    Result<std::size_t> try_read(std::span<std::byte> into) override {
        return pipe_->try_read(into);
    }
    Result<std::size_t> try_write(std::span<const std::byte> from) override {
        return pipe_->try_write(from);
    }
    Result<std::size_t> read(std::span<std::byte> into) override {
        return pipe_->read(into, Deadline::never());
    }
    Result<std::size_t> write(std::span<const std::byte> from) override {
        return pipe_->write(from, Deadline::never());
    }
    unsigned poll() override;
    void watch(Tasks& tasks, Notify notify) override;
    void close() override;

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
