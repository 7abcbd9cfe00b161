#include "hyplink/compat/place.hpp"

#include <cstdlib>
#include <mutex>

#include "hyplink/backend/socket_link.hpp"

namespace hyplink::compat {
namespace {

/// Never destroyed: other threads may still wait when the program leaves.
struct Place {
    std::mutex mutex;
    std::shared_ptr<app::Application> application;

    static Place& only() {
        static Place& place = *new Place;
        return place;
    }
    /// Said goodbye, the VM does not count this application as one that died.
    static void leave() {
        std::shared_ptr<app::Application> application;
        {
            const std::lock_guard lock(only().mutex);
            application = only().application;
        }
        if (application) application->close();
    }
};

}  // namespace

Result<std::shared_ptr<app::Application>> application() {
    Place& place = Place::only();
    const std::lock_guard lock(place.mutex);
    if (place.application) return place.application;
    const char* variable = std::getenv("HYPLINK_APP_FD");
    char* end = nullptr;
    const long fd = variable == nullptr ? -1 : std::strtol(variable, &end, 10);
    if (fd < 0 || end == variable || *end != '\0')
        return Error::make(Errc::link_down,
                           "HYPLINK_APP_FD is not set: this program runs inside a VM of a bench");
    ::unsetenv("HYPLINK_APP_FD");  // ours from now on: no second connection can be made of it
    place.application = HYPLINK_TRY(backend::application_from_fd(static_cast<int>(fd)));
    // A C program decides by itself what a signal means: a wait that one ends returns.
    place.application->set_interrupt_check([] { return true; });
    std::atexit(Place::leave);
    return place.application;
}

std::string& last_error() {
    static thread_local std::string text;
    return text;
}

int failed(const Error& error) {
    last_error() = error.text();
    return error.number();
}

int failed(Errc code, const char* text) {
    last_error() = text;
    return static_cast<int>(code);
}

}  // namespace hyplink::compat
