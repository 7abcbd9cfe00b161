#include "hyplink/vogl/server/gl_api.hpp"

#include <dlfcn.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <string>
#include <utility>

#include "hyplink/vogl/server/pieces.hpp"
#include "hyplink/vogl/server/real.hpp"

namespace hyplink::vogl {
namespace {

thread_local ArrayGuard* guard = nullptr;

const Gl& gl() { return real().gl; }

GLint integer(GLenum name) {
    GLint value = 0;
    gl().glGetIntegerv(name, &value);
    return value;
}

// --- answers whose size only GL knows
/// The error that GL was asked for on our own account; the client hears it first.
thread_local GLenum kept_error = GL_NO_ERROR;

GLenum keep_error() {
    const GLenum error = gl().glGetError();
    if (kept_error == GL_NO_ERROR) kept_error = error;
    return error;
}
GLenum get_error() {
    if (kept_error == GL_NO_ERROR) return gl().glGetError();
    // GL, too, keeps only the first of several.
    (void)gl().glGetError();
    return std::exchange(kept_error, GLenum{GL_NO_ERROR});
}

/// Call twice with different rubbish in the room: what differs from both was written. So an error,
/// which writes nothing, answers with nothing, and the client's memory stays as it was.
template <class T, class Call>
void reply(T* out, std::uint32_t* count, Call call) {
    constexpr std::size_t kRoom = 1024;  // more than any list of formats has
    T rooms[2][kRoom];
    std::memset(rooms[0], 0x5A, sizeof rooms[0]);
    std::memset(rooms[1], 0xA5, sizeof rooms[1]);
    T before[2] = {rooms[0][0], rooms[1][0]};
    for (auto& room : rooms) call(room);
    std::uint32_t written = *count;
    while (written > 0 && std::memcmp(&rooms[0][written - 1], &before[0], sizeof(T)) == 0 &&
           std::memcmp(&rooms[1][written - 1], &before[1], sizeof(T)) == 0)
        --written;
    std::copy_n(rooms[1], written, out);
    *count = written;
}

void get_booleans(GLenum name, GLboolean* data, std::uint32_t* count) {
    reply(data, count, [&](GLboolean* to) { gl().glGetBooleanv(name, to); });
}
void get_floats(GLenum name, GLfloat* data, std::uint32_t* count) {
    reply(data, count, [&](GLfloat* to) { gl().glGetFloatv(name, to); });
}
void get_integers(GLenum name, GLint* data, std::uint32_t* count) {
    reply(data, count, [&](GLint* to) { gl().glGetIntegerv(name, to); });
}
void get_buffer(GLenum target, GLenum name, GLint* data, std::uint32_t* count) {
    reply(data, count, [&](GLint* to) { gl().glGetBufferParameteriv(target, name, to); });
}
void get_attachment(GLenum target, GLenum where, GLenum name, GLint* data, std::uint32_t* count) {
    reply(data, count,
          [&](GLint* to) { gl().glGetFramebufferAttachmentParameteriv(target, where, name, to); });
}
void get_renderbuffer(GLenum target, GLenum name, GLint* data, std::uint32_t* count) {
    reply(data, count, [&](GLint* to) { gl().glGetRenderbufferParameteriv(target, name, to); });
}
void get_program(GLuint program, GLenum name, GLint* data, std::uint32_t* count) {
    reply(data, count, [&](GLint* to) { gl().glGetProgramiv(program, name, to); });
}
void get_shader(GLuint shader, GLenum name, GLint* data, std::uint32_t* count) {
    reply(data, count, [&](GLint* to) { gl().glGetShaderiv(shader, name, to); });
}
void get_texture_floats(GLenum target, GLenum name, GLfloat* data, std::uint32_t* count) {
    reply(data, count, [&](GLfloat* to) { gl().glGetTexParameterfv(target, name, to); });
}
void get_texture_integers(GLenum target, GLenum name, GLint* data, std::uint32_t* count) {
    reply(data, count, [&](GLint* to) { gl().glGetTexParameteriv(target, name, to); });
}
void get_uniform_floats(GLuint program, GLint at, GLfloat* data, std::uint32_t* count) {
    reply(data, count, [&](GLfloat* to) { gl().glGetUniformfv(program, at, to); });
}
void get_uniform_integers(GLuint program, GLint at, GLint* data, std::uint32_t* count) {
    reply(data, count, [&](GLint* to) { gl().glGetUniformiv(program, at, to); });
}
void get_attribute_floats(GLuint index, GLenum name, GLfloat* data, std::uint32_t* count) {
    reply(data, count, [&](GLfloat* to) { gl().glGetVertexAttribfv(index, name, to); });
}
void get_attribute_integers(GLuint index, GLenum name, GLint* data, std::uint32_t* count) {
    reply(data, count, [&](GLint* to) { gl().glGetVertexAttribiv(index, name, to); });
    // The buffers behind arrays of client memory are ours.
    if (name == GL_VERTEX_ATTRIB_ARRAY_BUFFER_BINDING && *count != 0 && guard != nullptr &&
        static_cast<GLuint>(*data) - guard->names < ArrayGuard::kArrays)
        *data = 0;
}

// --- texts: the room is what the interface allows, not what the client says

constexpr GLsizei kText = 16 << 20;
constexpr GLsizei kList = 1 << 20;

/// An error writes nothing: then the answer is a refusal, and the client's memory stays as it was.
template <class Call>
void or_nothing(Call call) {
    (void)keep_error();  // an older one is not this call's
    call();
    if (keep_error() != GL_NO_ERROR) gles2_fail(EIO);
}

void active_attribute(GLuint program, GLuint index, GLsizei room, GLsizei* length, GLint* size,
                      GLenum* type, GLchar* name) {
    or_nothing([&] {
        gl().glGetActiveAttrib(program, index, std::min(room, kText), length, size, type, name);
    });
}
void active_uniform(GLuint program, GLuint index, GLsizei room, GLsizei* length, GLint* size,
                    GLenum* type, GLchar* name) {
    or_nothing([&] {
        gl().glGetActiveUniform(program, index, std::min(room, kText), length, size, type, name);
    });
}
void attached_shaders(GLuint program, GLsizei room, GLsizei* count, GLuint* shaders) {
    or_nothing([&] { gl().glGetAttachedShaders(program, std::min(room, kList), count, shaders); });
}
void program_log(GLuint program, GLsizei room, GLsizei* length, GLchar* text) {
    or_nothing([&] { gl().glGetProgramInfoLog(program, std::min(room, kText), length, text); });
}
void shader_log(GLuint shader, GLsizei room, GLsizei* length, GLchar* text) {
    or_nothing([&] { gl().glGetShaderInfoLog(shader, std::min(room, kText), length, text); });
}
void shader_source(GLuint shader, GLsizei room, GLsizei* length, GLchar* text) {
    or_nothing([&] { gl().glGetShaderSource(shader, std::min(room, kText), length, text); });
}
void precision_format(GLenum shader, GLenum precision, GLint* range, GLint* bits) {
    or_nothing([&] { gl().glGetShaderPrecisionFormat(shader, precision, range, bits); });
}

/// Only what works without procedures and formats that the interface lacks.
constexpr const char* kExtensions[] = {"GL_OES_depth24",
                                       "GL_OES_element_index_uint",
                                       "GL_OES_fbo_render_mipmap",
                                       "GL_OES_rgb8_rgba8",
                                       "GL_OES_standard_derivatives",
                                       "GL_OES_texture_npot",
                                       "GL_OES_packed_depth_stencil",
                                       "GL_EXT_texture_filter_anisotropic",
                                       "GL_EXT_frag_depth"};

const GLubyte* string(GLenum name) {
    static thread_local std::string text;
    const GLubyte* const said = gl().glGetString(name);
    if (said == nullptr) {
        gles2_fail(EIO);  // not an answer to remember: the next question is an error again
        return nullptr;
    }
    const std::string whole = reinterpret_cast<const char*>(said);
    if (name == GL_VERSION) {
        // Mesa's context can do more; this interface is 2.0.
        const std::size_t driver = whole.find(' ', sizeof "OpenGL ES " - 1);
        text = "OpenGL ES 2.0" + (driver == std::string::npos ? "" : whole.substr(driver));
    } else if (name == GL_SHADING_LANGUAGE_VERSION) {
        text = "OpenGL ES GLSL ES 1.00";
    } else if (name == GL_EXTENSIONS) {
        text.clear();
        for (const char* extension : kExtensions)
            if ((whole + ' ').find(std::string(extension) + ' ') != std::string::npos)
                text += (text.empty() ? "" : " ") + std::string(extension);
    } else {
        text = whole;
    }
    return reinterpret_cast<const GLubyte*>(text.c_str());
}

// --- pictures

constexpr GLsizei kEdge = 32768;  // MAX_EDGE of the interface

/// Whether the interface can size this pair; the driver may know more of them.
bool sized(GLenum format, GLenum type) {
    switch (format) {
        case GL_ALPHA:
        case GL_LUMINANCE:
        case GL_LUMINANCE_ALPHA:
        case GL_DEPTH_COMPONENT:
        case GL_RGB:
        case GL_RGBA:
            break;
        default:
            return false;
    }
    switch (type) {
        case GL_BYTE:
        case GL_UNSIGNED_BYTE:
        case GL_SHORT:
        case GL_UNSIGNED_SHORT:
        case GL_INT:
        case GL_UNSIGNED_INT:
        case GL_FLOAT:
        case GL_UNSIGNED_SHORT_4_4_4_4:
        case GL_UNSIGNED_SHORT_5_5_5_1:
        case GL_UNSIGNED_SHORT_5_6_5:
            return true;
        default:
            return false;
    }
}

/// A picture that nobody measured is looked at by GL for its errors only.
void measure(GLsizei& width, GLsizei& height, GLenum format, GLenum type, const void*& pixels) {
    if (!sized(format, type)) width = height = 0;
    if (width <= 0 || height <= 0 || width > kEdge || height > kEdge) pixels = nullptr;
}

void texture(GLenum target, GLint level, GLint internal, GLsizei width, GLsizei height,
             GLint border, GLenum format, GLenum type, const void* pixels) {
    measure(width, height, format, type, pixels);
    gl().glTexImage2D(target, level, internal, width, height, border, format, type, pixels);
}
void texture_part(GLenum target, GLint level, GLint x, GLint y, GLsizei width, GLsizei height,
                  GLenum format, GLenum type, const void* pixels) {
    measure(width, height, format, type, pixels);
    gl().glTexSubImage2D(target, level, x, y, width, height, format, type, pixels);
}
void read_pixels(GLint x, GLint y, GLsizei width, GLsizei height, GLenum format, GLenum type,
                 void* pixels) {
    const void* to = pixels;
    measure(width, height, format, type, to);
    if (to == nullptr && width > 0 && height > 0) width = height = 0;
    or_nothing([&] {
        gl().glReadPixels(x, y, width, height, format, type, to == nullptr ? nullptr : pixels);
    });
}

/// Row lengths and skips of later versions would make GL read beyond what was measured.
void pixel_store(GLenum name, GLint value) {
    const bool known = name == GL_PACK_ALIGNMENT || name == GL_UNPACK_ALIGNMENT;
    gl().glPixelStorei(known ? name : 0, value);
}

// --- buffers and arrays

/// Targets of later versions would turn pointers into offsets.
void bind_buffer(GLenum target, GLuint buffer) {
    const bool known = target == GL_ARRAY_BUFFER || target == GL_ELEMENT_ARRAY_BUFFER;
    gl().glBindBuffer(known ? target : 0, buffer);
}

void delete_buffers(GLsizei n, const GLuint* buffers) {
    gl().glDeleteBuffers(n, buffers);
    if (guard == nullptr) return;
    for (GLuint index = 0; index < ArrayGuard::kArrays; ++index) {
        GLint buffer = 0;
        gl().glGetVertexAttribiv(index, GL_VERTEX_ATTRIB_ARRAY_BUFFER_BINDING, &buffer);
        guard->backed[index] = buffer != 0;
    }
}

void enable_array(GLuint index) {
    if (guard != nullptr && index < ArrayGuard::kArrays) guard->enabled[index] = true;
    gl().glEnableVertexAttribArray(index);
}
void disable_array(GLuint index) {
    if (guard != nullptr && index < ArrayGuard::kArrays) guard->enabled[index] = false;
    gl().glDisableVertexAttribArray(index);
}

void array_pointer(GLuint index, GLint size, GLenum type, GLboolean normalized, GLsizei stride,
                   const void* pointer) {
    const bool buffer = integer(GL_ARRAY_BUFFER_BINDING) != 0;
    gl().glVertexAttribPointer(index, size, type, normalized, stride, buffer ? pointer : nullptr);
    if (guard == nullptr || index >= ArrayGuard::kArrays) return;
    // Not what was asked for: GL may have refused it and kept the array it had.
    GLint bound = 0;
    gl().glGetVertexAttribiv(index, GL_VERTEX_ATTRIB_ARRAY_BUFFER_BINDING, &bound);
    guard->backed[index] = bound != 0;
}

/// An array of the client's memory lives in a buffer of ours until the next one.
void array_data(GLuint index, GLint size, GLenum type, GLboolean normalized, GLsizei stride,
                std::uint32_t bytes, const void* data) {
    if (guard == nullptr || index >= ArrayGuard::kArrays) return;
    const GLint before = integer(GL_ARRAY_BUFFER_BINDING);
    gl().glBindBuffer(GL_ARRAY_BUFFER, guard->names + index);
    gl().glBufferData(GL_ARRAY_BUFFER, static_cast<GLsizeiptr>(bytes), data, GL_STREAM_DRAW);
    gl().glVertexAttribPointer(index, size, type, normalized, stride, nullptr);
    gl().glBindBuffer(GL_ARRAY_BUFFER, static_cast<GLuint>(before));
    GLint bound = 0;
    gl().glGetVertexAttribiv(index, GL_VERTEX_ATTRIB_ARRAY_BUFFER_BINDING, &bound);
    guard->backed[index] = bound != 0;
}

bool safe_to_draw() {
    if (guard == nullptr) return false;
    for (GLuint index = 0; index < ArrayGuard::kArrays; ++index)
        if (guard->enabled[index] && !guard->backed[index]) return false;
    return true;
}

// A draw call that would read where it must not is made with nothing to draw: for its errors.

void draw_arrays(GLenum mode, GLint first, GLsizei count) {
    gl().glDrawArrays(mode, first, safe_to_draw() ? count : std::min(count, 0));
}
void draw_elements(GLenum mode, GLsizei count, GLenum type, const void* offset) {
    const bool safe = safe_to_draw() && integer(GL_ELEMENT_ARRAY_BUFFER_BINDING) != 0;
    gl().glDrawElements(mode, safe ? count : std::min(count, 0), type, safe ? offset : nullptr);
}
void draw_indices(GLenum mode, GLsizei count, GLenum type, const void* indices) {
    const bool measured =
        type == GL_UNSIGNED_BYTE || type == GL_UNSIGNED_SHORT || type == GL_UNSIGNED_INT;
    const bool safe = safe_to_draw() && measured && indices != nullptr &&
                      integer(GL_ELEMENT_ARRAY_BUFFER_BINDING) == 0;
    gl().glDrawElements(mode, safe ? count : std::min(count, 0), type, safe ? indices : nullptr);
}

template <class Index>
std::uint32_t reach_of(const void* indices, GLsizei count) {
    const Index* const first = static_cast<const Index*>(indices);
    return static_cast<std::uint32_t>(std::min<std::uint64_t>(
        std::uint64_t{*std::max_element(first, first + count)} + 1, UINT32_MAX));
}

std::uint32_t reach(GLsizei count, GLenum type, const void* offset) {
    const int width = type == GL_UNSIGNED_BYTE    ? 1
                      : type == GL_UNSIGNED_SHORT ? 2
                      : type == GL_UNSIGNED_INT   ? 4
                                                  : 0;
    const auto from = reinterpret_cast<std::uintptr_t>(offset);
    if (width == 0 || count <= 0 || integer(GL_ELEMENT_ARRAY_BUFFER_BINDING) == 0 ||
        gl().map_buffer_range == nullptr || gl().unmap_buffer == nullptr)
        return 0;
    GLint size = 0;
    gl().glGetBufferParameteriv(GL_ELEMENT_ARRAY_BUFFER, GL_BUFFER_SIZE, &size);
    const std::uint64_t bytes =
        std::uint64_t{static_cast<std::uint32_t>(count)} * static_cast<std::uint32_t>(width);
    const auto whole = static_cast<std::uint64_t>(std::max(size, 0));
    if (from > whole || bytes > whole - from) return 0;
    constexpr GLbitfield kRead = 1;  // GL_MAP_READ_BIT
    const void* const indices =
        gl().map_buffer_range(GL_ELEMENT_ARRAY_BUFFER, static_cast<GLintptr>(from),
                              static_cast<GLsizeiptr>(bytes), kRead);
    if (indices == nullptr) return 0;
    const std::uint32_t found = width == 1   ? reach_of<GLubyte>(indices, count)
                                : width == 2 ? reach_of<GLushort>(indices, count)
                                             : reach_of<GLuint>(indices, count);
    (void)gl().unmap_buffer(GL_ELEMENT_ARRAY_BUFFER);
    return found;
}

template <class Function>
bool take(void* library, const char* name, Function& to) {
    to = reinterpret_cast<Function>(::dlsym(library, name));
    return to != nullptr;
}

}  // namespace

void set_array_guard(ArrayGuard* now) { guard = now; }
void note_error(GLenum error) {
    if (keep_error() == GL_NO_ERROR && kept_error == GL_NO_ERROR) kept_error = error;
}

const char* load_gl(void* library, Gl& gl) {
#define HYPLINK_VOGL_TAKE(name) \
    if (!take(library, #name, gl.name)) return #name
    HYPLINK_VOGL_TAKE(glBindBuffer);
    HYPLINK_VOGL_TAKE(glBufferData);
    HYPLINK_VOGL_TAKE(glDeleteBuffers);
    HYPLINK_VOGL_TAKE(glDisableVertexAttribArray);
    HYPLINK_VOGL_TAKE(glDrawArrays);
    HYPLINK_VOGL_TAKE(glDrawElements);
    HYPLINK_VOGL_TAKE(glEnableVertexAttribArray);
    HYPLINK_VOGL_TAKE(glGetActiveAttrib);
    HYPLINK_VOGL_TAKE(glGetActiveUniform);
    HYPLINK_VOGL_TAKE(glGetAttachedShaders);
    HYPLINK_VOGL_TAKE(glGetBooleanv);
    HYPLINK_VOGL_TAKE(glGetBufferParameteriv);
    HYPLINK_VOGL_TAKE(glGetError);
    HYPLINK_VOGL_TAKE(glGetFloatv);
    HYPLINK_VOGL_TAKE(glGetFramebufferAttachmentParameteriv);
    HYPLINK_VOGL_TAKE(glGetIntegerv);
    HYPLINK_VOGL_TAKE(glGetProgramInfoLog);
    HYPLINK_VOGL_TAKE(glGetProgramiv);
    HYPLINK_VOGL_TAKE(glGetRenderbufferParameteriv);
    HYPLINK_VOGL_TAKE(glGetShaderInfoLog);
    HYPLINK_VOGL_TAKE(glGetShaderPrecisionFormat);
    HYPLINK_VOGL_TAKE(glGetShaderSource);
    HYPLINK_VOGL_TAKE(glGetShaderiv);
    HYPLINK_VOGL_TAKE(glGetString);
    HYPLINK_VOGL_TAKE(glGetTexParameterfv);
    HYPLINK_VOGL_TAKE(glGetTexParameteriv);
    HYPLINK_VOGL_TAKE(glGetUniformfv);
    HYPLINK_VOGL_TAKE(glGetUniformiv);
    HYPLINK_VOGL_TAKE(glGetVertexAttribPointerv);
    HYPLINK_VOGL_TAKE(glGetVertexAttribfv);
    HYPLINK_VOGL_TAKE(glGetVertexAttribiv);
    HYPLINK_VOGL_TAKE(glPixelStorei);
    HYPLINK_VOGL_TAKE(glReadPixels);
    HYPLINK_VOGL_TAKE(glTexImage2D);
    HYPLINK_VOGL_TAKE(glTexSubImage2D);
    HYPLINK_VOGL_TAKE(glVertexAttribPointer);
#undef HYPLINK_VOGL_TAKE
    return nullptr;
}

const gles2_api* gl_api(void* library) {
    static gles2_api api{};
    if (library == nullptr) return &api;
    for (const VidlEntry& entry : gles2_entries) {
        void* const function = ::dlsym(library, entry.name);
        std::memcpy(reinterpret_cast<char*>(&api) + entry.offset, &function, sizeof function);
    }
    api.glGetBooleanv_reply = get_booleans;
    api.glGetFloatv_reply = get_floats;
    api.glGetIntegerv_reply = get_integers;
    api.glGetBufferParameteriv_reply = get_buffer;
    api.glGetFramebufferAttachmentParameteriv_reply = get_attachment;
    api.glGetRenderbufferParameteriv_reply = get_renderbuffer;
    api.glGetProgramiv_reply = get_program;
    api.glGetShaderiv_reply = get_shader;
    api.glGetTexParameterfv_reply = get_texture_floats;
    api.glGetTexParameteriv_reply = get_texture_integers;
    api.glGetUniformfv_reply = get_uniform_floats;
    api.glGetUniformiv_reply = get_uniform_integers;
    api.glGetVertexAttribfv_reply = get_attribute_floats;
    api.glGetVertexAttribiv_reply = get_attribute_integers;
    api.glGetActiveAttrib = active_attribute;
    api.glGetActiveUniform = active_uniform;
    api.glGetAttachedShaders = attached_shaders;
    api.glGetProgramInfoLog = program_log;
    api.glGetShaderInfoLog = shader_log;
    api.glGetShaderSource = shader_source;
    api.glGetShaderPrecisionFormat = precision_format;
    api.glGetString = string;
    api.glTexImage2D = texture;
    api.glTexSubImage2D = texture_part;
    api.glReadPixels = read_pixels;
    api.glPixelStorei = pixel_store;
    api.glGetError = get_error;
    api.glBindBuffer = bind_buffer;
    api.glDeleteBuffers = delete_buffers;
    api.glEnableVertexAttribArray = enable_array;
    api.glDisableVertexAttribArray = disable_array;
    api.glVertexAttribPointer = array_pointer;
    api.glDrawArrays = draw_arrays;
    api.glDrawElements = draw_elements;
    api.voglArrayData = array_data;
    api.voglDrawElements = draw_indices;
    api.voglReach = reach;
    api.voglError = note_error;
    serve_pieces(api);
    return &api;
}

}  // namespace hyplink::vogl
