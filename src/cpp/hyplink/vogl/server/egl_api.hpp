/// The functions behind vegl.vidl, on the machine's own EGL.
#pragma once

#include "hyplink/vogl/server/gl_api.hpp"
#include "hyplink/vogl/server/pieces.hpp"
#include "hyplink/vogl/server/session.hpp"

extern "C" {
#include "vegl.h"
}

namespace hyplink::vogl {

/// What a thread that serves a channel has of its own: which session, which context. Its end
/// releases what is current.
class ChannelThread {
   public:
    ChannelThread(Session& session, std::uint32_t context);
    ~ChannelThread();
    ChannelThread(const ChannelThread&) = delete;
    ChannelThread& operator=(const ChannelThread&) = delete;

    Session& session;
    const std::uint32_t context;
    ArrayGuard arrays;
    Pieces pieces;
};

const vegl_api* egl_api();

}  // namespace hyplink::vogl
