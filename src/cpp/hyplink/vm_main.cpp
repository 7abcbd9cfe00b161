/// hyplink-vm: one VM of a bench on the process backend. Started by the bench, never by hand.
///
///     hyplink-vm serve PARENT             guest kernel; descriptor 3 is the way to the hypervisor,
///     4 the life line, 5 what others lend to it
///     hyplink-vm exec PARENT PROGRAM …    run PROGRAM so that it dies with PARENT
#include <fcntl.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <string_view>

#include "hyplink/backend/vm_process.hpp"

int main(int argc, char** argv) {
    using namespace hyplink;
    const std::string_view command = argc > 2 ? argv[1] : "";
    if (command == "serve" || (command == "exec" && argc > 3))
        sys::die_with_parent(::atoi(argv[2]));
    if (command == "exec" && argc > 3) {
        ::execvp(argv[3], argv + 3);
        std::perror(argv[3]);
        return 127;
    }
    if (command != "serve") {
        std::fputs(
            "hyplink-vm is started by a hyplink bench (hyplink.Bench, `hyplink run`), not by "
            "hand.\n",
            stderr);
        return 2;
    }
    for (int fd : {3, 4, 5}) (void)::fcntl(fd, F_SETFD, FD_CLOEXEC);  // ours, not our applications'
    sys::raise_fd_limit();
    backend::VmProcess vm(sys::Fd(3), sys::Fd(5), argv[0]);
    return vm.run();
}
