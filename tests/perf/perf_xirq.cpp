// An XIRQ there and back between two VMs in two processes, through NKDDI, against bare cache lines
// and eventfds.
//
// The bench runs this same program as an application of either VM: "--end answer|ask SPIN JOURNAL
// SAME_CORE ROUNDS". SPIN -2: with two eventfds in place of XIRQs, in the very same processes.

#include <sys/eventfd.h>

#include "hyplink/app/nkddi/vlink_driver.hpp"
#include "hyplink/backend/bench.hpp"
#include "hyplink/backend/socket_link.hpp"
#include "hyplink/sys/real_runtime.hpp"
#include "measure.hpp"

namespace {

using namespace hyplink;
using measure::Options;
using measure::Shared;
using nkddi::Nkddi;
using nkddi::Window;

constexpr std::int64_t kEventfd = -2;     // in place of a time to spin
constexpr int kThereFd = 5, kBackFd = 6;  // after the way to the VM and the pipe

constexpr std::uint64_t warm_of(std::uint64_t rounds) { return rounds / 10 + 1; }

/// One end, in its VM: numbers of its own, the handshake, then the rounds. Returns the time of one
/// in ns.
Result<double> end(bool asks, std::int64_t spin, bool journal, std::uint64_t rounds) {
    auto runtime = std::make_shared<sys::RealRuntime>(std::max<std::int64_t>(spin, 0));
    auto application = std::make_shared<app::Application>(*runtime);
    auto way = HYPLINK_TRY(backend::SocketLink::make(sys::Fd(3), *application, 0));
    HYPLINK_TRY(application->attach(std::move(way), runtime));
    application->scope().enable(journal);
    auto nk = HYPLINK_TRY(Nkddi::open(application));
    const mem::Ipa link = nk->vlink_lookup("vearlydata", {});
    const XirqNumber to_server = HYPLINK_TRY(nk->pxirq_alloc(link, 0, 2, 1));
    const XirqNumber to_client = HYPLINK_TRY(nk->pxirq_alloc(link, 1, 3, 1));
    const XirqNumber own = asks ? to_client : to_server;
    const XirqNumber theirs = asks ? to_server : to_client;
    const VmId peer = asks ? 2 : 3;
    // A ring that met a sleeper counts twice, so the number of the round says what it is for.
    const mem::Ipa page = HYPLINK_TRY(nk->pmem_alloc(link, 0, 4096));
    const Window memory = HYPLINK_TRY(nk->map(page, 4096));
    auto& mine = *reinterpret_cast<std::atomic<std::uint64_t>*>(memory.data + (asks ? 0 : 128));
    auto& other = *reinterpret_cast<std::atomic<std::uint64_t>*>(memory.data + (asks ? 128 : 0));
    nkddi::VlinkDriver driver(*nk, link, asks ? Role::client : Role::server, {});
    HYPLINK_TRY(nk->attach(own, {}));
    const auto sysconf =
        HYPLINK_TRY(nk->attach(kSysconf, [&](XirqNumber) { (void)driver.step(); }));
    HYPLINK_TRY(driver.step());
    while (!driver.is_up()) HYPLINK_TRY(nk->dispatch(Deadline::never()));
    nk->detach(sysconf);

    const bool eventfd = spin == kEventfd;
    const int await_fd = asks ? kBackFd : kThereFd;
    const int send_fd = asks ? kThereFd : kBackFd;
    std::uint64_t word = 1;
    const auto await = [&](std::uint64_t value) -> Status {
        if (eventfd) return ::read(await_fd, &word, 8) == 8 ? Status() : Status(Errc::internal);
        while (other.load(std::memory_order_acquire) != value)
            HYPLINK_TRY(nk->next(Deadline::never()));
        return {};
    };
    const auto send = [&](std::uint64_t value) -> Status {
        word = 1;
        if (eventfd) return ::write(send_fd, &word, 8) == 8 ? Status() : Status(Errc::internal);
        mine.store(value, std::memory_order_release);
        return nk->trigger(theirs, peer);
    };
    const std::uint64_t last = warm_of(rounds) + rounds;
    std::int64_t start = 0;
    for (std::uint64_t i = 1; i <= last; ++i) {
        if (i == warm_of(rounds) + 1) start = measure::now();
        if (asks) HYPLINK_TRY(send(i));
        HYPLINK_TRY(await(i));
        if (!asks) HYPLINK_TRY(send(i));
    }
    const double figure = static_cast<double>(measure::now() - start) / static_cast<double>(rounds);
    if (!asks) {
        // Stay until the asker has taken the last answer: our leaving takes the link down.
        while (nk->state(link, Role::client) == LinkState::on) {
            if (const auto number = nk->next(Deadline::never()); !number) break;
        }
    }
    return figure;
}

int run_end(char** words) {
    const bool asks = std::string(words[0]) == "ask";
    measure::pin(asks || std::string(words[3]) == "1" ? 0 : 1);
    const auto figure = end(asks, std::atoll(words[1]), std::string(words[2]) == "1",
                            static_cast<std::uint64_t>(std::atoll(words[4])));
    if (!figure) {
        std::fprintf(stderr, "%s: %s\n", words[0], figure.error().text().c_str());
        return 1;
    }
    if (asks) std::printf("%.17g\n", *figure);
    return 0;
}

double xirqs(const Options& options, std::uint64_t rounds, std::int64_t spin, bool journal) {
    hyp::BoardSpec board;
    board.vms = {{2, "server"}, {3, "client"}};
    board.links = {{"vearlydata", 0, 2, 3, "", "", 0}};
    char self[4096] = "";
    if (::readlink("/proc/self/exe", self, sizeof self - 1) <= 0) std::abort();
    const std::string program = self;
    backend::BenchOptions how;
    how.kind = backend::BackendKind::process;
    const char* vm = std::getenv("HYPLINK_VM");
    const std::string folder = program.substr(0, program.rfind("/tests/"));
    how.vm_program = vm != nullptr ? vm : folder + "/site/hyplink/bin/hyplink-vm";
    auto bench = backend::Bench::make(board, how);
    if (!bench) std::abort();
    int ends[2];
    if (::pipe(ends) != 0) std::abort();
    const int there = ::eventfd(0, 0), back = ::eventfd(0, 0);
    // The program writes to descriptor 4; its standard output is the report's.
    const auto start = [&](VmId id, const char* what) {
        backend::Program made;
        made.arguments = {"sh",
                          "-c",
                          "exec \"$0\" \"$@\" >&4",
                          program,
                          "--end",
                          what,
                          std::to_string(spin),
                          journal ? "1" : "0",
                          options.same_core ? "1" : "0",
                          std::to_string(rounds)};
        made.fds = {ends[1], there, back};
        Status started = (*bench)->boot(id, (*bench)->runtime().in(20'000'000'000));
        if (started) started = (*bench)->run(id, made);
        if (!started) {
            std::fprintf(stderr, "%s\n", started.error().text().c_str());
            std::exit(1);
        }
    };
    start(2, "answer");
    start(3, "ask");
    ::close(ends[1]);
    ::close(there);
    ::close(back);
    std::string said;
    char piece[64];
    for (ssize_t got = 0;
         said.find('\n') == std::string::npos && (got = ::read(ends[0], piece, sizeof piece)) > 0;)
        said.append(piece, static_cast<std::size_t>(got));
    ::close(ends[0]);
    (*bench)->close();
    return said.empty() ? 0 : std::atof(said.c_str());
}

double bare(const Options& options, std::uint64_t rounds) {
    const Shared memory(4096);
    auto& there = memory.at<std::atomic<std::uint64_t>>(0);
    auto& back = memory.at<std::atomic<std::uint64_t>>(128);
    const auto turns = [&](auto& await, auto& tell, bool asks) {
        std::int64_t start = 0;
        for (std::uint64_t i = 1; i <= warm_of(rounds) + rounds; ++i) {
            if (i == warm_of(rounds) + 1) start = measure::now();
            if (asks) tell.store(i, std::memory_order_release);
            while (await.load(std::memory_order_acquire) != i) measure::idle(options.same_core);
            if (!asks) tell.store(i, std::memory_order_release);
        }
        return static_cast<double>(measure::now() - start) / static_cast<double>(rounds);
    };
    return measure::in_two_processes(
        options, [&] { return turns(back, there, true); }, [&] { turns(there, back, false); });
}

double eventfds(const Options& options, std::uint64_t rounds) {
    const int there = ::eventfd(0, 0), back = ::eventfd(0, 0);
    const auto turns = [&](int await, int tell, bool asks) {
        std::int64_t start = 0;
        std::uint64_t word = 1;
        for (std::uint64_t i = 1; i <= warm_of(rounds) + rounds; ++i) {
            if (i == warm_of(rounds) + 1) start = measure::now();
            word = 1;
            if (asks && ::write(tell, &word, 8) != 8) std::abort();
            if (::read(await, &word, 8) != 8) std::abort();
            word = 1;
            if (!asks && ::write(tell, &word, 8) != 8) std::abort();
        }
        return static_cast<double>(measure::now() - start) / static_cast<double>(rounds);
    };
    const double figure = measure::in_two_processes(
        options, [&] { return turns(back, there, true); }, [&] { turns(there, back, false); });
    ::close(there);
    ::close(back);
    return figure;
}

}  // namespace

int main(int count, char** words) {
    if (count == 7 && std::string(words[1]) == "--end") return run_end(words + 2);
    const Options options = measure::parse(count, words);
    const auto many =
        static_cast<std::uint64_t>((options.same_core ? 20e3 : 500e3) * options.scale);
    const auto few = static_cast<std::uint64_t>((options.same_core ? 20e3 : 5e3) * options.scale);
    measure::Report report("xirq", options);
    const int limit =
        report.add({"bare ping-pong, two lines", "ns", [&] { return bare(options, many); }});
    if (!options.same_core) {
        report.add({"XIRQ, both awake", "ns", [&] { return xirqs(options, many, 30'000, false); },
                    limit, 1.5});
        report.add({"XIRQ, both awake, journal on", "ns",
                    [&] { return xirqs(options, many, 30'000, true); }, limit});
    }
    const int eventfd =
        report.add({"eventfd ping-pong", "ns", [&] { return eventfds(options, few); }});
    const int placed = report.add({"eventfd ping-pong, by the VMs' applications", "ns",
                                   [&] { return xirqs(options, few, kEventfd, false); }});
    const auto asleep = [&] { return xirqs(options, few, 0, false); };
    report.add({"XIRQ, both asleep, against forked processes", "ns", asleep, eventfd});
    report.add({"XIRQ, both asleep, against the same place", "ns", asleep, placed, 1.15});
    return report.run_and_print();
}
