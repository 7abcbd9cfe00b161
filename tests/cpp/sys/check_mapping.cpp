#include "hyplink/sys/mapping.hpp"

#include <sys/mman.h>

#include <array>
#include <cstring>

#include "check.hpp"
#include "hyplink/sys/memfd.hpp"

using namespace hyplink;
using sys::Mapping;

namespace {
constexpr std::size_t kPage = 4096;
}

CHECK_CASE("a second mapping shows the same pages, and goes without the first") {
    const sys::Fd fd = *sys::make_open_memfd("check", 3 * kPage);
    const Mapping first = *Mapping::shared(fd.get(), 3 * kPage, true);
    std::memset(first.data(), 1, 3 * kPage);
    {
        const Mapping second = *Mapping::second(first.data() + kPage, 2 * kPage);
        EXPECT(second.data() != first.data());
        EXPECT_EQ(second.size(), 2 * kPage);
        first.data()[kPage] = std::byte{2};
        EXPECT_EQ(second.data()[0], std::byte{2});
        second.data()[2 * kPage - 1] = std::byte{3};
    }
    EXPECT_EQ(first.data()[3 * kPage - 1], std::byte{3});
}

CHECK_CASE("private memory has no second mapping") {
    const Mapping first = *Mapping::anonymous(kPage);
    EXPECT_EQ(Mapping::second(first.data(), kPage).code(), Errc::bad_argument);
}

CHECK_CASE("a hole is seen wherever it is, and writing zeroes over an object fills none") {
    constexpr std::size_t kApart = 4 << 20;  // farther than the largest page
    const sys::Fd fd = *sys::make_open_memfd("check", 3 * kApart);
    const std::array<std::byte, kPage> data{std::byte{1}};
    REQUIRE(sys::write_at(fd.get(), data, kApart));
    EXPECT(!sys::has_holes(fd.get(), kApart, kPage));
    EXPECT(sys::has_holes(fd.get(), kApart, 2 * kApart));
    EXPECT(sys::has_holes(fd.get(), 0, kApart + kPage));
    REQUIRE(sys::write_zeroes(fd.get(), 0, 3 * kApart));
    EXPECT(sys::has_holes(fd.get(), 0, kPage));
    std::array<std::byte, kPage> seen{std::byte{9}};
    REQUIRE(sys::read_at(fd.get(), seen, kApart));
    EXPECT_EQ(seen[0], std::byte{0});
}
