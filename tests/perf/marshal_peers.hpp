/// What others would use for the same two requests: encode into a buffer that is kept, decode with
/// the checks they have, read every value. A peer that was not there at build time is said to be
/// absent; none is needed.
#pragma once

#include <cstdint>
#include <cstdio>
#include <string_view>

#ifdef HYPLINK_PEER_FLATBUFFERS
#include "marshal_flat_generated.h"
#endif
#ifdef HYPLINK_PEER_PROTOBUF
#include "marshal_proto.pb.h"
#endif

namespace measure {

struct Peers {
    double sum = 0;
    std::size_t bytes = 0;
    bool bad = false;

#ifdef HYPLINK_PEER_FLATBUFFERS
    flatbuffers::FlatBufferBuilder builder{1024};

    void flat_decode() {
        asm volatile("" ::: "memory");
        flatbuffers::Verifier verifier(builder.GetBufferPointer(), builder.GetSize());
        if (!peer::flat::VerifyRequestBuffer(verifier)) {
            bad = true;
            return;
        }
        const auto* request = peer::flat::GetRequest(builder.GetBufferPointer());
        if (const auto* v = request->body_as_Uniform4f()) {
            sum += static_cast<double>(static_cast<float>(v->location()) + v->x() + v->y() +
                                       v->z() + v->w());
        } else if (const auto* s = request->body_as_ShaderSource()) {
            bytes += s->text()->size() + s->shader();
        }
    }
    void flat_uniform4f(std::int32_t location, float x, float y, float z, float w) {
        builder.Clear();
        const auto body = peer::flat::CreateUniform4f(builder, location, x, y, z, w);
        builder.Finish(
            peer::flat::CreateRequest(builder, peer::flat::Body_Uniform4f, body.Union()));
        flat_decode();
    }
    void flat_text(std::uint32_t shader, std::string_view text) {
        builder.Clear();
        const auto words = builder.CreateString(text.data(), text.size());
        const auto body = peer::flat::CreateShaderSource(builder, shader, words);
        builder.Finish(
            peer::flat::CreateRequest(builder, peer::flat::Body_ShaderSource, body.Union()));
        flat_decode();
    }
#endif

#ifdef HYPLINK_PEER_PROTOBUF
    peer::proto::Request out;
    peer::proto::Request in;
    std::array<std::uint8_t, 256> buffer{};

    void proto_decode() {
        const int size = static_cast<int>(out.ByteSizeLong());
        out.SerializeWithCachedSizesToArray(buffer.data());
        asm volatile("" ::: "memory");
        if (!in.ParseFromArray(buffer.data(), size)) bad = true;
        if (in.has_uniform4f()) {
            const auto& v = in.uniform4f();
            sum += static_cast<double>(static_cast<float>(v.location()) + v.x() + v.y() + v.z() +
                                       v.w());
        } else if (in.has_shader_source()) {
            bytes += in.shader_source().text().size() + in.shader_source().shader();
        }
    }
    void proto_uniform4f(std::int32_t location, float x, float y, float z, float w) {
        auto* v = out.mutable_uniform4f();
        v->set_location(location);
        v->set_x(x);
        v->set_y(y);
        v->set_z(z);
        v->set_w(w);
        proto_decode();
    }
    void proto_text(std::uint32_t shader, std::string_view text) {
        auto* s = out.mutable_shader_source();
        s->set_shader(shader);
        s->set_text(text.data(), text.size());
        proto_decode();
    }
#endif
};

inline void say_absent() {
#ifndef HYPLINK_PEER_FLATBUFFERS
    std::fprintf(stderr, "FlatBuffers: absent (libflatbuffers-dev, flatbuffers-compiler)\n");
#endif
#ifndef HYPLINK_PEER_PROTOBUF
    std::fprintf(stderr, "protobuf: absent (libprotobuf-dev, protobuf-compiler)\n");
#endif
}

}  // namespace measure
