#include "hyplink/sys/page_mover.hpp"

#include <sys/mman.h>
#include <unistd.h>

#include <atomic>
#include <cstring>
#include <filesystem>
#include <thread>
#include <vector>

#include "check.hpp"
#include "hyplink/sys/call.hpp"
#include "hyplink/sys/freeze.hpp"
#include "hyplink/sys/mapping.hpp"
#include "hyplink/sys/memfd.hpp"

using namespace hyplink;
using sys::PageMover;

namespace {

constexpr std::size_t kPage = 4096;

std::unique_ptr<PageMover> mover() {
    auto made = PageMover::make();
    if (!made) SKIP(made.error().text());
    return *std::move(made);
}

sys::Fd object(std::size_t pages, int value) {
    sys::Fd fd = *sys::make_open_memfd("check", pages * kPage);
    const std::vector<std::byte> data(pages * kPage, static_cast<std::byte>(value));
    if (value != 0 && !sys::write_at(fd.get(), data, 0)) fd = sys::Fd();
    return fd;
}

bool all_are(const sys::Fd& fd, std::size_t from, std::size_t pages, int value) {
    std::vector<std::byte> data(pages * kPage);
    if (!sys::read_at(fd.get(), data, from * kPage)) return false;
    for (const std::byte byte : data)
        if (std::to_integer<int>(byte) != value) return false;
    return true;
}

std::size_t open_descriptors() {
    std::size_t count = 0;
    for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator("/proc/self/fd"))
        ++count;
    return count;
}

}  // namespace

CHECK_CASE("what was in the pages is in the new object, and the old one shows zeroes") {
    auto moves = mover();
    for (const std::size_t pages : {1, 3, 300, 700}) {
        const sys::Fd from = object(pages + 2, 5);
        const sys::Fd to = object(pages + 1, 0);
        REQUIRE(moves->move({from.get(), kPage, to.get(), kPage, pages * kPage}));
        EXPECT(all_are(to, 1, pages, 5));
        EXPECT(all_are(to, 0, 1, 0));
        EXPECT(all_are(from, 1, pages, 0));
        EXPECT(all_are(from, 0, 1, 5));
        EXPECT(all_are(from, pages + 1, 1, 5));
    }
}

CHECK_CASE("a mapping of the old object shows zeroes, to whoever does not watch it") {
    auto moves = mover();
    const sys::Fd from = object(2, 5);
    const sys::Fd to = object(2, 0);
    const auto seen = sys::Mapping::shared(from.get(), 2 * kPage, true);
    REQUIRE(seen);
    EXPECT_EQ(std::to_integer<int>(seen->data()[kPage]), 5);
    REQUIRE(moves->move({from.get(), 0, to.get(), 0, 2 * kPage}));
    EXPECT_EQ(std::to_integer<int>(seen->data()[kPage]), 0);
}

CHECK_CASE("a writer that watches loses nothing and reads no zero, however often pages move") {
    auto moves = mover();
    auto made = sys::AccessHolder::make();
    if (!made) SKIP(made.error().text());
    sys::AccessHolder& holder = **made;
    constexpr std::size_t kPages = 40;
    sys::Fd current = object(kPages, 5);
    auto window = sys::Mapping::shared(current.get(), kPages * kPage, true);
    REQUIRE(window);
    std::atomic<bool> stop{false};
    std::uint64_t counted = 0;
    std::uint64_t zeroes = 0;
    auto* cells = reinterpret_cast<std::atomic<std::uint64_t>*>(window->data());
    const std::uint64_t start = cells[0];
    std::atomic<bool> began{false};
    std::thread writer([&] {
        while (!stop) {
            for (std::size_t page = 0; page < kPages; ++page) {
                cells[page * 512].fetch_add(1, std::memory_order_relaxed);
                zeroes += cells[page * 512 + 1].load(std::memory_order_relaxed) != start;
            }
            ++counted;
            began = true;
        }
    });
    while (!began) std::this_thread::yield();
    bool moved = true;
    for (int turn = 0; turn < 100 && moved; ++turn) {
        sys::Fd next = object(kPages, 0);
        moved = holder.watch(window->data(), window->size()) &&
                moves->move({current.get(), 0, next.get(), 0, window->size()}) &&
                sys::map_over(window->data(), window->size(), next.get());
        holder.replaced(window->data(), window->size());
        current = std::move(next);
    }
    stop = true;
    writer.join();
    EXPECT(moved);
    EXPECT_EQ(zeroes, 0U);
    for (std::size_t page = 0; page < kPages; ++page)
        EXPECT_EQ(cells[page * 512].load() - start, counted);
}

