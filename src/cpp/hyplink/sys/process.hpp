/// Child processes: spawned, never forked into; watched through pidfds, so a recycled pid cannot
/// confuse.
#pragma once

#include <sys/types.h>

#include <string>
#include <utility>
#include <vector>

#include "hyplink/base/result.hpp"
#include "hyplink/sys/fd.hpp"

namespace hyplink::sys {

struct Child {
    pid_t pid = -1;
    Fd pidfd;
};

struct SpawnOptions {
    std::vector<std::string> arguments;    ///< [0] is the program
    std::vector<std::string> environment;  ///< "NAME=value" added to ours
    std::vector<int> fds;  ///< become 3, 4, … in the child; all others are closed on exec
};

/// Errors: what the kernel says, with the program's name.
Result<Child> spawn(const SpawnOptions& options);

/// SIGKILL through the pidfd. A child that is gone already is fine.
void kill_child(const Child& child);
/// Collect the exit status. `wait` false: only if it has ended. Returns the wait status, -1 if
/// still running.
int reap(Child& child, bool wait);
/// "exit status 3", "SIGKILL".
std::string describe_exit(int status);

/// A pipe whose write end lives as long as any process that inherited it: `wait_lives` waits for
/// the last.
struct LifeLine {
    Fd read;
    Fd write;
};
Result<LifeLine> make_life_line();
/// Wait until nobody holds the write end any more. False if somebody still does after
/// `milliseconds`.
bool wait_lives(const Fd& read, int milliseconds);

/// Die when the thread that spawned us ends; at once if `parent` is gone already.
void die_with_parent(pid_t parent);

/// Raise the soft limit of open descriptors to the hard one; returns the limit.
std::size_t raise_fd_limit();

}  // namespace hyplink::sys
