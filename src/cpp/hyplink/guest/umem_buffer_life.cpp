/// vUmem driver, client end: how a buffer comes to be, who has it, and how it ends.
#include <algorithm>

#include "hyplink/base/text.hpp"
#include "hyplink/guest/umem_client_handles.hpp"
#include "hyplink/sys/memfd.hpp"
#include "hyplink/sys/random.hpp"

namespace hyplink::guest {

using umem::Command;
using umem::status_of;

namespace {
constexpr std::size_t kMaxBuffers = 4096;
constexpr std::uint64_t kMostBytes = std::uint64_t{1} << 40;
}  // namespace

void UmemClientLink::alloc(const std::shared_ptr<Session>& session, Pending pending,
                           const std::string& opaque) {
    if (opaque.size() > umem::kMaxOpaque)
        return kernel_->fail(pending, Errc::bad_argument,
                             text("alloc: opaque argument of ", opaque.size(), " bytes, at most ",
                                  umem::kMaxOpaque));
    if (session->dead || session->gone)
        return kernel_->fail(pending, Errc::peer_dead,
                             text(device_, ": the session's server is gone"));
    if (const auto master = master_.lock(); master && master != session)
        return kernel_->fail(
            pending, Errc::not_permitted,
            text(device_, ": only the master session allocates while there is one"));
    if (buffers_.size() >= kMaxBuffers)
        return kernel_->fail(pending, Errc::no_memory, text(kMaxBuffers, " buffers already"));
    auto wanted = std::make_shared<bool>(true);
    kernel_->wait(pending, [wanted] { *wanted = false; });
    queue(
        Command::alloc, session->app, session->server, 0,
        [this, session, pending, wanted, size = opaque.size()](const umem::Reply* reply) {
            const Errc status = status_of(reply);
            if (status == Errc::ok)
                return on_allocated(session, pending, *wanted && !session->gone, *reply, size);
            if (*wanted)
                kernel_->fail(pending, status,
                              status == Errc::peer_dead
                                  ? text(device_, ": the server is gone")
                                  : text(device_, ": the server answered ", name(status),
                                         status == Errc::too_long ? "; raise vumem-pdev" : ""));
        },
        opaque);
}

Status UmemClientLink::take_layout(const umem::Reply& reply, UmemBuffer& buffer) {
    auto wrong = [](const char* field, std::uint64_t found) {
        return Error::make(Errc::corrupt, text("vUmem layout: ", field, " is ", found));
    };
    if (reply.head.buffer == 0 || buffers_.contains(reply.head.buffer))
        return wrong("buffer id", reply.head.buffer);
    buffer.id = reply.head.buffer;
    buffer.attributes = reply.head.attributes;
    if (reply.head.bytes == umem::kNoMemory) {
        if (!reply.chunks.empty()) return wrong("number of chunks", reply.chunks.size());
        buffer.attributes &= ~std::uint32_t{umem::kMappable};
        return {};
    }
    const std::uint64_t page = sys::page_size();
    std::uint64_t sum = 0;
    for (const umem::Chunk& chunk : reply.chunks) {
        if (chunk.bytes == 0 || chunk.bytes % page != 0 || chunk.bytes > kMostBytes)
            return wrong("chunk size", chunk.bytes);
        if (chunk.address % page != 0 || chunk.address > UINT64_MAX - chunk.bytes)
            return wrong("chunk address", chunk.address);
        sum += chunk.bytes;  // no overflow: the PDEV bounds how many there are
        if (!buffer.runs.empty() &&
            buffer.runs.back().address + buffer.runs.back().bytes == chunk.address)
            buffer.runs.back().bytes += chunk.bytes;
        else
            buffer.runs.push_back(chunk);
    }
    if (sum == 0 || sum != reply.head.bytes || sum > kMostBytes)
        return wrong("size", reply.head.bytes);
    buffer.bytes = sum;
    return {};
}

void UmemClientLink::on_allocated(const std::shared_ptr<Session>& session, Pending pending,
                                  bool wanted, const umem::Reply& reply, std::size_t opaque_bytes) {
    auto buffer = std::make_shared<UmemBuffer>();
    buffer->server = session->server;
    if (const Status layout = take_layout(reply, *buffer); !layout) {
        if (wanted) kernel_->fail(pending, layout.code(), layout.error().text());
        return corrupt(layout.error());
    }
    if (!wanted) {
        // Given up meanwhile: nobody will ever have a handle of it.
        queue(Command::free, session->app, buffer->server, buffer->id, [](const umem::Reply*) {});
        return;
    }
    if (const Status drawn = sys::random_bytes(std::as_writable_bytes(std::span(buffer->token)));
        !drawn) {
        queue(Command::free, session->app, buffer->server, buffer->id, [](const umem::Reply*) {});
        return kernel_->fail(pending, drawn.code(), drawn.error().text());
    }
    buffers_[buffer->id] = buffer;
    profile_[UmemProfile::allocs] += 1;
    hold(buffer->bytes);
    auto holding = std::make_shared<Holding>();
    holding->app = session->app;
    holding->buffer = buffer;
    holding->allocator = session;
    SysReply answer;
    answer.data.assign(reinterpret_cast<const char*>(reply.head.opaque), opaque_bytes);
    add_memory(*buffer, answer);
    give(pending, holding, std::move(answer));
}

void UmemClientLink::add_memory(const UmemBuffer& buffer, SysReply& answer) {
    if ((buffer.attributes & umem::kMappable) == 0 || buffer.runs.size() != 1) return;
    SysReply memory;
    if (!add_pieces(buffer, memory) || memory.fds.size() != 1) return;
    answer.values[UmemBufferReply::pieces] = memory.fds.size();
    answer.data += memory.data;
    answer.fds = std::move(memory.fds);
    answer.spares_fds = true;
}

void UmemClientLink::give(Pending pending, const std::shared_ptr<Holding>& holding,
                          SysReply answer) {
    UmemBuffer& buffer = *holding->buffer;
    buffer.holdings.push_back(holding.get());
    holding->handle =
        kernel_->add_handle(holding->app, std::make_unique<UmemBufferHandle>(*this, holding));
    answer.values[UmemBufferReply::handle] = holding->handle;
    answer.values[UmemBufferReply::buffer] = buffer.id;
    answer.values[UmemBufferReply::bytes] = buffer.bytes;
    answer.values[UmemBufferReply::attributes] = buffer.attributes;
    answer.values[UmemBufferReply::token_low] = buffer.token[0];
    answer.values[UmemBufferReply::token_high] = buffer.token[1];
    kernel_->answer(pending, std::move(answer));
}

void UmemClientLink::import(Pending pending, std::uint64_t token_low, std::uint64_t token_high) {
    for (const auto& [id, buffer] : buffers_) {
        if (buffer->token[0] != token_low || buffer->token[1] != token_high) continue;
        auto holding = std::make_shared<Holding>();
        holding->app = pending.app;
        holding->buffer = buffer;
        holding->imported = true;
        book_.answered(kCountsImport, false);
        return give(pending, holding, SysReply{});
    }
    kernel_->fail(pending, Errc::bad_argument, text(device_, ": no buffer goes by this token"));
}

bool UmemClientLink::fail_if_dead(const Holding& holding, Pending pending, const char* what) {
    if (holding.ended)
        kernel_->fail(pending, Errc::closed, text(what, ": the buffer went with its session"));
    else if (holding.buffer->dead)
        kernel_->fail(pending, Errc::peer_dead, text(what, ": the buffer's server is gone"));
    return holding.ended || holding.buffer->dead;
}

void UmemClientLink::register_buffer(const std::shared_ptr<Holding>& holding, Pending pending,
                                     const std::shared_ptr<Session>& session) {
    if (fail_if_dead(*holding, pending, "register")) return;
    if (session->dead || session->gone || session->server != holding->buffer->server)
        return kernel_->fail(pending, Errc::peer_dead, "register: the session's server is gone");
    if (holding->registered || holding->allocator == session)
        return kernel_->fail(pending, Errc::busy, "register: the buffer is in a session already");
    auto wanted = std::make_shared<bool>(true);
    kernel_->wait(pending, [wanted] { *wanted = false; });
    queue(Command::register_buffer, holding->app, holding->buffer->server, holding->buffer->id,
          [this, holding, session, pending, wanted](const umem::Reply* reply) {
              const Errc status = status_of(reply);
              const bool usable =
                  *wanted && !holding->ended && !session->gone && !holding->registered;
              if (status == Errc::ok && usable) {
                  holding->registered = session;
                  profile_[UmemProfile::registers] += 1;
                  return kernel_->answer(pending, SysReply{});
              }
              if (status == Errc::ok)  // given up meanwhile: undo it
                  queue(Command::unregister_buffer, holding->app, holding->buffer->server,
                        holding->buffer->id, [](const umem::Reply*) {});
              if (*wanted)
                  kernel_->fail(pending, status == Errc::ok ? Errc::cancelled : status,
                                text("register on ", device_));
          });
}

void UmemClientLink::unregister(Holding& holding, std::function<void(const umem::Reply*)> done) {
    if (!holding.registered) return;
    holding.registered.reset();
    profile_[UmemProfile::unregisters] += 1;
    if (!holding.buffer->dead)
        queue(Command::unregister_buffer, holding.app, holding.buffer->server, holding.buffer->id,
              std::move(done));
}

void UmemClientLink::unregister_buffer(const std::shared_ptr<Holding>& holding, Pending pending) {
    if (fail_if_dead(*holding, pending, "unregister")) return;
    if (!holding->registered)
        return kernel_->fail(pending, Errc::bad_argument,
                             "unregister: the buffer was not registered");
    if (!holding->allocator && holding->mapped) {  // without a session it may not be mapped
        holding->mapped = false;
        holding->buffer->mapped.erase(holding->app);
    }
    auto wanted = std::make_shared<bool>(true);
    kernel_->wait(pending, [wanted] { *wanted = false; });
    unregister(*holding, [this, pending, wanted](const umem::Reply* reply) {
        if (!*wanted) return;
        const Errc status = status_of(reply);
        status == Errc::ok ? kernel_->answer(pending, SysReply{})
                           : kernel_->fail(pending, status, text("unregister on ", device_));
    });
}

void UmemClientLink::free(const std::shared_ptr<Holding>& holding, std::optional<Pending> pending) {
    auto done = [this, pending](Errc status) {
        if (!pending) return;
        status == Errc::ok ? kernel_->answer(*pending, SysReply{})
                           : kernel_->fail(*pending, status, text("free on ", device_));
    };
    if (holding->ended) return done(Errc::closed);
    holding->ended = true;
    const std::shared_ptr<UmemBuffer> buffer = holding->buffer;
    if (std::exchange(holding->mapped, false)) buffer->mapped.erase(holding->app);
    unregister(*holding);
    holding->allocator.reset();
    std::erase(buffer->holdings, holding.get());
    if (buffer->dead) return done(Errc::peer_dead);
    if (!buffer->holdings.empty()) return done(Errc::ok);
    buffers_.erase(buffer->id);
    profile_[UmemProfile::frees] += 1;
    let_go(buffer->bytes);
    auto wanted = std::make_shared<bool>(true);
    if (pending) kernel_->wait(*pending, [wanted] { *wanted = false; });
    queue(Command::free, holding->app, buffer->server, buffer->id,
          [done, wanted](const umem::Reply* reply) {
              if (*wanted) done(status_of(reply));
          });
}

}  // namespace hyplink::guest
