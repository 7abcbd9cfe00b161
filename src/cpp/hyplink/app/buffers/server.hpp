/// The buffers of a vUmem server program as parameters of the calls that it serves.
///
///     ServerBuffers buffers;                                  // both threads of one program
///     // the vUmem loop:
///     umem::Request request = HYPLINK_TRY(server->receive(Deadline::never()));
///     … response …
///     HYPLINK_TRY(buffers.respond(*server, request, std::move(response)));
///     // each vRPQ channel:
///     auto table = buffers.table(*session);
///     CameraServer camera(handler, CameraContext{&handles, table.get(), {}});
///     serve(channel->channel(), [&](const rpq::Request& request) {
///         table->next();
///         return camera.dispatch(request);
///     });
///
/// Thread rule: any thread; a table its channel's.
#pragma once

#include "hyplink/app/buffers/ledger.hpp"
#include "hyplink/app/rpq/session.hpp"
#include "hyplink/app/umem/server.hpp"

namespace hyplink::buffers {

class ServerBuffers {
   public:
    /// `umem::Server::respond` with an eye on what is allocated, let go and introduced: that a
    /// client asks for a buffer's name is answered here, whatever `response` says. Errors: of
    /// `respond`.
    Status respond(umem::Server& server, const umem::Request& request, umem::Response response);
    /// The server is about to be destroyed: no call may name its buffers any more.
    void forget(const umem::Server& server);

    /// For a channel of this session.
    std::unique_ptr<Table> table(const rpq::Session& session) {
        return table(Holder{session.peer_vm(), session.peer_app()});
    }
    std::unique_ptr<Table> table(Holder client) { return std::make_unique<Table>(ledger_, client); }
    const std::shared_ptr<Ledger>& ledger() { return ledger_; }

   private:
    using Key = std::pair<const umem::Server*, std::uint32_t>;

    std::shared_ptr<Ledger> ledger_ = std::make_shared<Ledger>(Side::server);
    std::mutex mutex_;
    std::map<Key, BufferRef> names_;
};

}  // namespace hyplink::buffers
