// The interface of OpenGL ES as a client VM reaches it: the generated C server, and the requests in
// pieces of vOGL, in front of functions that look at everything they are given. The generated C++
// server reads the same blocks: both must accept the same ones and refuse the others alike.
#include <array>
#include <cerrno>
#include <memory>
#include <optional>

#include "fuzz.hpp"
#include "gles2_mock.hpp"
#include "hyplink/app/rpq/fuzz_input.hpp"
#include "hyplink/vogl/server/pieces.hpp"

using namespace hyplink;

namespace vogl::gles2 {
void fuzz_gles2(const std::uint8_t* data, std::size_t size);
}

#ifdef __SANITIZE_ADDRESS__
#define FUZZ_ASAN
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define FUZZ_ASAN
#endif
#endif
#ifdef FUZZ_ASAN
// A request may ask for a gigabyte, which a program of 32 bits need not have: that is an answer.
extern "C" const char* __asan_default_options();
extern "C" const char* __asan_default_options() { return "allocator_may_return_null=1"; }
#endif

namespace {

constexpr std::uint32_t kRoom = 1U << 16U;

// --- functions in the place of GL's

void look(const void* at, std::int64_t count, std::size_t each = 1) {
    if (count <= 0) return;
    FUZZ_CHECK(at != nullptr);
    fuzz::touch(
        std::span(static_cast<const std::byte*>(at), static_cast<std::size_t>(count) * each));
}
void look_if(const void* at, std::int64_t count) {
    if (at != nullptr) look(at, count);
}
void fill(void* at, std::int64_t count, std::size_t each = 1) {
    if (count <= 0) return;
    FUZZ_CHECK(at != nullptr);
    std::memset(at, 0x5a, static_cast<std::size_t>(count) * each);
}

/// What GL reads or writes of a picture, as its specification says it (2.0.25, 3.7.1).
std::int64_t picture(std::int64_t width, std::int64_t height, GLenum format, GLenum type,
                     std::int64_t alignment) {
    if (width <= 0 || height <= 0 || width > 32768 || height > 32768) return 0;
    FUZZ_CHECK(alignment == 1 || alignment == 2 || alignment == 4 || alignment == 8);
    const std::int64_t components = format == GL_RGBA              ? 4
                                    : format == GL_RGB             ? 3
                                    : format == GL_LUMINANCE_ALPHA ? 2
                                    : format == GL_ALPHA || format == GL_LUMINANCE
                                        ? 1
                                        : 0;  // not GL's: GL refuses, and reads nothing
    std::int64_t texel = 0;
    if (type == GL_UNSIGNED_BYTE) texel = components;
    if (components != 0 && (type == GL_UNSIGNED_SHORT_5_6_5 || type == GL_UNSIGNED_SHORT_4_4_4_4 ||
                            type == GL_UNSIGNED_SHORT_5_5_5_1))
        texel = 2;
    const std::int64_t row = (width * texel + alignment - 1) / alignment * alignment;
    return row * (height - 1) + width * texel;
}

template <class Result, class... Given>
Result nothing(Given...) {
    return Result();
}
template <class... Front>
void data_of(Front..., std::int32_t size, const void* data) {
    look_if(data, size);
}
void names(std::int32_t n, const std::uint32_t* given) { look(given, n, sizeof *given); }
void new_names(std::int32_t n, std::uint32_t* made) { fill(made, n, sizeof *made); }
template <class T, int kEach>
void uniform(std::int32_t, std::int32_t count, const T* value) {
    look(value, std::int64_t{count} * kEach, sizeof(T));
}
template <int kEach>
void matrix(std::int32_t, std::int32_t count, std::uint8_t, const float* value) {
    look(value, std::int64_t{count} * kEach, sizeof(float));
}
template <int kEach>
void attribute(std::uint32_t, const float* value) {
    look(value, kEach, sizeof(float));
}
template <class T>
void parameter(GLenum, GLenum, const T* value) {
    look(value, 1, sizeof(T));
}
/// `count` elements is the room; less than all of it is written.
template <class T>
void answer(T* out, std::uint32_t* count) {
    fill(out, *count, sizeof(T));
    *count = *count / 2 + 1;
}
template <class T>
void get1(GLenum, T* out, std::uint32_t* count) {
    answer(out, count);
}
template <class T, class A, class B>
void get2(A, B, T* out, std::uint32_t* count) {
    answer(out, count);
}
void get_attachment(GLenum, GLenum, GLenum, std::int32_t* out, std::uint32_t* count) {
    answer(out, count);
}
void words(std::int32_t room, std::int32_t* length, char* text) {
    const std::int32_t have = std::min(std::max(room, 0), 16 << 20);
    fill(text, have);
    if (have > 0) text[have - 1] = '\0';
    if (length != nullptr) *length = std::max(have - 1, 0);
}
void log_of(std::uint32_t, std::int32_t room, std::int32_t* length, char* text) {
    words(room, length, text);
}
void active(std::uint32_t, std::uint32_t, std::int32_t room, std::int32_t* length,
            std::int32_t* size, GLenum* type, char* name) {
    *size = 1;
    *type = GL_FLOAT;
    words(room, length, name);
}
std::int32_t place(std::uint32_t, const char* name) {
    fuzz::touch(std::string_view(name));
    return 3;
}
const GLubyte* text_of(GLenum name) {
    return name % 2 == 0 ? nullptr : reinterpret_cast<const GLubyte*>("text");
}
void shader_source(std::uint32_t, std::int32_t count, const GLchar* const* strings,
                   const std::int32_t* lengths) {
    for (std::int32_t i = 0; i < std::min(count, 4096); ++i) {
        if (lengths != nullptr && lengths[i] >= 0)
            look(strings[i], lengths[i]);
        else
            fuzz::touch(std::string_view(strings[i]));
    }
}
void shader_binary(std::int32_t count, const std::uint32_t* shaders, std::uint32_t,
                   const void* binary, std::int32_t length) {
    look(shaders, count, sizeof *shaders);
    look_if(binary, length);
}
void texture(GLenum, std::int32_t, std::int32_t, std::int32_t width, std::int32_t height,
             std::int32_t, GLenum format, GLenum type, const void* pixels) {
    look_if(pixels, picture(width, height, format, type, gles2_serving()->state.unpack));
}
void texture_part(GLenum, std::int32_t, std::int32_t, std::int32_t, std::int32_t width,
                  std::int32_t height, GLenum format, GLenum type, const void* pixels) {
    look_if(pixels, picture(width, height, format, type, gles2_serving()->state.unpack));
}
void read_pixels(std::int32_t, std::int32_t, std::int32_t width, std::int32_t height, GLenum format,
                 GLenum type, void* pixels) {
    fill(pixels, picture(width, height, format, type, gles2_serving()->state.pack));
}
void array_data(std::uint32_t, std::int32_t, GLenum, std::uint8_t, std::int32_t,
                std::uint32_t bytes, const void* data) {
    look(data, bytes);
}
void draw_indices(GLenum, std::int32_t count, GLenum type, const void* indices) {
    const std::size_t each = type == GL_UNSIGNED_BYTE    ? 1
                             : type == GL_UNSIGNED_SHORT ? 2
                             : type == GL_UNSIGNED_INT   ? 4
                                                         : 0;
    if (indices != nullptr && each != 0) look(indices, count, each);
}

decltype(gles2_api::voglCall) real_call = nullptr;
/// A gigabyte of answer takes seconds to clear and shows nothing that this doesn't.
void call_in_pieces(std::uint32_t procedure, std::uint32_t room) {
    real_call(procedure, room % kRoom);
}

gles2_api functions() {
    gles2_api api{};
#define F(name) api.name = nothing;
    // clang-format off: a table
    F(glActiveTexture) F(glAttachShader) F(glBindBuffer) F(glBindFramebuffer)
    F(glBindRenderbuffer) F(glBindTexture) F(glBlendColor) F(glBlendEquation)
    F(glBlendEquationSeparate) F(glBlendFunc) F(glBlendFuncSeparate) F(glCheckFramebufferStatus)
    F(glClear) F(glClearColor) F(glClearDepthf) F(glClearStencil) F(glColorMask)
    F(glCompileShader) F(glCopyTexImage2D) F(glCopyTexSubImage2D) F(glCreateProgram)
    F(glCreateShader) F(glCullFace) F(glDeleteProgram) F(glDeleteShader) F(glDepthFunc)
    F(glDepthMask) F(glDepthRangef) F(glDetachShader) F(glDisable) F(glDisableVertexAttribArray)
    F(glDrawArrays) F(glDrawElements) F(glEnable) F(glEnableVertexAttribArray) F(glFinish)
    F(glFlush) F(glFramebufferRenderbuffer) F(glFramebufferTexture2D) F(glFrontFace)
    F(glGenerateMipmap) F(glGetError) F(glHint) F(glIsBuffer) F(glIsEnabled) F(glIsFramebuffer)
    F(glIsProgram) F(glIsRenderbuffer) F(glIsShader) F(glIsTexture) F(glLineWidth)
    F(glLinkProgram) F(glPixelStorei) F(glPolygonOffset) F(glReleaseShaderCompiler)
    F(glRenderbufferStorage) F(glSampleCoverage) F(glScissor) F(glStencilFunc)
    F(glStencilFuncSeparate) F(glStencilMask) F(glStencilMaskSeparate) F(glStencilOp)
    F(glStencilOpSeparate) F(glTexParameterf) F(glTexParameteri) F(glUniform1f) F(glUniform1i)
    F(glUniform2f) F(glUniform2i) F(glUniform3f) F(glUniform3i) F(glUniform4f) F(glUniform4i)
    F(glUseProgram) F(glValidateProgram) F(glVertexAttrib1f) F(glVertexAttrib2f)
    F(glVertexAttrib3f) F(glVertexAttrib4f) F(glVertexAttribPointer) F(glViewport) F(voglReach)
    F(voglError)
    // clang-format on
#undef F
                                                                api.glBindAttribLocation =
        [](std::uint32_t, std::uint32_t, const char* name) { fuzz::touch(std::string_view(name)); };
    api.glGetAttribLocation = place;
    api.glGetUniformLocation = place;
    api.glBufferData = [](GLenum, GLsizeiptr size, const void* data, GLenum) {
        look_if(data, size);
    };
    api.glBufferSubData = [](GLenum, GLintptr, GLsizeiptr size, const void* data) {
        look_if(data, size);
    };
    api.glCompressedTexImage2D = [](GLenum, std::int32_t, GLenum, std::int32_t, std::int32_t,
                                    std::int32_t, std::int32_t size,
                                    const void* data) { look_if(data, size); };
    api.glCompressedTexSubImage2D = [](GLenum, std::int32_t, std::int32_t, std::int32_t,
                                       std::int32_t, std::int32_t, GLenum, std::int32_t size,
                                       const void* data) { look_if(data, size); };
    api.glDeleteBuffers = api.glDeleteFramebuffers = api.glDeleteRenderbuffers =
        api.glDeleteTextures = names;
    api.glGenBuffers = api.glGenFramebuffers = api.glGenRenderbuffers = api.glGenTextures =
        new_names;
    api.glGetActiveAttrib = api.glGetActiveUniform = active;
    api.glGetAttachedShaders = [](std::uint32_t, std::int32_t room, std::int32_t* count,
                                  std::uint32_t* shaders) {
        fill(shaders, std::min(room, 1 << 20), sizeof *shaders);
        if (count != nullptr) *count = std::max(room, 0) / 2;
    };
    api.glGetProgramInfoLog = api.glGetShaderInfoLog = api.glGetShaderSource = log_of;
    api.glGetShaderPrecisionFormat = [](GLenum, GLenum, std::int32_t* range, std::int32_t* bits) {
        fill(range, 2, sizeof *range);
        *bits = 23;
    };
    api.glGetString = text_of;
    api.glGetVertexAttribPointerv = [](std::uint32_t, GLenum, void** to) { *to = nullptr; };
    api.glGetBooleanv_reply = get1;
    api.glGetFloatv_reply = get1;
    api.glGetIntegerv_reply = get1;
    api.glGetBufferParameteriv_reply = get2;
    api.glGetFramebufferAttachmentParameteriv_reply = get_attachment;
    api.glGetProgramiv_reply = get2;
    api.glGetRenderbufferParameteriv_reply = get2;
    api.glGetShaderiv_reply = get2;
    api.glGetTexParameterfv_reply = get2;
    api.glGetTexParameteriv_reply = get2;
    api.glGetUniformfv_reply = get2;
    api.glGetUniformiv_reply = get2;
    api.glGetVertexAttribfv_reply = get2;
    api.glGetVertexAttribiv_reply = get2;
    api.glReadPixels = read_pixels;
    api.glShaderBinary = shader_binary;
    api.glShaderSource = shader_source;
    api.glTexImage2D = texture;
    api.glTexSubImage2D = texture_part;
    api.glTexParameterfv = parameter;
    api.glTexParameteriv = parameter;
    api.glUniform1fv = uniform<float, 1>;
    api.glUniform2fv = uniform<float, 2>;
    api.glUniform3fv = uniform<float, 3>;
    api.glUniform4fv = uniform<float, 4>;
    api.glUniform1iv = uniform<std::int32_t, 1>;
    api.glUniform2iv = uniform<std::int32_t, 2>;
    api.glUniform3iv = uniform<std::int32_t, 3>;
    api.glUniform4iv = uniform<std::int32_t, 4>;
    api.glUniformMatrix2fv = matrix<4>;
    api.glUniformMatrix3fv = matrix<9>;
    api.glUniformMatrix4fv = matrix<16>;
    api.glVertexAttrib1fv = attribute<1>;
    api.glVertexAttrib2fv = attribute<2>;
    api.glVertexAttrib3fv = attribute<3>;
    api.glVertexAttrib4fv = attribute<4>;
    api.voglArrayData = array_data;
    api.voglDrawElements = draw_indices;
    hyplink::vogl::serve_pieces(api);
    real_call = api.voglCall;
    api.voglCall = call_in_pieces;
    return api;
}

// --- the server's end of one channel

class Server {
   public:
    Server() {
        static const gles2_api api = functions();
        gles2_server_init(&server_, &api);
        server_.base.buffers = &buffers_;
        hyplink::vogl::set_pieces(&pieces_);
    }
    ~Server() {
        hyplink::vogl::set_pieces(nullptr);
        gles2_server_free(&server_);
    }
    Server(const Server&) = delete;
    Server& operator=(const Server&) = delete;

