/// One client program at the server: its surfaces and contexts by number, and the threads that
/// serve its channels.
///
/// Thread rule: any thread; EGL objects are shared by all channels of the session.
#pragma once

#include <EGL/egl.h>

#include <cstdint>
#include <map>
#include <mutex>
#include <thread>
#include <vector>

extern "C" {
#include "hyplink/compat/vrpq.h"
}

namespace hyplink::vogl {

class Session {
   public:
    explicit Session(VrpqSession session) : session_(session) {}
    ~Session();
    Session(const Session&) = delete;
    Session& operator=(const Session&) = delete;

    /// Whether a client that said this at its session's creation speaks our version: 0 or an errno.
    static int check_hello(const void* info, std::uint32_t size);
    /// Serve its channels until the client leaves.
    void run();

    std::uint32_t add(EGLSurface surface);
    std::uint32_t add_context(EGLContext context);
    /// EGL_NO_SURFACE, EGL_NO_CONTEXT when there is none of that number.
    EGLSurface surface(std::uint32_t number);
    EGLContext context(std::uint32_t number);
    EGLSurface take_surface(std::uint32_t number);
    EGLContext take_context(std::uint32_t number);

   private:
    void serve(VrpqChan chan, std::uint32_t context);

    VrpqSession session_;
    std::mutex mutex_;
    std::uint32_t next_ = 1;
    std::map<std::uint32_t, EGLSurface> surfaces_;
    std::map<std::uint32_t, EGLContext> contexts_;
    std::vector<std::thread> channels_;
};

}  // namespace hyplink::vogl
