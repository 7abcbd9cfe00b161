#include "hyplink/guest/umem_client.hpp"

#include <algorithm>
#include <cstring>

#include "hyplink/base/text.hpp"
#include "hyplink/guest/umem_client_handles.hpp"
#include "hyplink/ring/rpq_port.hpp"

namespace hyplink::guest {

using umem::Command;
using umem::status_of;

namespace {

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
        kernel_->add_handle(session->app, std::make_unique<UmemSessionHandle>(*this, session));
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
