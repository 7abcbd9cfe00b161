/// EGL 1.5 for a client VM: objects here are names of objects at the server.
///
/// There is one display. Windows are not supported: the client VM has no screen. Nothing is
/// destroyed at the server while it is current here, as EGL wants.
#include <EGL/egl.h>
#include <dlfcn.h>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <cstring>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <thread>

#include "hyplink/vogl/client/connection.hpp"

namespace {

using hyplink::vogl::connection;
using hyplink::vogl::GlContext;

struct Context {
    unsigned number = 0;
    VrpqChan chan = nullptr;
    GlContext* gl = nullptr;
    vegl_client egl{};
    bool current = false;
    bool doomed = false;  // destroyed while current

    bool lost() const { return egl.base.error != 0 || hyplink_vogl_lost(gl) != 0; }
    ~Context() {
        if (gl != nullptr) hyplink_vogl_close(gl);
        vegl_client_free(&egl);
        if (chan != nullptr) (void)vrpqChanDestroy(chan);
    }
};

struct Surface {
    unsigned number = 0;
    int current = 0;  // how many threads draw to it or read from it
    bool doomed = false;
};

/// What is current in a thread.
struct Thread {
    EGLint error = EGL_SUCCESS;
    EGLenum api = EGL_OPENGL_ES_API;
    Context* context = nullptr;
    Surface* draw = nullptr;
    Surface* read = nullptr;
};
thread_local Thread here;

struct Display {
    std::mutex mutex;
    bool initialized = false;
    std::set<Context*> contexts;
    std::set<Surface*> surfaces;
};
Display& display() {
    static auto* const only = new Display;
    return *only;
}

/// Remember the error; whether it is none.
EGLBoolean said(unsigned error) {
    here.error = static_cast<EGLint>(error);
    return error == EGL_SUCCESS ? EGL_TRUE : EGL_FALSE;
}
EGLBoolean fine() { return said(EGL_SUCCESS); }

EGLBoolean good_display(EGLDisplay dpy) {
    if (dpy != &display()) return said(EGL_BAD_DISPLAY);
    if (!display().initialized) return said(EGL_NOT_INITIALIZED);
    return EGL_TRUE;
}

// A configuration is its number; pointers to nowhere carry it.
EGLConfig config_of(unsigned number) { return reinterpret_cast<EGLConfig>(std::uintptr_t{number}); }
unsigned number_of(EGLConfig config) {
    return static_cast<unsigned>(reinterpret_cast<std::uintptr_t>(config));
}

template <class Object>
Object* find(const std::set<Object*>& all, void* handle) {
    const auto found = all.find(static_cast<Object*>(handle));
    return found == all.end() || (*found)->doomed ? nullptr : *found;
}

// The display's mutex is held in these two.
void forget(Surface* surface) {
    if (surface->current != 0) {
        surface->doomed = true;
        return;
    }
    (void)connection().ask([&] { return vegl_destroy_surface(surface->number); });
    display().surfaces.erase(surface);
    delete surface;
}
void forget(Context* context) {
    if (context->current) {
        context->doomed = true;
        return;
    }
    const unsigned number = context->number;
    display().contexts.erase(context);
    delete context;  // its channel first: the server's thread lets go of it
    (void)connection().ask([&] { return vegl_destroy_context(number); });
}

/// Ask on the channel of a context of this thread.
template <class Procedure>
unsigned ask(Context& context, Procedure procedure) {
    if (context.lost()) return EGL_CONTEXT_LOST;
    vegl_make_current(&context.egl);
    const unsigned answer = procedure();
    vegl_make_current(nullptr);
    return answer;
}

/// Nothing is current here any more. The display's mutex is held.
void release() {
    Context* const context = here.context;
    if (context == nullptr) return;
    hyplink_vogl_make_current(nullptr);
    (void)ask(*context, [] { return vegl_bind_context(0, 0, 0); });
    context->current = false;
    here.context = nullptr;
    for (Surface** surface : {&here.draw, &here.read}) {
        if (*surface != nullptr && --(*surface)->current == 0 && (*surface)->doomed)
            forget(*surface);
        *surface = nullptr;
    }
    if (context->doomed) forget(context);
}

EGLBoolean configs(EGLDisplay dpy, const EGLint* attributes, bool all, EGLConfig* out, EGLint room,
                   EGLint* count) {
    if (!good_display(dpy)) return EGL_FALSE;
    if (count == nullptr) return said(EGL_BAD_PARAMETER);
    std::uint32_t numbers[512], used = 0, total = 0;
    const std::uint32_t wanted =
        out == nullptr ? 0 : static_cast<std::uint32_t>(std::clamp(room, 0, 512));
    const unsigned error = connection().ask([&] {
        return all ? vegl_all_configs(wanted, numbers, &used, &total)
                   : vegl_choose_config(attributes, wanted, numbers, &used, &total);
    });
    if (error != EGL_SUCCESS) return said(error);
    for (std::uint32_t i = 0; i < used; ++i) out[i] = config_of(numbers[i]);
    *count = static_cast<EGLint>(out == nullptr ? total : used);
    return fine();
}

}  // namespace

