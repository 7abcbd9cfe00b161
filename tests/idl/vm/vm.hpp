// What a C++ program of a test begins with inside a VM: its application, and lines to the test.
#pragma once

#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <mutex>

#include <unistd.h>

#include "hyplink/app/rpq/session.hpp"
#include "hyplink/backend/socket_link.hpp"

namespace vm {

inline int said_to = 1;

[[gnu::format(printf, 1, 2)]] inline void say(const char* format, ...) {
    static std::mutex mutex;
    char line[512];
    std::va_list values;
    va_start(values, format);
    const int length = std::vsnprintf(line, sizeof line - 1, format, values);
    va_end(values);
    const auto size = std::min<std::size_t>(static_cast<std::size_t>(length), sizeof line - 2);
    line[size] = '\n';
    std::lock_guard lock(mutex);
    if (::write(said_to, line, size + 1) < 0) std::exit(1);
}

/// The arguments end with "--fd N": where lines go.
inline std::shared_ptr<hyplink::app::Application> enter(int count, char** words) {
    if (count > 2) said_to = std::atoi(words[count - 1]);
    const char* fd = std::getenv("HYPLINK_APP_FD");
    auto application = hyplink::backend::application_from_fd(fd == nullptr ? -1 : std::atoi(fd));
    if (!application.has_value()) {
        say("no application: %s", application.error().text().c_str());
        std::exit(3);
    }
    return *std::move(application);
}

#define EXPECT(...)                                                                   \
    do {                                                                              \
        if (!(__VA_ARGS__)) ::vm::say("not so, line %d: %s", __LINE__, #__VA_ARGS__); \
    } while (false)

}  // namespace vm