CHECK_CASE("whichever call fails, all pages are where they were, or all are in the new object") {
    auto moves = mover();
    moves->keep_old_pages();
    constexpr std::size_t kPages = 700;  // more than the pipe takes at a time
    const std::size_t before = open_descriptors();
    bool failed = true;
    for (std::uint64_t nth = 1; failed; ++nth) {
        const sys::Fd from = object(kPages, 5);
        const sys::Fd to = object(kPages, 0);
        const std::uint64_t made = sys::fail_nth_call(nth, ENOMEM);
        const Status moved = moves->move({from.get(), 0, to.get(), 0, kPages * kPage});
        failed = sys::fail_nth_call(0, 0) - made >= nth;
        while (moves->has_old_pages()) (void)moves->take_old_pages();
        const bool all_moved = all_are(to, 0, kPages, 5);
        EXPECT_EQ(all_moved, static_cast<bool>(moved));
        EXPECT(all_moved || all_are(from, 0, kPages, 5));
        EXPECT_EQ(open_descriptors(), before + 2);
        if (nth == 1) EXPECT(!moved);
    }
}

CHECK_CASE("old pages that are kept for later are given back later, and few are not kept") {
    auto moves = mover();
    moves->keep_old_pages();
    const std::size_t before = open_descriptors();
    for (const std::size_t pages : {3, 300, 700, 3000}) {
        const sys::Fd from = object(pages, 5);
        const sys::Fd to = object(pages, 0);
        REQUIRE(moves->move({from.get(), 0, to.get(), 0, pages * kPage}));
        EXPECT(all_are(to, 0, pages, 5));
        EXPECT(all_are(from, 0, pages, 0));
        EXPECT_EQ(moves->has_old_pages(), pages > 3);
        std::size_t pipes = 0;
        for (; moves->has_old_pages(); ++pipes) {
            const PageMover::OldPages old = moves->take_old_pages();
            std::byte one{};
            EXPECT_EQ(::read(old.out.get(), &one, 1), 1);
            EXPECT_EQ(std::to_integer<int>(one), 5);
        }
        EXPECT(pipes <= 4);
        EXPECT_EQ(open_descriptors(), before + 2);
    }
}

CHECK_CASE("an object that ends before is refused, and keeps what it has") {
    auto moves = mover();
    const sys::Fd from = object(2, 5);
    const sys::Fd to = object(4, 0);
    EXPECT_EQ(moves->move({from.get(), 0, to.get(), 0, 4 * kPage}).code(), Errc::corrupt);
    EXPECT(all_are(from, 0, 2, 5));
    const sys::Fd whole = object(4, 6);
    EXPECT(moves->move({whole.get(), 0, to.get(), 0, 4 * kPage}));
    EXPECT(all_are(to, 0, 4, 6));
}

CHECK_CASE("an object that is sealed against writing is refused, and keeps what it has") {
    auto moves = mover();
    const sys::Fd from = object(2, 5);
    const sys::Fd to = object(2, 0);
    REQUIRE(sys::seal(from.get(), true));
    EXPECT_EQ(moves->move({from.get(), 0, to.get(), 0, 2 * kPage}).code(), Errc::not_permitted);
    EXPECT(all_are(from, 0, 2, 5));
}
