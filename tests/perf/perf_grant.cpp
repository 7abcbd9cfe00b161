// Taking memory back from a process that spins on it, and a table of 100,000 grants.

#include <fcntl.h>
#include <malloc.h>
#include <setjmp.h>
#include <sys/socket.h>

#include "hyplink/hyp/grants.hpp"
#include "hyplink/mem/owned.hpp"
#include "hyplink/sys/memfd.hpp"
#include "hyplink/sys/process.hpp"
#include "hyplink/sys/socket.hpp"
#include "measure.hpp"

namespace {

using hyplink::mem::Access;
using hyplink::mem::OwnedMemory;
using measure::Options;
using measure::Shared;
namespace hyp = hyplink::hyp;
namespace sys = hyplink::sys;

template <class T>
T must(hyplink::Result<T> result) {
    if (!result) {
        std::fprintf(stderr, "%s\n", result.error().text().c_str());
        std::abort();
    }
    return *std::move(result);
}
void must(const hyplink::Status& status) {
    if (status) return;
    std::fprintf(stderr, "%s\n", status.error().text().c_str());
    std::abort();
}

sigjmp_buf away;  // out of the spinning read, when the page is gone

/// What both processes of one measurement share besides the memory.
struct Line {
    std::atomic<std::uint32_t> mapped;  ///< rounds that the importer has begun
    std::atomic<std::uint32_t> gone;    ///< rounds that it has seen end
};

/// The importer: map what comes, read it without a pause until it is zero or gone.
void spin(int socket, std::size_t bytes, std::uint32_t rounds, Line& line) {
    struct sigaction act{};
    act.sa_handler = [](int) { ::siglongjmp(away, 1); };
    ::sigaction(SIGBUS, &act, nullptr);
    for (std::uint32_t round = 1; round <= rounds; ++round) {
        const auto message = must(sys::receive_message(socket, true));
        void* at = ::mmap(nullptr, bytes, PROT_READ, MAP_SHARED, message.fds.at(0).get(), 0);
        if (at == MAP_FAILED) std::abort();
        auto* words = static_cast<volatile std::uint64_t*>(at);
        if (::sigsetjmp(away, 1) == 0) {
            for (std::size_t i = 0; i < bytes / 8; i += 512)
                if (words[i] == 0) std::abort();
            line.mapped.store(round, std::memory_order_release);
            while (words[0] != 0) {
            }
        }
        line.gone.store(round, std::memory_order_release);
        ::munmap(at, bytes);
    }
}

struct Took {
    double half = 0;  ///< µs
    double most = 0;  ///< 99 of 100
};

/// Time from the call to the importer's having nothing any more. `share` gives a descriptor, `take`
/// takes the memory back.
template <class Share, class Take>
Took deny(const Options& options, std::size_t bytes, std::uint32_t rounds, Share&& share,
          Take&& take) {
    const Shared shared(4096);
    Line& line = shared.at<Line>(0);
    auto sockets = must(sys::make_socket_pair());
    std::vector<double> took;
    measure::in_two_processes(
        options,
        [&] {
            for (std::uint32_t round = 1; round <= rounds; ++round) {
                const sys::Fd fd = share();
                const int number = fd.get();
                const std::byte word{};
                must(sys::send_message(sockets.first.get(), std::span(&word, 1),
                                       std::span(&number, 1), true));
                while (line.mapped.load(std::memory_order_acquire) != round)
                    measure::idle(options.same_core);
                const std::int64_t start = measure::now();
                take();
                while (line.gone.load(std::memory_order_acquire) != round)
                    measure::idle(options.same_core);
                took.push_back(static_cast<double>(measure::now() - start) / 1000);
            }
            return 0.0;
        },
        [&] { spin(sockets.second.get(), bytes, rounds, line); });
    return {measure::percentile(took, 0.5), measure::percentile(took, 0.99)};
}

/// By hand: copy to a fresh memfd, map it over, cut the old one off.
Took bare(const Options& options, std::size_t bytes, std::uint32_t rounds) {
    auto make = [&] {
        const int fd = ::memfd_create("bare", MFD_CLOEXEC);
        if (fd < 0 || ::ftruncate(fd, static_cast<off_t>(bytes)) != 0) std::abort();
        return fd;
    };
    int object = make();
    void* at = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, object, 0);
    std::memset(at, 1, bytes);
    const Took took = deny(
        options, bytes, rounds, [&] { return must(sys::duplicate(object)); },
        [&] {
            const int fresh = make();
            if (::pwrite(fresh, at, bytes, 0) != static_cast<ssize_t>(bytes) ||
                ::mmap(at, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fresh, 0) != at ||
                ::ftruncate(object, 0) != 0)
                std::abort();
            ::close(object);
            object = fresh;
        });
    ::close(object);
    ::munmap(at, bytes);
    return took;
}

