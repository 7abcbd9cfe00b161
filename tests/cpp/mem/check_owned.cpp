#include "hyplink/mem/owned.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <string>
#include <thread>
#include <vector>

#include "check.hpp"
#include "hyplink/sys/call.hpp"
#include "hyplink/sys/memfd.hpp"

using namespace hyplink;
using mem::Access;
using mem::OwnedMemory;
using mem::Writers;

namespace {

constexpr std::size_t kPage = 4096;
alignas(kPage) std::byte static_array[4 * kPage];
alignas(kPage) char initialised[kPage] = "hello";

std::shared_ptr<sys::WriteFreezer> freezer() {
    auto made = sys::WriteFreezer::make();
    if (!made) SKIP(made.error().text());
    return *made;
}

std::size_t open_descriptors() {
    std::size_t count = 0;
    for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator("/proc/self/fd"))
        ++count;
    return count;
}

std::size_t memfd_mappings() {
    std::ifstream maps("/proc/self/maps");
    std::size_t count = 0;
    for (std::string line; std::getline(maps, line);)
        if (line.find("/memfd:") != std::string::npos) ++count;
    return count;
}

bool all_are(const std::byte* from, std::size_t bytes, int value) {
    for (std::size_t i = 0; i < bytes; ++i)
        if (std::to_integer<int>(from[i]) != value) return false;
    return true;
}

const std::byte* map_reading(int fd, std::size_t bytes) {
    void* at = ::mmap(nullptr, bytes, PROT_READ, MAP_SHARED, fd, 0);
    return at == MAP_FAILED ? nullptr : static_cast<const std::byte*>(at);
}

}  // namespace

CHECK_CASE("a static array is adopted where it is, with its contents, and is private again after") {
    auto hold = freezer();
    std::memset(static_array, 7, sizeof static_array);
    {
        auto memory = OwnedMemory::adopt(hold, static_array, sizeof static_array);
        REQUIRE(memory);
        EXPECT_EQ((*memory)->data(), static_array);
        EXPECT(all_are(static_array, sizeof static_array, 7));
        auto fd = (*memory)->share(Access::read);
        REQUIRE(fd);
        const std::byte* seen = map_reading(fd->get(), sizeof static_array);
        REQUIRE(seen != nullptr);
        static_array[kPage] = std::byte{9};
        EXPECT_EQ(std::to_integer<int>(seen[kPage]), 9);
        ::munmap(const_cast<std::byte*>(seen), sizeof static_array);
    }
    EXPECT_EQ(std::to_integer<int>(static_array[kPage]), 9);
    EXPECT_EQ(memfd_mappings(), 0U);
    auto again = OwnedMemory::adopt(hold, static_array, kPage);
    EXPECT(again);
}

CHECK_CASE("an allocator's block is adopted, and can be freed after") {
    auto hold = freezer();
    void* block = std::aligned_alloc(kPage, 64 * kPage);
    std::memset(block, 3, 64 * kPage);
    {
        auto memory = OwnedMemory::adopt(hold, static_cast<std::byte*>(block) + kPage, 2 * kPage);
        REQUIRE(memory);
        REQUIRE((*memory)->share(Access::read_write));
    }
    EXPECT(all_are(static_cast<std::byte*>(block), 64 * kPage, 3));
    std::free(block);
    EXPECT_EQ(memfd_mappings(), 0U);
}

CHECK_CASE("initialised static data is refused unless writers are quiet, then adopted") {
    auto hold = freezer();
    EXPECT_EQ(OwnedMemory::adopt(hold, initialised, kPage).code(), Errc::unsupported);
    auto memory = OwnedMemory::adopt(hold, initialised, kPage, Writers::quiet);
    REQUIRE(memory);
    EXPECT_EQ(std::string(initialised), "hello");
}

