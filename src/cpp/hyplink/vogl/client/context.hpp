/// What libEGL and libGLESv2 of a client VM share: a context is a channel, and the arrays that its
/// program keeps in its own memory.
///
/// Thread rule: a context belongs to the thread it is current in, as EGL says.
#pragma once

#include <array>
#include <cstdint>

extern "C" {
#include "gles2.h"
#include "hyplink/compat/vidl_umem.h"
#include "hyplink/compat/vrpq.h"
#include "vegl.h"
}

namespace hyplink::vogl {

/// A hello with the lines of both interfaces, the session's info.
inline constexpr std::uint32_t kHelloBytes = 8 + 2 * 16;
inline constexpr GLuint kArrays = 16;  // GL promises 8; Mesa has 16

/// One vertex array as the program described it.
struct Array {
    bool enabled = false;
    bool in_memory = false;  // of the client: no buffer was bound when it was described
    GLint size = 4;
    GLenum type = GL_FLOAT;
    GLboolean normalized = GL_FALSE;
    GLsizei stride = 0;
    const void* pointer = nullptr;
};

/// Memory of the server in which large blocks and pictures travel; it grows with them.
struct Lent {
    VumemSession session = nullptr;  // null: there is none
    VumemBuffer buffer = nullptr;
    VidlBuffer block{};
    std::uint64_t least = 0;  // bytes, parameters and answer, from which on it is used
    bool busy = false;        // a call in it is under way
};

/// The part of a context that libGLESv2 needs.
struct GlContext {
    gles2_client gl{};
    GLuint array_buffer = 0;
    GLuint element_buffer = 0;
    std::array<Array, kArrays> arrays{};
    /// Of a request that is larger than the port.
    std::uint32_t piece = 0;
    Lent lent;
    /// That something could not travel was said.
    bool complained = false;
};

}  // namespace hyplink::vogl

/// libEGL makes and ends these, libGLESv2 finds the current one. C names: the border between two
/// libraries.
extern "C" {
/// `memory`: where the server lends memory for pictures, or null.
hyplink::vogl::GlContext* hyplink_vogl_open(VrpqChan chan, std::uint64_t port_bytes,
                                            VumemSession memory);
void hyplink_vogl_close(hyplink::vogl::GlContext* context);
void hyplink_vogl_make_current(hyplink::vogl::GlContext* context);
/// The server is gone, or this context broke a rule.
int hyplink_vogl_lost(const hyplink::vogl::GlContext* context);
}
