/// A place in this process where pieces of objects stand one behind the other, and what can be put
/// there instead without the address ever being free.
///
///     auto place = HYPLINK_TRY(Place::map(pieces));
///     place.blank();       // zeroed private pages instead; whoever reads there goes on
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <utility>

#include "hyplink/base/result.hpp"
#include "hyplink/sys/fd.hpp"

namespace hyplink::sys {

struct ObjectPiece {
    int fd = -1;
    std::uint64_t offset = 0;
    std::size_t bytes = 0;
};

/// Values move, never copy. Thread rule: `blank` while others read and write there; the rest by the
/// owner.
class Place {
   public:
    Place() = default;
    Place(Place&& other) noexcept
        : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}
    Place& operator=(Place&& other) noexcept {
        if (this != &other) {
            reset();
            data_ = std::exchange(other.data_, nullptr);
            size_ = std::exchange(other.size_, 0);
        }
        return *this;
    }
    ~Place() { reset(); }

    /// Map whole pages of objects, readable and writable, shared. Errors: the kernel's.
    static Result<Place> map(std::span<const ObjectPiece> pieces);
    /// Put zeroed pages of this process alone there.
    Status blank();

    std::byte* data() const { return data_; }
    std::size_t size() const { return size_; }
    explicit operator bool() const { return data_ != nullptr; }
    void reset();

   private:
    Place(std::byte* data, std::size_t size) : data_(data), size_(size) {}
    std::byte* data_ = nullptr;
    std::size_t size_ = 0;
};

/// What file or memory object is mapped, shared, at an address of this process.
struct SharedRange {
    bool shared = false;       ///< false: private memory, the rest means nothing
    std::uint64_t offset = 0;  ///< of that address in the object
    std::uint64_t device = 0;
    std::uint64_t inode = 0;
    std::string path;
};

/// What is at [place, place + bytes), whole pages, by the mapping that it begins in. Errors:
/// bad_argument (not whole pages, beyond a shared mapping, not both readable and writable).
Result<SharedRange> mapped_at(const void* place, std::size_t bytes);

/// A descriptor of that object: one that this process has open, or the file opened by its name.
/// Errors: bad_argument (neither leads to it any more).
Result<Fd> descriptor_of(const SharedRange& range);

}  // namespace hyplink::sys
