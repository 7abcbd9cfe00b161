// Child processes are known by descriptor: whoever has the number of one that has ended is a
// stranger. memory.md 5, case 18.

#include "hyplink/sys/process.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <string>
#include <utility>
#include <vector>

#include "check.hpp"

using namespace hyplink;

namespace {

sys::Child start(const char* script, std::vector<int> fds = {}) {
    sys::SpawnOptions options;
    options.fds = std::move(fds);
    options.arguments = {"/bin/sh", "-c", script};
    auto child = sys::spawn(options);
    if (!child) throw check::Stop{};
    return *std::move(child);
}

bool has_ended(const sys::Child& child, int milliseconds) {
    struct pollfd end{child.pidfd.get(), POLLIN, 0};
    return ::poll(&end, 1, milliseconds) == 1;
}

/// The next process gets this number if it is free. False: not permitted.
bool next_number(pid_t pid) {
    const int fd = ::open("/proc/sys/kernel/ns_last_pid", O_WRONLY | O_CLOEXEC);
    const std::string last = std::to_string(pid - 1);
    const bool written =
        fd >= 0 && ::write(fd, last.data(), last.size()) == static_cast<ssize_t>(last.size());
    if (fd >= 0) ::close(fd);
    return written;
}

enum Outcome { fine, forbidden, no_reuse, killed, waited_for_stranger, not_killed };

/// As the first process of a namespace of its own, whose children nobody has to collect.
Outcome reuse() {
    ::signal(SIGCHLD, SIG_IGN);
    sys::Child first = start("exit 3");
    const pid_t number = first.pid;
    if (!has_ended(first, 60'000)) return no_reuse;
    if (!next_number(number)) return forbidden;
    int asked[2], answered[2];
    if (::pipe2(asked, O_CLOEXEC) != 0 || ::pipe2(answered, O_CLOEXEC) != 0) return forbidden;
    sys::Child stranger =
        start("read word <&3; echo $word >&4; exec sleep 1000", {asked[0], answered[1]});
    ::close(answered[1]);
    if (stranger.pid != number) return no_reuse;
    sys::kill_child(first);
    if (sys::reap(first, false) == -1) return waited_for_stranger;
    // Who was killed answers nothing.
    char word = 0;
    if (::write(asked[1], "w\n", 2) != 2 || ::read(answered[0], &word, 1) != 1) return killed;
    sys::kill_child(stranger);
    return has_ended(stranger, 60'000) ? fine : not_killed;
}

}  // namespace

CHECK_CASE("how a child ended is told once, by exit status or signal") {
    sys::Child exits = start("exit 3");
    EXPECT_EQ(sys::describe_exit(sys::reap(exits, true)), "exit status 3");
    EXPECT_EQ(sys::reap(exits, true), 0);
    sys::Child waits = start("exec sleep 1000");
    EXPECT_EQ(sys::reap(waits, false), -1);
    sys::kill_child(waits);
    EXPECT_EQ(sys::describe_exit(sys::reap(waits, true)), "SIGKILL");
    sys::kill_child(waits);
}

CHECK_CASE(
    "a stranger that has the number of a child that has ended is neither killed nor collected") {
    if (::unshare(CLONE_NEWPID) != 0 && ::unshare(CLONE_NEWUSER | CLONE_NEWPID) != 0)
        SKIP("no namespace of processes without privileges");
    const pid_t first = ::fork();
    if (first == 0) ::_exit(reuse());
    int status = 0;
    REQUIRE(first > 0 && ::waitpid(first, &status, 0) == first && WIFEXITED(status));
    if (WEXITSTATUS(status) == forbidden) SKIP("ns_last_pid cannot be written here");
    EXPECT_EQ(WEXITSTATUS(status), static_cast<int>(fine));
}
