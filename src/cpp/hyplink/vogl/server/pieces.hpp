/// A request that is larger than the port: it comes in pieces, is executed from private memory, and
/// its answer is fetched in pieces. Or it lies in a buffer that its client was lent, which is as
/// much the client's to write at any time as a port is. One for each channel.
///
/// Thread rule: the channel's.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>

extern "C" {
#include "gles2.h"
}

namespace hyplink::vogl {

class Pieces {
   public:
    /// The pieces so far were all: a request waits to be executed.
    bool complete() const { return complete_; }
    /// Execute it. Returns what a dispatch returns; a post that there was no memory for is ENOMEM.
    std::int32_t run(gles2_server* server);

    // Behind gles2.vidl.
    void add(const void* data, std::uint32_t bytes);
    void finish(std::uint32_t procedure, std::uint32_t room, bool is_call);
    /// A call that lies in memory of `size` bytes at `block`, as does its answer; false: it does
    /// not.
    bool lend(std::uint32_t procedure, std::uint32_t bytes, std::uint32_t room, void* block,
              std::uint64_t size);
    bool read_answer(std::uint32_t offset, std::uint32_t bytes, void* to);

   private:
    struct Free {
        void operator()(std::byte* memory) const { std::free(memory); }
    };
    void forget();

    // By malloc: a hundred megabytes grow without being copied.
    std::unique_ptr<std::byte, Free> request_;
    std::uint32_t size_ = 0;
    std::uint32_t reserved_ = 0;
    bool lost_ = false;  // a piece for which there was no room
    std::unique_ptr<std::byte, Free> answer_;
    std::uint32_t room_ = 0;
    std::uint32_t procedure_ = 0;
    bool complete_ = false;
    bool is_call_ = false;
    void* lent_ = nullptr;  // the block of a call that is not in pieces
    std::uint32_t lent_bytes_ = 0;
};

/// Set by the thread that serves a context.
void set_pieces(Pieces* pieces);
/// Put the procedures that carry pieces into the table.
void serve_pieces(gles2_api& api);

}  // namespace hyplink::vogl
