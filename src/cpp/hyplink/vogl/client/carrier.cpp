#include "hyplink/vogl/client/carrier.hpp"

#include "hyplink/vogl/client/lent.hpp"

#include <algorithm>
#include <cerrno>
#include <cstdio>

namespace hyplink::vogl {
namespace {

/// One byte string of gles2.vidl can have 1 GiB; this leaves room for what stands in front of it.
constexpr std::uint32_t kMost = (1U << 30) + 4096;

GlContext& context_of(VidlClient* client) { return *static_cast<GlContext*>(client->user); }

void send_pieces(VidlClient* client, const void* in, std::uint32_t size) {
    const auto* const bytes = static_cast<const unsigned char*>(in);
    const std::uint32_t most = context_of(client).piece;
    for (std::uint32_t at = 0; at < size && client->error == 0; at += most) {
        const std::uint32_t piece = std::min(most, size - at);
        gles2_send_voglPiece(piece, bytes + at);
    }
}

int post(VidlClient* client, std::uint32_t procedure, const void* in, std::uint32_t size) {
    if (size > kMost) return EMSGSIZE;
    send_pieces(client, in, size);
    gles2_send_voglPost(procedure);
    return client->error;
}

int call(VidlClient* client, std::uint32_t procedure, const void* in, std::uint32_t size, void* out,
         std::uint32_t room, std::uint32_t* got, std::int32_t* reason) {
    if (in == context_of(client).lent.block.data && in != nullptr)
        return call_in_lent(client, procedure, size, room, got, reason);
    if (size > kMost || room > kMost) return EMSGSIZE;
    const std::uint32_t refusals = client->refusals;
    send_pieces(client, in, size);
    gles2_send_voglCall(procedure, room);
    const std::uint32_t most = context_of(client).piece;
    for (std::uint32_t at = 0; at < room; at += most) {
        if (client->error != 0) return client->error;
        if (client->refusals != refusals) break;
        const std::uint32_t piece = std::min(most, room - at);
        gles2_send_voglAnswer(at, piece, static_cast<unsigned char*>(out) + at);
    }
    *reason = client->refusals != refusals ? client->reason : 0;
    *got = room;
    return client->error;
}

void complain(VidlClient* client, const char* procedure, const char* field, const char* why) {
    GlContext& context = context_of(client);
    gles2_send_voglError(GL_OUT_OF_MEMORY);
    if (context.complained) return;
    context.complained = true;
    std::fprintf(stderr, "vOGL: %s%s%s: %s; GL_OUT_OF_MEMORY\n", procedure,
                 *field != '\0' ? " " : "", field, why);
}

void bad_argument(VidlClient* client, const char* procedure, const char* field) {
    complain(client, procedure, field, "too large, or a null pointer");
}

void refused(VidlClient* client, const char* procedure, std::int32_t reason) {
    // EIO: GL has an error of its own for it.
    if (reason != EIO) complain(client, procedure, "", reason == ENOMEM ? "no memory" : "refused");
}

void* lend(VidlClient* client, std::uint64_t size, std::uint64_t room) {
    return lent_for(context_of(client), size, room);
}

constexpr VidlCarrier kCarrier{post, call, lend};

}  // namespace

void carry_large_requests(GlContext& context, std::uint64_t port_bytes) {
    // Several fit at once: the server works on one while the next is copied.
    context.piece =
        static_cast<std::uint32_t>(std::clamp<std::uint64_t>(port_bytes / 8, 4U << 10, 1U << 20)) &
        ~7U;
    context.gl.base.user = &context;
    context.gl.base.carrier = &kCarrier;
    context.gl.base.on_bad_argument = bad_argument;
    context.gl.base.on_refused = refused;
}

}  // namespace hyplink::vogl
