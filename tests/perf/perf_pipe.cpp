// Pipes between applications of two VMs in two processes: streams of 64 KiB writes through a ring
// of 1 MiB, and one byte there and back; against bare rings in shared memory, Unix pipes and
// sockets.

#include <fcntl.h>
#include <sys/socket.h>

#include "hyplink/app/pipe/pipe.hpp"
#include "hyplink/app/pipe/upipe.hpp"
#include "vm_pair.hpp"

namespace {

using namespace hyplink;
using measure::Options;
using measure::Shared;
using measure::Timer;
using measure::transfer;
using measure::warm_of;

constexpr std::size_t kBlock = 65536;
constexpr std::size_t kRing = std::size_t{1} << 20;

/// Read in place what lies there, a word of each line: what a reader without a copy does at least.
std::uint64_t look_at(const std::byte* from, std::size_t bytes) {
    std::uint64_t sum = 0;
    for (std::size_t at = 0; at < bytes; at += 64)
        sum += *reinterpret_cast<const std::uint64_t*>(from + at);
    return sum;
}

double rate(double nanoseconds, std::uint64_t rounds) {
    return static_cast<double>(rounds * kBlock) / nanoseconds;
}

/// One byte there and back.
double unix_turns(int in, int out, bool asks, std::uint64_t rounds) {
    return measure::kernel_turns(in, out, asks, rounds, 1);
}

// --- inside the VMs -----------------------------------------------------------------------------

Result<double> stream(pipe::Pipe& pipe, bool first, std::uint64_t rounds) {
    std::vector<std::byte> block(kBlock, std::byte{7});
    Timer timer;
    for (std::uint64_t i = 0; i < warm_of(rounds) + rounds; ++i) {
        timer.round(i, rounds);
        const std::size_t done = HYPLINK_TRY(first ? pipe.read(block, Deadline::never())
                                                   : pipe.write(block, Deadline::never()));
        if (done != kBlock) return Errc::peer_dead;
    }
    return rate(timer.took(), rounds);
}

Result<double> ping(pipe::Pipe& pipe, bool first, std::uint64_t rounds) {
    std::byte byte{1};
    const std::span one(&byte, 1);
    Timer timer;
    for (std::uint64_t i = 0; i < warm_of(rounds) + rounds; ++i) {
        timer.round(i, rounds);
        if (first) HYPLINK_TRY(pipe.write(one, Deadline::never()));
        if (HYPLINK_TRY(pipe.read(one, Deadline::never())) != 1) return Errc::peer_dead;
        if (!first) HYPLINK_TRY(pipe.write(one, Deadline::never()));
    }
    const double figure = timer.took() / static_cast<double>(rounds);
    if (!first) (void)pipe.read(one, Deadline::never());  // until the other has taken the last
    return figure;
}

Result<double> mapped(pipe::Upipe& pipe, std::uint64_t rounds) {
    const std::vector<std::byte> block(kBlock, std::byte{7});
    std::uint64_t sum = 0;
    Timer timer;
    for (std::uint64_t i = 0; i < warm_of(rounds) + rounds; ++i) {
        timer.round(i, rounds);
        std::byte* const at = pipe.area().data() + pipe.offset();
        if (pipe.reads()) {
            if (HYPLINK_TRY(pipe.available_data(kBlock, Deadline::never())) < kBlock)
                return Errc::peer_dead;
            sum += look_at(at, kBlock);
            HYPLINK_TRY(pipe.notify_read(kBlock));
        } else {
            HYPLINK_TRY(pipe.available_room(kBlock, Deadline::never()));
            std::memcpy(at, block.data(), kBlock);
            HYPLINK_TRY(pipe.notify_write(kBlock));
        }
    }
    const double figure = rate(timer.took(), rounds);
    if (pipe.reads() && sum == 0) return Errc::internal;
    return figure;
}

Result<double> end(const measure::EndOf& end) {
    const bool first = end.first;
    if (end.work == "unix")
        return unix_turns(first ? measure::kBackRead : measure::kThereRead,
                          first ? measure::kThereWrite : measure::kBackWrite, first, end.rounds);
    if (end.work == "mapped") {
        pipe::OpenFlags flags;
        flags.read = first;
        flags.write = !first;
        auto pipe =
            HYPLINK_TRY(pipe::Upipe::open(end.application, "vupipe0", flags, Deadline::never()));
        return mapped(*pipe, end.rounds);
    }
    auto pipe = HYPLINK_TRY(pipe::Pipe::open(end.application, "vbpipe0", {}, Deadline::never()));
    return end.work == "stream" ? stream(*pipe, first, end.rounds) : ping(*pipe, first, end.rounds);
}

double ours(const Options& options, const char* work, std::int64_t spin, std::uint64_t rounds) {
    hyp::BoardSpec board;
    // What is in the ring beside its 16 bytes of indices: 1 MiB.
    const std::string size = std::to_string(kRing + 16);
    board.links = {{"vbpipe", 0, 2, 4, ";" + size, "", 0},
                   {"vbpipe", 0, 4, 2, ";" + size, "", 0},
                   {"vupipe", 1, 2, 4, std::to_string(kRing), "", 0}};
    return measure::in_two_vms(options, board, work, spin, rounds);
}

// --- limits -------------------------------------------------------------------------------------

/// A ring in shared memory and nothing else; the reader copies, or looks at it in place.
double bare_stream(const Options& options, std::uint64_t rounds, bool copies) {
    const Shared memory(4096 + kRing);
    auto& written = memory.at<std::atomic<std::uint64_t>>(0);
    auto& taken = memory.at<std::atomic<std::uint64_t>>(128);
    std::byte* const ring = memory.data() + 4096;
    return measure::in_two_processes(
        options,
        [&] {
            std::vector<std::byte> block(kBlock);
            std::uint64_t sum = 0;
            Timer timer;
            for (std::uint64_t i = 0; i < warm_of(rounds) + rounds; ++i) {
                timer.round(i, rounds);
                while (written.load(std::memory_order_acquire) == i)
                    measure::idle(options.same_core);
                const std::byte* from = ring + i * kBlock % kRing;
                if (copies)
                    std::memcpy(block.data(), from, kBlock);
                else
                    sum += look_at(from, kBlock);
                sum += static_cast<std::uint64_t>(block[i % kBlock]);
                taken.store(i + 1, std::memory_order_release);
            }
            if (sum == 0) std::abort();
            return rate(timer.took(), rounds);
        },
        [&] {
            const std::vector<std::byte> block(kBlock, std::byte{7});
            for (std::uint64_t i = 0; i < warm_of(rounds) + rounds; ++i) {
                while (i - taken.load(std::memory_order_acquire) == kRing / kBlock)
                    measure::idle(options.same_core);
                std::memcpy(ring + i * kBlock % kRing, block.data(), kBlock);
                written.store(i + 1, std::memory_order_release);
            }
        });
}

double kernel_stream(const Options& options, std::uint64_t rounds, int reader, int writer) {
    const auto side = [&](int fd, bool reads) {
        std::vector<std::byte> block(kBlock, std::byte{7});
        Timer timer;
        for (std::uint64_t i = 0; i < warm_of(rounds) + rounds; ++i) {
            timer.round(i, rounds);
            if (!transfer(fd, block.data(), kBlock, reads)) std::abort();
        }
        return rate(timer.took(), rounds);
    };
    const double figure = measure::in_two_processes(
        options, [&] { return side(reader, true); }, [&] { side(writer, false); });
    ::close(reader);
    ::close(writer);
    return figure;
}

double unix_pipe(const Options& options, std::uint64_t rounds) {
    int ends[2];
    if (::pipe(ends) != 0) std::abort();
    ::fcntl(ends[1], F_SETPIPE_SZ, static_cast<int>(kRing));
    return kernel_stream(options, rounds, ends[0], ends[1]);
}

double unix_socket(const Options& options, std::uint64_t rounds) {
    int ends[2];
    if (::socketpair(AF_UNIX, SOCK_STREAM, 0, ends) != 0) std::abort();
    const int bytes = 4 << 20;
    for (const int end : ends)
        for (const int what : {SO_SNDBUF, SO_RCVBUF})
            ::setsockopt(end, SOL_SOCKET, what, &bytes, sizeof bytes);
    return kernel_stream(options, rounds, ends[0], ends[1]);
}

double unix_ping(const Options& options, std::uint64_t rounds) {
    int there[2], back[2];
    if (::pipe(there) != 0 || ::pipe(back) != 0) std::abort();
    const double figure = measure::in_two_processes(
        options, [&] { return unix_turns(back[0], there[1], true, rounds); },
        [&] { unix_turns(there[0], back[1], false, rounds); });
    for (const int fd : {there[0], there[1], back[0], back[1]}) ::close(fd);
    return figure;
}

}  // namespace

