/// What every kind of pipe has in common once it is open: its ends, its turns, how it waits, fails
/// and closes.
///
/// Data move between the port and the caller's memory; neither a kernel nor the hypervisor is
/// asked. Whether the other end still is there says a word that the own guest kernel writes.
///
/// Several openers of one VM, threads among them, may sleep on the one bell that the peer rings.
/// Whoever wakes up arms it again for the others, and rouses them if it was rung meanwhile.
///
/// Thread rule: any thread; those of one direction take turns.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <mutex>
#include <span>
#include <string>

#include "hyplink/app/application.hpp"
#include "hyplink/ring/channel_end.hpp"
#include "hyplink/ring/pipe_local.hpp"
#include "hyplink/ring/pipe_port.hpp"

namespace hyplink::pipe {

/// How a pipe is opened, in the words of open(2).
struct OpenFlags {
    bool read = true;
    bool write = true;
    bool nonblock = false;   ///< O_NONBLOCK: reads and writes never wait; opening does all the same
    bool exclusive = false;  ///< O_EXCL: writes never wait
};

/// Bits as poll(2) has them.
inline constexpr std::uint32_t kIn = 1;
inline constexpr std::uint32_t kOut = 4;
inline constexpr std::uint32_t kErr = 8;
inline constexpr std::uint32_t kHup = 16;

class Opened {
   public:
    virtual ~Opened();
    Opened(const Opened&) = delete;
    Opened& operator=(const Opened&) = delete;

    /// Close: waiters of this opener get `cancelled`; the last opener of the VM ends the pipe for
    /// the peer. Idempotent. Blocks: until operations under way have left.
    void close();
    bool is_open() const { return !closing_.load(std::memory_order_acquire); }

    /// False once the other end is closed or dead; nothing but closing everywhere and opening again
    /// brings it back.
    bool connected() const { return state() == rings::ChannelState::open; }
    VmId peer_vm() const { return peer_; }
    const std::string& device() const { return device_; }
    const OpenFlags& flags() const { return flags_; }
    /// O_NONBLOCK of the open file: holds for what begins after it, in any thread.
    void set_nonblock(bool on) { nonblock_.store(on, std::memory_order_relaxed); }
    bool nonblock() const { return nonblock_.load(std::memory_order_relaxed); }
    /// Bytes that fit in the direction; 0 when this VM has not got that direction.
    std::uint64_t in_capacity() const { return in_ ? in_->ring.capacity() : 0; }
    std::uint64_t out_capacity() const { return out_ ? out_->ring.capacity() : 0; }

    /// What could be done now without waiting: kIn, kOut; kErr | kHup and nothing else when the
    /// other end is gone, even with data left. Errors: closed.
    Result<std::uint32_t> poll();
    /// Wait for any of `events`; kErr and kHup always count. Errors: closed, cancelled, timed_out,
    /// interrupted.
    Result<std::uint32_t> poll(std::uint32_t events, Deadline deadline);

    /// Rings so far of the bells of both directions, and the wait for one more: for whoever tells
    /// others that something may have changed. Errors: closed, cancelled, timed_out, interrupted.
    struct Rings {
        std::uint32_t in = 0, out = 0;
    };
    Rings rings() const {
        return {in_ ? bell_seen(*in_->bell) : 0, out_ ? bell_seen(*out_->bell) : 0};
    }
    Status wait_rings(Rings seen, Deadline deadline);

    /// Bytes that can be read now (FIONREAD). Errors: closed, corrupt, bad_argument (no such
    /// direction).
    Result<std::uint64_t> readable();

    /// Asked when a signal arrives during a wait; false goes on waiting. None: the wait ends.
    void set_interrupt_check(bool (*check)()) { interrupt_check_ = check; }
    app::Application& application() { return *application_; }

   protected:
    struct Direction {
        RingEnd ring;
        LocalDirection* local = nullptr;
        BellWords* bell = nullptr;  ///< the one waited on
        rings::PeerBell peer;
        ChannelCounters* counters = nullptr;
        std::atomic<std::uint32_t> users{0};  ///< threads inside an operation
        std::shared_ptr<mem::Region> port;
        std::uint32_t link = 0;
        bool counted = false;
        ChannelCounters spare{};
    };

