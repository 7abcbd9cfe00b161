#include "hyplink/compat/vrpc.h"

#include <atomic>
#include <cerrno>
#include <cstring>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

#include "hyplink/app/rpc/rpc.hpp"
#include "hyplink/backend/task_thread.hpp"
#include "hyplink/compat/ends.hpp"
#include "hyplink/compat/place.hpp"
#include "hyplink/compat/vrpc_area.hpp"

using namespace hyplink;
using compat::failed;

/// One opening of a server: closing it lets the handler finish, and answer.
struct Turn {
    std::mutex handling;
    bool closing = false;
};

/// What stays the same is set before anybody knows it. Never destroyed: a thread may use it when
/// the program leaves.
struct vrpc_t {
    std::uint32_t link = 0;
    Role role = Role::server;
    VmId peer = 0;
    std::string info;
    compat::VrpcArea area;
    std::size_t maxsize = 0;

    std::mutex mutex;  ///< of what follows; never held while waiting
    bool open = false;
    std::shared_ptr<port::End> end;  ///< null: released, or lost to another application
    std::shared_ptr<rpc::Client> client;
    std::shared_ptr<rpc::Server> server;
    std::shared_ptr<Turn> turn;
    std::shared_ptr<backend::TaskThread> thread;
    /// Closed in itself, it ends when its handler returns.
    std::vector<std::shared_ptr<backend::TaskThread>> leaving;
    std::atomic<vrpc_off_t> off{nullptr};

    std::shared_ptr<std::atomic<bool>> told;  ///< a client's: that this opening is lost

    void tell() {
        if (const vrpc_off_t call = off.load(std::memory_order_acquire))
            call(static_cast<NkOsId>(peer));
    }
};

