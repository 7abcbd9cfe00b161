// The vUmem half of a server program of a test: as many bytes as the argument says.
#pragma once

#include "hyplink/app/buffers/server.hpp"
#include "vm.hpp"

namespace vm {

using namespace hyplink;

inline void lend(const std::shared_ptr<app::Application>& application,
                 buffers::ServerBuffers& all) {
    for (;;) {
        auto server = umem::Server::create(application, "vumem-srv-vogl0", Deadline::never());
        if (!server.has_value()) return;
        for (;;) {
            auto request = (*server)->receive(Deadline::never());
            if (!request.has_value()) break;
            umem::Response response;
            response.buffer = request->buffer;
            response.opaque = request->opaque;
            if (request->command == umem::Command::alloc) {
                auto memory =
                    umem::Memory::make(std::strtoul(request->opaque.c_str(), nullptr, 10));
                if (memory.has_value())
                    response.memory = *std::move(memory);
                else
                    response.error = memory.error().number();
            }
            if (!all.respond(**server, *request, std::move(response)).has_value()) break;
        }
        all.forget(**server);
    }
}

}  // namespace vm
