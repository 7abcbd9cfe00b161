#include "hyplink/vogl/client/connection.hpp"

#include <cstdio>
#include <cstdlib>
#include <string>

namespace hyplink::vogl {
namespace {

/// Parameter bytes of a port: control needs little, a context carries textures and pictures.
constexpr std::uint64_t kControlPort = 64 << 10;
constexpr std::uint64_t kContextPort = 4 << 20;
constexpr std::uint64_t kSmallestPort = 128 << 10;

}  // namespace

Connection& connection() {
    // Never destroyed: programs call EGL from their own exit handlers.
    static auto* const only = new Connection;
    return *only;
}

bool Connection::open() {
    const std::lock_guard guard(mutex_);
    if (session_ != nullptr && control_.base.error == 0) return true;
    close_locked();
    const char* device = std::getenv("HYPLINK_VOGL_DEVICE");
    if (device == nullptr) device = "/dev/vrpq-clt-vogl0";
    // The server refuses a session of another version (EPROTONOSUPPORT, or it closes at once).
    constexpr VidlVersion kVersions[] = {GLES2_VERSION, VEGL_VERSION};
    std::uint8_t hello[kHelloBytes];
    vidlHello(hello, kVersions, 2);
    if (vrpqSessionCreate(device, hello, sizeof hello, &session_) != 0) {
        session_ = nullptr;
        std::fprintf(stderr, "vOGL: %s: %s\n", device, vrpqErrorText());
        return false;
    }
    const std::uint32_t none = 0;
    if (vrpqChanCreateSized(session_, kControlPort, &none, sizeof none, &chan_) != 0) {
        std::fprintf(stderr, "vOGL: %s: %s\n", device, vrpqErrorText());
        chan_ = nullptr;
        close_locked();
        return false;
    }
    vegl_client_init(&control_, chan_);
    borrow(device);
    return true;
}

void Connection::borrow(const char* device) {
    std::uint8_t lent = 0;
    vegl_make_current(&control_);
    const unsigned answer = vegl_frames(&lent);
    vegl_make_current(nullptr);
    std::string name = device;
    const std::size_t at = name.find("vrpq-clt-");
    if (answer != kSuccess || lent == 0 || at == name.npos) return;
    name.replace(at, 4, "vumem");
    if (vumemSessionCreate(name.c_str(), &memory_) != 0) memory_ = nullptr;
}

void Connection::close() {
    const std::lock_guard guard(mutex_);
    close_locked();
}

void Connection::close_locked() {
    if (chan_ != nullptr) {
        vegl_client_free(&control_);
        (void)vrpqChanDestroy(chan_);
    }
    if (memory_ != nullptr) (void)vumemSessionDestroy(memory_);
    memory_ = nullptr;
    if (session_ != nullptr) (void)vrpqSessionDestroy(session_);
    chan_ = nullptr;
    session_ = nullptr;
    control_ = {};
}

VrpqChan Connection::context_channel(unsigned number, std::uint64_t* port_bytes) {
    const std::lock_guard guard(mutex_);
    if (session_ == nullptr) return nullptr;
    VrpqChan chan = nullptr;
    const std::uint32_t info = number;
    // What the board has left decides; what is larger than half a port travels in pieces.
    for (std::uint64_t bytes = kContextPort; bytes >= kSmallestPort; bytes /= 2) {
        *port_bytes = bytes;
        if (vrpqChanCreateSized(session_, bytes, &info, sizeof info, &chan) == 0) return chan;
        if (errno == EPIPE) break;
    }
    return nullptr;
}

}  // namespace hyplink::vogl
