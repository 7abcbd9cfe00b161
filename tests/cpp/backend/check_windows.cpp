/// Windows on granted memory in C++: what touching a page does that was taken back.
#include <setjmp.h>
#include <signal.h>

#include <array>
#include <cstring>

#include "check.hpp"
#include "memory_bench.hpp"

using namespace hyplink;
using app::VmMemory;

namespace {

constexpr std::uint32_t kRead = hyp::kGrantRead | hyp::kGrantCpu;
constexpr std::size_t kPage = 4096;

sigjmp_buf away;
void* volatile faulted = nullptr;

void on_bus(int, siginfo_t* info, void*) {
    faulted = info->si_addr;
    ::siglongjmp(away, info->si_code == BUS_ADRERR ? 1 : 2);
}

/// What is there: a byte, or minus what the signal said.
int touch(const std::byte* at) {
    struct sigaction act{};
    act.sa_sigaction = on_bus;
    act.sa_flags = SA_SIGINFO;
    ::sigaction(SIGBUS, &act, nullptr);
    if (const int signal = ::sigsetjmp(away, 1); signal != 0) return -signal;
    return static_cast<int>(*static_cast<const volatile std::byte*>(at));
}

struct Pair : MemoryBench {
    explicit Pair(backend::BackendKind kind) : MemoryBench(kind) {
        auto second = VmMemory::open(importing);
        REQUIRE(second);
        importer = *second;
        auto memory = exporter->alloc(3 * kPage);
        REQUIRE(memory);
        block = *memory;
        std::memset(block->data(), 5, block->size());
    }
    ~Pair() { importer->close(); }
    hyp::MemRange pages(std::size_t first, std::size_t count) const {
        return {block->at() + first * kPage, count * kPage};
    }
    Status grant(hyp::MemRange range) const { return exporter->grant(2, kRead, {{range}}); }
    Status deny(hyp::MemRange range) const { return exporter->deny(2, kRead, {{range}}); }

    std::shared_ptr<VmMemory> importer;
    std::shared_ptr<VmMemory::Block> block;
};

void zeroes(backend::BackendKind kind) {
    const Pair pair(kind);
    REQUIRE(pair.grant(pair.pages(0, 3)));
    auto mapped = pair.importer->map(pair.pages(0, 3), false);
    REQUIRE(mapped);
    VmMemory::Window& window = **mapped;
    std::array<std::byte, 3 * kPage> copy{};
    REQUIRE(pair.importer->read(window, 0, copy));
    EXPECT_EQ(static_cast<int>(copy.back()), 5);
    REQUIRE(pair.deny(pair.pages(1, 1)));
    EXPECT_EQ(touch(window.data() + kPage), 0);  // at once, told or not
    EXPECT_EQ(touch(window.data()), 5);
    EXPECT_EQ(pair.importer->check(window, 0, 3 * kPage).code(), Errc::revoked);
    EXPECT_EQ(window.revoked(), kPage);  // who asks has heard
    EXPECT_EQ(touch(window.data() + kPage), 0);
    EXPECT_EQ(pair.importer->read(window, 2 * kPage - 1, std::span(copy).first(2)).code(),
              Errc::revoked);
    EXPECT(pair.importer->read(window, 2 * kPage, std::span(copy).first(kPage)));
    EXPECT_EQ(pair.importer->check(window, 3 * kPage, 1).code(), Errc::bad_argument);
    REQUIRE(pair.importer->unmap(*mapped));
    EXPECT_EQ(pair.importer->check(window, 0, 1).code(), Errc::closed);
}

void signals(backend::BackendKind kind) {
    const Pair pair(kind);
    REQUIRE(pair.grant(pair.pages(0, 3)));
    auto mapped = pair.importer->map(pair.pages(0, 3), false, VmMemory::Taken::signal);
    REQUIRE(mapped);
    VmMemory::Window& window = **mapped;
    EXPECT_EQ(touch(window.data() + kPage + 9), 5);
    REQUIRE(pair.deny(pair.pages(1, 1)));
    REQUIRE(pair.importer->wait_revoked(window, pair.soon()));
    EXPECT_EQ(touch(window.data() + kPage + 9), -1);
    EXPECT(faulted == window.data() + kPage + 9);
    EXPECT_EQ(touch(window.data() + kPage - 1), 5);
    EXPECT_EQ(touch(window.data() + 2 * kPage), 5);
    std::array<std::byte, 8> copy{};
    EXPECT_EQ(pair.importer->read(window, 0, copy).code(), Errc::bad_argument);
    REQUIRE(pair.bench->kill(3));
    while (touch(window.data()) != -1) {  // the rest goes with its exporter
    }
    EXPECT_EQ(pair.importer->check(window, 0, kPage).code(), Errc::revoked);
}

}  // namespace

CHECK_CASE("a page that was taken back reads zero at once and is told from data, on threads") {
    zeroes(backend::BackendKind::thread);
}
CHECK_CASE("a page that was taken back reads zero at once and is told from data, on processes") {
    zeroes(backend::BackendKind::process);
}
CHECK_CASE("who asks for a signal gets SIGBUS with the address, on threads") {
    signals(backend::BackendKind::thread);
}
CHECK_CASE("who asks for a signal gets SIGBUS with the address, on processes") {
    signals(backend::BackendKind::process);
}
