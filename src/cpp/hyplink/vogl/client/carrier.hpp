/// Requests that do not fit the port: they travel in pieces, and the server puts them together.
///
/// Thread rule: of the thread the context is current in.
#pragma once

#include "hyplink/vogl/client/context.hpp"

namespace hyplink::vogl {

/// Let `context` send what is larger than the port of `port_bytes` parameter bytes. Whatever cannot
/// travel even so is a GL error and, once, a line on stderr.
void carry_large_requests(GlContext& context, std::uint64_t port_bytes);

}  // namespace hyplink::vogl
