#include "hyplink/sys/freeze.hpp"

#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>

#include <cstdint>

#include "hyplink/sys/call.hpp"

// In the kernel since 5.11 and 6.4, in the headers of the machine perhaps not yet.
#ifndef UFFD_USER_MODE_ONLY
#define UFFD_USER_MODE_ONLY 1
#endif
#ifndef UFFD_FEATURE_WP_UNPOPULATED
#define UFFD_FEATURE_WP_UNPOPULATED (1 << 13)
#endif

namespace hyplink::sys {
namespace {

std::uint64_t number(const void* place) { return reinterpret_cast<std::uintptr_t>(place); }

int open_userfaultfd(int flags) {
    return static_cast<int>(::syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK | flags));
}

}  // namespace

Result<std::shared_ptr<WriteFreezer>> WriteFreezer::make() {
    auto refuse = [](const Error& why) {
        return Error::make(Errc::unsupported,
                           text("writers of shared memory cannot be held back here: ", why.text()));
    };
    auto opened = call("userfaultfd", [] { return open_userfaultfd(0); });
    if (!opened && opened.code() == Errc::not_permitted)
        opened = call("userfaultfd", [] { return open_userfaultfd(UFFD_USER_MODE_ONLY); });
    if (!opened) return refuse(opened.error());
    Fd fd(*opened);
    struct uffdio_api api{};
    api.api = UFFD_API;
    // Pages that were never touched must hold a writer, too.
    api.features = UFFD_FEATURE_PAGEFAULT_FLAG_WP | UFFD_FEATURE_WP_HUGETLBFS_SHMEM |
                   UFFD_FEATURE_WP_UNPOPULATED;
    if (auto agreed =
            call("ioctl(UFFDIO_API)", [&] { return ::ioctl(fd.get(), UFFDIO_API, &api); });
        !agreed)
        return refuse(agreed.error());
    return std::shared_ptr<WriteFreezer>(new WriteFreezer(std::move(fd)));
}

Result<WriteFreezer::Frozen> WriteFreezer::freeze(void* place, std::size_t bytes) {
    struct uffdio_register watch{};
    watch.range = {number(place), bytes};
    watch.mode = UFFDIO_REGISTER_MODE_WP;
    HYPLINK_TRY(call(
        "ioctl(UFFDIO_REGISTER)", [&] { return ::ioctl(fd_.get(), UFFDIO_REGISTER, &watch); },
        text(bytes, " bytes at ", place)));
    Frozen frozen;  // from here on its end undoes all
    frozen.freezer_ = this;
    frozen.place_ = place;
    frozen.bytes_ = bytes;
    struct uffdio_writeprotect protect{};
    protect.range = {number(place), bytes};
    protect.mode = UFFDIO_WRITEPROTECT_MODE_WP;
    HYPLINK_TRY(call("ioctl(UFFDIO_WRITEPROTECT)",
                     [&] { return ::ioctl(fd_.get(), UFFDIO_WRITEPROTECT, &protect); }));
    return frozen;
}

WriteFreezer::Frozen::Frozen(Frozen&& other) noexcept { *this = std::move(other); }

WriteFreezer::Frozen& WriteFreezer::Frozen::operator=(Frozen&& other) noexcept {
    std::swap(freezer_, other.freezer_);  // what this held before thaws with the other
    std::swap(place_, other.place_);
    std::swap(bytes_, other.bytes_);
    std::swap(replaced_, other.replaced_);
    return *this;
}

WriteFreezer::Frozen::~Frozen() {
    if (freezer_ == nullptr) return;
    // Not through `call`: undoing must not fail on purpose, and cannot otherwise. What was replaced
    // is not watched any more; its writers wait all the same.
    struct uffdio_range range{number(place_), bytes_};
    if (!replaced_) {
        struct uffdio_writeprotect protect{};
        protect.range = range;
        (void)::ioctl(freezer_->fd_.get(), UFFDIO_WRITEPROTECT, &protect);
        (void)::ioctl(freezer_->fd_.get(), UFFDIO_UNREGISTER, &range);
    }
    (void)::ioctl(freezer_->fd_.get(), UFFDIO_WAKE, &range);
}

}  // namespace hyplink::sys
