// vMQ, vRPC and vIPC between applications of two VMs in two processes, through their public faces;
// against bare rings and bare ping-pong in shared memory, eventfd pairs, and what users would
// otherwise pick (Boost.Interprocess here; iceoryx, iceoryx2, gRPC and Cap'n Proto where
// `peers/build.sh` has built them).

#include <array>
#include <boost/interprocess/ipc/message_queue.hpp>

#include "bare_ring.hpp"
#include "hyplink/app/ipc/context.hpp"
#include "hyplink/app/ipc/request.hpp"
#include "hyplink/app/rpc/rpc.hpp"
#include "peer_program.hpp"
#include "vm_pair.hpp"

namespace {

using namespace hyplink;
using measure::Options;
using measure::Shared;
using measure::Timer;
using measure::warm_of;

constexpr std::uint32_t kBatch = 32;
constexpr std::uint32_t kSlots = 1024;
constexpr std::size_t kBytes = 64;
constexpr std::uint32_t kInFlight = 32;

void fill(std::byte* at, std::uint64_t value) {
    auto* words = reinterpret_cast<std::uint64_t*>(at);
    for (std::size_t i = 0; i < kBytes / 8; ++i) words[i] = value;
}
std::uint64_t sum(const std::byte* at) {
    const auto* words = reinterpret_cast<const std::uint64_t*>(at);
    std::uint64_t total = 0;
    for (std::size_t i = 0; i < kBytes / 8; ++i) total += words[i];
    return total;
}
/// Of the messages 0 .. count - 1.
std::uint64_t expected(std::uint64_t count) { return count * (count - 1) / 2 * (kBytes / 8); }
double rate(const Timer& timer, std::uint64_t rounds) {
    return static_cast<double>(rounds) * 1e3 / timer.took();  // M/s
}

// --- inside the VMs -----------------------------------------------------------------------------

/// The receiver says how many came in a second.
Result<double> receive(mq::Queue& queue, std::uint64_t rounds) {
    const std::uint64_t all = warm_of(rounds) + rounds;
    std::uint64_t total = 0;
    Timer timer;
    for (std::uint64_t i = 0; i < all; ++i) {
        timer.round(i, rounds);
        const std::uint32_t slot = HYPLINK_TRY(queue.receive(Deadline::never()));
        total += sum(queue.received(slot).data());
        HYPLINK_TRY(queue.free(slot));
    }
    const double figure = rate(timer, rounds);
    if (total != expected(all)) return Error::make(Errc::internal, "vMQ: a message is wrong");
    return figure;
}

Result<double> send(mq::Queue& queue, std::uint64_t rounds) {
    const std::uint64_t all = warm_of(rounds) + rounds;
    for (std::uint64_t i = 0; i < all; ++i) {
        const std::uint32_t slot = HYPLINK_TRY(queue.allocate(Deadline::never()));
        fill(queue.header(slot).data(), i);
        HYPLINK_TRY(queue.send_async(slot));
        if (i % kBatch == kBatch - 1) queue.send_flush();
    }
    queue.send_flush();
    // Until the other end has seen them all and gone.
    while (queue.receive(Deadline::never()).code() != Errc::peer_dead) {
    }
    return 0.0;
}

/// Calls with one word, kInFlight of them at a time; calls a second.
Result<double> call(const std::shared_ptr<mq::Queue>& queue, std::uint64_t rounds) {
    ipc::Context context(queue);
    std::array<ipc::Call, kInFlight> calls;
    const std::uint64_t all = warm_of(rounds) + rounds;
    Timer timer;
    for (std::uint64_t i = 0; i < all + kInFlight; ++i) {
        ipc::Call& one = calls[i % kInFlight];
        timer.round(i, rounds);
        if (i >= kInFlight) {
            HYPLINK_TRY(context.wait(one, Deadline::never()));
            std::uint64_t answer = 0;
            std::memcpy(&answer, one.answer().data(), sizeof answer);
            if (answer != i - kInFlight + 1) return Error::make(Errc::internal, "a wrong answer");
        }
        if (i >= all) continue;
        HYPLINK_TRY(context.begin(one, {}, Deadline::never()));
        std::memcpy(one.params().data(), &i, sizeof i);
        HYPLINK_TRY(context.send_async(one));
    }
    return rate(timer, rounds);
}

Result<double> answer(mq::Queue& queue) {
    for (;;) {
        auto request = ipc::receive(queue, Deadline::never());
        if (request.code() == Errc::peer_dead) return 0.0;
        if (!request) return std::move(request).error();
        std::uint64_t asked = 0;
        std::memcpy(&asked, request->params().data(), sizeof asked);
        ++asked;
        std::memcpy(request->params().data(), &asked, sizeof asked);
        if (Status said = request->reply(); !said && said.code() != Errc::peer_dead)
            return std::move(said).error();
    }
}

Result<double> ask(rpc::Client& client, std::uint64_t rounds) {
    Timer timer;
    for (std::uint64_t i = 0; i < warm_of(rounds) + rounds; ++i) {
        timer.round(i, rounds);
        std::memcpy(client.data(), &i, sizeof i);
        const std::uint32_t size = HYPLINK_TRY(client.call(sizeof i, Deadline::never()));
        std::uint64_t got = 0;
        std::memcpy(&got, client.data(), sizeof got);
        if (size != sizeof got || got != i + 1) return Error::make(Errc::internal, "wrong answer");
    }
    return timer.took() / static_cast<double>(rounds);
}

Result<double> serve(rpc::Server& server, std::uint64_t rounds) {
    for (std::uint64_t i = 0; i < warm_of(rounds) + rounds; ++i) {
        const std::uint32_t size = HYPLINK_TRY(server.receive(Deadline::never()));
        std::uint64_t asked = 0;
        std::memcpy(&asked, server.data(), sizeof asked);
        ++asked;
        std::memcpy(server.data(), &asked, sizeof asked);
        HYPLINK_TRY(server.answer(size));
    }
    // The last answer is taken when the client has gone; then nobody calls any more.
    return server.receive(server.channel()->deadline_in(500'000'000)).code() == Errc::ok ? 1.0
                                                                                         : 0.0;
}

Result<double> end(const measure::EndOf& end) {
    if (end.work == "pipes")
        return measure::kernel_turns(end.first ? measure::kBackRead : measure::kThereRead,
                                     end.first ? measure::kThereWrite : measure::kBackWrite,
                                     end.first, end.rounds, 8);
    if (end.work == "rpc") {
        if (!end.first) {
            auto server = HYPLINK_TRY(
                rpc::Server::open(end.application, {.name = "perf"}, Deadline::never()));
            return serve(*server, end.rounds);
        }
        auto client =
            HYPLINK_TRY(rpc::Client::open(end.application, {.name = "perf"}, Deadline::never()));
        while (!client->served()) ::sched_yield();
        return ask(*client, end.rounds);
    }
    mq::QueueOptions options;
    options.name = "perf";
    options.tx = {end.work == "mq" ? kSlots : 2 * kInFlight, kBytes, 0, 0};
    options.returns = end.work == "ipc" && end.first;
    const std::shared_ptr<mq::Queue> queue =
        HYPLINK_TRY(mq::Queue::open(end.application, options, Deadline::never()));
    HYPLINK_TRY(queue->wait_on(Deadline::never()));
    if (end.work == "mq") return end.first ? receive(*queue, end.rounds) : send(*queue, end.rounds);
    return end.first ? call(queue, end.rounds) : answer(*queue);
}

double ours(const Options& options, const char* work, std::int64_t spin, std::uint64_t rounds) {
    hyp::BoardSpec board;
    board.links = {{"vmq", 0, 2, 4, "perf", "perf", 0}, {"vrpc", 0, 4, 2, "perf", "perf", 0}};
    return measure::in_two_vms(options, board, work, spin, rounds);
}

// --- limits and others --------------------------------------------------------------------------

/// The same messages, the same batches.
double bare_ring(const Options& options, std::uint64_t rounds) {
    using Message = std::array<std::byte, kBytes>;
    return measure::bare_ring<Message, kSlots>(
        options, rounds, kBatch, [](Message& at, std::uint64_t number) { fill(at.data(), number); },
        [](const Message& at) { return sum(at.data()); }, expected);
}

double boost_queue(const Options& options, std::uint64_t rounds) {
    namespace bip = boost::interprocess;
    const std::string name = "hyplink-perf-" + std::to_string(::getpid());
    bip::message_queue::remove(name.c_str());
    bip::message_queue queue(bip::create_only, name.c_str(), kSlots, kBytes);
    bip::message_queue::remove(name.c_str());  // the mapping stays
    const std::uint64_t all = warm_of(rounds) + rounds;
    return measure::in_two_processes(
        options,
        [&] {
            std::byte room[kBytes];
            bip::message_queue::size_type got = 0;
            unsigned priority = 0;
            std::uint64_t total = 0;
            Timer timer;
            for (std::uint64_t i = 0; i < all; ++i) {
                timer.round(i, rounds);
                queue.receive(room, kBytes, got, priority);
                total += sum(room);
            }
            if (total != expected(all)) std::abort();
            return rate(timer, rounds);
        },
        [&] {
            std::byte room[kBytes];
            for (std::uint64_t i = 0; i < all; ++i) {
                fill(room, i);
                queue.send(room, kBytes, 0);
            }
        });
}

}  // namespace

