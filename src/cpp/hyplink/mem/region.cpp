#include "hyplink/mem/region.hpp"

#include <boost/interprocess/exceptions.hpp>
#include <boost/interprocess/mapped_region.hpp>

#include "hyplink/base/text.hpp"
#include "hyplink/mem/address.hpp"
#include "hyplink/sys/call.hpp"
#include "hyplink/sys/mapping.hpp"
#include "hyplink/sys/memfd.hpp"

namespace hyplink::mem {
namespace {
namespace bip = boost::interprocess;

/// What Boost needs to map a descriptor that is not one of its own kinds.
struct FdMapping {
    int fd;
    bip::mapping_handle_t get_mapping_handle() const { return {fd, false}; }
};

}  // namespace

struct Region::Mapping {
    bip::mapped_region region;
    sys::Mapping joined;  ///< instead
};

Region::Region(sys::Fd fd, std::unique_ptr<Mapping> mapping)
    : fd_(std::move(fd)), mapping_(std::move(mapping)) {
    const bool joined = mapping_->joined.data() != nullptr;
    data_ =
        joined ? mapping_->joined.data() : static_cast<std::byte*>(mapping_->region.get_address());
    size_ = joined ? mapping_->joined.size() : mapping_->region.get_size();
}

Region::~Region() = default;

Result<std::shared_ptr<Region>> Region::make(const char* name, std::uint64_t bytes) {
    const std::uint64_t pages = round_up(bytes == 0 ? 1 : bytes, sys::page_size());
    const auto size = static_cast<std::size_t>(pages);
    if (size != pages || pages < bytes)
        return Error::make(Errc::no_memory,
                           text("a region of ", bytes, " bytes: more than can be mapped"));
    return map(HYPLINK_TRY(sys::make_memfd(name, size)), size);
}

Result<std::shared_ptr<Region>> Region::map(sys::Fd fd, std::size_t bytes, bool writable) {
    const std::size_t size = HYPLINK_TRY(sys::file_size(fd.get()));
    if (bytes == 0) bytes = size;
    if (bytes == 0 || bytes > size)
        return Error::make(Errc::bad_argument,
                           text("map a region: the object has ", size, " bytes, expected ", bytes));
    if (const int fault = sys::detail::injected_fault(); fault != 0)
        return sys::system_error("mmap", fault, "(injected)");
    try {
        auto mapping = std::make_unique<Mapping>();
        mapping->region = bip::mapped_region(FdMapping{fd.get()},
                                             writable ? bip::read_write : bip::read_only, 0, bytes);
        return std::shared_ptr<Region>(new Region(std::move(fd), std::move(mapping)));
    } catch (const bip::interprocess_exception& failure) {
        return sys::system_error("mmap", failure.get_native_error(), text(bytes, " bytes"));
    }
}

Result<std::shared_ptr<Region>> Region::join(std::span<const std::shared_ptr<Region>> parts) {
    std::size_t bytes = 0;
    for (const auto& part : parts) bytes += part->size();
    if (bytes == 0) return Error::make(Errc::bad_argument, "join: no memory is given");
    auto mapping = std::make_unique<Mapping>();
    mapping->joined = HYPLINK_TRY(sys::Mapping::anonymous(bytes));
    std::size_t at = 0;
    for (const auto& part : parts) {
        HYPLINK_TRY(sys::map_over(mapping->joined.data() + at, part->size(), part->fd()));
        at += part->size();
    }
    return std::shared_ptr<Region>(new Region(sys::Fd(), std::move(mapping)));
}

Result<sys::Fd> Region::duplicate_fd() const { return sys::duplicate(fd_.get()); }

}  // namespace hyplink::mem