Took ours(const Options& options, std::size_t bytes, std::uint32_t rounds, Access access) {
    const auto freezer = must(sys::WriteFreezer::make());
    const auto memory = must(OwnedMemory::make(freezer, bytes));
    std::memset(memory->data(), 1, bytes);
    return deny(
        options, bytes, rounds, [&] { return must(memory->share(access)); },
        [&] { must(memory->revoke()); });
}

// --- the table -----------------------------------------------------------------------------------

constexpr hyplink::VmId kExporter = 1;
constexpr std::uint64_t kBase = std::uint64_t{1} << 32;
constexpr std::uint64_t kPage = 4096;

struct Table {
    double grant = 0;  ///< ns
    double verify = 0;
    double deny = 0;
    double bytes = 0;  ///< of each grant
};

/// `extents` pages with `importers` each: this many grants live at once. Sealing an object costs
/// the kernel's time and is not the table's: the last importer of each is timed.
Table table(std::uint32_t extents, std::uint32_t importers) {
    hyp::Limits limits;
    limits.grant_level = hyp::GrantLevel::memfd;
    limits.max_grants = ~0U;
    limits.max_ram = ~std::uint64_t{0};
    hyp::GrantTable grants;
    must(grants.add_region(kExporter, 1, {kBase, extents * kPage}, limits));
    hyp::MemCall call;
    call.flags = hyp::kGrantRead | hyp::kGrantWrite | hyp::kGrantCpu;
    call.app = 1;
    call.ranges.resize(1);
    call.objects.resize(1);
    const auto before = ::mallinfo2().uordblks;
    Table figures;
    for (std::uint32_t importer = 2; importer < 2 + importers; ++importer) {
        call.vm = importer;
        const bool last = importer == 1 + importers;
        const std::int64_t start = measure::now();
        for (std::uint32_t i = 0; i < extents; ++i) {
            // Scattered, so that the table does not grow at its end only.
            const std::uint64_t page = (std::uint64_t{i} * 2654435761U) % extents;
            call.ranges[0] = {kBase + page * kPage, kPage};
            if (importer == 2)
                call.objects[0] =
                    std::make_shared<sys::Fd>(must(sys::make_open_memfd("perf", kPage)));
            must(grants.grant(kExporter, call, limits));
            call.objects[0].reset();
        }
        if (last) figures.grant = static_cast<double>(measure::now() - start) / extents;
    }
    figures.bytes = static_cast<double>(::mallinfo2().uordblks - before) /
                    (static_cast<double>(extents) * importers);
    const std::int64_t start = measure::now();
    for (std::uint32_t i = 0; i < extents; ++i)
        must(grants.verify(1 + importers, kExporter, hyp::kGrantRead,
                           {kBase + (std::uint64_t{i} * 40503U) % extents * kPage, kPage}));
    figures.verify = static_cast<double>(measure::now() - start) / extents;
    if (importers == 1) return figures;
    // The table alone: at this level those who keep the pages need no new object.
    limits.grant_level = hyp::GrantLevel::cooperative;
    call.vm = 1 + importers;
    const std::int64_t denying = measure::now();
    for (std::uint32_t i = 0; i < extents; ++i) {
        call.ranges[0].at = kBase + (std::uint64_t{i} * 40503U) % extents * kPage;
        must(grants.deny(kExporter, call, limits));
    }
    figures.deny = static_cast<double>(measure::now() - denying) / extents;
    return figures;
}

