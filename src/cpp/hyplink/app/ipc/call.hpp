/// One call of a vIPC: made by a `Context`, awaited through it, kept by its caller.
///
/// Thread rule: a call is one thread's; whichever thread takes its answer off the queue ends it.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "hyplink/base/result.hpp"

namespace hyplink::ipc {

class Context;

inline constexpr std::size_t kCookieBytes = 8;  ///< of a message, in front of the parameters

class Call {
   public:
    Call() = default;
    Call(const Call&) = delete;
    Call& operator=(const Call&) = delete;
    /// Gives up a call that is under way. Its context must still be there.
    ~Call() { release(); }

    std::uint64_t cookie() const { return cookie_; }
    /// Answered or failed.
    bool done() const { return state_.load(std::memory_order_acquire) == State::ended; }
    /// Begun or sent, and not done.
    bool under_way() const {
        const State state = state_.load(std::memory_order_acquire);
        return state == State::begun || state == State::sent;
    }
    /// The message without its cookie, in place, to be written before the call is sent.
    std::span<std::byte> params() const { return params_; }
    /// The buffer, in place. Until the call is released with `keep`, else until it is done; empty
    /// once the link it belongs to is gone.
    std::span<std::byte> data() const;
    /// What the other end is told of it.
    std::uint64_t data_offset() const { return buffer_; }

    /// How it ended: ok, or why not. A copy. would_block: it has not.
    Status outcome() const;
    /// The answer without its cookie: the caller's own copy, made when it came.
    std::span<const std::byte> answer() const { return answer_; }
    /// Forget it, and its buffer. Idempotent; the object may be used for the next call.
    void release();

   private:
    friend class Context;
    static constexpr std::uint64_t kNoBuffer = ~std::uint64_t{0};
    enum class State : std::uint32_t { idle, begun, sent, ended };
    Context* context_ = nullptr;
    std::uint64_t cookie_ = 0;
    std::uint32_t slot_ = 0;
    std::uint32_t life_ = 0;  ///< of the link it was made on
    bool keep_ = false;
    std::uint64_t buffer_ = kNoBuffer;
    std::span<std::byte> params_;
    std::atomic<State> state_{State::idle};
    std::vector<std::byte> answer_;
    Error error_;
};

}  // namespace hyplink::ipc
