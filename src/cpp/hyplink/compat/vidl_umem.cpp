#include "hyplink/compat/vidl_umem.h"

#include "hyplink/app/buffers/server.hpp"
#include "hyplink/compat/vrpq_objects.hpp"
#include "hyplink/compat/vumem_objects.hpp"

namespace {

using namespace hyplink;
using buffers::BufferRef;
using buffers::Table;
using compat::failed;

/// What a program's generated code holds as its table.
struct Face {
    VidlBuffers words{};
    std::unique_ptr<Table> table;
};

Table& table_of(VidlBuffers* all) { return *static_cast<Face*>(all->user)->table; }
BufferRef ref_of(const VidlBuffer& ref) {
    return {ref.slot, ref.generation, ref.offset, ref.length};
}

void* resolve(VidlBuffers* all, const VidlBuffer* ref, std::uint32_t rights) {
    auto found = table_of(all).resolve(ref_of(*ref), rights);
    return found ? found->data() : nullptr;
}
void transferred(VidlBuffers* all, const VidlBuffer* ref, int given) {
    table_of(all).transferred(ref_of(*ref), given != 0);
}
int admit(VidlBuffers* all, const VidlBuffer* ref) {
    return compat::outcome(table_of(all).admit(ref_of(*ref)));
}

int place(VidlBuffers* all, const void* data, std::uint64_t size, int first, VidlBuffer* ref) {
    const std::span bytes(static_cast<const std::byte*>(data), static_cast<std::size_t>(size));
    for (;;) {
        auto placed = table_of(all).place(bytes, first != 0);
        if (placed.code() == Errc::interrupted) continue;
        if (!placed) return 0;
        *ref =
            VidlBuffer{placed->slot, placed->generation, placed->offset, placed->length, nullptr};
        return 1;
    }
}

VidlBuffers* face_of(std::unique_ptr<Table> table) {
    auto face = std::make_unique<Face>();
    face->words = {face.get(), &resolve, &transferred, &place, &admit};
    face->table = std::move(table);
    return &face.release()->words;
}

/// Never destroyed, as the handles that they speak of.
buffers::ServerBuffers& served_buffers() {
    static buffers::ServerBuffers& all = *new buffers::ServerBuffers;
    return all;
}

}  // namespace

hyplink::buffers::ClientBuffers& hyplink::compat::call_buffers() {
    static buffers::ClientBuffers& all = *new buffers::ClientBuffers;
    return all;
}

extern "C" {

int vidlUmemAttach(VumemBuffer buffer, void* vaddr, VidlBuffer* ref) {
    const auto object = compat::Buffers::only().find(buffer);
    if (!object) return failed(Errc::closed, "not a handle of this program, or destroyed");
    if (vaddr == nullptr || ref == nullptr) return failed(Errc::bad_argument, "null pointer");
    std::shared_ptr<umem::Buffer> held(object, object->buffer.get());
    auto name = compat::call_buffers().attach(std::move(held), static_cast<std::byte*>(vaddr),
                                              Deadline::never());
    if (!name) return failed(name.error());
    *ref = VidlBuffer{name->slot, name->generation, name->offset, name->length, vaddr};
    return 0;
}

int vidlUmemFind(const VidlBuffer* ref, VumemBuffer* buffer) {
    if (ref == nullptr || buffer == nullptr) return failed(Errc::bad_argument, "null pointer");
    const auto found = compat::call_buffers().buffer(ref_of(*ref));
    *buffer = compat::Buffers::only().find_if(
        [&](const VumemBufferObj& object) { return object.buffer.get() == found.get(); });
    return *buffer != nullptr ? 0 : failed(Errc::not_found, "no buffer goes by that reference");
}

VidlBuffers* vidlUmemClientTable(void) { return face_of(compat::call_buffers().table()); }

VidlBuffers* vidlUmemLargeTable(VrpqChan chan, VumemBuffer buffer, void* vaddr) {
    const auto object = compat::Buffers::only().find(buffer);
    if (!object || chan == nullptr || chan->client == nullptr || vaddr == nullptr) {
        (void)failed(Errc::bad_argument, "no buffer of this program, no client's channel, or null");
        return nullptr;
    }
    std::shared_ptr<umem::Buffer> held(object, object->buffer.get());
    auto table = compat::call_buffers().table(*chan->client, std::move(held),
                                              static_cast<std::byte*>(vaddr), Deadline::never());
    if (table) return face_of(*std::move(table));
    (void)failed(table.error());
    return nullptr;
}

int vidlUmemRespond(VumemServer server, const VumemReq* req, const VumemResp* resp) {
    const auto object = compat::Servers::only().find(server);
    if (!object) return failed(Errc::closed, "not a handle of this program, or destroyed");
    if (req == nullptr || resp == nullptr) return failed(Errc::bad_argument, "null pointer");
    umem::Request request;
    request.command = static_cast<umem::Command>(req->header.cmd);
    request.buffer = req->bufferAlloc.bufferId;
    request.vm = req->header.clientId.vmId;
    request.app = req->header.clientId.appId;
    if (request.command == umem::Command::control)
        request.opaque.assign(reinterpret_cast<const char*>(req->bufferCtl.ctl),
                              std::min<std::size_t>(req->bufferCtl.size, VUMEM_OPAQUE_MAX));
    return compat::outcome(served_buffers().respond(*object->server, request,
                                                    compat::response_of(*object->server, *resp)));
}

int vidlUmemForget(VumemServer server) {
    const auto object = compat::Servers::only().find(server);
    if (!object) return failed(Errc::closed, "not a handle of this program, or destroyed");
    served_buffers().forget(*object->server);
    return 0;
}

VidlBuffers* vidlUmemServerTable(uint32_t vmId, uint32_t appId) {
    return face_of(served_buffers().table(buffers::Holder{vmId, appId}));
}

void vidlUmemNext(VidlBuffers* table) { table_of(table).next(); }

void vidlUmemTableFree(VidlBuffers* table) {
    if (table != nullptr) delete static_cast<Face*>(table->user);
}

}  // extern "C"
