/// An object that others were given to read, or to read and write, and that can be emptied under
/// them.
///
/// What the holder of a descriptor may do is decided by seals alone: a descriptor for reading can
/// be opened for writing again by its holder. Sealed against writing, a memfd can neither be
/// punched nor, being sealed against shrinking too (or a reader could cut the owner's memory off),
/// truncated. It is emptied all the same: through a mapping that was made before the seal. Thread
/// rule: one thread at a time.
#pragma once

#include <cstddef>
#include <cstdint>

#include "hyplink/base/result.hpp"
#include "hyplink/sys/fd.hpp"
#include "hyplink/sys/mapping.hpp"

namespace hyplink::mem {

enum class Access : std::uint8_t { read, read_write };

class SharedObject {
   public:
    SharedObject() = default;
    /// Take an unsealed memfd of exactly `bytes` and seal it. Errors: bad_argument (no memfd, of
    /// another size, not whole pages), not_permitted (its maker has sealed it), system.
    static Result<SharedObject> seal(sys::Fd fd, std::size_t bytes, Access access);

    explicit operator bool() const { return static_cast<bool>(fd_); }
    Access access() const { return access_; }
    std::size_t size() const { return size_; }
    /// The way to all of it, for whoever sees to it who gets what.
    int fd() const { return fd_.get(); }
    /// A descriptor to give away.
    Result<sys::Fd> descriptor() const { return descriptor_of(fd_.get(), access_); }
    /// The same of an object before it is sealed, which is what makes it safe to give away.
    static Result<sys::Fd> descriptor_of(int fd, Access access);
    /// Nothing that was in it can be read any more, wherever it is mapped, kept, inherited or
    /// pinned: zeroes from now on. Its pages come back to the machine with the last mapping.
    Status wipe() { return wipe(0, size_); }
    /// The same for a part, whole pages.
    Status wipe(std::size_t offset, std::size_t bytes);

   private:
    sys::Fd fd_;
    Access access_ = Access::read;
    sys::Mapping writer_;  // shared for reading: the way around its seal
    std::size_t size_ = 0;
};

}  // namespace hyplink::mem
