#include "hyplink/vogl/server/frames.hpp"

#include <cerrno>
#include <condition_variable>
#include <cstdint>
#include <cstring>
#include <map>
#include <mutex>

#include "hyplink/compat/vidl_umem.h"

namespace hyplink::vogl {
namespace {

/// All clients together; who does not get any has the port.
constexpr std::uint64_t kMost = 1 << 30;

struct Known {
    std::mutex mutex;
    std::condition_variable changed;
    bool decided = false;
    bool lent = false;
};
Known& known() {
    static Known& only = *new Known;  // threads may wait when the program leaves
    return only;
}
void decide(bool lent) {
    const std::lock_guard guard(known().mutex);
    known().decided = true;
    known().lent = lent;
    known().changed.notify_all();
}

struct Piece {
    void* memory;
    std::uint64_t bytes;
};

class Frames {
   public:
    ~Frames() {
        for (const auto& [id, piece] : pieces_) (void)vumemMemoryFree(piece.memory);
    }
    /// One life of a client VM.
    void serve(VumemServer server) {
        VumemReq request;
        for (;;) {
            const int error = vumemReceive(server, &request);
            if (error == EINTR) continue;
            if (error != 0) return;
            VumemResp response{};
            const bool is_alloc = request.header.cmd == VUMEM_CMD_BUFFER_ALLOC;
            if (is_alloc) alloc(request.bufferAlloc, response);
            // A client that asks for anything else of the program's own is told that there is none.
            if (request.header.cmd == VUMEM_CMD_BUFFER_CTL) response.retVal = ENOSYS;
            const int failed = vidlUmemRespond(server, &request, &response);
            // Its memory is this program's alone once it has been answered.
            if (request.header.cmd == VUMEM_CMD_BUFFER_FREE) free(request.bufferFree.bufferId);
            if (is_alloc && failed != 0) free(request.bufferAlloc.bufferId);
            if (failed == EPIPE) return;
        }
    }

   private:
    void alloc(const VumemReqBufferAlloc& asked, VumemResp& response) {
        std::uint64_t bytes = 0;
        if (asked.size == sizeof bytes) std::memcpy(&bytes, asked.alloc, sizeof bytes);
        void* memory = nullptr;
        response.bufferAlloc.bufferId = asked.bufferId;
        if (bytes == 0 || bytes > kMost || bytes > kMost - sum_) {
            response.retVal = ENOMEM;
            return;
        }
        response.retVal = vumemMemoryAlloc(bytes, &memory);
        if (response.retVal != 0) return;
        response.bufferAlloc.map = {memory, bytes};
        pieces_[asked.bufferId] = {memory, bytes};
        sum_ += bytes;
    }
    void free(std::uint32_t id) {
        const auto found = pieces_.find(id);
        if (found == pieces_.end()) return;
        (void)vumemMemoryFree(found->second.memory);
        sum_ -= found->second.bytes;
        pieces_.erase(found);
    }

    std::map<std::uint32_t, Piece> pieces_;
    std::uint64_t sum_ = 0;
};

}  // namespace

void lend_frames(const std::string& device) {
    for (;;) {
        VumemServer server = nullptr;
        const int error = vumemServerCreate(device.c_str(), &server);
        if (error == EINTR || error == EPIPE) continue;
        decide(error == 0);
        if (error != 0) return;
        Frames frames;
        frames.serve(server);
        (void)vidlUmemForget(server);
        (void)vumemServerDestroy(server);
    }
}

bool frames_are_lent() {
    std::unique_lock lock(known().mutex);
    known().changed.wait(lock, [] { return known().decided; });
    return known().lent;
}

}  // namespace hyplink::vogl
