#include "hyplink/vogl/server/session.hpp"

#include <cstdio>

#include "hyplink/compat/vidl_umem.h"
#include "hyplink/vogl/server/egl_api.hpp"
#include "hyplink/vogl/server/real.hpp"

namespace hyplink::vogl {

Session::~Session() {
    for (std::thread& channel : channels_) channel.join();
    const Real& gl = real();
    for (const auto& [number, context] : contexts_)
        (void)gl.egl.eglDestroyContext(gl.display, context);
    for (const auto& [number, surface] : surfaces_)
        (void)gl.egl.eglDestroySurface(gl.display, surface);
    (void)vrpqSessionDestroy(session_);
}

int Session::check_hello(const void* info, std::uint32_t size) {
    static constexpr VidlVersion kVersions[] = {GLES2_VERSION, VEGL_VERSION};
    return vidlHelloCheck(info, size, kVersions, 2);
}

void Session::run() {
    for (;;) {
        std::uint32_t context = 0;
        std::uint32_t size = sizeof context;
        VrpqChan chan = nullptr;
        const int error = vrpqChanAccept(session_, &context, &size, &chan);
        if (error == EINTR) continue;
        if (error != 0) return;
        channels_.emplace_back([this, chan, context] { serve(chan, context); });
    }
}

void Session::serve(VrpqChan chan, std::uint32_t context) {
    ChannelThread thread(*this, context);
    gles2_server gl{};
    vegl_server egl{};
    gles2_server_init(&gl, gl_api(nullptr));
    vegl_server_init(&egl, egl_api());
    VrpqClientId client{};
    (void)vrpqClientIdGet(session_, &client);
    gl.base.buffers = vidlUmemServerTable(client.vmId, client.appId);
    VrpqReq* requests[64];
    for (bool good = true; good;) {
        std::uint32_t count = 0;
        const int error = vrpqReceive(chan, requests, 64, &count);
        if (error == EINTR) continue;
        if (error != 0) break;
        for (std::uint32_t i = 0; i < count; ++i) {
            vidlUmemNext(gl.base.buffers);
            const bool is_egl = requests[i]->procId >> 16 == VEGL_GROUP;
            std::int32_t status = is_egl ? vegl_dispatch(&egl, requests[i], nullptr)
                                         : gles2_dispatch(&gl, requests[i], nullptr);
            if (thread.pieces.complete()) status = thread.pieces.run(&gl);
            if (status == VIDL_REJECTED) {
                const VidlReject& why = is_egl ? egl.base.why : gl.base.why;
                std::fprintf(stderr, "vOGL: procedure 0x%x broke rule D%u: %s at %u\n", why.proc,
                             why.rule, why.field, why.offset);
                (void)vrpqChanFail(chan, EBADMSG);
                good = false;
                break;
            }
            if (vrpqReqIsCall(requests[i]) != 0) {
                (void)vrpqCallSetReason(chan, status);
            } else if (status != 0) {
                note_error(status == ENOMEM ? GL_OUT_OF_MEMORY : GL_INVALID_OPERATION);
            }
        }
    }
    vidlUmemTableFree(gl.base.buffers);
    gles2_server_free(&gl);
    vegl_server_free(&egl);
    (void)vrpqChanDestroy(chan);
}

std::uint32_t Session::add(EGLSurface surface) {
    const std::lock_guard guard(mutex_);
    surfaces_[next_] = surface;
    return next_++;
}
std::uint32_t Session::add_context(EGLContext context) {
    const std::lock_guard guard(mutex_);
    contexts_[next_] = context;
    return next_++;
}

namespace {
template <class Map>
auto look(std::mutex& mutex, Map& map, std::uint32_t number, bool take) {
    const std::lock_guard guard(mutex);
    const auto found = map.find(number);
    if (found == map.end()) return typename Map::mapped_type{};
    const auto object = found->second;
    if (take) map.erase(found);
    return object;
}
}  // namespace

EGLSurface Session::surface(std::uint32_t number) { return look(mutex_, surfaces_, number, false); }
EGLContext Session::context(std::uint32_t number) { return look(mutex_, contexts_, number, false); }
EGLSurface Session::take_surface(std::uint32_t number) {
    return look(mutex_, surfaces_, number, true);
}
EGLContext Session::take_context(std::uint32_t number) {
    return look(mutex_, contexts_, number, true);
}

}  // namespace hyplink::vogl