    /// A block that the C++ server has answered.
    void same(const rpq::RequestView& view, std::int32_t status, const rpq::Reject& theirs) {
        if (dead_) return;
        const std::int32_t mine = dispatch(view);
        dead_ = mine == VIDL_REJECTED && beyond_32_bits(server_.base.why);
        if (dead_) return;
        FUZZ_CHECK((mine == VIDL_REJECTED) == (status == rpq::kRejected));
        dead_ = mine == VIDL_REJECTED;
        if (!dead_) return run_pieces();
        const VidlReject& why = server_.base.why;
        // Of several broken rules of one field each may name another.
        const bool alike = why.proc == theirs.proc && why.offset == theirs.offset &&
                           std::string_view(why.field) == theirs.field;
        if (!alike)
            std::fprintf(stderr, "procedure %#x: C says D%u %s %u, C++ says D%u %s %u\n", why.proc,
                         why.rule, why.field, why.offset, theirs.rule, theirs.field, theirs.offset);
        FUZZ_CHECK(alike);
    }
    /// A block too large for a port.
    void in_pieces(std::uint32_t proc, bool is_call, std::uint32_t room,
                   std::span<const std::uint8_t> block, std::size_t each) {
        while (!block.empty()) {
            const auto part = block.first(std::min(each, block.size()));
            pieces_.add(part.data(), static_cast<std::uint32_t>(part.size()));
            block = block.subspan(part.size());
        }
        pieces_.finish(proc, room, is_call);
        run_pieces();
        std::byte answer[8];
        if (pieces_.read_answer(0, std::min(8U, room), answer))
            fuzz::touch(std::span<const std::byte>(answer).first(std::min(8U, room)));
    }