namespace {

/// The end whose library thread this is.
thread_local const vrpc_t* own_thread = nullptr;

struct Known {
    std::mutex mutex;
    std::vector<std::unique_ptr<vrpc_t>> all;
    static Known& only() {
        static Known& known = *new Known;
        return known;
    }
    /// The object of an end that was taken; made when it is seen first.
    Result<vrpc_t*> of(std::unique_ptr<port::End> end) {
        const std::lock_guard lock(mutex);
        vrpc_t* found = nullptr;
        for (const auto& vrpc : all)
            if (vrpc->link == end->link() && vrpc->role == end->role()) found = vrpc.get();
        if (found == nullptr) {
            auto made = std::make_unique<vrpc_t>();
            made->link = end->link();
            made->role = end->role();
            made->peer = end->peer();
            made->info = end->info();
            made->maxsize = static_cast<std::size_t>(end->bytes() - rpc::kHeadBytes);
            made->area = HYPLINK_TRY(compat::VrpcArea::make(made->maxsize));
            found = all.emplace_back(std::move(made)).get();
        }
        const std::lock_guard inner(found->mutex);
        found->end = std::move(end);
        return found;
    }
};

vrpc_t* lookup(const char* name, Role role, const vrpc_t* last) {
    port::Lookup what;
    what.device = "vrpc";
    what.name = name == nullptr ? "" : name;
    what.role = role == Role::server ? guest::PortRole::server : guest::PortRole::client;
    // Newest first, so what comes behind `last` is older.
    auto end = compat::take_end(
        what, [&](const port::End& found) { return last == nullptr || found.link() < last->link; });
    if (!end) return failed(end.error()), nullptr;
    auto vrpc = Known::only().of(*std::move(end));
    if (!vrpc) return failed(vrpc.error()), nullptr;
    return *vrpc;
}

/// After its end was released to end the waits on it.
void take_again(vrpc_t& vrpc) {
    port::Lookup what;
    what.device = "vrpc";
    what.name = vrpc.info;
    what.role = vrpc.role == Role::server ? guest::PortRole::server : guest::PortRole::client;
    what.peer = vrpc.peer;
    auto end =
        compat::take_end(what, [&](const port::End& found) { return found.link() == vrpc.link; });
    const std::lock_guard lock(vrpc.mutex);
    vrpc.end = end ? std::shared_ptr<port::End>(*std::move(end)) : nullptr;
}

/// With the lock held. Errors: bad_argument, busy.
Result<std::shared_ptr<port::End>> begin_open(vrpc_t& vrpc, Role role) {
    if (vrpc.role != role)
        return Error::make(Errc::bad_argument, "vRPC: the other end of the link does that");
    if (vrpc.open) return Error::make(Errc::busy, "vRPC: open already");
    if (!vrpc.end) return Error::make(Errc::busy, "vRPC: another application has this end");
    vrpc.open = true;
    return vrpc.end;
}

void serve(vrpc_t& vrpc, rpc::Server& server, Turn& turn, vrpc_call_t call, void* cookie) {
    own_thread = &vrpc;
    std::uint32_t shown = 0;
    for (;;) {
        auto size = server.receive(Deadline::never());
        if (size.code() == Errc::corrupt) continue;  // it has been let go, the next is welcome
        if (!size) return;
        if (std::exchange(shown, server.clients()) != server.clients()) {
            const rings::ChannelContext& context = server.channel()->context();
            if (!vrpc.area.show(context.port, context.port_bytes, server.data())) return;
        }
        const std::lock_guard lock(turn.handling);
        if (turn.closing) return;
        const vrpc_size_t answer = call(cookie, *size);
        (void)server.answer(answer <= vrpc.maxsize ? answer : 0);
    }
}

Status connect(vrpc_t& vrpc, const std::shared_ptr<port::End>& end) {
    std::shared_ptr<rpc::Client> client = HYPLINK_TRY(rpc::Client::open(end, Deadline::never()));
    // What the program left there is there in the product, too: its memory is the same again.
    std::memcpy(client->data(), vrpc.area.data(), vrpc.maxsize);
    const rings::ChannelContext& context = client->channel()->context();
    HYPLINK_TRY(vrpc.area.show(context.port, context.port_bytes, client->data()));
    auto told = std::make_shared<std::atomic<bool>>(false);
    client->off_notifier([&vrpc, told](VmId) {
        if (!told->exchange(true)) vrpc.tell();
    });
    const std::lock_guard lock(vrpc.mutex);
    if (vrpc.end != end || !vrpc.open)
        return Error::make(Errc::cancelled, "vRPC: closed meanwhile");
    vrpc.client = std::move(client);
    vrpc.told = std::move(told);
    return {};
}

/// An opening did not succeed. Positive errno.
int give_up_open(vrpc_t& vrpc, const std::shared_ptr<port::End>& end, const Error& why) {
    const std::lock_guard lock(vrpc.mutex);
    if (vrpc.end == end) vrpc.open = false;  // else it was closed, and perhaps opened anew
    return failed(why);
}

int call(vrpc_t& vrpc, vrpc_size_t* size, bool interruptible) {
    std::shared_ptr<rpc::Client> client;
    std::shared_ptr<std::atomic<bool>> told;
    {
        const std::lock_guard lock(vrpc.mutex);
        client = vrpc.client;
        told = vrpc.told;
    }
    const vrpc_size_t asked = std::exchange(*size, 0);
    if (vrpc.role != Role::client) return -failed(Errc::bad_argument, "vRPC: a server is called");
    if (!client) return -failed(Errc::would_block, "vRPC: not open");
    auto answer = client->call(asked, Deadline::never());
    while (!interruptible && answer.code() == Errc::interrupted)
        answer = client->resume(Deadline::never());
    // Who closes now hears nothing more from the kernel.
    if (answer.code() == Errc::would_block && !told->exchange(true)) vrpc.tell();
    if (!answer) return -failed(answer.error());
    *size = *answer;
    return 0;
}

NkPhAddr descriptor_of(const vrpc_t& vrpc) {
    return compat::find_vlink("vrpc",
                              [&](const NkDevVlink& vlink) { return vlink.index == vrpc.link; });
}

}  // namespace

