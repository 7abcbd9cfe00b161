#include "hyplink/sys/process.hpp"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstring>

#include "hyplink/sys/call.hpp"

extern char** environ;

namespace hyplink::sys {
namespace {

/// posix_spawn reports by return value; make it look like a system call.
template <class Body>
Status spawn_step(const char* what, Body&& body) {
    if (const int error = body(); error != 0) return system_error(what, error);
    return {};
}

std::string name_of(const std::string& entry) { return entry.substr(0, entry.find('=') + 1); }

}  // namespace

Result<Child> spawn(const SpawnOptions& options) {
    // Move the descriptors out of the way first, so that placing one does not overwrite another.
    std::vector<Fd> moved;
    const int above = 3 + static_cast<int>(options.fds.size()) + 16;
    for (int fd : options.fds)
        moved.emplace_back(HYPLINK_TRY(
            call("fcntl(F_DUPFD_CLOEXEC)", [&] { return ::fcntl(fd, F_DUPFD_CLOEXEC, above); })));

    posix_spawn_file_actions_t actions;
    HYPLINK_TRY(spawn_step("posix_spawn_file_actions_init",
                           [&] { return ::posix_spawn_file_actions_init(&actions); }));
    posix_spawnattr_t attributes;
    ::posix_spawnattr_init(&attributes);
    struct Cleanup {
        posix_spawn_file_actions_t* actions;
        posix_spawnattr_t* attributes;
        ~Cleanup() {
            ::posix_spawn_file_actions_destroy(actions);
            ::posix_spawnattr_destroy(attributes);
        }
    } cleanup{&actions, &attributes};
    for (std::size_t i = 0; i < moved.size(); ++i)
        HYPLINK_TRY(spawn_step("posix_spawn_file_actions_adddup2", [&] {
            return ::posix_spawn_file_actions_adddup2(&actions, moved[i].get(),
                                                      3 + static_cast<int>(i));
        }));
    // Our threads block signals; the child must not inherit that.
    sigset_t none;
    sigemptyset(&none);
    ::posix_spawnattr_setsigmask(&attributes, &none);
    ::posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK);

    std::vector<char*> arguments;
    for (const std::string& argument : options.arguments)
        arguments.push_back(const_cast<char*>(argument.c_str()));
    arguments.push_back(nullptr);
    std::vector<char*> environment;
    for (char** entry = environ; *entry != nullptr; ++entry) {
        bool replaced = false;
        for (const std::string& own : options.environment)
            replaced = replaced || std::strncmp(*entry, own.c_str(), name_of(own).size()) == 0;
        if (!replaced) environment.push_back(*entry);
    }
    for (const std::string& own : options.environment)
        environment.push_back(const_cast<char*>(own.c_str()));
    environment.push_back(nullptr);

    Child child;
    if (const int fault = detail::injected_fault(); fault != 0)
        return system_error("posix_spawn", fault, "(injected)");
    const int error = ::posix_spawnp(&child.pid, arguments[0], &actions, &attributes,
                                     arguments.data(), environment.data());
    if (error != 0) return system_error("posix_spawn", error, options.arguments[0]);
    auto pidfd = call("pidfd_open",
                      [&] { return static_cast<int>(::syscall(SYS_pidfd_open, child.pid, 0)); });
    if (!pidfd) {
        ::kill(child.pid, SIGKILL);
        ::waitpid(child.pid, nullptr, 0);
        return std::move(pidfd).error();
    }
    child.pidfd = Fd(*pidfd);
    return child;
}

void kill_child(const Child& child) {
    if (child.pidfd) ::syscall(SYS_pidfd_send_signal, child.pidfd.get(), SIGKILL, nullptr, 0);
}

int reap(Child& child, bool wait) {
    if (child.pid <= 0) return 0;
    siginfo_t ended{};
    int failed = 0;
    do {
        // By its descriptor: who ignores SIGCHLD may have a stranger under its number by now.
        failed = ::waitid(P_PIDFD, static_cast<id_t>(child.pidfd.get()), &ended,
                          WEXITED | (wait ? 0 : WNOHANG));
    } while (failed != 0 && errno == EINTR);
    if (failed == 0 && ended.si_pid == 0) return -1;
    child.pid = -1;
    child.pidfd.reset();
    if (failed != 0) return 0;
    return ended.si_code == CLD_EXITED ? W_EXITCODE(ended.si_status, 0)
                                       : W_EXITCODE(0, ended.si_status);
}

std::string describe_exit(int status) {
    if (WIFSIGNALED(status)) {
        const char* abbreviation = ::sigabbrev_np(WTERMSIG(status));
        return text("SIG", abbreviation != nullptr ? abbreviation : "?");
    }
    return text("exit status ", WEXITSTATUS(status));
}

Result<LifeLine> make_life_line() {
    int fds[2];
    HYPLINK_TRY(call("pipe2", [&] { return ::pipe2(fds, O_CLOEXEC); }));
    return LifeLine{Fd(fds[0]), Fd(fds[1])};
}

bool wait_lives(const Fd& read, int milliseconds) {
    struct pollfd end{read.get(), 0, 0};
    int found = 0;
    do {
        found = ::poll(&end, 1, milliseconds);
    } while (found < 0 && errno == EINTR);
    return found > 0;
}

void die_with_parent(pid_t parent) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (::getppid() != parent) ::_exit(0);
}

std::size_t raise_fd_limit() {
    struct rlimit limit{};
    if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return 0;
    if (limit.rlim_cur < limit.rlim_max) {
        limit.rlim_cur = limit.rlim_max;
        (void)::setrlimit(RLIMIT_NOFILE, &limit);
    }
    return limit.rlim_cur;
}

}  // namespace hyplink::sys