int main(int count, char** words) {
    if (measure::is_end(count, words)) return measure::run_end(words, &end);
    const Options options = measure::parse(count, words);
    const auto of = [&](double rounds) {
        return static_cast<std::uint64_t>(rounds * (options.same_core ? 0.1 : 1) * options.scale) +
               kBatch;
    };
    const std::uint64_t messages = of(4e6), turns = of(300e3), few = of(5e3), calls = of(400e3);
    const std::int64_t spin = options.same_core ? 0 : 30'000;
    const measure::IceoryxDaemon daemon;
    measure::Report report("queues", options);
    const auto peer = [&](const char* name, const char* mode, std::uint64_t rounds) {
        return [=] { return measure::run_peer(name, mode, rounds) / 1e6; };
    };
    const auto present = [&](const char* name, const char* what) {
        const bool there = measure::peer_is_there(name);
        if (!there) report.absent(std::string(what) + " (see tests/perf/peers/build.sh)");
        return there;
    };

    const int ring = report.add(
        {"bare ring, 64 bytes, by 32", "M/s", [&] { return bare_ring(options, messages); }});
    double streamed = 0, called = 0;
    report.add({"vMQ, 64-byte messages, batches of 32", "M/s",
                [&] { return streamed = ours(options, "mq", spin, messages); }, ring, 0.5});
    const int boost = report.add({"Boost.Interprocess message_queue", "M/s",
                                  [&] { return boost_queue(options, messages / 10); }});
    report.add({"  vMQ against it", "M/s", [&] { return streamed; }, boost, 1});
    if (present("iceoryx", "iceoryx") && daemon.ready()) {
        const int it = report.add({"iceoryx publish-subscribe, polling", "M/s",
                                   peer("iceoryx", "stream", messages / 10)});
        report.add({"  vMQ against it", "M/s", [&] { return streamed; }, it, 1});
    }
    if (present("iceoryx2", "iceoryx2")) {
        const int it = report.add({"iceoryx2 publish-subscribe, polling", "M/s",
                                   peer("iceoryx2", "stream", messages / 10)});
        report.add({"  vMQ against it", "M/s", [&] { return streamed; }, it, 1});
    }

    report.add({"vIPC, 32 calls in flight", "M/s",
                [&] { return called = ours(options, "ipc", spin, calls); }});
    if (present("grpc", "gRPC")) {
        const int it = report.add({"gRPC over a Unix socket, 32 calls in flight", "M/s",
                                   peer("grpc", "window", calls / 40)});
        report.add({"  vIPC against it", "M/s", [&] { return called; }, it, 10});
    }
    if (present("capnp", "Cap'n Proto")) {
        const int it = report.add({"Cap'n Proto over a Unix socket, 32 calls in flight", "M/s",
                                   peer("capnp", "window", calls / 20)});
        report.add({"  vIPC against it", "M/s", [&] { return called; }, it, 10});
    }

    if (!options.same_core) {
        const int bare = report.add({"bare ping-pong, two lines", "ns",
                                     [&] { return measure::bare_turns(options, turns); }});
        report.add({"vRPC call, both awake", "ns",
                    [&] { return ours(options, "rpc", spin, turns); }, bare, 2});
    }
    const int sleeping = report.add(
        {"eventfd pair, there and back", "ns", [&] { return measure::eventfds(options, few); }});
    double slept = 0;
    report.add({"vRPC call, both asleep (no spin)", "ns",
                [&] { return slept = ours(options, "rpc", 0, few); }, sleeping, 1.2});
    const int placed = report.add({"pipe pair, by the VMs' applications", "ns",
                                   [&] { return ours(options, "pipes", 0, few); }});
    report.add({"  vRPC against it", "ns", [&] { return slept; }, placed});
    return report.run_and_print();
}
