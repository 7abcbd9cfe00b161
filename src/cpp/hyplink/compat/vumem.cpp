#include "hyplink/compat/vumem.h"

#include <algorithm>
#include <cstring>

#include "hyplink/compat/vumem_objects.hpp"

namespace {

using namespace hyplink;
using compat::Buffers;
using compat::failed;
using compat::Memories;
using compat::outcome;
using compat::Servers;
using compat::Sessions;

static_assert(VUMEM_OPAQUE_MAX == umem::kMaxOpaque);
static_assert(VUMEM_STATS == 15);

std::string device_name(const char* name) {
    std::string device = name;
    if (device.starts_with("/dev/")) device.erase(0, 5);
    return device;
}

int null_pointer() { return failed(Errc::bad_argument, "null pointer"); }
int not_ours() { return failed(Errc::closed, "not a handle of this program, or destroyed"); }

/// No node of that name is ENXIO in the original.
int no_device(const Error& error) {
    const int number = failed(error);
    return number == ENODEV ? ENXIO : number;
}

int create_session(const char* name, bool master, VumemSession* session) {
    if (name == nullptr || session == nullptr) return null_pointer();
    auto application = compat::application();
    if (!application) return failed(application.error());
    auto made = umem::Session::create(*application, device_name(name), master, Deadline::never());
    if (!made) return no_device(made.error());
    auto object = std::make_shared<VumemSessionObj>();
    object->session = *std::move(made);
    *session = Sessions::only().add(std::move(object));
    return 0;
}

VumemBuffer keep(std::unique_ptr<umem::Buffer> made) {
    auto object = std::make_shared<VumemBufferObj>();
    object->buffer = std::move(made);
    return Buffers::only().add(std::move(object));
}

std::uint32_t give(const std::string& opaque, std::uint8_t* into) {
    std::memcpy(into, opaque.data(), std::min<std::size_t>(opaque.size(), VUMEM_OPAQUE_MAX));
    return static_cast<std::uint32_t>(opaque.size());
}

}  // namespace

umem::Response hyplink::compat::response_of(umem::Server& server, const VumemResp& resp) {
    const std::uint8_t* const opaque = server.last_command() == umem::Command::control
                                           ? resp.bufferCtl.ctl
                                           : resp.bufferAlloc.alloc;
    umem::Response response;
    response.error = resp.retVal;
    response.buffer = resp.bufferAlloc.bufferId;
    response.opaque = {reinterpret_cast<const char*>(opaque), VUMEM_OPAQUE_MAX};
    if (resp.bufferAlloc.attributes != 0) response.attributes = resp.bufferAlloc.attributes;
    response.place = resp.bufferAlloc.map.vaddr;
    response.bytes = resp.bufferAlloc.map.size;
    response.no_memory = response.place == reinterpret_cast<void*>(~std::uintptr_t{0});
    Memories& memories = Memories::only();
    const std::lock_guard lock(memories.mutex);
    // The whole of what was made here needs no copy; a part of it is lent as any other memory.
    if (auto found = memories.made.find(response.place);
        found != memories.made.end() && response.bytes <= found->second->size() &&
        response.bytes + 4096 > found->second->size())
        response.memory = found->second;
    return response;
}

