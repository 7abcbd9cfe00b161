/// What both ends of a channel have in common: its state, its two bells, its counters, and how an
/// end fails.
///
/// A channel lives in shared memory that only its two ends (and the kernels that made it) have
/// mapped. Whether the other end still lives is not read from there but from a word the own guest
/// kernel writes.
///
/// An end fails for good: `corrupt` when the peer wrote something impossible, or what the user
/// said. From then on every operation answers with a copy of that error, and nothing shared is read
/// any more.
///
/// Thread rule: one thread at a time, `state` excepted. Holds `context.keep` as long as it lives.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>
#include <string>

#include "hyplink/base/ids.hpp"
#include "hyplink/base/journal.hpp"
#include "hyplink/ring/doorbell.hpp"
#include "hyplink/ring/record.hpp"

namespace hyplink::rings {

/// What the own guest kernel says about a channel. The peer cannot write it; the kernel stores it
/// and then rings the channel's bell.
enum class ChannelState : std::uint32_t {
    none = 0,
    open = 1,
    peer_closed = 2,  ///< the other end was closed: what it published before is still good
    dead = 3,         ///< the other VM or application died, or the link went down
    closed = 4,       ///< this end was closed
};
/// As it stands in a status word.
constexpr std::uint32_t word(ChannelState state) { return static_cast<std::uint32_t>(state); }

/// "The timeout set with `set_timeout`", where a deadline can be given.
inline constexpr Deadline kChannelTimeout{std::numeric_limits<std::int64_t>::min()};

/// Everything one end of a channel is built from. `keep` holds whatever the pointers point into.
struct ChannelContext {
    Runtime* runtime = nullptr;
    Scope* scope = nullptr;  ///< may be null: nothing is journalled
    std::byte* port = nullptr;
    std::size_t port_bytes = 0;
    const std::atomic<std::uint32_t>* state = nullptr;  ///< a ChannelState
    std::uint32_t link = 0;
    std::uint32_t session = 0;
    std::uint32_t channel = 0;
    VmId peer = 0;
    std::string label{};             ///< names the channel in messages, e.g. "vogl0"
    std::uint32_t max_requests = 0;  ///< published and not acknowledged; 0: as many as fit
    int own_fd = -1;                 ///< eventfd of the own bell, or -1
    int peer_fd = -1;                ///< eventfd of the peer's bell, or -1
    std::shared_ptr<void> keep{};
};

class ChannelEnd {
   public:
    ChannelEnd(const ChannelEnd&) = delete;
    ChannelEnd& operator=(const ChannelEnd&) = delete;

    ChannelState state() const {
        return static_cast<ChannelState>(state_->load(std::memory_order_acquire));
    }
    /// True once the peer wrote something impossible (or, on the server, a request broke a decode
    /// rule).
    bool corrupt() const { return failed_.code() == Errc::corrupt; }
    /// How long blocking operations wait when no deadline is given; for ever until this is called.
    void set_timeout(std::int64_t nanoseconds) { timeout_ = nanoseconds; }
    Deadline deadline_in(std::int64_t nanoseconds) { return context_.runtime->in(nanoseconds); }

    /// A descriptor that becomes readable when something happened on this channel; then call the
    /// `try_…` form until it would block, and `fd_rearm`. Spurious readability is allowed. Errors:
    /// unsupported when the channel was opened without an eventfd.
    Result<int> fileno() { return own_.fileno(); }
    void fd_rearm() { own_.rearm(); }

    /// The port, for views that count offsets: requests and answers lie inside.
    std::byte* window() const { return context_.port; }
    std::size_t window_bytes() const { return context_.port_bytes; }
    std::uint32_t offset_of(const std::byte* at) const {
        return static_cast<std::uint32_t>(at - context_.port);
    }
    ChannelCounters& counters() { return *counters_; }
    /// The bell this end waits on.
    BellWords& bell() { return own_.words(); }
    const ChannelContext& context() const { return context_; }

   protected:
    ChannelEnd(ChannelContext context, Role role);
    ~ChannelEnd();

    bool open() const {
        return state_->load(std::memory_order_acquire) ==
               static_cast<std::uint32_t>(ChannelState::open);
    }
    bool journalling() const { return context_.scope != nullptr && context_.scope->enabled(); }
    void note(Event event, std::uint64_t b, std::uint64_t c);
    bool counting() const { return context_.scope != nullptr && context_.scope->counting(); }
    /// The counters of a procedure; null (and counted as such) when their table is full.
    ProcedureCounters* procedure(std::uint32_t proc);

    /// `doing on "label"`, in front of every message.
    std::string where(const char* doing) const;
    /// Fail for good; the error comes back to be returned.
    Error fail_with(Error error, std::uint64_t field, std::uint64_t found);
    Error fault_error(const char* doing, const Fault& fault);
    /// Why this end is not open. `pending` goes into the error and, the first time, into the
    /// journal.
    Error refused(const char* doing, std::uint64_t pending);

    /// Try; while it would block, wait for the own bell. The clock is read only if it has to wait.
    template <class Attempt>
    auto wait_for(Deadline deadline, Attempt&& attempt) -> decltype(attempt()) {
        for (std::uint32_t waited = 0;; ++waited) {
            own_.look();
            auto result = attempt();
            if (result.code() != Errc::would_block) [[likely]] {
                if (waited != 0 && result.code() == Errc::closed)
                    return Error::make(Errc::cancelled, "closed by another thread while waiting");
                return result;
            }
            if (deadline.at == kChannelTimeout.at)
                deadline = timeout_ < 0 ? Deadline::never() : context_.runtime->in(timeout_);
            // A bell that never stops ringing must not outwit the deadline.
            if (waited > 1 && !deadline.is_never() && context_.runtime->now() >= deadline.at)
                return Error(Errc::timed_out);
            const Errc outcome = own_.wait(deadline);
            if (outcome != Errc::ok) [[unlikely]]
                return Error(outcome);
        }
    }
    Rung ring_peer() {
        const Rung rung = peer_.ring();
        if (rung.sent) [[unlikely]] {
            bump(counters_->xirqs);
            if (rung.woke) bump(counters_->wakes);
        }
        return rung;
    }

    // One writer; the bench reads at any time.
    static void bump(std::uint64_t& counter, std::uint64_t by = 1) {
        std::atomic_ref(counter).store(counter + by, std::memory_order_relaxed);
    }
    static void set(std::uint64_t& gauge, std::uint64_t value) {
        std::atomic_ref(gauge).store(value, std::memory_order_relaxed);
    }
    static void raise(std::uint64_t& peak, std::uint64_t value) {
        if (value > peak) std::atomic_ref(peak).store(value, std::memory_order_relaxed);
    }

    const std::atomic<std::uint32_t>*
        state_;  ///< the kernel's word; own `kDeadState` after a failure
    ChannelCounters* counters_;
    OwnBell own_;
    PeerBell peer_;
    ChannelContext context_;

   private:
    std::int64_t timeout_ = -1;
    bool death_noted_ = false;
    Error failed_;
    ChannelCounters spare_counters_{};
};

}  // namespace hyplink::rings
