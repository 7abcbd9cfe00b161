/// Mappings whose place matters: memory of this process that changes what stands behind it while
/// its address stays. (What is merely shared goes through `mem::Region`.)
#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>

#include "hyplink/base/result.hpp"

namespace hyplink::sys {

/// A mapping with an owner, at an address of the kernel's choice. Values move, never copy.
class Mapping {
   public:
    Mapping() = default;
    Mapping(Mapping&& other) noexcept
        : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}
    Mapping& operator=(Mapping&& other) noexcept {
        if (this != &other) {
            reset();
            data_ = std::exchange(other.data_, nullptr);
            size_ = std::exchange(other.size_, 0);
        }
        return *this;
    }
    ~Mapping() { reset(); }

    /// `bytes` of an object, shared. Errors: the kernel's (EPERM: its seals forbid writing).
    static Result<Mapping> shared(int fd, std::size_t bytes, bool writable);
    /// The same pages of one object that are mapped, shared, at `place`. Errors: the kernel's
    /// (EINVAL: private memory).
    static Result<Mapping> second(const void* place, std::size_t bytes);
    /// Zeroed memory of this process alone.
    static Result<Mapping> anonymous(std::size_t bytes);

    std::byte* data() const { return data_; }
    std::size_t size() const { return size_; }
    explicit operator bool() const { return data_ != nullptr; }
    void reset();
    /// Move it, pages and all, over what is mapped at `place` (same size). Nobody sees a gap. On an
    /// error it stays where it was, and so does the other.
    Status move_over(void* place);

   private:
    Mapping(void* data, std::size_t size) : data_(static_cast<std::byte*>(data)), size_(size) {}
    std::byte* data_ = nullptr;
    std::size_t size_ = 0;
};

/// Map `bytes` of an object over what is mapped at `place`. Nobody sees a gap. Only for reading it
/// is a private mapping: it shows the object like a shared one, and unlike that one it can be held
/// (`AccessHolder`) although the object is sealed against writing.
Status map_over(void* place, std::size_t bytes, int fd, std::size_t offset = 0,
                bool writable = true);
/// The same with zeroed memory of this process alone.
Status map_zeroes_over(void* place, std::size_t bytes, bool writable);

/// Show there what is mapped, shared, at `from`: the same pages at a second address. The mapping at
/// `place` stays when the other one goes.
Status mirror_over(void* place, std::size_t bytes, const void* from);

/// The same with nothing: whoever touches it gets SIGBUS, with the address.
Status map_nothing_over(void* place, std::size_t bytes, bool writable);

/// Have all pages there, before they are read or written. Errors: the kernel's (before 5.14:
/// EINVAL).
Status populate(void* place, std::size_t bytes, bool writable);

/// Check that [place, place + bytes) is whole pages of private memory that can be read and written.
/// `file_backed`: part of it comes from a file (initialised static data). Errors: bad_argument says
/// what is there instead; bad_address: nothing is.
struct PrivateRange {
    bool file_backed = false;
};
Result<PrivateRange> private_range(const void* place, std::size_t bytes);

}  // namespace hyplink::sys
