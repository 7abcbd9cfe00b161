/// Others' figures as variants of a report: programs that `peers/build.sh` made, run once a pass.
#pragma once

#include <limits>

#include "measure.hpp"

namespace measure {

/// Where they are, seen from the program that measures: <root>/.build/peers.
inline std::string peers_dir() {
    char self[4096] = "";
    if (::readlink("/proc/self/exe", self, sizeof self - 1) <= 0) std::abort();
    const std::string program = self;
    return program.substr(0, program.rfind("/.build/")) + "/.build/peers";
}

inline bool peer_is_there(const std::string& name) {
    return ::access((peers_dir() + "/peer_" + name).c_str(), X_OK) == 0;
}

/// One pass; no number when it fails or takes more than 10 s, and from then on: it is not tried
/// again.
inline double run_peer(const std::string& name, const char* mode, std::uint64_t rounds) {
    static std::vector<std::string> failed;
    const std::string who = name + " " + mode;
    if (std::find(failed.begin(), failed.end(), who) != failed.end())
        return std::numeric_limits<double>::quiet_NaN();
    const std::string words = "timeout -s KILL 10 " + peers_dir() + "/peer_" + who + " " +
                              std::to_string(rounds) + " 2>/dev/null";
    std::FILE* const said = ::popen(words.c_str(), "r");
    if (said == nullptr) std::abort();
    double figure = 0;
    const bool number = std::fscanf(said, "%lf", &figure) == 1;
    const int status = ::pclose(said);
    if (number && status == 0) return figure;
    std::fprintf(stderr, "peer %s: status %d, not tried again\n", who.c_str(), status);
    failed.push_back(who);
    return std::numeric_limits<double>::quiet_NaN();
}

/// iceoryx's daemon, as long as this lives.
class IceoryxDaemon {
   public:
    IceoryxDaemon() {
        int ends[2];
        if (!peer_is_there("iceoryx") || ::pipe(ends) != 0) return;
        pid_ = ::fork();
        if (pid_ == 0) {
            ::prctl(PR_SET_PDEATHSIG, SIGKILL);
            ::dup2(ends[1], 1);
            ::dup2(ends[1], 2);
            ::close(ends[0]);
            ::execlp("iox-roudi", "iox-roudi", static_cast<char*>(nullptr));
            ::_exit(127);
        }
        ::close(ends[1]);
        std::string said;
        char piece[256];
        for (ssize_t got = 0; !ready_ && (got = ::read(ends[0], piece, sizeof piece)) > 0;) {
            said.append(piece, static_cast<std::size_t>(got));
            ready_ = said.find("ready") != std::string::npos;
        }
        said_ = ends[0];  // open: what it says later must find somebody
    }
    IceoryxDaemon(const IceoryxDaemon&) = delete;
    IceoryxDaemon& operator=(const IceoryxDaemon&) = delete;
    ~IceoryxDaemon() {
        if (pid_ <= 0) return;
        ::kill(pid_, SIGKILL);
        ::waitpid(pid_, nullptr, 0);
        ::close(said_);
    }
    bool ready() const { return ready_; }

   private:
    pid_t pid_ = -1;
    int said_ = -1;
    bool ready_ = false;
};

}  // namespace measure
