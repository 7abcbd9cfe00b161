#include "hyplink/sys/mapping.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cinttypes>
#include <cstdio>
#include <string>

#include "hyplink/sys/call.hpp"
#include "hyplink/sys/fd.hpp"
#include "hyplink/sys/memfd.hpp"

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_READ 22
#define MADV_POPULATE_WRITE 23
#endif

namespace hyplink::sys {
namespace {

/// mmap and mremap have a pointer for a result; `call` wants a number below zero for a failure.
template <class Body>
Result<void*> map_call(const char* what, std::size_t bytes, Body&& body) {
    void* at = MAP_FAILED;
    HYPLINK_TRY(call(
        what,
        [&] {
            at = body();
            return at == MAP_FAILED ? -1 : 0;
        },
        text(bytes, " bytes")));
    return at;
}

Result<std::string> own_map() {
    Fd fd(HYPLINK_TRY(call("open /proc/self/maps",
                           [] { return ::open("/proc/self/maps", O_RDONLY | O_CLOEXEC); })));
    std::string all;
    for (;;) {
        char piece[16384];
        const ssize_t got = HYPLINK_TRY(
            call("read /proc/self/maps", [&] { return ::read(fd.get(), piece, sizeof piece); }));
        if (got == 0) return all;
        all.append(piece, static_cast<std::size_t>(got));
    }
}

}  // namespace

Result<Mapping> Mapping::shared(int fd, std::size_t bytes, bool writable) {
    void* at = HYPLINK_TRY(map_call("mmap", bytes, [&] {
        return ::mmap(nullptr, bytes, writable ? PROT_READ | PROT_WRITE : PROT_READ, MAP_SHARED, fd,
                      0);
    }));
    return Mapping(at, bytes);
}

Result<Mapping> Mapping::second(const void* place, std::size_t bytes) {
    void* at = HYPLINK_TRY(map_call("mremap(second mapping)", bytes, [&] {
        // No old size: the shared pages are mapped a second time.
        return ::mremap(const_cast<void*>(place), 0, bytes, MREMAP_MAYMOVE);
    }));
    return Mapping(at, bytes);
}

Result<Mapping> Mapping::anonymous(std::size_t bytes) {
    void* at = HYPLINK_TRY(map_call("mmap", bytes, [&] {
        return ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    }));
    return Mapping(at, bytes);
}

void Mapping::reset() {
    if (data_ != nullptr) ::munmap(std::exchange(data_, nullptr), std::exchange(size_, 0));
}

Status Mapping::move_over(void* place) {
    HYPLINK_TRY(map_call("mremap", size_, [&] {
        return ::mremap(data_, size_, size_, MREMAP_MAYMOVE | MREMAP_FIXED, place);
    }));
    data_ = nullptr;
    size_ = 0;
    return {};
}

Status map_over(void* place, std::size_t bytes, int fd, std::size_t offset, bool writable) {
    HYPLINK_TRY(map_call("mmap(MAP_FIXED)", bytes, [&] {
        return ::mmap(place, bytes, writable ? PROT_READ | PROT_WRITE : PROT_READ,
                      (writable ? MAP_SHARED : MAP_PRIVATE) | MAP_FIXED, fd,
                      static_cast<off_t>(offset));
    }));
    return {};
}

Status map_zeroes_over(void* place, std::size_t bytes, bool writable) {
    HYPLINK_TRY(map_call("mmap(MAP_FIXED)", bytes, [&] {
        return ::mmap(place, bytes, writable ? PROT_READ | PROT_WRITE : PROT_READ,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
    }));
    return {};
}

Status mirror_over(void* place, std::size_t bytes, const void* from) {
    HYPLINK_TRY(map_call("mremap(second mapping)", bytes, [&] {
        // No old size: the shared pages are mapped a second time.
        return ::mremap(const_cast<void*>(from), 0, bytes, MREMAP_MAYMOVE | MREMAP_FIXED, place);
    }));
    return {};
}

Status map_nothing_over(void* place, std::size_t bytes, bool writable) {
    const Fd empty = HYPLINK_TRY(make_open_memfd("hyplink-nothing", 0));
    return map_over(place, bytes, empty.get(), 0, writable);
}

Status populate(void* place, std::size_t bytes, bool writable) {
    HYPLINK_TRY(call("madvise(POPULATE)", [&] {
        return ::madvise(place, bytes, writable ? MADV_POPULATE_WRITE : MADV_POPULATE_READ);
    }));
    return {};
}

Result<PrivateRange> private_range(const void* place, std::size_t bytes) {
    const auto begin = reinterpret_cast<std::uintptr_t>(place);
    auto refuse = [&](Errc code, const char* why) {
        return Error::make(code, text(bytes, " bytes at ", place, ": ", why));
    };
    if (begin == 0 || bytes == 0 || begin % page_size() != 0 || bytes % page_size() != 0)
        return refuse(Errc::bad_argument, "expected whole pages");
    if (begin + bytes < begin) return refuse(Errc::bad_argument, "it wraps around");
    const std::string all = HYPLINK_TRY(own_map());
    PrivateRange range;
    std::uintptr_t next = begin;  // all below it is good
    for (std::size_t line = 0; line < all.size() && next < begin + bytes;) {
        std::uintptr_t low = 0;
        std::uintptr_t high = 0;
        char rights[5] = "";
        unsigned long inode = 0;
        const char* at = all.c_str() + line;
        const bool read = std::sscanf(at, "%" SCNxPTR "-%" SCNxPTR " %4s %*x %*x:%*x %lu", &low,
                                      &high, rights, &inode) == 4;
        const std::size_t end = all.find('\n', line);
        line = end == std::string::npos ? all.size() : end + 1;
        if (!read || high <= next) continue;
        if (low > next) break;
        if (rights[3] != 'p')
            return refuse(Errc::bad_argument, "a shared mapping, share its object");
        if (rights[0] != 'r' || rights[1] != 'w')
            return refuse(Errc::bad_argument, "not both readable and writable");
        range.file_backed = range.file_backed || inode != 0;
        next = high;
    }
    if (next < begin + bytes) return refuse(Errc::bad_address, "not all of it is mapped");
    return range;
}

}  // namespace hyplink::sys
