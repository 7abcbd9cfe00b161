#include "hyplink/app/buffers/server.hpp"

#include "hyplink/app/buffers/introduction.hpp"

namespace hyplink::buffers {

Status ServerBuffers::respond(umem::Server& server, const umem::Request& request,
                              umem::Response response) {
    std::lock_guard lock(mutex_);
    const Key key{&server, request.buffer};
    const auto known = names_.find(key);
    const Holder asker{request.vm, request.app};
    switch (request.command) {
        case umem::Command::free:  // before the client, or a new buffer of that number, can know
            if (known != names_.end()) {
                ledger_->remove(known->second.slot);
                names_.erase(known);
            }
            break;
        case umem::Command::unregister_buffer:
            if (known != names_.end()) ledger_->withdraw(known->second.slot, asker);
            break;
        case umem::Command::control:
            if (auto words = introduction_of(request.opaque)) {
                response = umem::Response{};
                response.buffer = request.buffer;
                response.error = static_cast<int>(Errc::not_found);
                if (known != names_.end()) {
                    const BufferRef& name = known->second;
                    response.error = static_cast<int>(ledger_->let(name.slot, asker).code());
                    words->slot = name.slot;
                    words->generation = name.generation;
                    words->bytes = name.length;
                }
                response.opaque = argument_of(*words);
            }
            break;
        default:
            break;
    }
    Ledger::Found memory;
    if (response.no_memory) {
        // A buffer that cannot be mapped can be named, too: nothing is in it.
    } else if (response.memory) {
        memory = {response.memory->data(), response.memory->size(), response.memory};
    } else if (response.place != nullptr) {
        memory = {static_cast<std::byte*>(response.place), response.bytes, response.keep};
    }
    HYPLINK_TRY(server.respond(response));
    if (request.command == umem::Command::alloc && response.error == 0)
        names_[key] = ledger_->add(std::move(memory));
    return {};
}

void ServerBuffers::forget(const umem::Server& server) {
    std::lock_guard lock(mutex_);
    std::erase_if(names_, [&](const auto& item) {
        if (item.first.first != &server) return false;
        ledger_->remove(item.second.slot);
        return true;
    });
}

}  // namespace hyplink::buffers