extern "C" {

// --- the display

EGLint eglGetError(void) {
    const EGLint error = here.error;
    here.error = EGL_SUCCESS;
    return error;
}

EGLDisplay eglGetDisplay(EGLNativeDisplayType) { return &display(); }
EGLDisplay eglGetPlatformDisplay(EGLenum, void*, const EGLAttrib*) { return &display(); }

EGLBoolean eglInitialize(EGLDisplay dpy, EGLint* major, EGLint* minor) {
    if (dpy != &display()) return said(EGL_BAD_DISPLAY);
    if (!connection().open()) return said(EGL_NOT_INITIALIZED);
    const std::lock_guard guard(display().mutex);
    display().initialized = true;
    if (major != nullptr) *major = 1;
    if (minor != nullptr) *minor = 5;
    return fine();
}

EGLBoolean eglTerminate(EGLDisplay dpy) {
    if (dpy != &display()) return said(EGL_BAD_DISPLAY);
    const std::lock_guard guard(display().mutex);
    for (Context* context : std::set(display().contexts)) forget(context);
    for (Surface* surface : std::set(display().surfaces)) forget(surface);
    display().initialized = false;
    // What is still current somewhere ends with its thread's eglMakeCurrent.
    if (display().contexts.empty()) connection().close();
    return fine();
}

const char* eglQueryString(EGLDisplay dpy, EGLint name) {
    if (dpy == EGL_NO_DISPLAY && name == EGL_EXTENSIONS) {
        fine();
        return "EGL_EXT_client_extensions EGL_EXT_platform_base EGL_MESA_platform_surfaceless";
    }
    if (!good_display(dpy)) return nullptr;
    fine();
    switch (name) {
        case EGL_VENDOR:
            return "hyplink vOGL";
        case EGL_VERSION:
            return "1.5 hyplink vOGL";
        case EGL_CLIENT_APIS:
            return "OpenGL_ES";
        case EGL_EXTENSIONS:
            return "";
        default:
            said(EGL_BAD_PARAMETER);
            return nullptr;
    }
}

EGLBoolean eglBindAPI(EGLenum api) {
    if (api != EGL_OPENGL_ES_API) return said(EGL_BAD_PARAMETER);
    here.api = api;
    return fine();
}
EGLenum eglQueryAPI(void) { return here.api; }

EGLBoolean eglGetConfigs(EGLDisplay dpy, EGLConfig* out, EGLint room, EGLint* count) {
    return configs(dpy, nullptr, true, out, room, count);
}
EGLBoolean eglChooseConfig(EGLDisplay dpy, const EGLint* attributes, EGLConfig* out, EGLint room,
                           EGLint* count) {
    return configs(dpy, attributes, false, out, room, count);
}
EGLBoolean eglGetConfigAttrib(EGLDisplay dpy, EGLConfig config, EGLint attribute, EGLint* value) {
    if (!good_display(dpy)) return EGL_FALSE;
    std::int32_t answer = 0;
    const unsigned error = connection().ask(
        [&] { return vegl_config_attribute(number_of(config), attribute, &answer); });
    if (error == EGL_SUCCESS && value != nullptr) *value = answer;
    return said(error);
}

// --- surfaces

EGLSurface eglCreatePbufferSurface(EGLDisplay dpy, EGLConfig config, const EGLint* attributes) {
    if (!good_display(dpy)) return EGL_NO_SURFACE;
    auto made = std::make_unique<Surface>();
    const unsigned error = connection().ask(
        [&] { return vegl_create_pbuffer(number_of(config), attributes, &made->number); });
    if (!said(error)) return EGL_NO_SURFACE;
    const std::lock_guard guard(display().mutex);
    return *display().surfaces.insert(made.release()).first;
}

EGLBoolean eglDestroySurface(EGLDisplay dpy, EGLSurface handle) {
    if (!good_display(dpy)) return EGL_FALSE;
    const std::lock_guard guard(display().mutex);
    Surface* const surface = find(display().surfaces, handle);
    if (surface == nullptr) return said(EGL_BAD_SURFACE);
    forget(surface);
    return fine();
}

EGLBoolean eglQuerySurface(EGLDisplay dpy, EGLSurface handle, EGLint attribute, EGLint* value) {
    if (!good_display(dpy)) return EGL_FALSE;
    const std::lock_guard guard(display().mutex);
    Surface* const surface = find(display().surfaces, handle);
    if (surface == nullptr) return said(EGL_BAD_SURFACE);
    std::int32_t answer = 0;
    const unsigned error =
        connection().ask([&] { return vegl_query_surface(surface->number, attribute, &answer); });
    if (error == EGL_SUCCESS && value != nullptr) *value = answer;
    return said(error);
}

EGLBoolean eglSurfaceAttrib(EGLDisplay dpy, EGLSurface handle, EGLint attribute, EGLint value) {
    if (!good_display(dpy)) return EGL_FALSE;
    const std::lock_guard guard(display().mutex);
    Surface* const surface = find(display().surfaces, handle);
    if (surface == nullptr) return said(EGL_BAD_SURFACE);
    return said(connection().ask(
        [&] { return vegl_surface_attribute(surface->number, attribute, value); }));
}

// --- contexts

EGLContext eglCreateContext(EGLDisplay dpy, EGLConfig config, EGLContext share,
                            const EGLint* attributes) {
    if (!good_display(dpy)) return EGL_NO_CONTEXT;
    const std::lock_guard guard(display().mutex);
    unsigned shared = 0;
    if (share != EGL_NO_CONTEXT) {
        const Context* const other = find(display().contexts, share);
        if (other == nullptr) return said(EGL_BAD_CONTEXT), EGL_NO_CONTEXT;
        shared = other->number;
    }
    auto made = std::make_unique<Context>();
    const unsigned error = connection().ask(
        [&] { return vegl_create_context(number_of(config), shared, attributes, &made->number); });
    if (!said(error)) return EGL_NO_CONTEXT;
    std::uint64_t port_bytes = 0;
    made->chan = connection().context_channel(made->number, &port_bytes);
    if (made->chan == nullptr) {
        (void)connection().ask([&] { return vegl_destroy_context(made->number); });
        return said(EGL_BAD_ALLOC), EGL_NO_CONTEXT;
    }
    vegl_client_init(&made->egl, made->chan);
    made->gl = hyplink_vogl_open(made->chan, port_bytes, connection().memory());
    return *display().contexts.insert(made.release()).first;
}

EGLBoolean eglDestroyContext(EGLDisplay dpy, EGLContext handle) {
    if (!good_display(dpy)) return EGL_FALSE;
    const std::lock_guard guard(display().mutex);
    Context* const context = find(display().contexts, handle);
    if (context == nullptr) return said(EGL_BAD_CONTEXT);
    forget(context);
    return fine();
}

EGLBoolean eglQueryContext(EGLDisplay dpy, EGLContext handle, EGLint attribute, EGLint* value) {
    if (!good_display(dpy)) return EGL_FALSE;
    const std::lock_guard guard(display().mutex);
    Context* const context = find(display().contexts, handle);
    if (context == nullptr) return said(EGL_BAD_CONTEXT);
    std::int32_t answer = 0;
    const unsigned error =
        connection().ask([&] { return vegl_query_context(context->number, attribute, &answer); });
    if (error == EGL_SUCCESS && value != nullptr) *value = answer;
    return said(error);
}

EGLBoolean eglMakeCurrent(EGLDisplay dpy, EGLSurface draw, EGLSurface read, EGLContext handle) {
    const bool none = handle == EGL_NO_CONTEXT && draw == EGL_NO_SURFACE && read == EGL_NO_SURFACE;
    // A display that was terminated still lets go of what is current.
    if (!(none && dpy == &display()) && !good_display(dpy)) return EGL_FALSE;
    const std::lock_guard guard(display().mutex);
    if (none) {
        release();
        return fine();
    }
    Context* const context = find(display().contexts, handle);
    if (context == nullptr) return said(handle == EGL_NO_CONTEXT ? EGL_BAD_MATCH : EGL_BAD_CONTEXT);
    Surface* const to = find(display().surfaces, draw);
    Surface* const from = find(display().surfaces, read);
    if ((to == nullptr && draw != EGL_NO_SURFACE) || (from == nullptr && read != EGL_NO_SURFACE))
        return said(EGL_BAD_SURFACE);
    if ((to == nullptr) != (from == nullptr)) return said(EGL_BAD_MATCH);
    if (context->current && here.context != context) return said(EGL_BAD_ACCESS);
    if (here.context != context) release();
    const unsigned error = ask(*context, [&] {
        return vegl_bind_context(to == nullptr ? 0 : to->number, from == nullptr ? 0 : from->number,
                                 1);
    });
    if (error != EGL_SUCCESS) return said(error);
    for (Surface* surface : {to, from})
        if (surface != nullptr) ++surface->current;
    for (Surface* surface : {here.draw, here.read})
        if (surface != nullptr && --surface->current == 0 && surface->doomed) forget(surface);
    here.context = context;
    here.draw = to;
    here.read = from;
    context->current = true;
    hyplink_vogl_make_current(context->gl);
    return fine();
}

EGLContext eglGetCurrentContext(void) { return here.context; }
EGLSurface eglGetCurrentSurface(EGLint which) {
    return which == EGL_DRAW ? here.draw : which == EGL_READ ? here.read : nullptr;
}
EGLDisplay eglGetCurrentDisplay(void) {
    return here.context == nullptr ? EGL_NO_DISPLAY : &display();
}

EGLBoolean eglReleaseThread(void) {
    const std::lock_guard guard(display().mutex);
    release();
    here = {};
    return EGL_TRUE;
}

// --- frames

EGLBoolean eglSwapBuffers(EGLDisplay dpy, EGLSurface handle) {
    if (!good_display(dpy)) return EGL_FALSE;
    Surface* surface = nullptr;
    {
        const std::lock_guard guard(display().mutex);
        surface = find(display().surfaces, handle);
    }
    if (surface == nullptr || here.draw != surface) return said(EGL_BAD_SURFACE);
    return said(ask(*here.context, [&] { return vegl_swap_buffers(surface->number); }));
}

EGLBoolean eglSwapInterval(EGLDisplay dpy, EGLint interval) {
    if (!good_display(dpy)) return EGL_FALSE;
    if (here.context == nullptr) return said(EGL_BAD_CONTEXT);
    return said(ask(*here.context, [&] { return vegl_swap_interval(interval); }));
}

EGLBoolean eglWaitGL(void) {
    if (here.context != nullptr) glFinish();
    return fine();
}
EGLBoolean eglWaitClient(void) { return eglWaitGL(); }
EGLBoolean eglWaitNative(EGLint engine) {
    return engine == EGL_CORE_NATIVE_ENGINE ? fine() : said(EGL_BAD_PARAMETER);
}

__eglMustCastToProperFunctionPointerType eglGetProcAddress(const char* name) {
    if (std::strncmp(name, "gl", 2) != 0 && std::strncmp(name, "egl", 3) != 0) return nullptr;
    // gles2_ and hyplink_ names do not begin like that: only what a program may call is found.
    if (std::strncmp(name, "gles2_", 6) == 0) return nullptr;
    return reinterpret_cast<__eglMustCastToProperFunctionPointerType>(::dlsym(RTLD_DEFAULT, name));
}

// --- what needs a screen or another API

EGLSurface eglCreateWindowSurface(EGLDisplay dpy, EGLConfig, EGLNativeWindowType, const EGLint*) {
    if (good_display(dpy)) said(EGL_BAD_NATIVE_WINDOW);
    return EGL_NO_SURFACE;
}
EGLSurface eglCreatePixmapSurface(EGLDisplay dpy, EGLConfig, EGLNativePixmapType, const EGLint*) {
    if (good_display(dpy)) said(EGL_BAD_NATIVE_PIXMAP);
    return EGL_NO_SURFACE;
}
EGLSurface eglCreatePlatformWindowSurface(EGLDisplay dpy, EGLConfig, void*, const EGLAttrib*) {
    if (good_display(dpy)) said(EGL_BAD_NATIVE_WINDOW);
    return EGL_NO_SURFACE;
}
EGLSurface eglCreatePlatformPixmapSurface(EGLDisplay dpy, EGLConfig, void*, const EGLAttrib*) {
    if (good_display(dpy)) said(EGL_BAD_NATIVE_PIXMAP);
    return EGL_NO_SURFACE;
}
EGLSurface eglCreatePbufferFromClientBuffer(EGLDisplay dpy, EGLenum, EGLClientBuffer, EGLConfig,
                                            const EGLint*) {
    if (good_display(dpy)) said(EGL_BAD_PARAMETER);
    return EGL_NO_SURFACE;
}
EGLBoolean eglCopyBuffers(EGLDisplay dpy, EGLSurface, EGLNativePixmapType) {
    return good_display(dpy) && said(EGL_BAD_NATIVE_PIXMAP);
}
EGLBoolean eglBindTexImage(EGLDisplay dpy, EGLSurface, EGLint) {
    return good_display(dpy) && said(EGL_BAD_SURFACE);
}
EGLBoolean eglReleaseTexImage(EGLDisplay dpy, EGLSurface, EGLint) {
    return good_display(dpy) && said(EGL_BAD_SURFACE);
}
EGLSync eglCreateSync(EGLDisplay dpy, EGLenum, const EGLAttrib*) {
    if (good_display(dpy)) said(EGL_BAD_ATTRIBUTE);
    return EGL_NO_SYNC;
}
EGLBoolean eglDestroySync(EGLDisplay dpy, EGLSync) {
    return good_display(dpy) && said(EGL_BAD_PARAMETER);
}
EGLint eglClientWaitSync(EGLDisplay dpy, EGLSync, EGLint, EGLTime) {
    return good_display(dpy) && said(EGL_BAD_PARAMETER);
}
EGLBoolean eglGetSyncAttrib(EGLDisplay dpy, EGLSync, EGLint, EGLAttrib*) {
    return good_display(dpy) && said(EGL_BAD_PARAMETER);
}
EGLBoolean eglWaitSync(EGLDisplay dpy, EGLSync, EGLint) {
    return good_display(dpy) && said(EGL_BAD_PARAMETER);
}
EGLImage eglCreateImage(EGLDisplay dpy, EGLContext, EGLenum, EGLClientBuffer, const EGLAttrib*) {
    if (good_display(dpy)) said(EGL_BAD_PARAMETER);
    return EGL_NO_IMAGE;
}
EGLBoolean eglDestroyImage(EGLDisplay dpy, EGLImage) {
    return good_display(dpy) && said(EGL_BAD_PARAMETER);
}

}  // extern "C"
