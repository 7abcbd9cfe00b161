/// What performs the requests of a context: the real library's functions, except where the client
/// must not be believed or only the server knows how much there is to say.
#pragma once

#include <array>
#include <cstdint>

extern "C" {
#include "gles2.h"
}

namespace hyplink::vogl {

/// The real library's functions that are wrapped here.
struct Gl {
#define HYPLINK_VOGL_GL(name) decltype(&::name) name = nullptr
    HYPLINK_VOGL_GL(glBindBuffer);
    HYPLINK_VOGL_GL(glBufferData);
    HYPLINK_VOGL_GL(glDeleteBuffers);
    HYPLINK_VOGL_GL(glDisableVertexAttribArray);
    HYPLINK_VOGL_GL(glDrawArrays);
    HYPLINK_VOGL_GL(glDrawElements);
    HYPLINK_VOGL_GL(glEnableVertexAttribArray);
    HYPLINK_VOGL_GL(glGetActiveAttrib);
    HYPLINK_VOGL_GL(glGetActiveUniform);
    HYPLINK_VOGL_GL(glGetAttachedShaders);
    HYPLINK_VOGL_GL(glGetBooleanv);
    HYPLINK_VOGL_GL(glGetBufferParameteriv);
    HYPLINK_VOGL_GL(glGetError);
    HYPLINK_VOGL_GL(glGetFloatv);
    HYPLINK_VOGL_GL(glGetFramebufferAttachmentParameteriv);
    HYPLINK_VOGL_GL(glGetIntegerv);
    HYPLINK_VOGL_GL(glGetProgramInfoLog);
    HYPLINK_VOGL_GL(glGetProgramiv);
    HYPLINK_VOGL_GL(glGetRenderbufferParameteriv);
    HYPLINK_VOGL_GL(glGetShaderInfoLog);
    HYPLINK_VOGL_GL(glGetShaderPrecisionFormat);
    HYPLINK_VOGL_GL(glGetShaderSource);
    HYPLINK_VOGL_GL(glGetShaderiv);
    HYPLINK_VOGL_GL(glGetString);
    HYPLINK_VOGL_GL(glGetTexParameterfv);
    HYPLINK_VOGL_GL(glGetTexParameteriv);
    HYPLINK_VOGL_GL(glGetUniformfv);
    HYPLINK_VOGL_GL(glGetUniformiv);
    HYPLINK_VOGL_GL(glGetVertexAttribPointerv);
    HYPLINK_VOGL_GL(glGetVertexAttribfv);
    HYPLINK_VOGL_GL(glGetVertexAttribiv);
    HYPLINK_VOGL_GL(glPixelStorei);
    HYPLINK_VOGL_GL(glReadPixels);
    HYPLINK_VOGL_GL(glTexImage2D);
    HYPLINK_VOGL_GL(glTexSubImage2D);
    HYPLINK_VOGL_GL(glVertexAttribPointer);
#undef HYPLINK_VOGL_GL
    /// Optional: reading an element buffer back.
    void* (*map_buffer_range)(GLenum, GLintptr, GLsizeiptr, GLbitfield) = nullptr;
    GLboolean (*unmap_buffer)(GLenum) = nullptr;
};

/// The vertex arrays of one context, as far as they decide whether a draw call is safe: an enabled
/// array without a buffer would read this process's memory at an address the client chose.
struct ArrayGuard {
    static constexpr GLuint kArrays = 16;
    std::array<bool, kArrays> enabled{};
    std::array<bool, kArrays> backed{};
    /// Names of the buffers that hold arrays of the client's memory: `names` + index.
    GLuint names = 0xFF000000;
};

/// What `glGetError` says to this thread's client, unless there is an older one.
void note_error(GLenum error);
/// Set by the thread that serves a context.
void set_array_guard(ArrayGuard* guard);

/// The table for `gles2_server_init`: everything by name from `library`, then what is wrapped.
const gles2_api* gl_api(void* library);
/// Fill the table of wrapped functions. The name of one that is missing, or nullptr.
const char* load_gl(void* library, Gl& gl);

}  // namespace hyplink::vogl