/// Whether shared memory can have huge pages on this machine, and if not, why.
void say_huge_pages() {
    char modes[128] = "?";
    char pool[32] = "?";
    if (std::FILE* file = std::fopen("/sys/kernel/mm/transparent_hugepage/shmem_enabled", "r")) {
        if (std::fgets(modes, sizeof modes, file) == nullptr) modes[0] = '\0';
        std::fclose(file);
    }
    if (std::FILE* file = std::fopen("/proc/sys/vm/nr_hugepages", "r")) {
        if (std::fgets(pool, sizeof pool, file) == nullptr) pool[0] = '\0';
        std::fclose(file);
    }
    modes[std::strcspn(modes, "\n")] = pool[std::strcspn(pool, "\n")] = '\0';
    if (std::strstr(modes, "[advise]") != nullptr)
        std::fprintf(stderr,
                     "huge pages for shared memory only where a program advises them, which none "
                     "here does (nr_hugepages: %s): 2 MiB are 512 small pages below\n",
                     pool);
    else if (std::strstr(modes, "[never]") != nullptr || std::strstr(modes, "[deny]") != nullptr)
        std::fprintf(stderr,
                     "no huge pages for shared memory on this machine (shmem_enabled: %s; "
                     "nr_hugepages: %s): 2 MiB are 512 small pages below\n",
                     modes, pool);
    else
        std::fprintf(stderr, "huge pages of shared memory: %s\n", modes);
}

}  // namespace

int main(int count, char** words) {
    const Options options = measure::parse(count, words);
    sys::raise_fd_limit();
    say_huge_pages();
    measure::Report report("grant", options);
    std::deque<Took> kept;  // what a variant measured besides its own figure
    for (const std::size_t bytes : {kPage, std::size_t{2} << 20}) {
        const auto rounds =
            static_cast<std::uint32_t>(std::max(30.0, (bytes == kPage ? 400 : 60) * options.scale));
        const std::string size = bytes == kPage ? "4 KiB" : "2 MiB";
        Took& hand = kept.emplace_back();
        const int limit = report.add(
            {size + ": migrate and truncate by hand", "us", [&hand, &options, bytes, rounds] {
                 hand = bare(options, bytes, rounds);
                 return hand.half;
             }});
        report.add({"  p99", "us", [&hand] { return hand.most; }});
        for (const Access access : {Access::read, Access::read_write}) {
            Took& mine = kept.emplace_back();
            report.add({size + (access == Access::read ? ": revoke, shared for reading"
                                                       : ": revoke, shared for writing"),
                        "us",
                        [&mine, &options, bytes, rounds, access] {
                            mine = ours(options, bytes, rounds, access);
                            return mine.half;
                        },
                        limit, 1.2});
            report.add({"  p99", "us", [&mine] { return mine.most; }});
        }
    }
    Table few;
    Table many;
    Table single;
    const int small = report.add({"grant one more, 1,000 live", "ns", [&] {
                                      few = table(40, 25);
                                      return few.grant;
                                  }});
    report.add({"grant one more, 100,000 live", "ns",
                [&] {
                    many = table(4000, 25);
                    return many.grant;
                },
                small});
    report.add({"deny one, 1,000 live", "ns", [&] { return few.deny; }});
    report.add({"deny one, 100,000 live", "ns", [&] { return many.deny; }});
    report.add({"verify, 1,000 live", "ns", [&] { return few.verify; }});
    report.add({"verify, 100,000 live", "ns", [&] { return many.verify; }});
    report.add(
        {"memory of a grant, 25 importers of each page", "bytes", [&] { return many.bytes; }});
    report.add({"memory of a grant, one importer of each page", "bytes", [&] {
                    single = table(8000, 1);
                    return single.bytes;
                }});
    return report.run_and_print();
}
