#include "hyplink/vogl/server/egl_api.hpp"

#include "hyplink/vogl/server/frames.hpp"

#include <algorithm>
#include <vector>

#include "hyplink/vogl/server/real.hpp"

namespace hyplink::vogl {
namespace {

thread_local ChannelThread* here = nullptr;

const Egl& egl() { return real().egl; }
EGLDisplay display() { return real().display; }

std::uint32_t outcome(EGLBoolean good) {
    return good ? EGL_SUCCESS : static_cast<std::uint32_t>(egl().eglGetError());
}

/// All configurations; a client's number is a place in here, from 1.
const std::vector<EGLConfig>& configs() {
    static const std::vector<EGLConfig> all = [] {
        EGLint count = 0;
        (void)egl().eglGetConfigs(display(), nullptr, 0, &count);
        std::vector<EGLConfig> found(static_cast<std::size_t>(std::max(count, 0)));
        (void)egl().eglGetConfigs(display(), found.data(), count, &count);
        return found;
    }();
    return all;
}

EGLConfig config(std::uint32_t number) {
    return number >= 1 && number <= configs().size() ? configs()[number - 1] : nullptr;
}

void tell(const std::vector<EGLConfig>& found, std::uint32_t room, std::uint32_t* numbers,
          std::uint32_t* count, std::uint32_t* total) {
    *total = static_cast<std::uint32_t>(found.size());
    *count = std::min(room, *total);
    for (std::uint32_t i = 0; i < *count; ++i) {
        const auto at = std::find(configs().begin(), configs().end(), found[i]);
        numbers[i] = static_cast<std::uint32_t>(at - configs().begin()) + 1;
    }
}

std::uint32_t choose_config(const std::int32_t* attributes, std::uint32_t room,
                            std::uint32_t* numbers, std::uint32_t* count, std::uint32_t* total) {
    std::vector<EGLConfig> found(configs().size());
    EGLint matching = 0;
    if (!egl().eglChooseConfig(display(), attributes, found.data(),
                               static_cast<EGLint>(found.size()), &matching))
        return outcome(EGL_FALSE);
    found.resize(static_cast<std::size_t>(std::max(matching, 0)));
    tell(found, room, numbers, count, total);
    return EGL_SUCCESS;
}

std::uint32_t all_configs(std::uint32_t room, std::uint32_t* numbers, std::uint32_t* count,
                          std::uint32_t* total) {
    tell(configs(), room, numbers, count, total);
    return EGL_SUCCESS;
}

std::uint32_t config_attribute(std::uint32_t number, std::int32_t attribute, std::int32_t* value) {
    const EGLConfig found = config(number);
    if (found == nullptr) return EGL_BAD_CONFIG;
    return outcome(egl().eglGetConfigAttrib(display(), found, attribute, value));
}

std::uint32_t create_pbuffer(std::uint32_t number, const std::int32_t* attributes,
                             std::uint32_t* surface) {
    const EGLConfig found = config(number);
    if (found == nullptr) return EGL_BAD_CONFIG;
    const EGLSurface made = egl().eglCreatePbufferSurface(display(), found, attributes);
    if (made == EGL_NO_SURFACE) return outcome(EGL_FALSE);
    *surface = here->session.add(made);
    return EGL_SUCCESS;
}

std::uint32_t destroy_surface(std::uint32_t number) {
    const EGLSurface surface = here->session.take_surface(number);
    if (surface == EGL_NO_SURFACE) return EGL_BAD_SURFACE;
    return outcome(egl().eglDestroySurface(display(), surface));
}

std::uint32_t query_surface(std::uint32_t number, std::int32_t attribute, std::int32_t* value) {
    const EGLSurface surface = here->session.surface(number);
    if (surface == EGL_NO_SURFACE) return EGL_BAD_SURFACE;
    return outcome(egl().eglQuerySurface(display(), surface, attribute, value));
}

std::uint32_t surface_attribute(std::uint32_t number, std::int32_t attribute, std::int32_t value) {
    const EGLSurface surface = here->session.surface(number);
    if (surface == EGL_NO_SURFACE) return EGL_BAD_SURFACE;
    return outcome(egl().eglSurfaceAttrib(display(), surface, attribute, value));
}

std::uint32_t create_context(std::uint32_t number, std::uint32_t share,
                             const std::int32_t* attributes, std::uint32_t* context) {
    const EGLConfig found = config(number);
    if (found == nullptr) return EGL_BAD_CONFIG;
    const EGLContext other = share == 0 ? EGL_NO_CONTEXT : here->session.context(share);
    if (share != 0 && other == EGL_NO_CONTEXT) return EGL_BAD_CONTEXT;
    (void)egl().eglBindAPI(EGL_OPENGL_ES_API);
    const EGLContext made = egl().eglCreateContext(display(), found, other, attributes);
    if (made == EGL_NO_CONTEXT) return outcome(EGL_FALSE);
    *context = here->session.add_context(made);
    return EGL_SUCCESS;
}

std::uint32_t destroy_context(std::uint32_t number) {
    const EGLContext context = here->session.take_context(number);
    if (context == EGL_NO_CONTEXT) return EGL_BAD_CONTEXT;
    return outcome(egl().eglDestroyContext(display(), context));
}

std::uint32_t query_context(std::uint32_t number, std::int32_t attribute, std::int32_t* value) {
    const EGLContext context = here->session.context(number);
    if (context == EGL_NO_CONTEXT) return EGL_BAD_CONTEXT;
    return outcome(egl().eglQueryContext(display(), context, attribute, value));
}

std::uint32_t bind_context(std::uint32_t draw, std::uint32_t read, std::uint8_t bind) {
    if (bind == 0) {
        set_array_guard(nullptr);
        return outcome(
            egl().eglMakeCurrent(display(), EGL_NO_SURFACE, EGL_NO_SURFACE, EGL_NO_CONTEXT));
    }
    const EGLContext context = here->session.context(here->context);
    if (context == EGL_NO_CONTEXT) return EGL_BAD_CONTEXT;
    const EGLSurface to = draw == 0 ? EGL_NO_SURFACE : here->session.surface(draw);
    const EGLSurface from = read == 0 ? EGL_NO_SURFACE : here->session.surface(read);
    if ((draw != 0 && to == EGL_NO_SURFACE) || (read != 0 && from == EGL_NO_SURFACE))
        return EGL_BAD_SURFACE;
    const std::uint32_t error = outcome(egl().eglMakeCurrent(display(), to, from, context));
    if (error == EGL_SUCCESS) set_array_guard(&here->arrays);
    return error;
}

std::uint32_t swap_buffers(std::uint32_t number) {
    const EGLSurface surface = here->session.surface(number);
    if (surface == EGL_NO_SURFACE) return EGL_BAD_SURFACE;
    return outcome(egl().eglSwapBuffers(display(), surface));
}

std::uint32_t frames(std::uint8_t* lent) {
    *lent = frames_are_lent() ? 1 : 0;
    return EGL_SUCCESS;
}

std::uint32_t swap_interval(std::int32_t interval) {
    return outcome(egl().eglSwapInterval(display(), interval));
}

}  // namespace

ChannelThread::ChannelThread(Session& owner, std::uint32_t number)
    : session(owner), context(number) {
    here = this;
    set_pieces(&pieces);
    // Contexts that share their objects must not share these.
    arrays.names = 0xFF000000U | ((number & 0xFFFFU) << 8U);
    (void)egl().eglBindAPI(EGL_OPENGL_ES_API);
}

ChannelThread::~ChannelThread() {
    set_array_guard(nullptr);
    (void)egl().eglMakeCurrent(display(), EGL_NO_SURFACE, EGL_NO_SURFACE, EGL_NO_CONTEXT);
    set_pieces(nullptr);
    here = nullptr;
}

const vegl_api* egl_api() {
    static constexpr vegl_api api{
        .vegl_choose_config = choose_config,
        .vegl_all_configs = all_configs,
        .vegl_config_attribute = config_attribute,
        .vegl_create_pbuffer = create_pbuffer,
        .vegl_destroy_surface = destroy_surface,
        .vegl_query_surface = query_surface,
        .vegl_surface_attribute = surface_attribute,
        .vegl_create_context = create_context,
        .vegl_destroy_context = destroy_context,
        .vegl_query_context = query_context,
        .vegl_frames = frames,
        .vegl_bind_context = bind_context,
        .vegl_swap_buffers = swap_buffers,
        .vegl_swap_interval = swap_interval,
    };
    return &api;
}

}  // namespace hyplink::vogl
