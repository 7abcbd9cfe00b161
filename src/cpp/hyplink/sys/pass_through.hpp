/// Files that lead to memory objects without being them: whoever holds one can map it, read it and,
/// if it was opened so, write it, but not cut, punch or seal the object, nor open it again. What is
/// mapped is the object's own pages: nothing is copied, and nobody is asked.
///
///     auto files = HYPLINK_TRY(PassThrough::make());
///     sys::Fd fd = HYPLINK_TRY(files->open(object.get(), false));     // give that away
///
/// How: a FUSE file system of this process that is mounted nowhere and passes opened files through
/// to their objects. It needs Linux 6.9 and CAP_SYS_ADMIN. One thread serves it; who opens a file,
/// closes one or tries something else waits for it, who uses one does not.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <span>
#include <thread>

#include "hyplink/base/result.hpp"
#include "hyplink/sys/fd.hpp"

namespace hyplink::sys {

/// Thread rule: any thread.
class PassThrough {
   public:
    /// Errors: unsupported names what this machine or sandbox does not give; EMFILE, no_memory.
    static Result<std::unique_ptr<PassThrough>> make();
    /// Files stay what they are where they are mapped; all else they are asked fails.
    ~PassThrough();
    PassThrough(const PassThrough&) = delete;
    PassThrough& operator=(const PassThrough&) = delete;

    /// A file that leads to a memfd as it is now; this descriptor of it is not needed any more.
    /// Errors: EMFILE, not_permitted (the object's seals forbid writing).
    Result<Fd> open(int object, bool writable);
    /// Files that somebody holds or maps.
    std::size_t files() const;

   private:
    struct Node {
        int object = -1;
        std::uint64_t bytes = 0;
        bool opens = true;  // until `open` has it
        int backing = -1;
    };
    PassThrough() = default;
    Status mount();
    Status agree();
    void serve();
    void answer(std::span<const std::byte> request);
    void reply(std::uint64_t to, int error, std::span<const std::byte> data = {});
    void look_up(std::uint64_t to, std::span<const std::byte> name);
    void tell(std::uint64_t to, std::uint64_t number);
    void open_node(std::uint64_t to, std::uint64_t number);
    void forget(std::uint64_t number);
    /// Nobody finds it by its name any more.
    void hide(std::uint64_t number);

    Fd device_;
    Fd root_;  // of the file system
    Fd stop_;
    mutable std::mutex mutex_;
    std::map<std::uint64_t, Node> nodes_;
    std::uint64_t next_ = 2;  // 1 is the root
    std::thread thread_;
};

}  // namespace hyplink::sys
