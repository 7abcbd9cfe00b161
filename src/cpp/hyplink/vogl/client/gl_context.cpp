#include "hyplink/vogl/client/carrier.hpp"
#include "hyplink/vogl/client/lent.hpp"

#include <algorithm>
#include <cstddef>

namespace {

using hyplink::vogl::Array;
using hyplink::vogl::GlContext;
using hyplink::vogl::kArrays;

thread_local GlContext* current = nullptr;

std::size_t component_bytes(GLenum type) {
    switch (type) {
        case GL_BYTE:
        case GL_UNSIGNED_BYTE:
            return 1;
        case GL_SHORT:
        case GL_UNSIGNED_SHORT:
            return 2;
        case GL_FLOAT:
        case GL_FIXED:
            return 4;
        default:
            return 0;
    }
}

/// Send what `elements` elements of each array in client memory hold.
void send_arrays(const GlContext& context, std::size_t elements) {
    for (GLuint index = 0; index < kArrays; ++index) {
        const Array& array = context.arrays[index];
        const std::size_t element =
            component_bytes(array.type) * static_cast<std::size_t>(std::max(array.size, 0));
        if (!array.enabled || !array.in_memory || array.pointer == nullptr || element == 0)
            continue;
        const std::size_t step =
            array.stride > 0 ? static_cast<std::size_t>(array.stride) : element;
        const std::size_t bytes = step * (elements - 1) + element;
        gles2_send_voglArrayData(
            index, array.size, array.type, array.normalized, array.stride,
            static_cast<std::uint32_t>(std::min<std::size_t>(bytes, UINT32_MAX)), array.pointer);
    }
}

bool has_arrays_in_memory(const GlContext& context) {
    return std::any_of(context.arrays.begin(), context.arrays.end(),
                       [](const Array& array) { return array.enabled && array.in_memory; });
}

template <class Index>
std::size_t reach(const void* indices, GLsizei count) {
    const Index* first = static_cast<const Index*>(indices);
    return std::size_t{*std::max_element(first, first + count)} + 1;
}

/// How many elements these indices touch; 0 when GL will refuse them anyway.
std::size_t reach_of(GLenum type, const void* indices, GLsizei count) {
    if (indices == nullptr || count <= 0) return 0;
    switch (type) {
        case GL_UNSIGNED_BYTE:
            return reach<GLubyte>(indices, count);
        case GL_UNSIGNED_SHORT:
            return reach<GLushort>(indices, count);
        case GL_UNSIGNED_INT:
            return reach<GLuint>(indices, count);
        default:
            return 0;
    }
}

}  // namespace

extern "C" {

GlContext* hyplink_vogl_open(VrpqChan chan, std::uint64_t port_bytes, VumemSession memory) {
    auto* context = new GlContext;
    gles2_client_init(&context->gl, chan);
    hyplink::vogl::carry_large_requests(*context, port_bytes);
    hyplink::vogl::borrow_memory(*context, memory);
    return context;
}

void hyplink_vogl_close(GlContext* context) {
    hyplink::vogl::return_memory(*context);
    gles2_client_free(&context->gl);
    delete context;
}

void hyplink_vogl_make_current(GlContext* context) {
    current = context;
    gles2_make_current(context == nullptr ? nullptr : &context->gl);
}

int hyplink_vogl_lost(const GlContext* context) { return context->gl.base.error; }

// --- the generated functions tell us first

void gles2_before_bind_buffer(gles2_client*, GLenum target, GLuint buffer) {
    if (target == GL_ARRAY_BUFFER) current->array_buffer = buffer;
    if (target == GL_ELEMENT_ARRAY_BUFFER) current->element_buffer = buffer;
}

void gles2_before_delete_buffers(gles2_client*, GLsizei n, const GLuint* buffers) {
    for (GLsizei i = 0; i < n; ++i) {
        if (buffers[i] == 0) continue;
        if (buffers[i] == current->array_buffer) current->array_buffer = 0;
        if (buffers[i] == current->element_buffer) current->element_buffer = 0;
    }
}

void gles2_before_enable_array(gles2_client*, GLuint index) {
    if (index < kArrays) current->arrays[index].enabled = true;
}

void gles2_before_disable_array(gles2_client*, GLuint index) {
    if (index < kArrays) current->arrays[index].enabled = false;
}

void gles2_before_client_arrays(gles2_client*, GLenum, GLint first, GLsizei count) {
    if (first >= 0 && count > 0 && has_arrays_in_memory(*current))
        send_arrays(*current, static_cast<std::size_t>(first) + static_cast<std::size_t>(count));
}

// --- the three that no generator writes

void glVertexAttribPointer(GLuint index, GLint size, GLenum type, GLboolean normalized,
                           GLsizei stride, const void* pointer) {
    if (current == nullptr) return;
    const bool in_memory = current->array_buffer == 0;
    // What GL refuses leaves the array as it was.
    if (index < kArrays && size >= 1 && size <= 4 && component_bytes(type) != 0 && stride >= 0)
        current->arrays[index] = {
            current->arrays[index].enabled, in_memory, size, type, normalized, stride, pointer};
    gles2_send_glVertexAttribPointer(index, size, type, normalized, stride,
                                     in_memory ? nullptr : pointer);
}

void glDrawElements(GLenum mode, GLsizei count, GLenum type, const void* indices) {
    if (current == nullptr) return;
    const bool in_memory = current->element_buffer == 0;
    if (has_arrays_in_memory(*current)) {
        const std::size_t elements = in_memory    ? reach_of(type, indices, count)
                                     : count <= 0 ? 0
                                                  : gles2_send_voglReach(count, type, indices);
        if (elements != 0) send_arrays(*current, elements);
    }
    if (in_memory)
        gles2_send_voglDrawElements(mode, count, type, indices);
    else
        gles2_send_glDrawElements(mode, count, type, indices);
}

void glGetVertexAttribPointerv(GLuint index, GLenum pname, void** pointer) {
    if (current == nullptr) return;
    if (index < kArrays && pname == GL_VERTEX_ATTRIB_ARRAY_POINTER)
        *pointer = const_cast<void*>(current->arrays[index].pointer);
    else
        gles2_send_glGetVertexAttribPointerv(index, pname, pointer);  // for its error
}

}  // extern "C"
