#include "hyplink/vogl/server/pieces.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace hyplink::vogl {
namespace {

/// One byte string of gles2.vidl can have 1 GiB; the rest stands in front of it.
constexpr std::uint32_t kMost = (1U << 30) + 4096;
constexpr std::uint32_t kFirst = 1U << 20;

thread_local Pieces* here = nullptr;

/// A request in pieces must not be about pieces: they would move under its feet.
bool carries_pieces(std::uint32_t procedure) {
    return procedure == GLES2_PROC_VOGL_PIECE || procedure == GLES2_PROC_VOGL_POST ||
           procedure == GLES2_PROC_VOGL_CALL || procedure == GLES2_PROC_VOGL_ANSWER ||
           procedure == GLES2_PROC_VOGL_LENT_CALL;
}

void piece(std::uint32_t bytes, const void* data) {
    if (here != nullptr) here->add(data, bytes);
}
void post(std::uint32_t procedure) {
    if (here != nullptr) here->finish(procedure, 0, false);
}
void call(std::uint32_t procedure, std::uint32_t room) {
    if (here != nullptr) here->finish(procedure, room, true);
}
void lent_call(std::uint32_t procedure, std::uint32_t bytes, std::uint32_t room,
               const gles2_Frame* block) {
    if (here == nullptr || !here->lend(procedure, bytes, room, block->data, block->length))
        gles2_fail(EINVAL);
}
void answer(std::uint32_t offset, std::uint32_t bytes, void* to) {
    if (here == nullptr || !here->read_answer(offset, bytes, to)) gles2_fail(EINVAL);
}

}  // namespace

void Pieces::add(const void* data, std::uint32_t bytes) {
    if (lost_ || bytes > kMost - size_) {
        lost_ = true;
        return;
    }
    if (size_ + bytes > reserved_) {
        const std::uint32_t wanted =
            std::clamp(std::max(size_ + bytes, reserved_ * 2), kFirst, kMost);
        void* const more = std::realloc(request_.get(), wanted);
        if (more == nullptr) {
            lost_ = true;
            return;
        }
        (void)request_.release();
        request_.reset(static_cast<std::byte*>(more));
        reserved_ = wanted;
    }
    if (bytes != 0) std::memcpy(request_.get() + size_, data, bytes);
    size_ += bytes;
}

void Pieces::finish(std::uint32_t procedure, std::uint32_t room, bool is_call) {
    complete_ = true;
    procedure_ = procedure;
    is_call_ = is_call;
    room_ = room;
    answer_.reset();
}

bool Pieces::lend(std::uint32_t procedure, std::uint32_t bytes, std::uint32_t room, void* block,
                  std::uint64_t size) {
    if (reinterpret_cast<std::uintptr_t>(block) % 8 != 0 || vidlRound8(bytes) > size ||
        room > size - vidlRound8(bytes))
        return false;
    finish(procedure, room, true);
    lent_ = block;
    lent_bytes_ = bytes;
    return true;
}

std::int32_t Pieces::run(gles2_server* server) {
    VrpqReq request{};
    request.procId = procedure_;
    request.in = request_.get();
    request.inSize = size_;
    request.outSize = room_;
    request.isCall = is_call_ ? 1 : 0;
    std::int32_t status = 0;
    if (carries_pieces(procedure_)) {
        status = vidlReject(&server->base.why, procedure_, 2, "procedure", 0);
    } else if (lent_ != nullptr) {
        request.in = lent_;
        request.inSize = lent_bytes_;
        request.out = static_cast<std::byte*>(lent_) + vidlRound8(lent_bytes_);
        status = gles2_dispatch(server, &request, nullptr);
    } else if (lost_ || room_ > kMost) {
        status = ENOMEM;
    } else {
        if (is_call_) {
            answer_.reset(static_cast<std::byte*>(std::calloc(1, std::max(room_, 1U))));
            request.out = answer_.get();
        }
        status =
            is_call_ && request.out == nullptr ? ENOMEM : gles2_dispatch(server, &request, nullptr);
    }
    if (status != 0) answer_.reset();
    forget();
    return status;
}

void Pieces::forget() {
    if (reserved_ > kFirst) {
        request_.reset();
        reserved_ = 0;
    }
    size_ = 0;
    lent_ = nullptr;
    complete_ = false;
    lost_ = false;
}

bool Pieces::read_answer(std::uint32_t offset, std::uint32_t bytes, void* to) {
    if (answer_ == nullptr || offset > room_ || bytes > room_ - offset) return false;
    if (bytes != 0) std::memcpy(to, answer_.get() + offset, bytes);
    if (offset + bytes == room_) answer_.reset();
    return true;
}

void set_pieces(Pieces* pieces) { here = pieces; }

void serve_pieces(gles2_api& api) {
    api.voglPiece = piece;
    api.voglPost = post;
    api.voglCall = call;
    api.voglAnswer = answer;
    api.voglLentCall = lent_call;
}

}  // namespace hyplink::vogl
