#include "hyplink/sys/place.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <cinttypes>
#include <cstdio>
#include <cstdlib>

#include "hyplink/sys/call.hpp"
#include "hyplink/sys/memfd.hpp"

namespace hyplink::sys {
namespace {

Status mapped(const char* what, void* at, std::size_t bytes) {
    if (at == MAP_FAILED) return system_error(what, errno, text(bytes, " bytes"));
    return {};
}

bool is(int fd, const SharedRange& range) {
    struct stat info{};
    return ::fstat(fd, &info) == 0 && info.st_dev == range.device && info.st_ino == range.inode &&
           (::fcntl(fd, F_GETFL) & O_ACCMODE) == O_RDWR;
}

}  // namespace

Result<Place> Place::map(std::span<const ObjectPiece> pieces) {
    std::size_t size = 0;
    for (const ObjectPiece& piece : pieces) size += piece.bytes;
    if (const int fault = detail::injected_fault(); fault != 0)
        return system_error("mmap", fault, "(injected)");
    if (pieces.size() == 1) {
        const ObjectPiece& piece = pieces.front();
        void* only = ::mmap(nullptr, piece.bytes, PROT_READ | PROT_WRITE, MAP_SHARED, piece.fd,
                            static_cast<off_t>(piece.offset));
        HYPLINK_TRY(mapped("mmap", only, piece.bytes));
        return Place(static_cast<std::byte*>(only), piece.bytes);
    }
    void* at = ::mmap(nullptr, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    HYPLINK_TRY(mapped("mmap", at, size));
    Place place(static_cast<std::byte*>(at), size);
    std::byte* next = place.data_;
    for (const ObjectPiece& piece : pieces) {
        HYPLINK_TRY(mapped("mmap(MAP_FIXED)",
                           ::mmap(next, piece.bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED,
                                  piece.fd, static_cast<off_t>(piece.offset)),
                           piece.bytes));
        next += piece.bytes;
    }
    return place;
}

Status Place::blank() {
    if (data_ == nullptr) return {};
    return mapped("mmap(MAP_FIXED)",
                  ::mmap(data_, size_, PROT_READ | PROT_WRITE,
                         MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE, -1, 0),
                  size_);
}

void Place::reset() {
    if (data_ != nullptr) ::munmap(std::exchange(data_, nullptr), std::exchange(size_, 0));
}

Result<SharedRange> mapped_at(const void* place, std::size_t bytes) {
    const auto begin = reinterpret_cast<std::uintptr_t>(place);
    auto refuse = [&](const char* why) {
        return Error::make(Errc::bad_argument, text(bytes, " bytes at ", place, ": ", why));
    };
    if (begin == 0 || bytes == 0 || begin % page_size() != 0 || bytes % page_size() != 0 ||
        begin + bytes < begin)
        return refuse("expected whole pages");
    const std::unique_ptr<FILE, int (*)(FILE*)> maps(std::fopen("/proc/self/maps", "re"),
                                                     &std::fclose);
    if (!maps) return system_error("open", errno, "/proc/self/maps");
    char line[4352];
    while (std::fgets(line, sizeof line, maps.get()) != nullptr) {
        std::uintptr_t low = 0;
        std::uintptr_t high = 0;
        char rights[5] = "";
        std::uint64_t offset = 0;
        unsigned major = 0;
        unsigned minor = 0;
        std::uint64_t inode = 0;
        int path = 0;
        if (std::sscanf(line, "%" SCNxPTR "-%" SCNxPTR " %4s %" SCNx64 " %x:%x %" SCNu64 " %n",
                        &low, &high, rights, &offset, &major, &minor, &inode, &path) < 7)
            continue;
        if (begin < low || begin >= high) continue;
        if (rights[3] == 's' && begin + bytes > high) return refuse("not all of it in one mapping");
        if (rights[0] != 'r' || rights[1] != 'w') return refuse("not both readable and writable");
        SharedRange range;
        range.shared = rights[3] == 's';
        range.offset = offset + (begin - low);
        range.device = makedev(major, minor);
        range.inode = inode;
        range.path = line + path;
        while (!range.path.empty() && range.path.back() == '\n') range.path.pop_back();
        return range;
    }
    return refuse("nothing is mapped there");
}

Result<Fd> descriptor_of(const SharedRange& range) {
    const std::unique_ptr<DIR, int (*)(DIR*)> open(::opendir("/proc/self/fd"), &::closedir);
    if (open)
        while (const dirent* entry = ::readdir(open.get())) {
            const int fd = std::atoi(entry->d_name);
            if (entry->d_name[0] != '.' && is(fd, range)) return duplicate(fd);
        }
    if (!range.path.empty() && range.path.front() == '/') {
        Fd file(::open(range.path.c_str(), O_RDWR | O_CLOEXEC));
        if (file && is(file.get(), range)) return file;
    }
    return Error::make(Errc::bad_argument,
                       text("memory of ", range.path,
                            ": this process has no descriptor of it and it has no such name"));
}

}  // namespace hyplink::sys