extern "C" {

const char* vumemErrorText(void) { return compat::last_error().c_str(); }

// --- server
// -----------------------------------------------------------------------------------------------

int vumemServerCreate(const char* devName, VumemServer* server) {
    if (devName == nullptr || server == nullptr) return null_pointer();
    auto application = compat::application();
    if (!application) return failed(application.error());
    auto made = umem::Server::create(*application, device_name(devName), Deadline::never());
    if (!made) return no_device(made.error());
    auto object = std::make_shared<VumemServerObj>();
    object->server = *std::move(made);
    *server = Servers::only().add(std::move(object));
    return 0;
}

int vumemServerDestroy(VumemServer server) {
    const auto object = Servers::only().remove(server);
    if (!object) return not_ours();
    object->server->destroy();
    return 0;
}

int vumemReceive(VumemServer server, VumemReq* req) {
    const auto object = Servers::only().find(server);
    if (!object) return not_ours();
    if (req == nullptr) return null_pointer();
    auto received = object->server->receive(Deadline::never());
    if (!received) return failed(received.error());
    *req = VumemReq{};
    req->header.clientId = {received->vm, received->app};
    req->header.cmd = static_cast<VumemCmd>(received->command);
    // Each member names the buffer, so that a server may read the one it thinks of.
    req->bufferAlloc.bufferId = req->bufferFree.bufferId = req->bufferRegister.bufferId =
        req->bufferUnregister.bufferId = req->bufferCtl.bufferId = received->buffer;
    if (received->command == umem::Command::alloc)
        req->bufferAlloc.size = give(received->opaque, req->bufferAlloc.alloc);
    if (received->command == umem::Command::control)
        req->bufferCtl.size = give(received->opaque, req->bufferCtl.ctl);
    return 0;
}

int vumemRespond(VumemServer server, const VumemResp* resp) {
    const auto object = Servers::only().find(server);
    if (!object) return not_ours();
    if (resp == nullptr) return null_pointer();
    return outcome(object->server->respond(compat::response_of(*object->server, *resp)));
}

int vumemMemoryAlloc(size_t size, void** vaddr) {
    if (vaddr == nullptr) return null_pointer();
    auto made = umem::Memory::make(size);
    if (!made) return failed(made.error());
    Memories& memories = Memories::only();
    const std::lock_guard lock(memories.mutex);
    *vaddr = (*made)->data();
    memories.made[*vaddr] = *std::move(made);
    return 0;
}

int vumemMemoryFree(void* vaddr) {
    Memories& memories = Memories::only();
    const std::lock_guard lock(memories.mutex);
    if (memories.made.erase(vaddr) == 0)
        return failed(Errc::bad_argument, "not made by vumemMemoryAlloc");
    return 0;
}

// --- client
// -----------------------------------------------------------------------------------------------

int vumemSessionCreate(const char* devName, VumemSession* session) {
    return create_session(devName, false, session);
}

int vumemSessionMasterCreate(const char* devName, VumemSession* session) {
    return create_session(devName, true, session);
}

int vumemSessionDestroy(VumemSession session) {
    const auto object = Sessions::only().remove(session);
    if (!object) return not_ours();
    object->session->close();
    return 0;
}

int vumemBufferAlloc(VumemSession session, void* alloc, uint32_t size, VumemBuffer* buffer) {
    const auto object = Sessions::only().find(session);
    if (!object) return not_ours();
    if (buffer == nullptr || (alloc == nullptr && size != 0)) return null_pointer();
    if (size > VUMEM_OPAQUE_MAX)
        return failed(Errc::bad_argument, "an opaque argument has at most 128 bytes");
    auto made = object->session->alloc(
        size == 0 ? std::string_view() : std::string_view(static_cast<const char*>(alloc), size),
        Deadline::never());
    if (!made) return failed(made.error());
    if (size != 0)
        std::memcpy(alloc, (*made)->opaque().data(),
                    std::min<std::size_t>(size, (*made)->opaque().size()));
    *buffer = keep(*std::move(made));
    return 0;
}

int vumemBufferFree(VumemBuffer buffer) {
    const auto object = Buffers::only().remove(buffer);
    if (!object) return not_ours();
    compat::call_buffers().detach(*object->buffer);
    return outcome(object->buffer->free(Deadline::never()));
}

int vumemBufferRegister(VumemSession session, VumemBuffer buffer) {
    const auto with = Sessions::only().find(session);
    const auto object = Buffers::only().find(buffer);
    if (!with || !object) return not_ours();
    return outcome(object->buffer->register_with(*with->session, Deadline::never()));
}

int vumemBufferUnregister(VumemBuffer buffer) {
    const auto object = Buffers::only().find(buffer);
    if (!object) return not_ours();
    return outcome(object->buffer->unregister(Deadline::never()));
}

int vumemBufferIdGet(VumemBuffer buffer, VumemBufferId* id) {
    const auto object = Buffers::only().find(buffer);
    if (!object) return not_ours();
    if (id == nullptr) return null_pointer();
    *id = object->buffer->id();
    return 0;
}

int vumemBufferMap(VumemBuffer buffer, void** vaddr) {
    const auto object = Buffers::only().find(buffer);
    if (!object) return not_ours();
    if (vaddr == nullptr) return null_pointer();
    auto mapped = object->buffer->map(Deadline::never());
    if (!mapped) return failed(mapped.error());
    *vaddr = *mapped;
    return 0;
}

int vumemBufferUnmap(VumemBuffer buffer) {
    const auto object = Buffers::only().find(buffer);
    if (!object) return not_ours();
    compat::call_buffers().detach(*object->buffer);
    return outcome(object->buffer->unmap());
}

int vumemBufferTokenGet(VumemBuffer buffer, VumemBufferToken* token) {
    const auto object = Buffers::only().find(buffer);
    if (!object) return not_ours();
    if (token == nullptr) return null_pointer();
    const umem::Token known = object->buffer->token();
    token->word[0] = known.low;
    token->word[1] = known.high;
    return 0;
}

int vumemBufferImport(const char* devName, const VumemBufferToken* token, VumemBuffer* buffer) {
    if (devName == nullptr || token == nullptr || buffer == nullptr) return null_pointer();
    auto application = compat::application();
    if (!application) return failed(application.error());
    auto made = umem::import_buffer(*application, device_name(devName),
                                    umem::Token{token->word[0], token->word[1]}, Deadline::never());
    if (!made) return no_device(made.error());
    *buffer = keep(*std::move(made));
    return 0;
}

int vumemBufferCacheCtl(VumemBuffer buffer, uint32_t operations) {
    const auto object = Buffers::only().find(buffer);
    if (!object) return not_ours();
    return outcome(object->buffer->cache(operations, Deadline::never()));
}

int vumemBufferCtl(VumemBuffer buffer, VumemCtl cmd, void* arg, uint32_t size) {
    const auto object = Buffers::only().find(buffer);
    if (!object) return not_ours();
    const auto command = static_cast<umem::Control>(cmd);
    const bool remote = cmd == VUMEM_CTL_REMOTE;
    const bool wide = cmd == VUMEM_CTL_PRIVATE_GET || cmd == VUMEM_CTL_PRIVATE_SET;
    if (arg == nullptr && !(remote && size == 0)) return null_pointer();
    if (remote ? size > VUMEM_OPAQUE_MAX
               : size != (wide ? sizeof(std::uint64_t) : sizeof(std::uint32_t)))
        return failed(Errc::bad_argument, "the argument's size does not fit the command");
    std::string opaque;
    std::uint64_t word = 0;
    if (remote && size != 0) opaque.assign(static_cast<const char*>(arg), size);
    if (cmd == VUMEM_CTL_PRIVATE_SET) std::memcpy(&word, arg, sizeof word);
    const Status done = object->buffer->control(command, opaque, word, Deadline::never());
    if (!done) return failed(done.error());
    const auto narrow = static_cast<std::uint32_t>(word);
    if (remote && size != 0)
        std::memcpy(arg, opaque.data(), std::min<std::size_t>(size, opaque.size()));
    else if (cmd == VUMEM_CTL_PRIVATE_GET)
        std::memcpy(arg, &word, sizeof word);
    else if (!wide && !remote)
        std::memcpy(arg, &narrow, sizeof narrow);
    return 0;
}

int vumemProf(const char* devName, VumemProfCmd cmd, uint64_t* stats, uint32_t count) {
    if (devName == nullptr || (stats == nullptr && count != 0)) return null_pointer();
    if (cmd != VUMEM_PROF_GET && cmd != VUMEM_PROF_RESET)
        return failed(Errc::bad_argument, "GET or RESET");
    auto application = compat::application();
    if (!application) return failed(application.error());
    auto values = umem::profile(**application, device_name(devName), cmd == VUMEM_PROF_RESET,
                                Deadline::never());
    if (!values) return no_device(values.error());
    for (std::uint32_t i = 0; i < count; ++i) stats[i] = i < values->size() ? (*values)[i] : 0;
    return 0;
}

}  // extern "C"
