// An XIRQ there and back between two VMs in two processes, through NKDDI, against bare cache lines
// and eventfds.

#include "hyplink/app/nkddi/vlink_driver.hpp"
#include "vm_pair.hpp"

namespace {

using namespace hyplink;
using measure::Options;
using nkddi::Nkddi;
using nkddi::Window;

/// One end, in its VM: numbers of its own, the handshake, then the rounds. Returns the time of one
/// in ns. Work "eventfd": two eventfds in place of XIRQs, in the very same processes.
Result<double> end(const measure::EndOf& of) {
    const bool asks = of.first;
    const bool eventfd = of.work == "eventfd";
    of.application->scope().enable(of.work == "journal");
    auto nk = HYPLINK_TRY(Nkddi::open(of.application));
    const mem::Ipa link = nk->vlink_lookup("vearlydata", {});
    const XirqNumber to_first = HYPLINK_TRY(nk->pxirq_alloc(link, 0, 2, 1));
    const XirqNumber to_second = HYPLINK_TRY(nk->pxirq_alloc(link, 1, 4, 1));
    const XirqNumber own = asks ? to_first : to_second;
    const XirqNumber theirs = asks ? to_second : to_first;
    const VmId peer = asks ? 4 : 2;
    // A ring that met a sleeper counts twice, so the number of the round says what it is for.
    const mem::Ipa page = HYPLINK_TRY(nk->pmem_alloc(link, 0, 4096));
    const Window memory = HYPLINK_TRY(nk->map(page, 4096));
    auto& mine = *reinterpret_cast<std::atomic<std::uint64_t>*>(memory.data + (asks ? 0 : 128));
    auto& other = *reinterpret_cast<std::atomic<std::uint64_t>*>(memory.data + (asks ? 128 : 0));
    nkddi::VlinkDriver driver(*nk, link, asks ? Role::server : Role::client, {});
    HYPLINK_TRY(nk->attach(own, {}));
    const auto sysconf =
        HYPLINK_TRY(nk->attach(kSysconf, [&](XirqNumber) { (void)driver.step(); }));
    HYPLINK_TRY(driver.step());
    while (!driver.is_up()) HYPLINK_TRY(nk->dispatch(Deadline::never()));
    nk->detach(sysconf);

    const int await_fd = asks ? measure::kBackEventfd : measure::kThereEventfd;
    const int send_fd = asks ? measure::kThereEventfd : measure::kBackEventfd;
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
    measure::Timer timer;
    for (std::uint64_t i = 0; i < measure::warm_of(of.rounds) + of.rounds; ++i) {
        timer.round(i, of.rounds);
        if (asks) HYPLINK_TRY(send(i + 1));
        HYPLINK_TRY(await(i + 1));
        if (!asks) HYPLINK_TRY(send(i + 1));
    }
    const double figure = timer.took() / static_cast<double>(of.rounds);
    if (!asks) {
        // Stay until the asker has taken the last answer: our leaving takes the link down.
        while (nk->state(link, Role::server) == LinkState::on) {
            if (const auto number = nk->next(Deadline::never()); !number) break;
        }
    }
    return figure;
}

double xirqs(const Options& options, std::uint64_t rounds, std::int64_t spin, const char* work) {
    hyp::BoardSpec board;
    board.links = {{"vearlydata", 0, 2, 4, "", "", 0}};
    return measure::in_two_vms(options, board, work, spin, rounds);
}

}  // namespace

int main(int count, char** words) {
    if (measure::is_end(count, words)) return measure::run_end(words, &end);
    const Options options = measure::parse(count, words);
    const auto many =
        static_cast<std::uint64_t>((options.same_core ? 20e3 : 500e3) * options.scale);
    const auto few = static_cast<std::uint64_t>((options.same_core ? 20e3 : 5e3) * options.scale);
    measure::Report report("xirq", options);
    const int limit = report.add(
        {"bare ping-pong, two lines", "ns", [&] { return measure::bare_turns(options, many); }});
    if (!options.same_core) {
        report.add({"XIRQ, both awake", "ns", [&] { return xirqs(options, many, 30'000, "quiet"); },
                    limit, 1.5});
        report.add({"XIRQ, both awake, journal on", "ns",
                    [&] { return xirqs(options, many, 30'000, "journal"); }, limit});
    }
    const int eventfd =
        report.add({"eventfd ping-pong", "ns", [&] { return measure::eventfds(options, few); }});
    const int placed = report.add({"eventfd ping-pong, by the VMs' applications", "ns",
                                   [&] { return xirqs(options, few, 0, "eventfd"); }});
    const auto asleep = [&] { return xirqs(options, few, 0, "quiet"); };
    report.add({"XIRQ, both asleep, against forked processes", "ns", asleep, eventfd});
    report.add({"XIRQ, both asleep, against the same place", "ns", asleep, placed, 1.15});
    return report.run_and_print();
}
