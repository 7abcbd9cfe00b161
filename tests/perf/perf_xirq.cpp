// An XIRQ there and back between two VMs in two processes, through NKDDI, against bare cache lines
// and eventfds.

#include "xirq_end.hpp"

namespace {

using namespace hyplink;
using measure::Options;

double xirqs(const Options& options, std::uint64_t rounds, std::int64_t spin, const char* work) {
    hyp::BoardSpec board;
    board.links = {{"vearlydata", 0, 2, 4, "", "", 0}};
    return measure::in_two_vms(options, board, work, spin, rounds);
}

}  // namespace

int main(int count, char** words) {
    if (measure::is_end(count, words)) return measure::run_end(words, &measure::xirq_end);
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
