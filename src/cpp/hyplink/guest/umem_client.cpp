#include "hyplink/guest/umem_client.hpp"

#include <algorithm>
#include <cstring>
#include <random>

#include "hyplink/base/text.hpp"
#include "hyplink/ring/rpq_port.hpp"
#include "hyplink/sys/memfd.hpp"
#include "hyplink/sys/socket.hpp"

namespace hyplink::guest {

using umem::Command;

namespace {

constexpr std::size_t kMaxBuffers = 4096;
constexpr std::uint64_t kMostBytes = std::uint64_t{1} << 40;

constexpr std::uint32_t word(rpq::ChannelState state) { return static_cast<std::uint32_t>(state); }

/// A status the server sent: an errno, or EINVAL if it is none.
Errc status_of(const umem::Reply* reply) {
    if (reply == nullptr) return Errc::peer_dead;
    if (reply->error < 0 || reply->error > 4095) return Errc::bad_argument;
    return static_cast<Errc>(reply->error);
}

class SessionHandle final : public UmemHandle {
   public:
    SessionHandle(UmemClientLink& link, std::shared_ptr<UmemSession> session)
        : link_(&link), session_(std::move(session)) {}
    void close() override { link_->close_session(session_); }
    void request(Pending pending, SysRequest& request) override {
        if (request.op == Sys::umem_alloc) return link_->alloc(session_, pending, request.data);
        link_->kernel().fail(pending, Errc::bad_argument, "a vUmem session only allocates");
    }
    UmemClientLink* link() const { return link_; }
    const std::shared_ptr<UmemSession>& session() const { return session_; }

   private:
    UmemClientLink* link_;
    std::shared_ptr<UmemSession> session_;
};

class BufferHandle final : public UmemHandle {
   public:
    BufferHandle(UmemClientLink& link, std::shared_ptr<UmemHolding> holding)
        : link_(&link), holding_(std::move(holding)) {}
    void close() override { link_->free(holding_, {}); }
    void request(Pending pending, SysRequest& request) override {
        switch (request.op) {
            case Sys::umem_free:
                return link_->free(holding_, pending);
            case Sys::umem_register: {
                auto* session = dynamic_cast<SessionHandle*>(link_->kernel().find_handle(
                    pending.app, static_cast<std::uint32_t>(request.args[0])));
                if (session == nullptr || session->link() != link_)
                    return link_->kernel().fail(pending, Errc::bad_argument,
                                                "register: not a session of the same device");
                return link_->register_buffer(holding_, pending, session->session());
            }
            case Sys::umem_unregister:
                return link_->unregister_buffer(holding_, pending);
            case Sys::umem_map:
                return link_->map(holding_, pending);
            case Sys::umem_unmap:
                return link_->unmap(holding_, pending);
            case Sys::umem_cache:
                return link_->cache(holding_, pending, request.args[0]);
            case Sys::umem_control:
                return link_->control(holding_, pending, request);
            default:
                link_->kernel().fail(pending, Errc::bad_argument, "not a request of a buffer");
        }
    }

   private:
    UmemClientLink* link_;
    std::shared_ptr<UmemHolding> holding_;
};

class DeviceHandle final : public UmemHandle {
   public:
    explicit DeviceHandle(UmemClientLink& link) : link_(&link) {}
    void close() override {}
    void request(Pending pending, SysRequest& request) override {
        switch (request.op) {
            case Sys::umem_session_create:
                return link_->create_session(pending, request.args[0] != 0);
            case Sys::umem_import:
                return link_->import(pending, request.args[0], request.args[1]);
            case Sys::umem_profile:
                return link_->send_profile(pending, request.args[0] != 0);
            default:
                link_->kernel().fail(
                    pending, Errc::bad_argument,
                    text(link_->device(), " is a client device: no server runs on it"));
        }
    }