int main(int count, char** words) {
    if (measure::is_end(count, words)) return measure::run_end(words, &end);
    const Options options = measure::parse(count, words);
    const auto blocks = static_cast<std::uint64_t>(20e3 * options.scale) + 16;
    const auto many =
        static_cast<std::uint64_t>((options.same_core ? 20e3 : 300e3) * options.scale);
    const auto few = static_cast<std::uint64_t>((options.same_core ? 20e3 : 5e3) * options.scale);
    const std::int64_t spin = options.same_core ? 0 : 30'000;

    measure::Report report("pipe", options);
    const int two = report.add({"bare ring of 1 MiB, two copies, 64 KiB", "GB/s",
                                [&] { return bare_stream(options, blocks, true); }});
    const int pipe = report.add(
        {"Unix pipe of 1 MiB, 64 KiB", "GB/s", [&] { return unix_pipe(options, blocks / 8); }});
    const int socket = report.add({"Unix socket, 4 MiB of buffers, 64 KiB", "GB/s",
                                   [&] { return unix_socket(options, blocks / 8); }});
    double streamed = 0;
    report.add({"vBpipe, against the bare ring", "GB/s",
                [&] { return streamed = ours(options, "stream", spin, blocks); }, two, 0.8});
    report.add({"vBpipe, against the Unix pipe", "GB/s", [&] { return streamed; }, pipe, 5});
    report.add({"vBpipe, against the Unix socket", "GB/s", [&] { return streamed; }, socket, 3});
    const int one = report.add({"bare ring of 1 MiB, one copy", "GB/s",
                                [&] { return bare_stream(options, blocks, false); }});
    report.add({"vUpipe", "GB/s", [&] { return ours(options, "mapped", spin, blocks); }, one, 0.9});
    const int ping = report.add(
        {"Unix pipes, one byte there and back", "ns", [&] { return unix_ping(options, few); }});
    const int placed = report.add({"Unix pipes, by the VMs' applications", "ns",
                                   [&] { return ours(options, "unix", 0, few); }});
    report.add({"vBpipe, one byte, both asleep", "ns",
                [&] { return ours(options, "ping", 0, few); }, placed, 1.15});
    if (!options.same_core)
        report.add({"vBpipe, one byte, both awake", "ns",
                    [&] { return ours(options, "ping", spin, many); }, ping, 0.05});
    return report.run_and_print();
}
