// A frame handed to another VM and back: a vUmem buffer that both have mapped, and its number
// through vRPC, against an XIRQ there and back between the same two processes, and against
// iceoryx's and iceoryx2's loan and send of as many bytes, polling, where `peers/build.sh` has
// built them. Sizes do not count: nothing of a frame is copied.

#include <cstring>

#include "hyplink/app/rpc/rpc.hpp"
#include "hyplink/app/umem/session.hpp"
#include "peer_program.hpp"
#include "xirq_end.hpp"

namespace {

using namespace hyplink;
using measure::EndOf;
using measure::Options;
using measure::Timer;
using measure::warm_of;

constexpr const char* kSmall = "64 KiB";
constexpr const char* kLarge = "4 MiB";
constexpr const char* kEach = "each timed";

std::uint64_t bytes_of(const std::string& work) {
    return work.find("64 KiB") != std::string::npos ? 64 << 10 : 4 << 20;
}

/// What a producer writes and a consumer looks for: at both ends of the frame.
struct Frame {
    std::byte* data;
    std::uint64_t bytes;
    std::atomic<std::uint64_t>& word(std::uint64_t at) const {
        return *reinterpret_cast<std::atomic<std::uint64_t>*>(data + at);
    }
    void fill(std::uint64_t value) const {
        word(0).store(value, std::memory_order_relaxed);
        word(bytes - 8).store(value, std::memory_order_relaxed);
    }
    bool holds(std::uint64_t value) const {
        return word(0).load(std::memory_order_relaxed) == value &&
               word(bytes - 8).load(std::memory_order_relaxed) == value;
    }
};

// --- a frame there and back ---------------------------------------------------------------------

/// VM 2 lends the frame, fills it each time and says so; VM 4 looks at it and gives it back.
Result<double> produce(const EndOf& of) {
    const std::uint64_t bytes = bytes_of(of.work);
    auto server =
        HYPLINK_TRY(umem::Server::create(of.application, "vumem-srv-vumem0", Deadline::never()));
    const umem::Request request = HYPLINK_TRY(server->receive(Deadline::never()));
    umem::Response response;
    response.buffer = request.buffer;
    response.memory = HYPLINK_TRY(umem::Memory::make(bytes));
    HYPLINK_TRY(server->respond(response));
    const Frame frame{response.memory->data(), bytes};
    auto client =
        HYPLINK_TRY(rpc::Client::open(of.application, {.name = "frames"}, Deadline::never()));
    // As the peers do: what interrupts one round does not count.
    const bool each = of.work.find(kEach) != std::string::npos;
    std::vector<double> took;
    took.reserve(each ? warm_of(of.rounds) + of.rounds : 0);
    Timer timer;
    for (std::uint64_t i = 0; i < warm_of(of.rounds) + of.rounds; ++i) {
        timer.round(i, of.rounds);
        const std::int64_t start = each ? measure::now() : 0;
        frame.fill(i + 1);
        std::uint32_t size = 0;
        while (size == 0) {  // nobody answers as long as nobody serves
            std::memcpy(client->data(), &request.buffer, sizeof request.buffer);
            size = HYPLINK_TRY(client->call(sizeof request.buffer, Deadline::never()));
        }
        if (size != sizeof request.buffer || !frame.holds(i + 2))
            return Error::make(Errc::internal, "a frame came back as it went");
        if (each) took.push_back(static_cast<double>(measure::now() - start));
    }
    if (each) return measure::percentile(std::move(took), 0.5);
    return timer.took() / static_cast<double>(of.rounds);
}

Result<double> consume(const EndOf& of) {
    auto session = HYPLINK_TRY(
        umem::Session::create(of.application, "vumem-clt-vumem0", false, Deadline::never()));
    auto buffer = HYPLINK_TRY(session->alloc("", Deadline::never()));
    const Frame frame{HYPLINK_TRY(buffer->map(Deadline::never())), buffer->bytes()};
    auto server =
        HYPLINK_TRY(rpc::Server::open(of.application, {.name = "frames"}, Deadline::never()));
    for (std::uint64_t i = 0; i < warm_of(of.rounds) + of.rounds; ++i) {
        const std::uint32_t size = HYPLINK_TRY(server->receive(Deadline::never()));
        std::uint32_t number = 0;
        std::memcpy(&number, server->data(), sizeof number);
        if (number != buffer->id() || !frame.holds(i + 1))
            return Error::make(Errc::internal, "not the frame that was sent");
        frame.fill(i + 2);
        HYPLINK_TRY(server->answer(size));
    }
    // The last answer is taken when the producer has gone.
    (void)server->receive(server->channel()->deadline_in(500'000'000));
    return 0.0;
}

Result<double> end(const EndOf& of) {
    if (of.work.find("XIRQ") != std::string::npos) return measure::xirq_end(of);
    return of.first ? produce(of) : consume(of);
}

double rounds_of(const Options& options, const char* work, std::int64_t spin,
                 std::uint64_t rounds) {
    hyp::BoardSpec board;
    board.links = {{"vearlydata", 0, 2, 4, "", "", 0},
                   {"vumem", 0, 2, 4, "vumem-pdev=128K", "vumem-pdev=128K", 0},
                   {"vrpc", 0, 4, 2, "frames,64", "frames", 0}};
    return measure::in_two_vms(options, board, work, spin, rounds);
}

}  // namespace

int main(int count, char** words) {
    if (measure::is_end(count, words)) return measure::run_end(words, &end);
    const Options options = measure::parse(count, words);
    const auto many =
        static_cast<std::uint64_t>((options.same_core ? 20e3 : 300e3) * options.scale);
    const auto few = static_cast<std::uint64_t>((options.same_core ? 20e3 : 5e3) * options.scale);
    measure::Report report("frame", options);
    for (const bool awake : {true, false}) {
        if (awake && options.same_core) continue;
        const std::string how = awake ? "both awake" : "both asleep";
        const auto run = [&, awake](const char* work) {
            return rounds_of(options, work, awake ? 30'000 : 0, awake ? many : few);
        };
        const int xirq = report.add({"XIRQ, " + how, "ns", [run] { return run("XIRQ"); }});
        for (const char* size : {kSmall, kLarge})
            report.add({std::string("a frame of ") + size + ", " + how, "ns",
                        [run, size] { return run(size); }, xirq, 1.2});
    }
    const measure::IceoryxDaemon daemon;
    if (options.same_core) return report.run_and_print();
    for (const std::string name : {"iceoryx", "iceoryx2"}) {
        if (!measure::peer_is_there(name) || (name == "iceoryx" && !daemon.ready())) {
            report.absent(name);
            continue;
        }
        const int theirs = report.add({name + ", 4 MiB loaned and sent, polling", "ns", [=] {
                                           return measure::run_peer(name, "frame", many / 10);
                                       }});
        const std::string work = std::string(kLarge) + ", " + kEach;
        report.add({"a frame of " + work + ", against " + name, "ns",
                    [=] { return rounds_of(options, work.c_str(), 30'000, many); }, theirs, 1.0});
    }
    return report.run_and_print();
}
