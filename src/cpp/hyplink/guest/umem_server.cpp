#include "hyplink/guest/umem_server.hpp"

#include <algorithm>
#include <cstring>

#include "hyplink/base/text.hpp"
#include "hyplink/sys/memfd.hpp"

namespace hyplink::guest {

using umem::Command;

namespace {

constexpr std::int32_t kMaxErrno = 4095;
constexpr std::size_t kMaxBuffers = 4096;

class ServerHandle final : public UmemHandle {
   public:
    ServerHandle(UmemServerLink& link, std::shared_ptr<UmemServer> server)
        : link_(&link), server_(std::move(server)) {}
    void close() override { link_->close_server(server_, {}); }
    void request(Pending pending, SysRequest& request) override {
        switch (request.op) {
            case Sys::umem_receive:
                return link_->receive(server_, pending);
            case Sys::umem_respond:
            case Sys::umem_respond_receive:
                return link_->respond(server_, pending, request,
                                      request.op == Sys::umem_respond_receive);
            case Sys::umem_server_close:
                return link_->close_server(server_, pending);
            default:
                link_->kernel().fail(pending, Errc::bad_argument,
                                     "a vUmem server receives and responds");
        }
    }

   private:
    UmemServerLink* link_;
    std::shared_ptr<UmemServer> server_;
};

class DeviceHandle final : public UmemHandle {
   public:
    explicit DeviceHandle(UmemServerLink& link) : link_(&link) {}
    void close() override {}
    void request(Pending pending, SysRequest& request) override {
        if (request.op == Sys::umem_server_create) return link_->create(pending);
        if (request.op == Sys::umem_profile)
            return link_->send_profile(pending, request.args[0] != 0);
        link_->kernel().fail(pending, Errc::bad_argument,
                             text(link_->device(), " is a server device: it has no sessions"));
    }

