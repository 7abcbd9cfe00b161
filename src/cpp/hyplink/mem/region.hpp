/// A piece of shared memory: a sealed memfd, mapped through Boost.Interprocess.
///
/// A `Region` is held by `shared_ptr`: whoever still has a view keeps the mapping. The descriptor
/// can be given away or dropped while the mapping stays. Thread rule: any thread reads the
/// accessors; `drop_fd` by the owner.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "hyplink/base/result.hpp"
#include "hyplink/sys/fd.hpp"

namespace hyplink::mem {

class Region {
   public:
    /// A new zeroed region; `bytes` is rounded up to pages. Errors: no_memory, system.
    static Result<std::shared_ptr<Region>> make(const char* name, std::uint64_t bytes);
    /// Map what another process handed over. `bytes` 0: the whole object. Errors: bad_argument when
    /// the object is smaller than asked, system.
    static Result<std::shared_ptr<Region>> map(sys::Fd fd, std::size_t bytes = 0,
                                               bool writable = true);
    /// One mapping of several regions, one behind the other in memory; it has no descriptor.
    /// Errors: bad_argument without any, no_memory, system.
    static Result<std::shared_ptr<Region>> join(std::span<const std::shared_ptr<Region>> parts);

    ~Region();
    Region(const Region&) = delete;
    Region& operator=(const Region&) = delete;

    std::byte* data() const { return data_; }
    std::size_t size() const { return size_; }
    std::span<std::byte> bytes() const { return {data_, size_}; }
    int fd() const { return fd_.get(); }
    Result<sys::Fd> duplicate_fd() const;
    void drop_fd() { fd_.reset(); }

   private:
    struct Mapping;
    Region(sys::Fd fd, std::unique_ptr<Mapping> mapping);

    sys::Fd fd_;
    std::unique_ptr<Mapping> mapping_;
    std::byte* data_ = nullptr;
    std::size_t size_ = 0;
};

}  // namespace hyplink::mem
