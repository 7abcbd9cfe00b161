#include "hyplink/sys/memfd.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>
#include <system_error>

#include "hyplink/sys/call.hpp"

namespace hyplink::sys {
namespace {

/// Whether a setting of the machine lets memfds have pages of this size; `inherit` is the general
/// one's to say.
bool allows(const std::filesystem::path& setting) {
    std::ifstream file(setting);
    std::string words;
    std::getline(file, words);
    const auto chosen = words.find('[');
    if (chosen == std::string::npos) return false;  // a kernel without huge pages
    const std::string_view word = std::string_view(words).substr(chosen);
    return !word.starts_with("[never]") && !word.starts_with("[deny]") &&
           !word.starts_with("[inherit]");
}

}  // namespace

bool memfds_have_huge_pages() {
    const std::filesystem::path settings = "/sys/kernel/mm/transparent_hugepage";
    std::error_code none;
    if (allows(settings / "shmem_enabled")) return true;
    for (const auto& size : std::filesystem::directory_iterator(settings, none))
        if (allows(size.path() / "shmem_enabled")) return true;
    return false;
}

Result<Fd> make_open_memfd(const char* name, std::size_t bytes) {
    Fd fd(HYPLINK_TRY(call("memfd_create",
                           [&] { return ::memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING); })));
    HYPLINK_TRY(call(
        "ftruncate", [&] { return ::ftruncate(fd.get(), static_cast<off_t>(bytes)); },
        text(bytes, " bytes")));
    return fd;
}

Status seal(int fd, bool writes) {
    const int seals =
        F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL | (writes ? F_SEAL_FUTURE_WRITE : 0);
    HYPLINK_TRY(call("fcntl(F_ADD_SEALS)", [&] { return ::fcntl(fd, F_ADD_SEALS, seals); }));
    return {};
}

Result<Fd> make_memfd(const char* name, std::size_t bytes) {
    Fd fd = HYPLINK_TRY(make_open_memfd(name, bytes));
    HYPLINK_TRY(seal(fd.get(), false));
    return fd;
}

Status fill(int fd, const std::byte* from, std::size_t bytes) {
    for (std::size_t done = 0; done < bytes;)
        done += static_cast<std::size_t>(HYPLINK_TRY(call("pwrite", [&] {
            return ::pwrite(fd, from + done, bytes - done, static_cast<off_t>(done));
        })));
    return {};
}

Status read_at(int fd, std::span<std::byte> data, std::uint64_t offset) {
    for (std::size_t done = 0; done < data.size();) {
        const auto got = HYPLINK_TRY(call("pread", [&] {
            return ::pread(fd, data.data() + done, data.size() - done,
                           static_cast<off_t>(offset + done));
        }));
        if (got == 0) return Error::make(Errc::corrupt, "the object ends there");
        done += static_cast<std::size_t>(got);
    }
    return {};
}

Status write_at(int fd, std::span<const std::byte> data, std::uint64_t offset) {
    for (std::size_t done = 0; done < data.size();)
        done += static_cast<std::size_t>(HYPLINK_TRY(call("pwrite", [&] {
            return ::pwrite(fd, data.data() + done, data.size() - done,
                            static_cast<off_t>(offset + done));
        })));
    return {};
}

bool same_object(int fd, int other) {
    struct stat one{};
    struct stat two{};
    return ::fstat(fd, &one) == 0 && ::fstat(other, &two) == 0 && one.st_dev == two.st_dev &&
           one.st_ino == two.st_ino;
}

bool opened_for_writing(int fd) {
    const int flags = ::fcntl(fd, F_GETFL);
    return flags >= 0 && (flags & O_ACCMODE) == O_RDWR;
}

bool has_holes(int fd, std::size_t offset, std::size_t bytes) {
    const ::off_t hole = ::lseek(fd, static_cast<::off_t>(offset), SEEK_HOLE);
    return hole < 0 || static_cast<std::size_t>(hole) < offset + bytes;
}

void for_data(int fd, std::size_t offset, std::size_t bytes,
              const std::function<void(std::size_t, std::size_t)>& body) {
    const std::size_t end = offset + bytes;
    while (offset < end) {
        const ::off_t data = ::lseek(fd, static_cast<::off_t>(offset), SEEK_DATA);
        if (data < 0 && errno == ENXIO) return;
        if (data > static_cast<::off_t>(offset)) offset = static_cast<std::size_t>(data);
        const ::off_t hole = data < 0 ? -1 : ::lseek(fd, data, SEEK_HOLE);
        // A page at least: somebody else may make holes between the two looks, again and again.
        const std::size_t least = std::min(end, offset + page_size());
        const std::size_t stop =
            hole < 0 ? end : std::clamp(static_cast<std::size_t>(hole), least, end);
        if (offset < stop) body(offset, stop - offset);
        offset = stop;
    }
}

Status write_zeroes(int fd, std::size_t offset, std::size_t bytes) {
    static constexpr std::byte kZeroes[65536] = {};
    Status written;
    for_data(fd, offset, bytes, [&](std::size_t at, std::size_t some) {
        for (const std::size_t end = at + some; written && at < end;) {
            const auto put = call("pwrite", [&] {
                return ::pwrite(fd, kZeroes, std::min(sizeof kZeroes, end - at),
                                static_cast<off_t>(at));
            });
            if (put)
                at += static_cast<std::size_t>(*put);
            else
                written = Error::make(put.code(), put.error().text());
        }
    });
    return written;
}

Result<Fd> reopen_for_reading(int fd) {
    const std::string path = text("/proc/self/fd/", fd);
    return Fd(HYPLINK_TRY(
        call("open", [&] { return ::open(path.c_str(), O_RDONLY | O_CLOEXEC); }, path)));
}

Result<std::size_t> file_size(int fd) {
    struct stat info{};
    HYPLINK_TRY(call("fstat", [&] { return ::fstat(fd, &info); }));
    return static_cast<std::size_t>(info.st_size);
}

Status punch(int fd, std::size_t offset, std::size_t bytes) {
    HYPLINK_TRY(call("fallocate(PUNCH_HOLE)", [&] {
        return ::fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                           static_cast<off_t>(offset), static_cast<off_t>(bytes));
    }));
    return {};
}

bool keeps_its_size(int fd) {
    const int seals = ::fcntl(fd, F_GET_SEALS);
    return seals >= 0 && (seals & F_SEAL_SHRINK) != 0;
}

bool can_be_emptied(int fd) {
    const int seals = ::fcntl(fd, F_GET_SEALS);
    return seals >= 0 && (seals & (F_SEAL_WRITE | F_SEAL_FUTURE_WRITE)) == 0;
}

Result<Fd> duplicate(int fd) {
    return Fd(HYPLINK_TRY(
        call("fcntl(F_DUPFD_CLOEXEC)", [&] { return ::fcntl(fd, F_DUPFD_CLOEXEC, 3); })));
}

std::size_t page_size() { return static_cast<std::size_t>(::sysconf(_SC_PAGESIZE)); }

}  // namespace hyplink::sys
