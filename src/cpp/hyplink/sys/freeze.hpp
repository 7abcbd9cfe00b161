/// Hold back every thread of this process that wants to write to some of its memory, for as long as
/// that memory is copied and something else is mapped in its place.
///
/// The means is the kernel's userfaultfd in write-protect mode: a writer waits inside its page
/// fault and then writes to whatever is mapped there; no signal, no handler, nothing an application
/// could notice. Without privileges the kernel gives it for faults of user code only; a system call
/// that writes there meanwhile (read(2) into the buffer) fails with EFAULT then. Writers in other
/// processes that map the same object are not held.
#pragma once

#include <cstddef>
#include <memory>
#include <vector>

#include "hyplink/base/result.hpp"
#include "hyplink/sys/fd.hpp"

namespace hyplink::sys {

/// Thread rule: any thread; ranges frozen at the same time must not overlap.
class WriteFreezer {
   public:
    /// Errors: unsupported names what this kernel or sandbox does not give.
    static Result<std::shared_ptr<WriteFreezer>> make();

    /// Writers wait while this lives.
    class Frozen {
       public:
        Frozen() = default;
        Frozen(Frozen&& other) noexcept;
        Frozen& operator=(Frozen&& other) noexcept;
        ~Frozen();
        /// Something else was mapped over the range: only let the writers go on, into that.
        void replaced() { replaced_ = true; }

       private:
        friend class WriteFreezer;
        WriteFreezer* freezer_ = nullptr;
        void* place_ = nullptr;
        std::size_t bytes_ = 0;
        bool replaced_ = false;
    };
    /// Whole pages of private anonymous memory or of a memfd.
    Result<Frozen> freeze(void* place, std::size_t bytes);

   private:
    explicit WriteFreezer(Fd fd) : fd_(std::move(fd)) {}
    Fd fd_;
};

/// Hold back every thread of this process that wants to read or write some mapped object, until
/// somebody says go or maps something else there. As above, but nothing is read meanwhile either:
/// whoever goes on sees what is mapped then and nothing older. A signal is handled meanwhile, and
/// the thread waits again. Thread rule: one thread at a time.
class AccessHolder {
   public:
    /// Errors: unsupported.
    static Result<std::unique_ptr<AccessHolder>> make();
    /// Whole pages that show memfds. Once more is no error. Errors: bad_argument (not an object's),
    /// system; nothing is held then.
    Status hold(void* place, std::size_t bytes);
    /// From now on whoever meets a hole there waits, and so does who meets a page that this
    /// process's page tables do not lead to; who touches what they lead to (`populate`) goes on as
    /// before. Ends with `release`, or with what is mapped there next. Errors: as hold.
    Status watch(void* place, std::size_t bytes);
    /// Where threads began to wait since the last look; any thread. `fd` is readable when there are
    /// some. Who waits is let go by `release` and `replaced` only.
    std::vector<const std::byte*> faults();
    int fd() const { return fd_.get(); }
    /// What is mapped there is the one that was: go on.
    void release(void* place, std::size_t bytes);
    /// Something else was mapped there: go on, into that.
    void replaced(void* place, std::size_t bytes);

   private:
    explicit AccessHolder(Fd fd) : fd_(std::move(fd)) {}
    Fd fd_;
};

}  // namespace hyplink::sys
