/// What the handles of vumem.h point to, those that there are, and memory made for lending.
///
/// Thread rule: any thread.
#pragma once

#include <map>
#include <memory>
#include <mutex>

#include "hyplink/app/buffers/client.hpp"
#include "hyplink/app/umem/session.hpp"
#include "hyplink/compat/place.hpp"
#include "hyplink/compat/vumem.h"

struct VumemServerObj {
    std::shared_ptr<hyplink::umem::Server> server;
};
struct VumemSessionObj {
    std::unique_ptr<hyplink::umem::Session> session;
};
struct VumemBufferObj {
    std::unique_ptr<hyplink::umem::Buffer> buffer;
};

namespace hyplink::compat {

/// The objects of one kind that the program has made, so that a handle that was destroyed is EBADF.
/// An operation under way keeps its object. Never destroyed: threads may wait when the program
/// leaves.
template <class Object>
class Handles {
   public:
    static Handles& only() {
        static Handles& handles = *new Handles;
        return handles;
    }
    Object* add(std::shared_ptr<Object> made) {
        const std::lock_guard lock(mutex_);
        Object* handle = made.get();
        objects_[handle] = std::move(made);
        return handle;
    }
    std::shared_ptr<Object> find(Object* handle) {
        const std::lock_guard lock(mutex_);
        auto found = objects_.find(handle);
        return found == objects_.end() ? nullptr : found->second;
    }
    /// The handle of the first that `is`, or null.
    template <class Is>
    Object* find_if(Is&& is) {
        const std::lock_guard lock(mutex_);
        for (const auto& [handle, object] : objects_)
            if (is(*object)) return handle;
        return nullptr;
    }
    std::shared_ptr<Object> remove(Object* handle) {
        const std::lock_guard lock(mutex_);
        auto found = objects_.find(handle);
        if (found == objects_.end()) return nullptr;
        auto object = std::move(found->second);
        objects_.erase(found);
        return object;
    }

   private:
    std::mutex mutex_;
    std::map<Object*, std::shared_ptr<Object>> objects_;
};
using Servers = Handles<VumemServerObj>;
using Sessions = Handles<VumemSessionObj>;
using Buffers = Handles<VumemBufferObj>;

/// Memory made by vumemMemoryAlloc, by address.
struct Memories {
    std::mutex mutex;
    std::map<void*, std::shared_ptr<umem::Memory>> made;
    static Memories& only() {
        static Memories& memories = *new Memories;
        return memories;
    }
};

/// What a program answers in C, as the server takes it.
umem::Response response_of(umem::Server& server, const VumemResp& resp);

/// The buffers that calls of this program may name.
buffers::ClientBuffers& call_buffers();

}  // namespace hyplink::compat
