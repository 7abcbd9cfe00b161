/// What the peers' programs share: `PROGRAM call|stream|window|frame ROUNDS` runs one pass, the
/// other side in a forked process, pinned to a core each, and prints one number: nanoseconds of the
/// median call, requests a second, calls a second with kWindow of them in flight, or
/// nanoseconds of a frame of kFrame bytes that goes there and back.
#pragma once

#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <string>

#include "../measure.hpp"

namespace peer {

constexpr std::uint64_t kWindow = 32;
constexpr std::uint64_t kFrame = 4 << 20;

struct Pass {
    bool call = false;
    bool window = false;
    bool frame = false;
    std::uint64_t rounds = 0;
    std::string path;  ///< of a Unix socket
};

inline Pass parse(int count, char** words) {
    if (count != 3) {
        std::fprintf(stderr, "usage: %s call|stream|window|frame ROUNDS\n", words[0]);
        std::exit(2);
    }
    const std::string mode = words[1];
    return {mode == "call", mode == "window", mode == "frame", std::strtoull(words[2], nullptr, 10),
            "/tmp/hyplink-peer-" + std::to_string(::getpid())};
}

/// Requests a second, all of them from the first to the last.
inline double rate(const Pass& pass, std::int64_t nanoseconds) {
    return static_cast<double>(pass.rounds) * 1e9 / static_cast<double>(nanoseconds);
}

/// Nanoseconds of the median call: whatever interrupts one of them does not count.
template <class Ask>
double calls(const Pass& pass, Ask&& ask) {
    std::vector<double> took;
    took.reserve(pass.rounds);
    for (std::uint64_t i = 0; i < pass.rounds; ++i) {
        const std::int64_t start = measure::now();
        ask(static_cast<std::int32_t>(i));
        took.push_back(static_cast<double>(measure::now() - start));
    }
    return measure::percentile(std::move(took), 0.5);
}

/// Run the client here and the server in another process until the client is done.
template <class Client, class Server>
int run(const Pass& pass, Client&& client, Server&& server) {
    const pid_t parent = ::getpid();
    const pid_t child = ::fork();
    if (child == 0) {
        ::prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (::getppid() != parent) ::_exit(1);
        measure::pin(1);
        server();
        ::_exit(0);
    }
    measure::pin(0);
    std::printf("%.6g\n", client());
    std::fflush(stdout);
    ::kill(child, SIGKILL);
    ::waitpid(child, nullptr, 0);
    ::unlink(pass.path.c_str());
    ::_exit(0);  // not every library likes to be torn down after a fork
}

}  // namespace peer