   private:
    UmemClientLink* link_;
};

}  // namespace

std::unique_ptr<Handle> UmemClientLink::open_device(AppId) {
    return std::make_unique<DeviceHandle>(*this);
}

// --- remote calls
// -----------------------------------------------------------------------------------------------

void UmemClientLink::queue(Command command, AppId app, std::uint32_t server, std::uint32_t buffer,
                           std::function<void(const umem::Reply*)> done, std::string_view opaque,
                           std::uint32_t operation) {
    if (!end_->is_up()) return done(nullptr);
    auto rpc = std::make_shared<Rpc>();
    rpc->server = server;
    rpc->request.command = static_cast<std::uint32_t>(command);
    rpc->request.vm = kernel_->identity().id;
    rpc->request.app = app;
    rpc->request.buffer = buffer;
    rpc->request.operation = operation;
    rpc->request.opaque_bytes = static_cast<std::uint32_t>(opaque.size());
    if (!opaque.empty()) std::memcpy(rpc->request.opaque, opaque.data(), opaque.size());
    rpc->asked = kernel_->runtime().now();
    rpc->done = std::move(done);
    if (under_way_) book_.waited();
    queue_.push_back(std::move(rpc));
    pump();
}

void UmemClientLink::pump() {
    if (under_way_ || queue_.empty() || !end_->is_up()) return;
    under_way_ = true;
    call(queue_.front()->server, queue_.front()->request);
}

void UmemClientLink::on_reply(umem::Reply reply) {
    if (!under_way_ || queue_.empty()) return;
    const auto rpc = queue_.front();
    queue_.pop_front();
    under_way_ = false;
    const bool refused = status_of(&reply) != Errc::ok;
    if (refused) profile_[UmemProfile::errors] += 1;
    book_.answered(rpc->request.command, refused, rpc->asked);
    rpc->done(&reply);
    pump();
}

// --- sessions
// -----------------------------------------------------------------------------------------------

void UmemClientLink::create_session(Pending pending, bool master) {
    if (end_->stopping()) return kernel_->fail(pending, Errc::shutting_down, "the VM shuts down");
    if (master && !master_.expired())
        return kernel_->fail(pending, Errc::busy, text(device_, " has a master session already"));
    auto status = kernel_->take_status_word(pending.app);
    if (!status) return kernel_->fail(pending, status.code(), status.error().text());
    auto creation = std::make_shared<Creation>();
    creation->pending = pending;
    creation->session = std::make_shared<Session>();
    creation->session->app = pending.app;
    creation->session->master = master;
    creation->session->status = *status;
    if (master) master_ = creation->session;
    sessions_.insert(creation->session);
    kernel_->wait(pending, [this, creation] {
        creation->waiting = false;
        close_session(creation->session);
        std::erase(waiting_up_, creation);
    });
    announce(creation);
}

void UmemClientLink::announce(const std::shared_ptr<Creation>& creation) {
    if (!end_->is_up()) {
        waiting_up_.push_back(creation);
        return kernel_->kick();
    }
    queue(Command::session_create, creation->session->app, 0, 0,
          [this, creation](const umem::Reply* reply) { on_created(creation, reply); });
}

void UmemClientLink::on_created(const std::shared_ptr<Creation>& creation,
                                const umem::Reply* reply) {
    if (!creation->waiting) return;
    const Errc status = status_of(reply);
    // It met a server that was dying: the next one will do.
    if (status == Errc::peer_dead && !end_->stopping()) return announce(creation);
    creation->waiting = false;
    const auto& session = creation->session;
    if (status != Errc::ok) {
        close_session(session);
        return kernel_->fail(creation->pending, status, text(device_, ": the server refused"));
    }
    session->open = true;
    count_sessions();
    session->server = reply->head.server;
    session->status.word->store(word(rpq::ChannelState::open), std::memory_order_release);
    profile_[session->master ? UmemProfile::masters : UmemProfile::sessions] += 1;
    SysReply answer;
    answer.values[0] =
        kernel_->add_handle(session->app, std::make_unique<SessionHandle>(*this, session));
    answer.values[1] = session->server;
    answer.values[2] = end_->peer_vm();
    answer.values[3] = session->status.index;
    kernel_->answer(creation->pending, std::move(answer));
}

void UmemClientLink::count_sessions() {
    const auto open = std::count_if(sessions_.begin(), sessions_.end(), [](const auto& session) {
        return session->open && !session->dead;
    });
    book_.sessions(static_cast<std::uint64_t>(open));
}

void UmemClientLink::close_session(const std::shared_ptr<Session>& session) {
    if (session->gone) return;
    session->gone = true;
    sessions_.erase(session);
    count_sessions();
    if (session->master && master_.lock() == session) master_.reset();
    if (session->status.word != nullptr) kernel_->drop_status_word(session->app, session->status);
    session->status = {};
    // What it has allocated, and what was registered with it, goes with it.
    for (const auto& [id, buffer] : std::map(buffers_)) {
        for (UmemHolding* raw : std::vector(buffer->holdings)) {
            if (std::find(buffer->holdings.begin(), buffer->holdings.end(), raw) ==
                buffer->holdings.end())
                continue;
            if (raw->registered == session) unregister(*raw);
            if (raw->allocator == session) raw->allocator.reset();
            if (raw->allocator || raw->registered || raw->imported) continue;
            // Alive through its handle until that is closed, but good for nothing.
            std::shared_ptr<UmemHolding> ending(raw, [](UmemHolding*) {});
            free(ending, {});
        }
    }
}

// --- buffers: their life
// ------------------------------------------------------------------------------------

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
    std::random_device random;
    for (std::uint64_t& half : buffer->token) half = std::uint64_t{random()} << 32 | random();
    buffers_[buffer->id] = buffer;
    profile_[UmemProfile::allocs] += 1;
    hold(buffer->bytes);
    auto holding = std::make_shared<Holding>();
    holding->app = session->app;
    holding->buffer = buffer;
    holding->allocator = session;
    give(pending, holding,
         std::string(reinterpret_cast<const char*>(reply.head.opaque), opaque_bytes));
}

