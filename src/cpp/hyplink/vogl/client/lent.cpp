#include "hyplink/vogl/client/lent.hpp"

#include <cstdlib>

namespace hyplink::vogl {
namespace {

/// Below, copying through the port is quicker than it is to look elsewhere.
constexpr std::uint64_t kLeast = 64 << 10;
/// What one buffer of gles2.vidl can have.
constexpr std::uint64_t kMost = 1 << 30;
/// Buffers grow in steps, so that windows that are made larger do not ask each time.
constexpr std::uint64_t kStep = 1 << 20;

/// One that holds `bytes`, mapped and known to the server; false: there is none to be had.
bool grow(GlContext& context, std::uint64_t bytes) {
    Lent& lent = context.lent;
    if (lent.buffer != nullptr) (void)vumemBufferFree(lent.buffer);
    lent.buffer = nullptr;
    lent.block = {};
    std::uint64_t wish = (bytes + kStep - 1) / kStep * kStep;
    void* memory = nullptr;
    if (vumemBufferAlloc(lent.session, &wish, sizeof wish, &lent.buffer) != 0) {
        lent.buffer = nullptr;
    } else if (vumemBufferMap(lent.buffer, &memory) == 0 &&
               vidlUmemAttach(lent.buffer, memory, &lent.block) == 0 &&
               lent.block.length >= bytes) {
        return true;
    }
    return_memory(context);
    return false;
}

}  // namespace

void borrow_memory(GlContext& context, VumemSession session) {
    const char* least = std::getenv("HYPLINK_VOGL_LENT_FROM");
    context.lent.session = session;
    context.lent.least = least == nullptr ? kLeast : std::strtoull(least, nullptr, 10);
    if (session != nullptr) context.gl.base.buffers = vidlUmemClientTable();
}

void return_memory(GlContext& context) {
    if (context.lent.buffer != nullptr) (void)vumemBufferFree(context.lent.buffer);
    vidlUmemTableFree(context.gl.base.buffers);
    context.gl.base.buffers = nullptr;
    context.lent = {};
}

void* lent_for(GlContext& context, std::uint64_t size, std::uint64_t room) {
    Lent& lent = context.lent;
    const std::uint64_t whole = vidlRound8(size) + room;
    if (lent.session == nullptr || lent.busy || whole < lent.least || whole > kMost ||
        context.gl.base.error != 0)
        return nullptr;
    if (whole > lent.block.length && !grow(context, whole)) return nullptr;
    return lent.block.data;
}

int call_in_lent(VidlClient* client, std::uint32_t procedure, std::uint32_t size,
                 std::uint32_t room, std::uint32_t* got, std::int32_t* reason) {
    Lent& lent = static_cast<GlContext*>(client->user)->lent;
    const std::uint32_t refusals = client->refusals;
    void (*const refused)(VidlClient*, const char*, std::int32_t) = client->on_refused;
    client->on_refused = nullptr;  // it is the procedure in the buffer that is refused
    lent.busy = true;
    gles2_send_voglLentCall(procedure, size, room, &lent.block);
    lent.busy = false;
    client->on_refused = refused;
    *reason = client->refusals != refusals ? client->reason : 0;
    *got = room;
    return client->error;
}

}  // namespace hyplink::vogl
