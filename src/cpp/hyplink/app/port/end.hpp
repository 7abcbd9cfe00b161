/// An end of a vlink that applications join: what vRPC, vMQ and vEvent have in common.
///
///     auto end = HYPLINK_TRY(End::lookup(application, {"vmq", "disk"}, deadline));
///     Joined joined = HYPLINK_TRY(end->join({.bytes = 4096, .words = "…"}, deadline));
///     … joined.context.port …                 // both ends' memory; nothing else is shared
///
/// Thread rule: an end any thread, one joins at a time. Source: guest/port_end.hpp.
#pragma once

#include <atomic>
#include <memory>
#include <mutex>
#include <string>

#include "hyplink/app/application.hpp"
#include "hyplink/ring/channel_end.hpp"

namespace hyplink::port {

/// Which end is looked for.
struct Lookup {
    std::string device;  ///< "vrpc", "vmq", "vevent"
    std::string name;    ///< the start of its info; empty: an end without a name
    guest::PortRole role = guest::PortRole::either;
    VmId peer = 0;           ///< 0: whichever
    std::uint64_t over = 0;  ///< how many that fit to pass over
};

struct JoinOptions {
    std::uint64_t bytes = 0;  ///< of memory that this end adds
    std::string words{};      ///< for the other end's application, at most 1,984 bytes
    bool alone = false;       ///< a client: do not wait for the other end's application
    bool now = false;         ///< do not wait at all
};

/// The kernel's handle of a port; leaving it, or its end, ends the port for both. Thread rule: any.
class Membership {
   public:
    Membership(std::shared_ptr<app::Application> application, std::uint32_t handle,
               app::Sleeper sleeper)
        : application_(std::move(application)), handle_(handle), sleeper_(sleeper) {}
    Membership(const Membership&) = delete;
    Membership& operator=(const Membership&) = delete;
    ~Membership() { leave(); }
    void leave();
    std::uint32_t handle() const { return handle_; }

   private:
    std::shared_ptr<app::Application> application_;
    std::atomic<std::uint32_t> handle_;
    app::Sleeper sleeper_;
};

/// The membership of whoever uses a port in one thread and may be closed by another. Thread rule:
/// `leave` any thread, all else the one that uses it.
class HeldMembership {
   public:
    HeldMembership& operator=(std::unique_ptr<Membership> next) {
        std::shared_ptr<Membership> last(std::move(next));
        std::lock_guard lock(mutex_);
        held_.swap(last);
        return *this;  // the last one is left when the lock is gone
    }
    void reset() { *this = nullptr; }
    explicit operator bool() const { return held_ != nullptr; }
    std::uint32_t handle() const { return held_->handle(); }
    void leave() {
        std::shared_ptr<Membership> held;
        {
            std::lock_guard lock(mutex_);
            held = held_;
        }
        if (held) held->leave();
    }

   private:
    std::mutex mutex_;
    std::shared_ptr<Membership> held_;
};

/// What joining gave: memory `at` of each side, checked to lie in the port.
struct Joined {
    rings::ChannelContext context;
    std::unique_ptr<Membership> membership;
    std::byte* own = nullptr;
    std::uint64_t own_bytes = 0;
    std::byte* peer = nullptr;
    std::uint64_t peer_bytes = 0;
    std::string words;       ///< the other application's; not to be believed
    std::uint32_t wish = 0;  ///< the server's
};

class End {
   public:
    /// Errors: no_such_link (no such device here), not_found lists the ends there are, busy when
    /// somebody has every one of that name.
    static Result<std::unique_ptr<End>> lookup(std::shared_ptr<app::Application> application,
                                               const Lookup& what, Deadline deadline);
    End(const End&) = delete;
    End& operator=(const End&) = delete;
    ~End() { release(); }

    /// Errors: busy (joined already), peer_dead (this VM is gone), timed_out, interrupted; with
    /// `now` would_block (nobody there) and link_down.
    Result<Joined> join(const JoinOptions& options, Deadline deadline);
    /// Let go of the end: somebody else may look it up. Idempotent.
    void release();

    app::Application& application() { return *application_; }
    const std::shared_ptr<app::Application>& shared() { return application_; }
    bool is_open() const { return handle_ != 0; }
    Role role() const { return role_; }
    VmId peer() const { return peer_; }
    std::uint32_t link() const { return link_; }
    /// The vlink's number in the board's text.
    std::uint32_t number() const { return number_; }
    const std::string& info() const { return info_; }
    /// vRPC: the memory both ends ask for, at most.
    std::uint64_t bytes() const { return bytes_; }
    /// What the kernel says of the other end's application: for `alone` the server's wish, else
    /// not 0 once a port is ready to be fetched.
    std::uint32_t presence() const { return presence_->load(std::memory_order_acquire); }

   private:
    End() = default;
    Result<Joined> finish(guest::SysReply reply);
    std::shared_ptr<app::Application> application_;
    std::atomic<std::uint32_t> handle_{0};
    Role role_ = Role::server;
    VmId peer_ = 0;
    std::uint32_t link_ = 0;
    std::uint32_t number_ = 0;
    std::string device_, info_;
    std::uint64_t bytes_ = 0;
    const std::atomic<std::uint32_t>* presence_ = nullptr;
};

/// Mark in `presence` that distinguishes a wish from none.
inline constexpr std::uint32_t kPresent = std::uint32_t{1} << 31;

}  // namespace hyplink::port