void UmemClientLink::give(Pending pending, const std::shared_ptr<Holding>& holding,
                          std::string opaque) {
    UmemBuffer& buffer = *holding->buffer;
    buffer.holdings.push_back(holding.get());
    holding->handle =
        kernel_->add_handle(holding->app, std::make_unique<BufferHandle>(*this, holding));
    SysReply answer;
    answer.values[UmemBufferReply::handle] = holding->handle;
    answer.values[UmemBufferReply::buffer] = buffer.id;
    answer.values[UmemBufferReply::bytes] = buffer.bytes;
    answer.values[UmemBufferReply::attributes] = buffer.attributes;
    answer.values[UmemBufferReply::token_low] = buffer.token[0];
    answer.values[UmemBufferReply::token_high] = buffer.token[1];
    answer.data = std::move(opaque);
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
        return give(pending, holding, {});
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

// --- buffers: their use
// ------------------------------------------------------------------------------------------

void UmemClientLink::map(const std::shared_ptr<Holding>& holding, Pending pending) {
    if (fail_if_dead(*holding, pending, "map")) return;
    UmemBuffer& buffer = *holding->buffer;
    if (!holding->allocator && !holding->registered)
        return kernel_->fail(pending, Errc::not_permitted,
                             "map: register the buffer with a session first");
    if ((buffer.attributes & umem::kMappable) == 0 || buffer.bytes == 0)
        return kernel_->fail(pending, Errc::bad_argument, "map: the buffer has no memory");
    if (buffer.mapped.contains(holding->app))
        return kernel_->fail(pending, Errc::busy, "map: this process has mapped the buffer");
    SysReply reply;
    for (const umem::Chunk& run : buffer.runs) {
        for (std::uint64_t done = 0; done < run.bytes;) {
            auto loan = kernel_->hypercalls().borrow(end_->slot(), mem::Ipa{run.address + done});
            if (!loan) return kernel_->fail(pending, loan.code(), loan.error().text());
            const std::uint64_t into = run.address + done - loan->at.value;
            const UmemPiece piece{loan->offset + into,
                                  std::min(run.bytes - done, loan->bytes - into)};
            if (reply.fds.size() == sys::kMaxFds)
                return kernel_->fail(
                    pending, Errc::too_long,
                    text("map: the buffer is in more than ", sys::kMaxFds, " objects"));
            reply.fds.push_back(loan->object);
            reply.data.append(reinterpret_cast<const char*>(&piece), sizeof piece);
            done += piece.bytes;
        }
    }
    holding->mapped = true;
    buffer.mapped.insert(holding->app);
    profile_[UmemProfile::maps] += 1;
    book_.answered(kCountsMap, false);
    kernel_->answer(pending, std::move(reply));
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

// --- link
// --------------------------------------------------------------------------------------------------

void UmemClientLink::lose(std::uint32_t server) {
    for (const auto& session : sessions_) {
        if (!session->open || session->dead || (server != 0 && session->server != server)) continue;
        session->dead = true;
        if (session->status.word != nullptr)
            session->status.word->store(word(rpq::ChannelState::dead), std::memory_order_release);
    }
    count_sessions();
    for (auto entry = buffers_.begin(); entry != buffers_.end();) {
        const std::shared_ptr<UmemBuffer> buffer = entry->second;
        if (server != 0 && buffer->server != server) {
            ++entry;
            continue;
        }
        buffer->dead = true;
        let_go(buffer->bytes);
        entry = buffers_.erase(entry);
        for (const UmemHolding* holding : buffer->holdings) {
            SysReply word;
            word.code = Errc::peer_dead;
            word.values[0] = holding->handle;
            kernel_->tell(holding->app, std::move(word));
        }
    }
}

void UmemClientLink::on_up() {
    for (const auto& creation : std::exchange(waiting_up_, {})) announce(creation);
}

void UmemClientLink::abort() {
    lose(0);
    under_way_ = false;
    for (const auto& rpc : std::exchange(queue_, {})) rpc->done(nullptr);
}

void UmemClientLink::on_call(const umem::Call& call) {
    if (call.request.command != static_cast<std::uint32_t>(Command::mappings_revoke))
        return corrupt(Error::make(Errc::corrupt, text("command ", call.request.command)));
    profile_[UmemProfile::revokes] += 1;
    lose(call.request.operation);
    book_.answered(call.request.command, false);
    answer_call(call.server, 0);
}

}  // namespace hyplink::guest
