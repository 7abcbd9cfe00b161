#include "hyplink/sys/pass_through.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <string>
#include <thread>
#include <vector>

#include "check.hpp"
#include "hyplink/sys/call.hpp"
#include "hyplink/sys/mapping.hpp"
#include "hyplink/sys/memfd.hpp"

using namespace hyplink;
using sys::Mapping;
using sys::PassThrough;

namespace {

constexpr std::size_t kPage = 4096;

std::unique_ptr<PassThrough> files() {
    auto made = PassThrough::make();
    if (!made) SKIP(made.error().text());
    return *std::move(made);
}

std::size_t entries(const char* folder) {
    std::size_t count = 0;
    for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator(folder)) ++count;
    return count;
}

/// The errno of a call that has to fail, or 0.
template <class Body>
int fails(Body&& body) {
    errno = 0;
    return body() < 0 ? errno : 0;
}

}  // namespace

CHECK_CASE("what is mapped through a file is the object's own pages") {
    auto all = files();
    const sys::Fd object = *sys::make_open_memfd("check", 2 * kPage);
    const sys::Fd file = *all->open(object.get(), true);
    const Mapping own = *Mapping::shared(object.get(), 2 * kPage, true);
    const Mapping through = *Mapping::shared(file.get(), 2 * kPage, true);
    own.data()[5] = std::byte{1};
    EXPECT_EQ(through.data()[5], std::byte{1});
    through.data()[kPage] = std::byte{2};
    EXPECT_EQ(own.data()[kPage], std::byte{2});
    EXPECT_EQ(*sys::file_size(file.get()), 2 * kPage);
    std::byte seen{};
    EXPECT_EQ(::pread(file.get(), &seen, 1, kPage), 1);
    EXPECT_EQ(seen, std::byte{2});
}

CHECK_CASE("whoever holds a file can neither cut, grow, punch, seal nor open the object again") {
    auto all = files();
    const sys::Fd object = *sys::make_open_memfd("check", kPage);
    const sys::Fd file = *all->open(object.get(), true);
    const int fd = file.get();
    EXPECT_EQ(fails([&] { return ::ftruncate(fd, 0); }), EPERM);
    EXPECT_EQ(fails([&] { return ::ftruncate(fd, 4 * kPage); }), EPERM);
    EXPECT(fails([&] {
               return ::fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, kPage);
           }) != 0);
    EXPECT(fails([&] { return ::fallocate(fd, 0, 0, 4 * kPage); }) != 0);
    EXPECT_EQ(fails([&] { return ::fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK); }), EINVAL);
    EXPECT_EQ(fails([&] { return ::fchmod(fd, 0777); }), EPERM);
    const std::string path = "/proc/self/fd/" + std::to_string(fd);
    for (const int how : {O_RDONLY, O_RDWR, O_RDWR | O_TRUNC})
        EXPECT_EQ(fails([&] { return ::open(path.c_str(), how | O_CLOEXEC); }), EACCES);
    EXPECT_EQ(*sys::file_size(object.get()), kPage);
}

CHECK_CASE("a file that was opened for reading is never written") {
    auto all = files();
    const sys::Fd object = *sys::make_open_memfd("check", kPage);
    const sys::Fd file = *all->open(object.get(), false);
    EXPECT(!Mapping::shared(file.get(), kPage, true));
    EXPECT_EQ(fails([&] { return ::pwrite(file.get(), "x", 1, 0); }), EBADF);
    const Mapping through = *Mapping::shared(file.get(), kPage, false);
    EXPECT_EQ(fails([&] { return ::mprotect(through.data(), kPage, PROT_READ | PROT_WRITE); }),
              EACCES);
}

CHECK_CASE("an object that is emptied is empty through the file, mapped or not") {
    auto all = files();
    const sys::Fd object = *sys::make_open_memfd("check", kPage);
    const sys::Fd file = *all->open(object.get(), false);
    const Mapping through = *Mapping::shared(file.get(), kPage, false);
    const std::byte word{7};
    REQUIRE(sys::write_at(object.get(), std::span(&word, 1), 0));
    EXPECT_EQ(through.data()[0], word);
    REQUIRE(sys::punch(object.get(), 0, kPage));
    EXPECT_EQ(through.data()[0], std::byte{0});
    std::byte seen{9};
    EXPECT_EQ(::pread(file.get(), &seen, 1, 0), 1);
    EXPECT_EQ(seen, std::byte{0});
}

CHECK_CASE("a thousand files leave neither a descriptor nor a node behind") {
    auto all = files();
    const sys::Fd object = *sys::make_open_memfd("check", kPage);
    const std::size_t before = entries("/proc/self/fd");
    for (int round = 0; round < 1000; ++round) {
        const auto file = all->open(object.get(), round % 2 == 0);
        REQUIRE(file);
    }
    EXPECT_EQ(entries("/proc/self/fd"), before);
    // The kernel says later that it has forgotten one; this one's word comes after theirs.
    while (all->files() > 0) std::this_thread::yield();
}

CHECK_CASE("a mapping lives on when nobody serves any more, and the rest fails at once") {
    auto all = files();
    const sys::Fd object = *sys::make_open_memfd("check", kPage);
    const sys::Fd file = *all->open(object.get(), true);
    const Mapping through = *Mapping::shared(file.get(), kPage, true);
    const std::size_t threads = entries("/proc/self/task");
    all.reset();
    // A thread that was waited for is listed for a moment longer.
    while (entries("/proc/self/task") >= threads) std::this_thread::yield();
    through.data()[0] = std::byte{3};
    const Mapping own = *Mapping::shared(object.get(), kPage, false);
    EXPECT_EQ(own.data()[0], std::byte{3});
    EXPECT(fails([&] { return ::ftruncate(file.get(), 0); }) != 0);
}

CHECK_CASE("whichever call fails, nothing is left open and the next one works") {
    auto all = files();
    const sys::Fd object = *sys::make_open_memfd("check", kPage);
    const std::size_t before = entries("/proc/self/fd");
    bool failed = true;
    for (std::uint64_t nth = 1; failed; ++nth) {
        REQUIRE(nth < 20);
        sys::fail_nth_call(nth, EMFILE);
        {
            const auto file = all->open(object.get(), true);
            failed = !file;
        }
        sys::fail_nth_call(0, 0);
        EXPECT_EQ(entries("/proc/self/fd"), before);
        EXPECT(all->open(object.get(), true));
    }
    failed = true;
    for (std::uint64_t nth = 1; failed; ++nth) {
        REQUIRE(nth < 40);
        const std::size_t open = entries("/proc/self/fd");
        sys::fail_nth_call(nth, EMFILE);
        {
            const auto others = PassThrough::make();
            failed = !others;
            if (failed) EXPECT_EQ(others.error().number(), EMFILE);
        }
        sys::fail_nth_call(0, 0);
        EXPECT_EQ(entries("/proc/self/fd"), open);
    }
}
