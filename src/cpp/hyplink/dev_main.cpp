/// hyplink-dev: shows the `/dev` of each VM of a running bench in a folder, until it is told to
/// end.
///
///     hyplink-dev FOLDER FD        FD: a socket of the starter, see dev/vms.hpp
///
/// It writes "mounted" to the starter when it is. Exit status: 0 ended, 1 failed, 2 usage.
#include <signal.h>
#include <sys/prctl.h>

#include <cstdio>
#include <cstdlib>
#include <thread>

#include "hyplink/dev/mount.hpp"
#include "hyplink/sys/socket.hpp"

int main(int count, char** words) {
    using namespace hyplink;
    const int starter = count == 3 ? std::atoi(words[2]) : -1;
    if (starter < 0) {
        std::fprintf(stderr, "usage: hyplink-dev FOLDER FD (started by `hyplink dev mount`)\n");
        return 2;
    }
    ::prctl(PR_SET_PDEATHSIG, SIGTERM);
    ::signal(SIGPIPE, SIG_IGN);
    sigset_t ends;
    sigemptyset(&ends);
    for (const int number : {SIGINT, SIGTERM, SIGHUP}) sigaddset(&ends, number);
    ::pthread_sigmask(SIG_BLOCK, &ends, nullptr);  // for every thread: one waits for them

    dev::Vms vms{sys::Fd(starter)};
    {
        dev::Mount mount(vms);
        if (const Status status = mount.mount(words[1]); !status) {
            std::fprintf(stderr, "hyplink-dev: %s\n", status.error().text().c_str());
            return 1;
        }
        constexpr char kMounted[] = "mounted";
        (void)sys::send_message(starter, std::as_bytes(std::span(kMounted, sizeof kMounted - 1)),
                                {}, true);
        std::thread ending([&] {
            int number = 0;
            ::sigwait(&ends, &number);
            mount.stop();
        });
        mount.run();
        ::pthread_kill(ending.native_handle(), SIGTERM);  // unmounted by somebody else
        ending.join();
    }
    vms.close();
    return 0;
}
