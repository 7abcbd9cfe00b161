#include "hyplink/sys/freeze.hpp"

#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

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

Result<Fd> open_userfaultfd(std::uint64_t features) {
    auto refuse = [](const Error& why) {
        return Error::make(Errc::unsupported,
                           text("users of shared memory cannot be held back here: ", why.text()));
    };
    auto attempt = [](int flags) {
        return call("userfaultfd", [flags] {
            return static_cast<int>(::syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK | flags));
        });
    };
    auto opened = attempt(0);
    if (!opened && opened.code() == Errc::not_permitted) opened = attempt(UFFD_USER_MODE_ONLY);
    if (!opened) return refuse(opened.error());
    Fd fd(*opened);
    struct uffdio_api api{};
    api.api = UFFD_API;
    api.features = features;
    if (auto agreed =
            call("ioctl(UFFDIO_API)", [&] { return ::ioctl(fd.get(), UFFDIO_API, &api); });
        !agreed)
        return refuse(agreed.error());
    return fd;
}

}  // namespace

Result<std::shared_ptr<WriteFreezer>> WriteFreezer::make() {
    // Pages that were never touched must hold a writer, too.
    Fd fd = HYPLINK_TRY(open_userfaultfd(UFFD_FEATURE_PAGEFAULT_FLAG_WP |
                                         UFFD_FEATURE_WP_HUGETLBFS_SHMEM |
                                         UFFD_FEATURE_WP_UNPOPULATED));
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

Result<std::unique_ptr<AccessHolder>> AccessHolder::make() {
    Fd fd = HYPLINK_TRY(open_userfaultfd(UFFD_FEATURE_MISSING_SHMEM | UFFD_FEATURE_MINOR_SHMEM));
    return std::unique_ptr<AccessHolder>(new AccessHolder(std::move(fd)));
}

Status AccessHolder::watch(void* place, std::size_t bytes) {
    struct uffdio_register watch{};
    watch.range = {number(place), bytes};
    watch.mode = UFFDIO_REGISTER_MODE_MISSING | UFFDIO_REGISTER_MODE_MINOR;
    HYPLINK_TRY(call(
        "ioctl(UFFDIO_REGISTER)", [&] { return ::ioctl(fd_.get(), UFFDIO_REGISTER, &watch); },
        text(bytes, " bytes at ", place)));
    return {};
}

std::vector<const std::byte*> AccessHolder::faults() {
    std::vector<const std::byte*> met;
    struct uffd_msg message{};
    while (::read(fd_.get(), &message, sizeof message) == sizeof message)
        if (message.event == UFFD_EVENT_PAGEFAULT)
            met.push_back(reinterpret_cast<const std::byte*>(message.arg.pagefault.address));
    return met;
}

Status AccessHolder::hold(void* place, std::size_t bytes) {
    HYPLINK_TRY(watch(place, bytes));
    // The object keeps its pages; only the way to them is gone, and the next access a fault.
    auto gone = call("madvise(DONTNEED)", [&] { return ::madvise(place, bytes, MADV_DONTNEED); });
    if (gone) return {};
    release(place, bytes);
    return std::move(gone).error();
}

void AccessHolder::release(void* place, std::size_t bytes) {
    struct uffdio_range range{number(place), bytes};
    (void)::ioctl(fd_.get(), UFFDIO_UNREGISTER, &range);
    (void)::ioctl(fd_.get(), UFFDIO_WAKE, &range);
}

void AccessHolder::replaced(void* place, std::size_t bytes) {
    struct uffdio_range range{number(place), bytes};
    (void)::ioctl(fd_.get(), UFFDIO_WAKE, &range);
}

}  // namespace hyplink::sys