    /// A call in a buffer that the client was lent, which ends where its answer does.
    void lent(std::uint32_t proc, std::uint32_t room, std::span<const std::uint8_t> block) {
        const std::size_t size = rpq::round8(block.size()) + room;
        lent_ = std::make_unique<std::byte[]>(size);
        if (!block.empty()) std::memcpy(lent_.get(), block.data(), block.size());
        const auto bytes = static_cast<std::uint32_t>(block.size());
        FUZZ_CHECK(!pieces_.lend(proc, bytes, room + 1, lent_.get(), size));
        FUZZ_CHECK(pieces_.lend(proc, bytes, room, lent_.get(), size));
        run_pieces();
        fuzz::touch(std::span<const std::byte>(lent_.get(), size));
    }

   private:
    /// The one buffer that the C++ server knows too; each use has exactly as much memory.
    static void* resolve(VidlBuffers* all, const VidlBuffer* ref, std::uint32_t) {
        constexpr std::uint64_t kBytes = 1U << 16U;
        if (ref->slot != 1 || ref->offset > kBytes || ref->length > kBytes - ref->offset)
            return nullptr;
        auto& memory = static_cast<Server*>(all->user)->lent_;
        memory = std::make_unique<std::byte[]>(static_cast<std::size_t>(ref->length));
        return memory.get();
    }
    /// C has GL's own types, and a program of 32 bits cannot hold every size and address there.
    static bool beyond_32_bits(const VidlReject& why) {
        if (sizeof(void*) != 4 || why.rule != 7) return false;
        const std::string_view field = why.field;
        return field == "size" || field == "offset" || field == "indices" || field == "pointer";
    }
    std::int32_t dispatch(const rpq::RequestView& view) {
        const auto in = std::make_unique<std::byte[]>(view.in_bytes);
        const auto out = std::make_unique<std::byte[]>(view.out_bytes);
        if (view.in_bytes != 0) std::memcpy(in.get(), view.in, view.in_bytes);
        VrpqReq request{view.proc, in.get(),       view.in_bytes,
                        out.get(), view.out_bytes, static_cast<std::uint8_t>(view.is_call)};
        const std::int32_t status = gles2_dispatch(&server_, &request, nullptr);
        if (status == 0) fuzz::touch(std::span<const std::byte>(out.get(), view.out_bytes));
        return status;
    }
    void run_pieces() {
        if (!pieces_.complete()) return;
        const std::int32_t status = pieces_.run(&server_);
        FUZZ_CHECK(status >= VIDL_REJECTED);
        dead_ = status == VIDL_REJECTED;
    }

