/// The program's session with the vOGL server: one control channel, made on first use.
///
///     connection().ask([&] { return vegl_destroy_surface(number); })
///
/// When the server is gone every object of that life is lost; the next eglInitialize begins a new
/// one. Thread rule: any thread.
#pragma once

#include <mutex>

#include "hyplink/vogl/client/context.hpp"

namespace hyplink::vogl {

class Connection {
   public:
    /// Connect unless connected; waits for a server. False: there is no way to one (stderr says
    /// why).
    bool open();
    /// The channels of its contexts end, too.
    void close();

    /// A channel for a context of the server, by its number, with `*port_bytes` for parameters.
    /// NULL: lost.
    VrpqChan context_channel(unsigned number, std::uint64_t* port_bytes);

    /// Where the server lends memory for pictures; null: it has none to lend, or is gone.
    VumemSession memory() {
        const std::lock_guard guard(mutex_);
        return memory_;
    }

    /// Run a vegl procedure on the control channel; its answer is an EGL error.
    template <class Procedure>
    unsigned ask(Procedure procedure) {
        const std::lock_guard guard(mutex_);
        if (session_ == nullptr) return kNotInitialized;
        vegl_make_current(&control_);
        const unsigned answer = procedure();
        vegl_make_current(nullptr);
        return answer;
    }

   private:
    static constexpr unsigned kSuccess = 0x3000;
    static constexpr unsigned kNotInitialized = 0x3001;
    void close_locked();
    void borrow(const char* device);

    std::mutex mutex_;
    VrpqSession session_ = nullptr;
    VumemSession memory_ = nullptr;
    VrpqChan chan_ = nullptr;
    vegl_client control_{};
};

Connection& connection();

}  // namespace hyplink::vogl