extern "C" {

const char* hyplink_vrpc_error(void) { return compat::last_error().c_str(); }

vrpc_t* vrpc_server_lookup(const char* name, vrpc_t* last) {
    return lookup(name, Role::server, last);
}

vrpc_t* vrpc_client_lookup(const char* name, vrpc_t* last) {
    return lookup(name, Role::client, last);
}

void vrpc_release(vrpc_t* vrpc) {
    vrpc_close(vrpc);
    std::shared_ptr<port::End> end;
    {
        const std::lock_guard lock(vrpc->mutex);
        end = std::exchange(vrpc->end, nullptr);
    }
    if (end) end->release();
}

NkOsId vrpc_peer_id(vrpc_t* vrpc) { return static_cast<NkOsId>(vrpc->peer); }
NkPhAddr vrpc_plink(vrpc_t* vrpc) { return descriptor_of(*vrpc); }
NkDevVlink* vrpc_vlink(vrpc_t* vrpc) {
    const NkPhAddr plink = descriptor_of(*vrpc);
    return plink == 0 ? nullptr : static_cast<NkDevVlink*>(nkops.nk_ptov(plink));
}
void* vrpc_data(vrpc_t* vrpc) { return vrpc->area.data(); }
vrpc_size_t vrpc_maxsize(vrpc_t* vrpc) { return static_cast<vrpc_size_t>(vrpc->maxsize); }
const char* vrpc_info(vrpc_t* vrpc) {
    const std::size_t comma = vrpc->info.find(',');
    return comma == std::string::npos ? nullptr : vrpc->info.c_str() + comma + 1;
}

int vrpc_server_open(vrpc_t* vrpc, vrpc_call_t call, void* cookie, int) {
    if (call == nullptr) return -failed(Errc::bad_argument, "vRPC: no handler");
    std::shared_ptr<port::End> end;
    {
        const std::lock_guard lock(vrpc->mutex);
        auto begun = begin_open(*vrpc, Role::server);
        if (!begun) return -failed(begun.error());
        end = *std::move(begun);
    }
    auto opened = rpc::Server::open(end, Deadline::never());
    if (!opened) return -give_up_open(*vrpc, end, opened.error());
    std::shared_ptr<rpc::Server> server = *std::move(opened);
    server->off_notifier([vrpc](VmId) { vrpc->tell(); });
    const std::lock_guard lock(vrpc->mutex);
    if (vrpc->end != end || !vrpc->open) return -failed(Errc::cancelled, "vRPC: closed meanwhile");
    vrpc->server = server;
    const auto turn = vrpc->turn = std::make_shared<Turn>();
    vrpc->thread = std::make_shared<backend::TaskThread>(
        end->application().runtime(),
        [vrpc, server, turn, call, cookie] { serve(*vrpc, *server, *turn, call, cookie); });
    return 0;
}

int vrpc_client_open(vrpc_t* vrpc, vrpc_ready_t ready, void* cookie) {
    std::shared_ptr<port::End> end;
    {
        const std::lock_guard lock(vrpc->mutex);
        auto begun = begin_open(*vrpc, Role::client);
        if (!begun) return -failed(begun.error());
        end = *std::move(begun);
        if (ready != nullptr) {
            vrpc->thread = std::make_shared<backend::TaskThread>(end->application().runtime(),
                                                                 [vrpc, end, ready, cookie] {
                                                                     own_thread = vrpc;
                                                                     if (connect(*vrpc, end))
                                                                         ready(cookie);
                                                                 });
            return 0;
        }
    }
    const Status connected = connect(*vrpc, end);
    if (connected) return 0;
    const int number = give_up_open(*vrpc, end, connected.error());
    return number == EINTR || number == ECANCELED || number == EBUSY ? -number : -EFAULT;
}

int vrpc_call(vrpc_t* vrpc, vrpc_size_t* size) { return call(*vrpc, size, true); }

int vrpc_call_non_interruptible(vrpc_t* vrpc, vrpc_size_t* size) {
    return call(*vrpc, size, false);
}

void vrpc_close(vrpc_t* vrpc) {
    std::shared_ptr<port::End> end;
    std::shared_ptr<rpc::Client> client;
    std::shared_ptr<rpc::Server> server;
    std::shared_ptr<Turn> turn;
    std::vector<std::shared_ptr<backend::TaskThread>> threads;
    {
        const std::lock_guard lock(vrpc->mutex);
        if (!std::exchange(vrpc->open, false)) return;
        end = vrpc->end;
        client = std::exchange(vrpc->client, nullptr);
        server = std::exchange(vrpc->server, nullptr);
        turn = std::exchange(vrpc->turn, nullptr);
        if (vrpc->thread) vrpc->leaving.push_back(std::exchange(vrpc->thread, nullptr));
        if (own_thread != vrpc) threads.swap(vrpc->leaving);
    }
    if (turn && own_thread != vrpc) {
        const std::lock_guard lock(turn->handling);
        turn->closing = true;
    }
    if (client) client->close();
    if (server) server->close();
    if (end) end->release();  // who waits for the other end has done so
    for (const auto& thread : threads) thread->join();
    (void)vrpc->area.keep();
    take_again(*vrpc);
}

void vrpc_off_notifier(vrpc_t* vrpc, vrpc_off_t off, void*) {
    vrpc->off.store(off, std::memory_order_release);
}

}  // extern "C"
