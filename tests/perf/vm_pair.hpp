/// Two applications of two VMs, each in a process of its own, as they are in use: the bench runs
/// the measuring program itself in either VM ("--end WORK SIDE SPIN CORE ROUNDS").
///
///     int main(int count, char** words) {
///         if (measure::is_end(count, words)) return measure::run_end(words, &end);
///         … measure::in_two_vms(options, board, "stream", spin, rounds) …   // what `first`
///         measured
///     }
#pragma once

#include <sys/eventfd.h>

#include "hyplink/app/application.hpp"
#include "hyplink/backend/bench.hpp"
#include "hyplink/backend/socket_link.hpp"
#include "hyplink/sys/real_runtime.hpp"
#include "measure.hpp"

namespace measure {

constexpr std::uint64_t warm_of(std::uint64_t rounds) { return rounds / 10 + 1; }

/// Starts when the warm-up rounds are over.
class Timer {
   public:
    void round(std::uint64_t number, std::uint64_t rounds) {
        if (number == warm_of(rounds)) start_ = now();
    }
    double took() const { return static_cast<double>(now() - start_); }

   private:
    std::int64_t start_ = 0;
};

/// Two pipes of the kernel's that both applications have, for what is to be placed like them.
constexpr int kThereRead = 5, kThereWrite = 6, kBackRead = 7, kBackWrite = 8;
/// And two eventfds.
constexpr int kThereEventfd = 9, kBackEventfd = 10;

struct EndOf {
    std::shared_ptr<hyplink::app::Application> application;
    std::string work;
    bool first = false;  ///< in VM 2; the other is in VM 4
    std::uint64_t rounds = 0;
};

inline bool is_end(int count, char** words) {
    return count == 7 && std::string(words[1]) == "--end";
}

/// `body` returns one figure; that of the first end is the figure.
inline int run_end(char** words, hyplink::Result<double> (*body)(const EndOf&)) {
    using namespace hyplink;
    EndOf end;
    end.work = words[2];
    end.first = std::string(words[3]) == "first";
    end.rounds = static_cast<std::uint64_t>(std::atoll(words[6]));
    pin(end.first || std::string(words[5]) == "1" ? 0 : 1);
    const auto figure = [&]() -> Result<double> {
        auto runtime = std::make_shared<sys::RealRuntime>(std::atoll(words[4]));
        end.application = std::make_shared<app::Application>(*runtime);
        auto way = HYPLINK_TRY(backend::SocketLink::make(sys::Fd(3), *end.application, 0));
        HYPLINK_TRY(end.application->attach(std::move(way), runtime));
        end.application->scope().enable(false);
        return body(end);
    }();
    if (!figure) {
        std::fprintf(stderr, "%s %s: %s\n", words[2], words[3], figure.error().text().c_str());
        return 1;
    }
    if (end.first) std::printf("%.17g\n", *figure);
    return 0;
}

/// Boot VM 2 and 4 of a board, run this program in both, and return what the first says.
inline double in_two_vms(const Options& options, hyplink::hyp::BoardSpec board, const char* work,
                         std::int64_t spin, std::uint64_t rounds) {
    using namespace hyplink;
    board.vms = {{2, "first"}, {4, "second"}};
    char self[4096] = "";
    if (::readlink("/proc/self/exe", self, sizeof self - 1) <= 0) std::abort();
    const std::string program = self;
    backend::BenchOptions how;
    how.kind = backend::BackendKind::process;
    const char* vm = std::getenv("HYPLINK_VM");
    how.vm_program = vm != nullptr ? vm
                                   : program.substr(0, program.rfind("/tests/")) +
                                         "/site/hyplink/bin/hyplink-vm";
    auto bench = backend::Bench::make(board, how);
    if (!bench) std::abort();
    int ends[2];
    int there[2], back[2];
    if (::pipe(ends) != 0 || ::pipe(there) != 0 || ::pipe(back) != 0) std::abort();
    const int bells[2] = {::eventfd(0, 0), ::eventfd(0, 0)};
    const auto start = [&](VmId id, const char* side) {
        backend::Program made;
        made.arguments = {"sh",
                          "-c",
                          "exec \"$0\" \"$@\" >&4",
                          program,
                          "--end",
                          work,
                          side,
                          std::to_string(spin),
                          options.same_core ? "1" : "0",
                          std::to_string(rounds)};
        made.fds = {ends[1], there[0], there[1], back[0], back[1], bells[0], bells[1]};
        Status started = (*bench)->boot(id, (*bench)->runtime().in(20'000'000'000));
        if (started) started = (*bench)->run(id, made);
        if (!started) {
            std::fprintf(stderr, "%s\n", started.error().text().c_str());
            std::exit(1);
        }
    };
    start(2, "first");
    start(4, "second");
    for (const int fd : {ends[1], there[0], there[1], back[0], back[1], bells[0], bells[1]})
        ::close(fd);
    std::string said;
    char piece[64];
    for (ssize_t got = 0;
         said.find('\n') == std::string::npos && (got = ::read(ends[0], piece, sizeof piece)) > 0;)
        said.append(piece, static_cast<std::size_t>(got));
    ::close(ends[0]);
    (*bench)->close();
    return said.empty() ? 0 : std::atof(said.c_str());
}

/// Move exactly so many bytes.
inline bool transfer(int fd, std::byte* block, std::size_t size, bool reads) {
    for (std::size_t done = 0; done < size;) {
        const ssize_t some =
            reads ? ::read(fd, block + done, size - done) : ::write(fd, block + done, size - done);
        if (some <= 0) return false;
        done += static_cast<std::size_t>(some);
    }
    return true;
}

/// `bytes` there and back over two descriptors of the kernel's; nanoseconds a round.
inline double kernel_turns(int in, int out, bool asks, std::uint64_t rounds, std::size_t bytes) {
    std::byte block[8] = {std::byte{1}};
    Timer timer;
    for (std::uint64_t i = 0; i < warm_of(rounds) + rounds; ++i) {
        timer.round(i, rounds);
        if (asks && !transfer(out, block, bytes, false)) std::abort();
        if (!transfer(in, block, bytes, true)) std::abort();
        if (!asks && !transfer(out, block, bytes, false)) std::abort();
    }
    return timer.took() / static_cast<double>(rounds);
}

/// The limit of a call between two that spin: a line there, another one back. Nanoseconds.
inline double bare_turns(const Options& options, std::uint64_t rounds) {
    const Shared memory(4096);
    auto& there = memory.at<std::atomic<std::uint64_t>>(0);
    auto& back = memory.at<std::atomic<std::uint64_t>>(128);
    const auto await = [&](std::atomic<std::uint64_t>& line, std::uint64_t value) {
        while (line.load(std::memory_order_acquire) != value) idle(options.same_core);
    };
    return in_two_processes(
        options,
        [&] {
            Timer timer;
            for (std::uint64_t i = 0; i < warm_of(rounds) + rounds; ++i) {
                timer.round(i, rounds);
                there.store(i + 1, std::memory_order_release);
                await(back, i + 1);
            }
            return timer.took() / static_cast<double>(rounds);
        },
        [&] {
            for (std::uint64_t i = 0; i < warm_of(rounds) + rounds; ++i) {
                await(there, i + 1);
                back.store(i + 1, std::memory_order_release);
            }
        });
}

/// The limit of a call between two that sleep. Nanoseconds.
inline double eventfds(const Options& options, std::uint64_t rounds) {
    const int there = ::eventfd(0, 0);
    const int back = ::eventfd(0, 0);
    const double figure = in_two_processes(
        options, [&] { return kernel_turns(back, there, true, rounds, 8); },
        [&] { kernel_turns(there, back, false, rounds, 8); });
    ::close(there);
    ::close(back);
    return figure;
}

}  // namespace measure