   private:
    UmemServerLink* link_;
};

}  // namespace

std::unique_ptr<Handle> UmemServerLink::open_device(AppId) {
    return std::make_unique<DeviceHandle>(*this);
}

// --- the server program
// -----------------------------------------------------------------------------------------------

void UmemServerLink::create(Pending pending) {
    if (end_->stopping()) return kernel_->fail(pending, Errc::shutting_down, "the VM shuts down");
    if ((server_ && !server_->closing) || creating_)
        return kernel_->fail(pending, Errc::busy, text(device_, " has a server already"));
    if (!server_ && end_->is_up()) return open_server(pending);
    creating_ = pending;
    kernel_->wait(pending, [this] { creating_.reset(); });
    kernel_->kick();
}

void UmemServerLink::open_server(Pending pending) {
    server_ = std::make_shared<UmemServer>();
    server_->app = pending.app;
    server_->number = next_number_++;
    book_.sessions(1);
    if (next_number_ == 0) next_number_ = 1;  // 0 is "any"
    SysReply reply;
    reply.values[0] =
        kernel_->add_handle(pending.app, std::make_unique<ServerHandle>(*this, server_));
    reply.values[1] = server_->number;
    kernel_->answer(pending, std::move(reply));
    if (incoming_) take_call();  // a client that waits for a server
}

void UmemServerLink::receive(const std::shared_ptr<UmemServer>& server, Pending pending) {
    if (server != server_ || server->closing)
        return kernel_->fail(pending, Errc::closed, text(device_, ": the server is closed"));
    if (server->dead)
        return kernel_->fail(pending, Errc::peer_dead,
                             text(device_, ": the client VM is gone; make a new server"));
    if (server->receiving)
        return kernel_->fail(pending, Errc::busy, text(device_, ": another receive waits"));
    if (delivered_)
        return kernel_->fail(pending, Errc::bad_argument,
                             text(device_, ": the last request was not responded to"));
    server->receiving = pending;
    kernel_->wait(pending, [server] { server->receiving.reset(); });
    deliver();
}

void UmemServerLink::deliver() {
    if (!server_ || server_->closing || !server_->receiving || !incoming_ || delivered_) return;
    const umem::Request& request = incoming_->request;
    const auto command = static_cast<Command>(request.command);
    buffer_ = request.buffer;
    if (command == Command::alloc) {
        buffer_ = 1;  // the lowest number that is free
        for (const auto& [used, record] : buffers_) {
            if (used != buffer_) break;
            ++buffer_;
        }
    }
    if (command == Command::free) {
        // The record goes before the program sees the request: nothing else can be asked of it.
        auto found = buffers_.find(buffer_);
        freeing_ = found->second;
        buffers_.erase(found);
    }
    delivered_ = true;
    SysReply reply;
    reply.values[UmemRequestReply::command] = request.command;
    reply.values[UmemRequestReply::buffer] = buffer_;
    reply.values[UmemRequestReply::vm] = end_->peer_vm();
    reply.values[UmemRequestReply::app] = request.app;
    reply.data.assign(reinterpret_cast<const char*>(request.opaque), request.opaque_bytes);
    kernel_->answer(*std::exchange(server_->receiving, {}), std::move(reply));
}

void UmemServerLink::respond(const std::shared_ptr<UmemServer>& server, Pending pending,
                             SysRequest& request, bool then_receive) {
    using Args = UmemRespondArgs;
    if (server != server_ || server->closing)
        return kernel_->fail(pending, Errc::closed, text(device_, ": the server is closed"));
    if (server->dead)
        return kernel_->fail(pending, Errc::peer_dead,
                             text(device_, ": the client VM is gone; make a new server"));
    if (server->receiving)
        return kernel_->fail(pending, Errc::busy, text(device_, ": a receive waits"));
    if (!delivered_)
        return kernel_->fail(pending, Errc::bad_argument,
                             text(device_, ": there is no request to respond to"));
    const auto command = static_cast<Command>(incoming_->request.command);
    // A response that cannot be sent still ends the request: the client gets the same error.
    Errc refused = Errc::ok;
    std::string why;
    auto error = static_cast<std::int64_t>(request.args[Args::error]);
    if (error < 0 || error > kMaxErrno) error = EINVAL;
    umem::Answer head{};
    head.server = server->number;
    head.buffer = buffer_;
    std::vector<umem::Chunk> chunks;
    const bool has_opaque = command == Command::alloc || command == Command::control;
    if (request.data.size() > umem::kMaxOpaque) {
        refused = Errc::bad_argument;
        why =
            text("opaque argument of ", request.data.size(), " bytes, at most ", umem::kMaxOpaque);
    } else if (has_opaque) {
        // As many bytes as the client gave go back.
        std::memcpy(head.opaque, request.data.data(),
                    std::min<std::size_t>(request.data.size(), incoming_->request.opaque_bytes));
    }
    if (refused == Errc::ok && error == 0 && command == Command::alloc)
        refused = finish_alloc(request, head, chunks, why);
    if (refused != Errc::ok) {
        error = static_cast<std::int32_t>(refused);
        profile_[UmemProfile::errors] += 1;
    }
    if (auto freed = std::exchange(freeing_, {}))
        drop(*freed, request.args[Args::kind] == static_cast<std::uint32_t>(hyp::LoanKind::whole),
             When::soon);
    end_request(server->number, static_cast<std::int32_t>(error), head, chunks);
    delivered_ = false;
    if (refused == Errc::ok)
        return then_receive ? receive(server, pending) : kernel_->answer(pending, SysReply{});
    why = text(device_, ": respond: ", why);
    if (!then_receive) return kernel_->fail(pending, refused, std::move(why));
    // A failure would say nothing about which of the two it was.
    SysReply reply;
    reply.values[UmemRequestReply::command] = static_cast<std::uint64_t>(Command::none);
    reply.values[UmemRequestReply::buffer] = static_cast<std::uint64_t>(refused);
    reply.data = std::move(why);
    kernel_->answer(pending, std::move(reply));
}

Errc UmemServerLink::finish_alloc(const SysRequest& request, umem::Answer& head,
                                  std::vector<umem::Chunk>& chunks, std::string& why) {
    using Args = UmemRespondArgs;
    if (request.args[Args::buffer] != buffer_) {
        why = text("buffer ", request.args[Args::buffer], ", the request says ", buffer_);
        return Errc::bad_argument;
    }
    if (buffers_.size() >= kMaxBuffers) {
        why = text(kMaxBuffers, " buffers already");
        return Errc::no_memory;
    }
    const std::uint64_t bytes = request.args[Args::bytes];
    Record record;
    head.bytes = bytes;
    head.attributes = static_cast<std::uint32_t>(request.args[Args::kind] >> 32);
    if (bytes == umem::kNoMemory) {
        head.attributes &= ~std::uint32_t{umem::kMappable};
    } else {
        const std::uint64_t count = bytes / umem::kChunkBytes + (bytes % umem::kChunkBytes != 0);
        if (bytes == 0 || request.fds.size() != 1) {
            why = text("memory of ", bytes, " bytes and ", request.fds.size(), " descriptors");
            return Errc::bad_argument;
        }
        if (count > umem::chunks_in(pdev_bytes_)) {
            why = text("a buffer of ", bytes, " bytes is ", count, " chunks, ",
                       umem::chunks_in(pdev_bytes_), " fit; raise vumem-pdev");
            return Errc::too_long;
        }
        const auto kind = static_cast<hyp::LoanKind>(request.args[Args::kind] & 0xffffffff);
        auto at = kernel_->hypercalls().lend(end_->slot(), request.fds[0],
                                             request.args[Args::offset], bytes, kind);
        if (!at) {
            why = at.error().text();
            return at.code();
        }
        record = Record{*at, bytes};
        for (std::uint64_t done = 0; done < bytes; done += umem::kChunkBytes)
            chunks.push_back({at->value + done, std::min(umem::kChunkBytes, bytes - done)});
    }
    buffers_[buffer_] = record;
    hold(record.bytes);
    return Errc::ok;
}

void UmemServerLink::drop(const Record& record, bool erase, When when) {
    let_go(record.bytes);
    if (!record.at) return;
    // A living program has seen to its memory by itself before it said so.
    if (when == When::soon)
        kernel_->hypercalls().recall_soon(end_->slot(), record.at, erase);
    else
        (void)kernel_->hypercalls().recall(end_->slot(), record.at, erase);
}

void UmemServerLink::close_server(const std::shared_ptr<UmemServer>& server,
                                  std::optional<Pending> pending) {
    if (server != server_ || server->closing) {
        // Its handle goes after umem_server_close, or the program died while that waited.
        if (pending)
            kernel_->fail(*pending, Errc::closed, text(device_, ": the server is closed"));
        else
            server->orderly = false;
        return;
    }
    server->closing = true;
    server->orderly = pending.has_value();
    server->close_pending = pending;
    if (pending) kernel_->wait(*pending, [server] { server->close_pending.reset(); });
    if (server->receiving)
        kernel_->fail(*std::exchange(server->receiving, {}), Errc::cancelled,
                      text(device_, ": the server was closed"));
    begin_revoke();
}

void UmemServerLink::begin_revoke() {
    if (!end_->is_up() || server_->dead) return finish_close();
    umem::Request request{};
    request.command = static_cast<std::uint32_t>(Command::mappings_revoke);
    request.operation = server_->number;
    profile_[UmemProfile::revokes] += 1;
    call(server_->number, request);
}

void UmemServerLink::on_reply(umem::Reply) {
    book_.answered(static_cast<std::uint32_t>(Command::mappings_revoke), false);
    if (server_ && server_->closing) finish_close();
}

void UmemServerLink::finish_close() {
    const std::shared_ptr<UmemServer> server = std::exchange(server_, {});
    if (incoming_ &&
        incoming_->request.command != static_cast<std::uint32_t>(Command::session_create)) {
        end_request(server->number, static_cast<std::int32_t>(Errc::peer_dead));
    }
    book_.sessions(0);
    delivered_ = false;
    // A program that lives has moved, or will move, what it wants to keep: then the old pages are
    // its own affair. Of a dead one nothing must stay readable.
    if (auto freed = std::exchange(freeing_, {})) drop(*freed, !server->orderly, When::now);
    for (const auto& [number, record] : std::exchange(buffers_, {}))
        drop(record, !server->orderly, When::now);
    if (server->close_pending) kernel_->answer(*server->close_pending, SysReply{});
    if (creating_ && end_->is_up()) open_server(*std::exchange(creating_, {}));
}

// --- link
// --------------------------------------------------------------------------------------------------

void UmemServerLink::on_up() {
    if (creating_ && !server_) open_server(*std::exchange(creating_, {}));
}

void UmemServerLink::abort() {
    incoming_.reset();
    delivered_ = false;
    if (!server_) return;
    server_->dead = true;
    // What was being freed is dropped with all the rest, when the program destroys its server.
    if (auto freed = std::exchange(freeing_, {})) buffers_.emplace(buffer_, *freed);
    if (server_->closing) return finish_close();
    if (server_->receiving)
        kernel_->fail(*std::exchange(server_->receiving, {}), Errc::peer_dead,
                      text(device_, ": the client VM is gone"));
}

void UmemServerLink::refuse(Errc why) {
    const std::uint32_t number = server_ ? server_->number : 0;
    profile_[UmemProfile::errors] += 1;
    end_request(number, static_cast<std::int32_t>(why));
}

void UmemServerLink::end_request(std::uint32_t server, std::int32_t error, const umem::Answer& head,
                                 std::span<const umem::Chunk> chunks) {
    book_.answered(incoming_->request.command, error != 0, began_);
    incoming_.reset();
    answer_call(server, error, head, chunks);
}

void UmemServerLink::on_call(const umem::Call& call) {
    incoming_ = call;
    began_ = kernel_->runtime().now();
    take_call();
}

void UmemServerLink::take_call() {
    const umem::Request& request = incoming_->request;
    const auto command = static_cast<Command>(request.command);
    const bool live = server_ && !server_->dead && !server_->closing;
    if (incoming_->server != 0 && (!live || incoming_->server != server_->number))
        return refuse(Errc::peer_dead);
    switch (command) {
        case Command::session_create: {
            if (!live) return;  // it waits for a server
            profile_[UmemProfile::sessions] += 1;
            umem::Answer head{};
            head.server = server_->number;
            return end_request(head.server, 0, head);
        }
        case Command::alloc:
            if (!live) return refuse(Errc::peer_dead);
            profile_[UmemProfile::allocs] += 1;
            break;
        case Command::free:
        case Command::register_buffer:
        case Command::unregister_buffer:
        case Command::control:
        case Command::cache: {
            if (!live) return refuse(Errc::peer_dead);
            if (!buffers_.contains(request.buffer)) return refuse(Errc::bad_argument);
            const auto counter = command == Command::free                ? UmemProfile::frees
                                 : command == Command::register_buffer   ? UmemProfile::registers
                                 : command == Command::unregister_buffer ? UmemProfile::unregisters
                                 : command == Command::control ? UmemProfile::controls
                                                               : UmemProfile::cache_remote;
            profile_[counter] += 1;
            if (command != Command::cache) break;
            // Memory of this machine is coherent: ordering is all there is to do.
            std::atomic_thread_fence(std::memory_order_seq_cst);
            return end_request(server_->number, 0);
        }
        default:
            incoming_.reset();
            return corrupt(Error::make(Errc::corrupt, text("command ", request.command)));
    }
    deliver();
}

}  // namespace hyplink::guest
