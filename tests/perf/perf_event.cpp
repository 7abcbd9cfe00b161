// vEvent between applications of two VMs in two processes: a key's packet there and back, against
// bare lines, an eventfd pair and a pipe pair placed alike; and the ring with its state, checks and
// bell against a bare ring of the same events in the same packets.

#include "bare_ring.hpp"
#include "hyplink/app/event/back_end.hpp"
#include "hyplink/app/event/front_end.hpp"
#include "vm_pair.hpp"

namespace {

using namespace hyplink;
using measure::Options;
using measure::Shared;
using measure::Timer;
using measure::warm_of;
using vevent::InputEvent;
using vevent::State;

constexpr std::uint32_t kRing = 1024;
constexpr std::uint32_t kPacket = 3;  // two movements and their report

vevent::Properties device() {
    vevent::Properties made;
    made.allow(EV_KEY, KEY_A);
    made.allow(EV_REL, REL_X);
    made.allow(EV_REL, REL_Y);
    return made;
}

// --- inside the VMs -----------------------------------------------------------------------------

/// Each end has a device that the other reads.
Result<double> end(const measure::EndOf& end) {
    if (end.work == "pipes")
        return measure::kernel_turns(end.first ? measure::kBackRead : measure::kThereRead,
                                     end.first ? measure::kThereWrite : measure::kBackWrite,
                                     end.first, end.rounds, 8);
    const Deadline never = Deadline::never();
    vevent::BackEndOptions mine;
    mine.name = end.first ? "there" : "back";
    mine.properties = device();
    auto out = HYPLINK_TRY(vevent::BackEnd::open(end.application, mine, never));
    auto in = HYPLINK_TRY(vevent::FrontEnd::open(
        end.application, {.name = end.first ? "back" : "there", .node = {}}, never));
    HYPLINK_TRY(in->wait_on(never));
    HYPLINK_TRY(out->wait_front(end.first ? 4 : 2, never));
    const auto say = [&](std::uint64_t i) -> Status {
        HYPLINK_TRY(out->emit(EV_KEY, KEY_A, i % 2 == 0 ? 1 : 0));
        return out->sync();
    };
    const auto hear = [&](std::uint64_t i) -> Status {
        InputEvent events[2];
        for (std::size_t got = 0; got < 2;)
            got += HYPLINK_TRY(in->read(std::span(events).subspan(got), never));
        if (events[0].code != KEY_A || events[0].value != (i % 2 == 0 ? 1 : 0))
            return Error::make(Errc::internal, "vEvent: a wrong event");
        return {};
    };
    Timer timer;
    for (std::uint64_t i = 0; i < warm_of(end.rounds) + end.rounds; ++i) {
        timer.round(i, end.rounds);
        if (end.first) HYPLINK_TRY(say(i));
        HYPLINK_TRY(hear(i));
        if (!end.first) HYPLINK_TRY(say(i));
    }
    const double figure = timer.took() / static_cast<double>(end.rounds);
    // The last packet is read before this end goes: then the other one goes.
    InputEvent rest[8];
    if (!end.first) (void)in->read(rest, never);
    return figure;
}

double ours(const Options& options, const char* work, std::int64_t spin, std::uint64_t rounds) {
    hyp::BoardSpec board;
    board.links = {{"vevent", 0, 2, 4, "there", "", 0}, {"vevent", 0, 4, 2, "back", "", 0}};
    return measure::in_two_vms(options, board, work, spin, rounds);
}

// --- rings --------------------------------------------------------------------------------------

double rate(const Timer& timer, std::uint64_t events) {
    return static_cast<double>(events) * 1e3 / timer.took();  // M/s
}

double the_ring(const Options& options, std::uint64_t rounds) {
    vevent::Hello hello;
    hello.ring = kRing;
    hello.properties = device();
    const std::size_t bytes = vevent::RingMemory(hello).bytes;
    const Shared memory(bytes + 4096);
    const vevent::RingMemory ring(hello, memory.data() + 4096, memory.data());
    auto& bell = memory.at<BellWords>(1024);
    const std::uint64_t all = (warm_of(rounds) + rounds) / kPacket * kPacket;
    return measure::in_two_processes(
        options,
        [&] {
            vevent::Reader reader;
            reader.attach(ring, hello.properties);
            State state(hello.properties);
            InputEvent events[64];
            std::int64_t total = 0;
            Timer timer;
            for (std::uint64_t taken = 0; taken < all;) {
                const std::size_t count = reader.take(events, state);
                if (count == 0) measure::idle(options.same_core);
                for (std::size_t i = 0; i < count; ++i, ++taken) {
                    timer.round(taken, rounds);
                    total += events[i].value;
                }
            }
            if (total != static_cast<std::int64_t>(all / kPacket * 3)) std::abort();
            return rate(timer, all - warm_of(rounds));
        },
        [&] {
            State told(hello.properties);
            vevent::Writer writer;
            writer.attach(ring, told);
            const InputEvent packet[kPacket] = {State::make(EV_REL, REL_X, 1),
                                                State::make(EV_REL, REL_Y, 2),
                                                State::make(EV_SYN, SYN_REPORT, 0)};
            for (std::uint64_t sent = 0; sent < all; sent += kPacket) {
                while (writer.under_way() + kPacket + vevent::RingMemory::kReserve > kRing)
                    measure::idle(options.same_core);
                (void)writer.put(packet, told);
                bell_ring(bell);
            }
        });
}

double bare_ring(const Options& options, std::uint64_t rounds) {
    static constexpr std::int32_t kValues[kPacket] = {1, 2, 0};
    return measure::bare_ring<InputEvent, kRing>(
        options, rounds, kPacket,
        [](InputEvent& at, std::uint64_t number) {
            at = State::make(EV_REL, REL_X, kValues[number % kPacket]);
        },
        [](const InputEvent& at) { return std::int64_t{at.value}; },
        [](std::uint64_t events) { return events / kPacket * 3; });
}

}  // namespace

int main(int count, char** words) {
    if (measure::is_end(count, words)) return measure::run_end(words, &end);
    const Options options = measure::parse(count, words);
    const auto of = [&](double rounds) {
        return static_cast<std::uint64_t>(rounds * (options.same_core ? 0.1 : 1) * options.scale) +
               kPacket;
    };
    const std::uint64_t events = of(6e6), turns = of(300e3), few = of(5e3);
    measure::Report report("event", options);
    const int ring = report.add(
        {"bare ring of input events, by 3", "M/s", [&] { return bare_ring(options, events); }});
    report.add(
        {"vEvent's ring, packets of 3", "M/s", [&] { return the_ring(options, events); }, ring});
    if (!options.same_core) {
        const int bare = report.add({"bare ping-pong, two lines", "ns",
                                     [&] { return measure::bare_turns(options, turns); }});
        report.add({"a key there and back, both awake", "ns",
                    [&] { return ours(options, "event", 30'000, turns); }, bare});
    }
    const int sleeping = report.add(
        {"eventfd pair, there and back", "ns", [&] { return measure::eventfds(options, few); }});
    double slept = 0;
    report.add({"a key there and back, both asleep (no spin)", "ns",
                [&] { return slept = ours(options, "event", 0, few); }, sleeping});
    const int placed = report.add({"pipe pair, by the VMs' applications", "ns",
                                   [&] { return ours(options, "pipes", 0, few); }});
    report.add({"  vEvent against it", "ns", [&] { return slept; }, placed});
    return report.run_and_print();
}