    gles2_server server_{};
    VidlBuffers buffers_{this, &resolve, nullptr, nullptr, nullptr};
    std::unique_ptr<std::byte[]> lent_;
    hyplink::vogl::Pieces pieces_;
    bool dead_ = false;
};

/// Bytes of a fuzzer as one block, for both servers.
void raw(fuzz::Input& input, Server& server) {
    const std::uint32_t proc =
        input.byte() % 16 == 0 ? input.number() : (2U << 16U | input.byte() % 160U);
    const std::uint8_t how = input.byte();
    const bool is_call = (how & 1U) != 0;
    const std::uint32_t room = is_call ? input.number() % kRoom : 0;
    const auto bytes = input.rest();
    if ((how & 3U) == 3U && how % 8U == 7U) return server.lent(proc, room, bytes);
    if ((how & 2U) != 0) return server.in_pieces(proc, is_call, room, bytes, 1U + how / 4U);
    const auto in = std::make_unique<std::byte[]>(bytes.size());
    if (!bytes.empty()) std::memcpy(in.get(), bytes.data(), bytes.size());
    const auto out = std::make_unique<std::byte[]>(room);
    const rpq::RequestView view{proc,      in.get(), static_cast<std::uint32_t>(bytes.size()),
                                out.get(), room,     is_call};
    ::vogl::gles2::Gles2Mock mock;
    ::vogl::gles2::Gles2Context context;
    rpq::FuzzBuffers buffers;
    context.buffers = &buffers;
    rpq::Reject why{};
    const std::int32_t status = ::vogl::gles2::perform(mock, context, view, why);
    server.same(view, status, why);
}

}  // namespace

void fuzz::one(Input& input) {
    Server server;
    if (input.byte() % 2 == 0) return raw(input, server);
    rpq::FuzzChannel::witness = [&](const rpq::RequestView& view, std::int32_t status,
                                    const rpq::Reject& why) { server.same(view, status, why); };
    const auto bytes = input.rest();
    ::vogl::gles2::fuzz_gles2(bytes.data(), bytes.size());
    rpq::FuzzChannel::witness = nullptr;
}
