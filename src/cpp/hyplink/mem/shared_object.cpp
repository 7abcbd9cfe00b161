#include "hyplink/mem/shared_object.hpp"

#include <cstring>

#include "hyplink/base/text.hpp"
#include "hyplink/sys/memfd.hpp"

namespace hyplink::mem {
namespace {
constexpr std::size_t kFew = 65536;
}

Result<SharedObject> SharedObject::seal(sys::Fd fd, std::size_t bytes, Access access) {
    const std::size_t size = HYPLINK_TRY(sys::file_size(fd.get()));
    if (size != bytes || bytes == 0 || bytes % sys::page_size() != 0)
        return Error::make(Errc::bad_argument, text("share an object: it has ", size,
                                                    " bytes, expected ", bytes, " in whole pages"));
    SharedObject object;
    if (access == Access::read) {
        object.writer_ = HYPLINK_TRY(sys::Mapping::shared(fd.get(), bytes, true));
        // Its page faults now: whoever takes memory back is in more of a hurry than who shares it.
        if (bytes > kFew && !sys::has_holes(fd.get(), 0, bytes))
            (void)sys::populate(object.writer_.data(), bytes, true);
    }
    HYPLINK_TRY(sys::seal(fd.get(), access == Access::read));
    // Looked at when nobody can add a seal any more.
    if (access == Access::read_write && !sys::can_be_emptied(fd.get()))
        return Error::make(Errc::not_permitted,
                           "share an object that is sealed against writing: it could never be "
                           "taken back");
    object.fd_ = std::move(fd);
    object.size_ = bytes;
    object.access_ = access;
    return object;
}

Result<sys::Fd> SharedObject::descriptor_of(int fd, Access access) {
    return access == Access::read ? sys::reopen_for_reading(fd) : sys::duplicate(fd);
}

Status SharedObject::wipe(std::size_t offset, std::size_t bytes) {
    if (access_ == Access::read_write) {
        // Writing is several times quicker than punching while somebody spins on the pages, and
        // quicker yet through a mapping of huge ones.
        static const bool huge = sys::memfds_have_huge_pages();
        const bool mapped = huge && bytes > kFew && !sys::has_holes(fd_.get(), offset, bytes);
        if (!mapped &&
            (sys::write_zeroes(fd_.get(), offset, bytes) || sys::punch(fd_.get(), offset, bytes)))
            return {};
        if (!writer_) writer_ = HYPLINK_TRY(sys::Mapping::shared(fd_.get(), size_, true));
    }
    sys::for_data(fd_.get(), offset, bytes, [&](std::size_t at, std::size_t some) {
        // All page faults at once; if that fails they come one by one.
        if (some > kFew) (void)sys::populate(writer_.data() + at, some, true);
        std::memset(writer_.data() + at, 0, some);
    });
    return {};
}

}  // namespace hyplink::mem