    Opened() = default;
    /// The kernel's half of opening. Errors: no_such_link, access_denied, shutting_down (no other
    /// direction), timed_out, interrupted, no_memory, corrupt.
    /// `as`: guest::kPipeStream or kPipeArea; what is the other is bad_argument at once.
    Status open(std::shared_ptr<app::Application> application, const std::string& device,
                const OpenFlags& flags, std::uint64_t as, Deadline deadline);

    rings::ChannelState state() const {
        return static_cast<rings::ChannelState>(state_->load(std::memory_order_acquire));
    }
    /// A thread is inside; the object is not closed under it.
    class Use {
       public:
        Use(Opened& pipe, Direction& direction) : pipe_(&pipe), direction_(&direction) {
            direction.users.fetch_add(1, std::memory_order_seq_cst);
        }
        ~Use() { pipe_->leave(*direction_); }
        Use(const Use&) = delete;
        Use& operator=(const Use&) = delete;

       private:
        Opened* pipe_;
        Direction* direction_;
    };
    /// The turn of a direction, until the end of the block.
    class Turn {
       public:
        Turn(Opened& pipe, Direction& direction) : pipe_(&pipe), direction_(&direction) {}
        ~Turn() {
            if (has_ && end_turn(*direction_->local, pipe_->opener_)) [[unlikely]]
                (void)rings::ring_bell(pipe_->runtime(), direction_->local->turn_bell, -1);
        }
        Turn(const Turn&) = delete;
        Turn& operator=(const Turn&) = delete;
        /// Errors: would_block (not `wait`), and those of a wait.
        Status take(bool wait, Deadline deadline);

       private:
        Opened* pipe_;
        Direction* direction_;
        bool has_ = false;
    };

    Runtime& runtime() { return application_->runtime(); }
    /// Why nothing can be done, if so: closed, corrupt before, own VM gone.
    Status usable(const char* doing);
    /// The peer's word of this direction. Errors: corrupt, for good.
    Result<std::uint64_t> amount(Direction& direction, const char* doing);
    void ring_peer(Direction& direction);
    Errc wait_on(Direction& direction, BellWords& bell, std::uint32_t seen, Deadline deadline);
    Errc wait_on(std::span<const BellWait> bells, Deadline deadline, bool shared);
    Error gone(const char* doing) const;
    std::string where(const char* doing) const;
    /// Bytes in the ring: the most there were, and now.
    static void note_held(Direction& direction, std::uint64_t most, std::uint64_t now) {
        ChannelCounters& counters = *direction.counters;
        std::atomic_ref(counters.pmem_now).store(now, std::memory_order_relaxed);
        if (most > counters.pmem_peak)
            std::atomic_ref(counters.pmem_peak).store(most, std::memory_order_relaxed);
    }
    static void bump(std::uint64_t& counter, std::uint64_t by = 1) {
        std::atomic_ref(counter).store(counter + by, std::memory_order_relaxed);
    }

    std::unique_ptr<Direction> in_, out_;
    std::uint64_t kind_ = 0;
    OpenFlags flags_;  ///< as it was opened

   private:
    void leave(Direction& direction);
    bool shared(const Direction& direction) const {
        return local_->openers.load(std::memory_order_seq_cst) > 1 ||
               direction.users.load(std::memory_order_seq_cst) > 1;
    }
    Error fail(Direction& direction, const char* doing, const rings::Fault& fault);
    template <class Body>
    void each_bell(Body&& body) {
        for (Direction* direction : {in_.get(), out_.get()}) {
            if (direction == nullptr) continue;
            body(*direction->bell);
            body(direction->local->turn_bell);
        }
    }

    std::shared_ptr<app::Application> application_;
    std::string device_;
    std::uint32_t handle_ = 0;
    std::uint32_t opener_ = 0;
    VmId peer_ = 0;
    const std::atomic<std::uint32_t>* state_ = nullptr;
    std::shared_ptr<mem::Region> local_region_;
    Local* local_ = nullptr;
    bool (*interrupt_check_)() = nullptr;
    std::atomic<bool> nonblock_{false};
    std::atomic<bool> closing_{false};
    BellWords left_{};  ///< rung by threads that leave a closing pipe
    std::atomic<bool> failed_{false};
    std::mutex failure_mutex_;
    Error failure_;
};

}  // namespace hyplink::pipe
