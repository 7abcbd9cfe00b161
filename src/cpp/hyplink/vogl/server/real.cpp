#include "hyplink/vogl/server/real.hpp"

#include <dlfcn.h>

#include <cstdlib>

namespace hyplink::vogl {
namespace {

constexpr const char* kFolders[] = {
#if defined(__x86_64__)
    "/usr/lib/x86_64-linux-gnu/",
#elif defined(__aarch64__)
    "/usr/lib/aarch64-linux-gnu/",
#elif defined(__i386__)
    "/usr/lib/i386-linux-gnu/",
#elif defined(__arm__)
    "/usr/lib/arm-linux-gnueabihf/",
#endif
    "/usr/lib64/", "/usr/lib/", "/usr/local/lib/"};

constexpr EGLenum kSurfaceless = 0x31DD;  // EGL_PLATFORM_SURFACELESS_MESA

void* open_library(const char* variable, const char* name) {
    if (const char* path = std::getenv(variable); path != nullptr)
        return ::dlopen(path, RTLD_NOW | RTLD_LOCAL);
    for (const char* folder : kFolders)
        if (void* found = ::dlopen((std::string(folder) + name).c_str(), RTLD_NOW | RTLD_LOCAL))
            return found;
    return nullptr;
}

template <class Function>
void take(void* library, const char* name, Function& to) {
    to = reinterpret_cast<Function>(::dlsym(library, name));
}

EGLDisplay open_display(const Egl& egl) {
    using PlatformDisplay = EGLDisplay (*)(EGLenum, void*, const EGLint*);
    const auto platform =
        reinterpret_cast<PlatformDisplay>(egl.eglGetProcAddress("eglGetPlatformDisplayEXT"));
    if (platform != nullptr) {
        const EGLDisplay display = platform(kSurfaceless, EGL_DEFAULT_DISPLAY, nullptr);
        if (display != EGL_NO_DISPLAY && egl.eglInitialize(display, nullptr, nullptr))
            return display;
    }
    const EGLDisplay display = egl.eglGetDisplay(EGL_DEFAULT_DISPLAY);
    return egl.eglInitialize(display, nullptr, nullptr) ? display : EGL_NO_DISPLAY;
}

Real open() {
    Real made;
    // A VM has no GPU of its own here; whoever wants another driver says so.
    ::setenv("LIBGL_ALWAYS_SOFTWARE", "1", 0);
    void* const egl = open_library("HYPLINK_VOGL_LIBEGL", "libEGL.so.1");
    void* const gl = open_library("HYPLINK_VOGL_LIBGLESV2", "libGLESv2.so.2");
    if (egl == nullptr || gl == nullptr) {
        const char* why = ::dlerror();
        made.problem = why != nullptr ? why : "no libEGL.so.1 or libGLESv2.so.2";
        return made;
    }
#define HYPLINK_VOGL_TAKE(name) take(egl, #name, made.egl.name)
    HYPLINK_VOGL_TAKE(eglGetDisplay);
    HYPLINK_VOGL_TAKE(eglInitialize);
    HYPLINK_VOGL_TAKE(eglBindAPI);
    HYPLINK_VOGL_TAKE(eglGetError);
    HYPLINK_VOGL_TAKE(eglGetProcAddress);
    HYPLINK_VOGL_TAKE(eglGetConfigs);
    HYPLINK_VOGL_TAKE(eglChooseConfig);
    HYPLINK_VOGL_TAKE(eglGetConfigAttrib);
    HYPLINK_VOGL_TAKE(eglCreatePbufferSurface);
    HYPLINK_VOGL_TAKE(eglDestroySurface);
    HYPLINK_VOGL_TAKE(eglQuerySurface);
    HYPLINK_VOGL_TAKE(eglSurfaceAttrib);
    HYPLINK_VOGL_TAKE(eglCreateContext);
    HYPLINK_VOGL_TAKE(eglDestroyContext);
    HYPLINK_VOGL_TAKE(eglQueryContext);
    HYPLINK_VOGL_TAKE(eglMakeCurrent);
    HYPLINK_VOGL_TAKE(eglSwapBuffers);
    HYPLINK_VOGL_TAKE(eglSwapInterval);
#undef HYPLINK_VOGL_TAKE
    const auto* functions = reinterpret_cast<void* const*>(&made.egl);
    for (std::size_t i = 0; i < sizeof made.egl / sizeof *functions; ++i)
        if (functions[i] == nullptr) made.problem = "this libEGL.so.1 lacks a function of EGL 1.4";
    if (const char* missing = load_gl(gl, made.gl); missing != nullptr)
        made.problem = std::string("this libGLESv2.so.2 lacks ") + missing;
    if (!made.problem.empty()) return made;
    for (const char* name : {"glMapBufferRange", "glMapBufferRangeEXT"})
        if (made.gl.map_buffer_range == nullptr)
            made.gl.map_buffer_range = reinterpret_cast<decltype(made.gl.map_buffer_range)>(
                made.egl.eglGetProcAddress(name));
    for (const char* name : {"glUnmapBuffer", "glUnmapBufferOES"})
        if (made.gl.unmap_buffer == nullptr)
            made.gl.unmap_buffer =
                reinterpret_cast<decltype(made.gl.unmap_buffer)>(made.egl.eglGetProcAddress(name));
    (void)gl_api(gl);
    made.display = open_display(made.egl);
    if (made.display == EGL_NO_DISPLAY) made.problem = "no EGL display without a screen";
    return made;
}

}  // namespace

const Real& real() {
    static const Real only = open();
    return only;
}

}  // namespace hyplink::vogl
