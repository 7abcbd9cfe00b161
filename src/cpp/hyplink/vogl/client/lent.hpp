/// Calls whose parameters and answer lie in memory that the server lends through vUmem: a picture
/// is drawn where its reader finds it, however small the port is.
///
/// Thread rule: of the thread the context is current in.
#pragma once

#include "hyplink/vogl/client/context.hpp"

namespace hyplink::vogl {

/// Use memory of this session; null: none. HYPLINK_VOGL_LENT_FROM says from how many bytes on.
void borrow_memory(GlContext& context, VumemSession session);
void return_memory(GlContext& context);

/// Memory for a call with so many bytes of parameters and of answer, or null: it is not worth it,
/// or there is none. What cannot be had is not asked for again.
void* lent_for(GlContext& context, std::uint64_t size, std::uint64_t room);
/// The call that was written there, as a `VidlCarrier` makes it.
int call_in_lent(VidlClient* client, std::uint32_t procedure, std::uint32_t size,
                 std::uint32_t room, std::uint32_t* got, std::int32_t* reason);

}  // namespace hyplink::vogl
