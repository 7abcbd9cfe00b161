/// hyplink-vogl: serves OpenGL ES to the other VM of a vogl link, with the machine's own libraries.
///
///     hyplink-vogl [/dev/vrpq-srv-vogl0]
///
/// A program of a VM (environment HYPLINK_APP_FD). It serves any number of clients, a session each,
/// until its VM ends. Prints "ready" when clients may come.
#include <cstdint>
#include <cstdio>
#include <string>
#include <thread>

#include "hyplink/vogl/server/frames.hpp"
#include "hyplink/vogl/server/real.hpp"
#include "hyplink/vogl/server/session.hpp"

int main(int count, char** words) {
    const char* const device = count > 1 ? words[1] : "/dev/vrpq-srv-vogl0";
    if (!hyplink::vogl::real().problem.empty()) {
        std::fprintf(stderr, "hyplink-vogl: %s\n", hyplink::vogl::real().problem.c_str());
        return 3;
    }
    // Pictures travel in memory that this program lends, where the board has a way for it.
    std::string memory = device;
    if (const std::size_t at = memory.find("vrpq-srv-"); at != memory.npos)
        memory.replace(at, 4, "vumem");
    std::thread([memory] { hyplink::vogl::lend_frames(memory); }).detach();
    std::puts("ready");
    std::fflush(stdout);
    for (;;) {
        VrpqSession session = nullptr;
        std::uint8_t hello[480];  // as long as an info can be
        std::uint32_t size = sizeof hello;
        const int error = vrpqSessionAccept(device, hello, &size, &session);
        if (error == EINTR || error == EPIPE) continue;  // the link went down: wait for the next
        if (error != 0) {
            std::fprintf(stderr, "hyplink-vogl: %s: %s\n", device, vrpqErrorText());
            return 1;
        }
        if (const int refused = hyplink::vogl::Session::check_hello(hello, size); refused != 0) {
            std::fprintf(stderr, "hyplink-vogl: a client of another version\n");
            (void)vrpqSessionDestroy(session);
            continue;
        }
        // Its end is the client's; the process's end is the VM's.
        std::thread([session] { hyplink::vogl::Session(session).run(); }).detach();
    }
}
