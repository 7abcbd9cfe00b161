/// vUmem driver, client end: what is done with a buffer while it is there.
#include <algorithm>

#include "hyplink/base/text.hpp"
#include "hyplink/guest/umem_client.hpp"
#include "hyplink/sys/socket.hpp"

namespace hyplink::guest {

using umem::Command;
using umem::status_of;

Status UmemClientLink::add_pieces(const UmemBuffer& buffer, SysReply& reply) {
    for (const umem::Chunk& run : buffer.runs) {
        for (std::uint64_t done = 0; done < run.bytes;) {
            const hyp::Loan loan = HYPLINK_TRY(
                kernel_->hypercalls().borrow(end_->slot(), mem::Ipa{run.address + done}));
            const std::uint64_t into = run.address + done - loan.at.value;
            const UmemPiece piece{loan.offset + into,
                                  std::min(run.bytes - done, loan.bytes - into)};
            if (reply.fds.size() == sys::kMaxFds)
                return Error::make(Errc::too_long, text("map: the buffer is in more than ",
                                                        sys::kMaxFds, " objects"));
            reply.fds.push_back(loan.object);
            reply.data.append(reinterpret_cast<const char*>(&piece), sizeof piece);
            done += piece.bytes;
        }
    }
    return {};
}

void UmemClientLink::count_mapping(Holding& holding) {
    holding.mapped = true;
    holding.buffer->mapped.insert(holding.app);
    profile_[UmemProfile::maps] += 1;
    book_.answered(kCountsMap, false);
}

void UmemClientLink::map(const std::shared_ptr<Holding>& holding, Pending pending, bool announced) {
    if (fail_if_dead(*holding, pending, "map")) return;
    UmemBuffer& buffer = *holding->buffer;
    if (!holding->allocator && !holding->registered)
        return kernel_->fail(pending, Errc::not_permitted,
                             "map: register the buffer with a session first");
    if ((buffer.attributes & umem::kMappable) == 0 || buffer.bytes == 0)
        return kernel_->fail(pending, Errc::bad_argument, "map: the buffer has no memory");
    const bool own = announced && holding->mapped;
    if (buffer.mapped.contains(holding->app) && !own)
        return kernel_->fail(pending, Errc::busy, "map: this process has mapped the buffer");
    SysReply reply;
    if (const Status borrowed = add_pieces(buffer, reply); !borrowed)
        return kernel_->fail(pending, borrowed.code(), borrowed.error().text());
    if (!own) count_mapping(*holding);
    kernel_->answer(pending, std::move(reply));
}

void UmemClientLink::mapped(const std::shared_ptr<Holding>& holding, Pending pending) {
    const UmemBuffer& buffer = *holding->buffer;
    if (holding->ended || buffer.dead || !holding->allocator ||
        buffer.mapped.contains(holding->app))
        return kernel_->fail(pending, Errc::busy, "mapped: it cannot be");
    count_mapping(*holding);
    kernel_->answer(pending, SysReply{});
}

void UmemClientLink::unmap(const std::shared_ptr<Holding>& holding, Pending pending) {
    if (!std::exchange(holding->mapped, false))
        return kernel_->fail(pending, Errc::bad_argument, "unmap: the buffer is not mapped");
    holding->buffer->mapped.erase(holding->app);
    profile_[UmemProfile::unmaps] += 1;
    book_.answered(kCountsUnmap, false);
    kernel_->answer(pending, SysReply{});
}

void UmemClientLink::cache(const std::shared_ptr<Holding>& holding, Pending pending,
                           std::uint64_t operations) {
    constexpr std::uint64_t kMemory = 1 | 2;
    constexpr std::uint64_t kDevice = 4 | 8;
    constexpr std::uint64_t kLocal = 16;
    if (fail_if_dead(*holding, pending, "cache control")) return;
    const UmemBuffer& buffer = *holding->buffer;
    if ((operations & ~(kMemory | kDevice | kLocal)) != 0 || (operations & ~kLocal) == 0)
        return kernel_->fail(pending, Errc::bad_argument,
                             text("cache control: operations ", operations));
    if (!holding->mapped)
        return kernel_->fail(pending, Errc::bad_argument,
                             "cache control: the buffer is not mapped by the caller");
    const bool device = (operations & kDevice) != 0 && (buffer.attributes & umem::kDeviceSync) != 0;
    const bool memory = (operations & kMemory) != 0 && (buffer.attributes & umem::kMemorySync) != 0;
    // The server's devices, and a cache behind the processor's, are for the server to look after.
    const bool remote = (operations & kLocal) == 0 &&
                        (device || (memory && (buffer.attributes & umem::kOuterCache) != 0));
    if (!remote) {
        if (device || memory) std::atomic_thread_fence(std::memory_order_seq_cst);
        profile_[UmemProfile::cache_local] += 1;
        book_.answered(kCountsCache, false);
        return kernel_->answer(pending, SysReply{});
    }
    profile_[UmemProfile::cache_remote] += 1;
    auto wanted = std::make_shared<bool>(true);
    kernel_->wait(pending, [wanted] { *wanted = false; });
    queue(
        Command::cache, holding->app, buffer.server, buffer.id,
        [this, pending, wanted](const umem::Reply* reply) {
            if (!*wanted) return;
            const Errc status = status_of(reply);
            status == Errc::ok ? kernel_->answer(pending, SysReply{})
                               : kernel_->fail(pending, status, text("cache control on ", device_));
        },
        {}, static_cast<std::uint32_t>(operations));
}

void UmemClientLink::control(const std::shared_ptr<Holding>& holding, Pending pending,
                             SysRequest& request) {
    enum Control : std::uint64_t {
        remote = 1,
        is_allocator = 2,
        is_mappable = 3,
        private_get = 4,
        private_set = 5
    };
    if (fail_if_dead(*holding, pending, "control")) return;
    UmemBuffer& buffer = *holding->buffer;
    if (request.data.size() > umem::kMaxOpaque)
        return kernel_->fail(pending, Errc::bad_argument,
                             text("control: opaque argument of ", request.data.size(),
                                  " bytes, at most ", umem::kMaxOpaque));
    profile_[UmemProfile::controls] += 1;
    SysReply reply;
    switch (request.args[0]) {
        case remote: {
            auto wanted = std::make_shared<bool>(true);
            kernel_->wait(pending, [wanted] { *wanted = false; });
            return queue(
                Command::control, holding->app, buffer.server, buffer.id,
                [this, pending, wanted, size = request.data.size()](const umem::Reply* answer) {
                    if (!*wanted) return;
                    if (const Errc status = status_of(answer); status != Errc::ok)
                        return kernel_->fail(pending, status, text("control on ", device_));
                    SysReply back;
                    back.data.assign(reinterpret_cast<const char*>(answer->head.opaque), size);
                    kernel_->answer(pending, std::move(back));
                },
                request.data);
        }
        case is_allocator:
            reply.values[0] = holding->allocator ? 1 : 0;
            break;
        case is_mappable:
            reply.values[0] = (buffer.attributes & umem::kMappable) != 0 ? 1 : 0;
            break;
        case private_get:
            reply.values[0] = buffer.private_word;
            break;
        case private_set:
            buffer.private_word = request.args[1];
            break;
        default:
            return kernel_->fail(pending, Errc::bad_argument,
                                 text("control: command ", request.args[0], " of 1..5"));
    }
    kernel_->answer(pending, std::move(reply));
}

}  // namespace hyplink::guest