CHECK_CASE("half pages, nothing, what wraps, holes, read-only and shared mappings are refused") {
    auto hold = freezer();
    auto code = [&](void* at, std::size_t bytes) {
        return OwnedMemory::adopt(hold, at, bytes).code();
    };
    EXPECT_EQ(code(static_array + 1, kPage), Errc::bad_argument);
    EXPECT_EQ(code(static_array, kPage + 1), Errc::bad_argument);
    EXPECT_EQ(code(static_array, 0), Errc::bad_argument);
    EXPECT_EQ(code(nullptr, kPage), Errc::bad_argument);
    EXPECT_EQ(code(static_array, ~std::size_t{0} / kPage * kPage), Errc::bad_argument);
    auto* range = static_cast<std::byte*>(
        ::mmap(nullptr, 3 * kPage, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    ::munmap(range + kPage, kPage);
    EXPECT_EQ(code(range, 3 * kPage), Errc::bad_address);
    ::mprotect(range, kPage, PROT_READ);
    EXPECT_EQ(code(range, kPage), Errc::bad_argument);
    void* shared =
        ::mmap(nullptr, kPage, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    EXPECT_EQ(code(shared, kPage), Errc::bad_argument);
    ::munmap(shared, kPage);
    ::munmap(range, kPage);
    ::munmap(range + 2 * kPage, kPage);
}

CHECK_CASE("after a revoke the owner's data are intact and every mapping reads zeroes") {
    auto hold = freezer();
    for (Access access : {Access::read, Access::read_write}) {
        auto memory = OwnedMemory::make(hold, 8 * kPage);
        REQUIRE(memory);
        std::memset((*memory)->data(), 5, 8 * kPage);
        auto fd = (*memory)->share(access);
        REQUIRE(fd);
        const std::byte* once = map_reading(fd->get(), 8 * kPage);
        const std::byte* twice = map_reading(fd->get(), 8 * kPage);
        EXPECT(all_are(once, 8 * kPage, 5));
        EXPECT((*memory)->revoke());
        EXPECT(!(*memory)->shared());
        EXPECT(all_are((*memory)->data(), 8 * kPage, 5));
        std::memset((*memory)->data(), 6, 8 * kPage);
        EXPECT(all_are(once, 8 * kPage, 0));
        EXPECT(all_are(twice, 8 * kPage, 0));
        const std::byte* late = map_reading(fd->get(), 8 * kPage);  // a kept descriptor
        EXPECT(all_are(late, 8 * kPage, 0));
        char read[16] = "x";
        EXPECT_EQ(::pread(fd->get(), read, 1, 0), 1);
        EXPECT_EQ(read[0], '\0');
        for (const std::byte* at : {once, twice, late})
            ::munmap(const_cast<std::byte*>(at), 8 * kPage);
        auto again = (*memory)->share(access);
        REQUIRE(again);
        const std::byte* renewed = map_reading(again->get(), 8 * kPage);
        EXPECT(all_are(renewed, 8 * kPage, 6));
        ::munmap(const_cast<std::byte*>(renewed), 8 * kPage);
    }
}

CHECK_CASE(
    "a child of the holder reads zeroes after a revoke, mapped or by an inherited descriptor") {
    auto hold = freezer();
    auto memory = OwnedMemory::make(hold, kPage);
    REQUIRE(memory);
    std::memset((*memory)->data(), 5, kPage);
    auto fd = (*memory)->share(Access::read);
    REQUIRE(fd);
    const std::byte* mapped = map_reading(fd->get(), kPage);
    int ask[2];
    REQUIRE(::socketpair(AF_UNIX, SOCK_SEQPACKET, 0, ask) == 0);
    const pid_t child = ::fork();
    if (child == 0) {
        char go = 0;
        if (!all_are(mapped, kPage, 5) || ::write(ask[1], "r", 1) != 1 ||
            ::read(ask[1], &go, 1) != 1)
            ::_exit(1);
        if (!all_are(mapped, kPage, 0)) ::_exit(2);
        const std::byte* late = map_reading(fd->get(), kPage);
        ::_exit(late != nullptr && all_are(late, kPage, 0) ? 0 : 3);
    }
    char ready = 0;
    REQUIRE(::read(ask[0], &ready, 1) == 1);
    EXPECT((*memory)->revoke());
    std::memset((*memory)->data(), 6, kPage);
    EXPECT_EQ(::write(ask[0], "g", 1), 1);
    int status = 0;
    ::waitpid(child, &status, 0);
    EXPECT_EQ(status, 0);
    ::munmap(const_cast<std::byte*>(mapped), kPage);
    ::close(ask[0]);
    ::close(ask[1]);
}

CHECK_CASE("what is shared for reading cannot be written, cut or punched, however it is opened") {
    auto hold = freezer();
    auto memory = OwnedMemory::make(hold, kPage);
    REQUIRE(memory);
    std::memset((*memory)->data(), 5, kPage);
    auto fd = (*memory)->share(Access::read);
    REQUIRE(fd);
    EXPECT(::mmap(nullptr, kPage, PROT_READ | PROT_WRITE, MAP_SHARED, fd->get(), 0) == MAP_FAILED);
    void* mapped = ::mmap(nullptr, kPage, PROT_READ, MAP_SHARED, fd->get(), 0);
    EXPECT(::mprotect(mapped, kPage, PROT_READ | PROT_WRITE) != 0);
    ::munmap(mapped, kPage);
    const std::string path = "/proc/self/fd/" + std::to_string(fd->get());
    const sys::Fd reopened(::open(path.c_str(), O_RDWR | O_CLOEXEC));
    if (reopened) {  // the owner's user may: it must not help
        EXPECT(::mmap(nullptr, kPage, PROT_READ | PROT_WRITE, MAP_SHARED, reopened.get(), 0) ==
               MAP_FAILED);
        void* again = ::mmap(nullptr, kPage, PROT_READ, MAP_SHARED, reopened.get(), 0);
        EXPECT(::mprotect(again, kPage, PROT_READ | PROT_WRITE) != 0);
        ::munmap(again, kPage);
        EXPECT(::pwrite(reopened.get(), "x", 1, 0) < 0);
        EXPECT(::ftruncate(reopened.get(), 0) < 0);
        EXPECT(::ftruncate(reopened.get(), 2 * kPage) < 0);
        EXPECT(::fallocate(reopened.get(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, kPage) <
               0);
    }
    EXPECT(::fcntl(fd->get(), F_ADD_SEALS, F_SEAL_WRITE) < 0);
    EXPECT(all_are((*memory)->data(), kPage, 5));
    EXPECT_EQ((*memory)->share(Access::read_write).code(), Errc::busy);
}

CHECK_CASE("what is shared for writing can be written, but neither cut, grown nor sealed") {
    auto hold = freezer();
    auto memory = OwnedMemory::make(hold, kPage);
    REQUIRE(memory);
    auto fd = (*memory)->share(Access::read_write);
    REQUIRE(fd);
    EXPECT_EQ(::pwrite(fd->get(), "x", 1, 0), 1);
    EXPECT_EQ(std::to_integer<int>((*memory)->data()[0]), 'x');
    EXPECT(::ftruncate(fd->get(), 0) < 0);
    EXPECT(::ftruncate(fd->get(), 2 * kPage) < 0);
    EXPECT(::fcntl(fd->get(), F_ADD_SEALS, F_SEAL_FUTURE_WRITE) < 0);
    EXPECT((*memory)->revoke());
    EXPECT_EQ(::pwrite(fd->get(), "y", 1, 0), 1);  // into an object that is nobody's any more
    EXPECT_EQ(std::to_integer<int>((*memory)->data()[0]), 'x');
}

CHECK_CASE(
    "a page that was pinned in a pipe before a revoke shows nothing that was written after") {
    auto hold = freezer();
    for (Access access : {Access::read, Access::read_write}) {
        auto memory = OwnedMemory::make(hold, kPage);
        REQUIRE(memory);
        std::memset((*memory)->data(), 5, kPage);
        auto fd = (*memory)->share(access);
        REQUIRE(fd);
        const std::byte* mapped = map_reading(fd->get(), kPage);
        int ends[2];
        REQUIRE(::pipe(ends) == 0);
        struct iovec pinned{const_cast<std::byte*>(mapped), kPage};
        REQUIRE(::vmsplice(ends[1], &pinned, 1, 0) == static_cast<ssize_t>(kPage));
        EXPECT((*memory)->revoke());
        std::memset((*memory)->data(), 6, kPage);
        std::vector<std::byte> out(kPage);
        EXPECT_EQ(::read(ends[0], out.data(), kPage), static_cast<ssize_t>(kPage));
        for (std::byte value : out) REQUIRE(value != std::byte{6});
        ::munmap(const_cast<std::byte*>(mapped), kPage);
        ::close(ends[0]);
        ::close(ends[1]);
    }
}

CHECK_CASE("threads that write all through adoptions and revokes lose not one increment") {
    auto hold = freezer();
    constexpr std::size_t kBytes = 512 * kPage;  // room for a huge page, where there are some
    auto* block = static_cast<std::byte*>(std::aligned_alloc(kBytes, kBytes));
    std::memset(block, 0, kBytes);
    std::atomic<bool> stop{false};
    std::vector<std::thread> writers;
    std::vector<std::uint64_t> counted(2);
    for (std::size_t who = 0; who < 2; ++who)
        writers.emplace_back([&, who] {
            std::uint64_t made = 0;
            for (std::size_t page = 0; !stop.load(std::memory_order_relaxed); ++page) {
                auto* at =
                    reinterpret_cast<volatile std::uint64_t*>(block + page % 512 * kPage) + who;
                *at = *at + 1;
                ++made;
            }
            counted[who] = made;
        });
    for (int life = 0; life < 4; ++life) {
        auto memory = OwnedMemory::adopt(hold, block, kBytes);
        REQUIRE(memory);
        for (int round = 0; round < 8; ++round) {
            auto fd = (*memory)->share(round % 2 == 0 ? Access::read : Access::read_write);
            EXPECT(fd);
            EXPECT((*memory)->revoke());
        }
    }
    stop = true;
    for (std::thread& writer : writers) writer.join();
    for (std::size_t who = 0; who < 2; ++who) {
        std::uint64_t found = 0;
        for (std::size_t page = 0; page < 512; ++page)
            found += reinterpret_cast<const std::uint64_t*>(block + page * kPage)[who];
        EXPECT_EQ(found, counted[who]);
        EXPECT(counted[who] > 0);
    }
    std::free(block);
}

CHECK_CASE(
    "whichever system call fails, nothing is shared or lost that was not, and nothing leaks") {
    auto hold = freezer();
    auto* block = static_cast<std::byte*>(std::aligned_alloc(kPage, 2 * kPage));
    std::memset(block, 4, 2 * kPage);
    const std::size_t descriptors = open_descriptors();
    bool failed = true;
    for (std::uint64_t nth = 1; failed; ++nth) {
        REQUIRE(nth < 100);
        sys::fail_nth_call(nth, ENOMEM);
        auto memory = OwnedMemory::adopt(hold, block, 2 * kPage);
        failed = !memory;
        if (!memory) EXPECT_EQ(memfd_mappings(), 0U);
        if (memory) {
            auto fd = (*memory)->share(nth % 2 == 0 ? Access::read : Access::read_write);
            failed = !fd;
            EXPECT_EQ((*memory)->shared(), static_cast<bool>(fd));
            const Status revoked = (*memory)->revoke();
            failed = failed || !revoked;
            EXPECT(all_are(block, 2 * kPage, 4));
            sys::fail_nth_call(0, 0);
            EXPECT((*memory)->revoke());
            if (fd) {
                const std::byte* seen = map_reading(fd->get(), 2 * kPage);
                EXPECT(seen != nullptr && all_are(seen, 2 * kPage, 0));
                ::munmap(const_cast<std::byte*>(seen), 2 * kPage);
            }
            *memory = nullptr;
        }
        sys::fail_nth_call(0, 0);
        EXPECT(all_are(block, 2 * kPage, 4));
        EXPECT_EQ(memfd_mappings(), 0U);
        EXPECT_EQ(open_descriptors(), descriptors);
    }
    std::free(block);
}

CHECK_CASE("the memory of an owner that ends is wiped for whoever still holds it") {
    auto hold = freezer();
    for (Access access : {Access::read, Access::read_write}) {
        sys::Fd kept;
        {
            auto memory = OwnedMemory::make(hold, kPage);
            REQUIRE(memory);
            std::memset((*memory)->data(), 5, kPage);
            auto fd = (*memory)->share(access);
            REQUIRE(fd);
            kept = *std::move(fd);
        }
        const std::byte* seen = map_reading(kept.get(), kPage);
        REQUIRE(seen != nullptr);
        EXPECT(all_are(seen, kPage, 0));
        ::munmap(const_cast<std::byte*>(seen), kPage);
    }
}

CHECK_CASE("an object is emptied without taking pages where there were none") {
    constexpr std::size_t kBytes = std::size_t{64} << 20;
    const std::vector<std::byte> data(4 * kPage, std::byte{5});
    for (Access access : {Access::read, Access::read_write}) {
        sys::Fd fd = *sys::make_open_memfd("check", kBytes);
        REQUIRE(sys::write_at(fd.get(), data, kBytes / 2));
        const sys::Fd same = *sys::duplicate(fd.get());
        auto object = mem::SharedObject::seal(std::move(fd), kBytes, access);
        REQUIRE(object);
        REQUIRE(object->wipe());
        std::vector<std::byte> seen(4 * kPage, std::byte{9});
        EXPECT(sys::read_at(same.get(), seen, kBytes / 2));
        EXPECT(all_are(seen.data(), seen.size(), 0));
        struct stat info{};
        REQUIRE(::fstat(same.get(), &info) == 0);
        EXPECT(info.st_blocks * 512 <= std::int64_t{4} << 20);  // a huge page or two at most
    }
}
