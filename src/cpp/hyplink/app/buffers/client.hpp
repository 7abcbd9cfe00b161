/// Buffers of vUmem as parameters of a client's calls.
///
///     ClientBuffers buffers;                                        // one an application
///     std::byte* memory = HYPLINK_TRY(buffer->map(deadline));
///     BufferRef frame = HYPLINK_TRY(buffers.attach(buffer, memory, deadline));
///     auto table = buffers.table();                                 // one a channel
///     client.use(table.get());
///     client.queue(stream, frame);                                  // `gives`: not ours any more
///
/// With a buffer kept for it, `@large` parameters travel in that, however small the port is:
///
///     auto table = HYPLINK_TRY(buffers.table(channel, buffer, memory, deadline));
///
/// A callback that gives a buffer back brings its reference; `buffer` finds it. Thread rule: any
/// thread; a table its channel's.
#pragma once

#include "hyplink/app/buffers/ledger.hpp"
#include "hyplink/app/rpq/client_channel.hpp"
#include "hyplink/app/umem/session.hpp"

namespace hyplink::buffers {

class ClientBuffers {
   public:
    /// Calls may name `buffer` by the reference that is returned, or by parts of it. `memory` is
    /// where it is mapped. Asking again is cheap and gives the same name; it must be asked again
    /// after a channel ended through which the buffer was given. Unmapping the buffer ends it.
    /// Errors: bad_argument (not mapped), unsupported (its server knows no calls), busy (its server
    /// has it still), what the server says, peer_dead, timed_out.
    Result<BufferRef> attach(std::shared_ptr<umem::Buffer> buffer, std::byte* memory,
                             Deadline deadline);
    /// Calls may not name it any more, though it stays mapped.
    void detach(const umem::Buffer& buffer);
    /// The attached buffer behind a reference; null: there is none.
    std::shared_ptr<umem::Buffer> buffer(const BufferRef& ref);

    std::unique_ptr<Table> table() { return std::make_unique<Table>(ledger_); }
    /// The same for calls on `channel`; their large parameters travel in `buffer`, which is mapped
    /// at `memory` and nobody else's to write. The channel outlives the table. Errors: of `attach`.
    Result<std::unique_ptr<Table>> table(rpq::ClientChannel& channel,
                                         std::shared_ptr<umem::Buffer> buffer, std::byte* memory,
                                         Deadline deadline);
    const std::shared_ptr<Ledger>& ledger() { return ledger_; }

   private:
    struct Attached {
        BufferRef name;
        std::shared_ptr<umem::Buffer> buffer;
    };
    /// Shared with the buffers, which may be unmapped later than this ends.
    struct All {
        std::mutex mutex;
        std::map<std::uint32_t, Attached> attached;
        /// Unmapped: let go of at a time when that cannot be what unmaps them.
        std::vector<std::shared_ptr<umem::Buffer>> unmapped;
    };

    std::shared_ptr<Ledger> ledger_ = std::make_shared<Ledger>(Side::client);
    std::shared_ptr<All> all_ = std::make_shared<All>();
};

}  // namespace hyplink::buffers
