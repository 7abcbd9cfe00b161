/// The machine's own EGL and OpenGL ES: opened by absolute path, so that a server never finds the
/// client's libraries, whatever its library path says.
#pragma once

#include <EGL/egl.h>

#include <string>

#include "hyplink/vogl/server/gl_api.hpp"

namespace hyplink::vogl {

/// EGL's functions that a server needs, by their own names.
struct Egl {
#define HYPLINK_VOGL_EGL(name) decltype(&::name) name = nullptr
    HYPLINK_VOGL_EGL(eglGetDisplay);
    HYPLINK_VOGL_EGL(eglInitialize);
    HYPLINK_VOGL_EGL(eglBindAPI);
    HYPLINK_VOGL_EGL(eglGetError);
    HYPLINK_VOGL_EGL(eglGetProcAddress);
    HYPLINK_VOGL_EGL(eglGetConfigs);
    HYPLINK_VOGL_EGL(eglChooseConfig);
    HYPLINK_VOGL_EGL(eglGetConfigAttrib);
    HYPLINK_VOGL_EGL(eglCreatePbufferSurface);
    HYPLINK_VOGL_EGL(eglDestroySurface);
    HYPLINK_VOGL_EGL(eglQuerySurface);
    HYPLINK_VOGL_EGL(eglSurfaceAttrib);
    HYPLINK_VOGL_EGL(eglCreateContext);
    HYPLINK_VOGL_EGL(eglDestroyContext);
    HYPLINK_VOGL_EGL(eglQueryContext);
    HYPLINK_VOGL_EGL(eglMakeCurrent);
    HYPLINK_VOGL_EGL(eglSwapBuffers);
    HYPLINK_VOGL_EGL(eglSwapInterval);
#undef HYPLINK_VOGL_EGL
};

/// Opened once for the process; `display` is initialised and every thread binds its API itself.
struct Real {
    Egl egl;
    Gl gl;
    EGLDisplay display = EGL_NO_DISPLAY;
    /// Why it is not usable; empty when it is.
    std::string problem;
};

const Real& real();

}  // namespace hyplink::vogl
