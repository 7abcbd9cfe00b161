/// One application of a VM: its requests to the guest kernel, and what it holds from it.
///
///     SysReply reply = HYPLINK_TRY(application->call(request, deadline));
///
/// Requests are answered in any order; each waiting thread has a bell of its own. When the kernel
/// is lost (its VM died) every request that waits, every session and every channel of the
/// application sees EPIPE. Thread rule: any thread.
#pragma once

#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "hyplink/base/journal.hpp"
#include "hyplink/base/runtime.hpp"
#include "hyplink/guest/syscalls.hpp"

namespace hyplink::app {

/// Whether a signal may end a wait. Where other threads of the process wait for what the caller is
/// about to do it must not: to ask what the signal means may take what they hold.
enum class Signals : std::uint8_t { heard, deferred };

/// The way to the guest kernel; a backend makes it.
class KernelLink {
   public:
    /// A thread's turn to take the answers itself, for whoever has asked. Not to be held while
    /// anything runs that may ask again.
    class Turn {
       public:
        Turn() = default;
        explicit Turn(KernelLink& link) : link_(&link) {}
        ~Turn() { end(); }
        Turn(Turn&& other) noexcept : link_(std::exchange(other.link_, nullptr)) {}
        Turn& operator=(Turn&& other) noexcept {
            if (this != &other) {
                end();
                link_ = std::exchange(other.link_, nullptr);
            }
            return *this;
        }
        void end() {
            if (link_ != nullptr) std::exchange(link_, nullptr)->end_turn();
        }
        explicit operator bool() const { return link_ != nullptr; }

       private:
        KernelLink* link_ = nullptr;
    };

    virtual ~KernelLink() = default;
    /// To be taken before a request is sent, or its answer wakes somebody else. None: another
    /// thread has it, or the link has no turns.
    virtual Turn take_turn() { return Turn(); }
    /// Hand a request over; the answer comes through Application::on_reply. Errors: peer_dead.
    virtual Status send(guest::SysRequest&& request) = 0;
    /// Wait until the answer to such a request rings the bell; takes the turn if it can be had,
    /// ends it if somebody else has to have it. Errors: as Runtime::wait; ok is no promise.
    virtual Errc wait(const BellWait& until, Deadline deadline, Turn& turn, guest::Sys asked) = 0;
    /// Have `ready` called from the link's own thread when `fd` can be read, and again after as
    /// many milliseconds as it returns (-1: not). One at a time; fd -1 takes it away, nothing is
    /// called after that returns. Errors: unsupported (a link without a thread), system.
    virtual Status when_readable(int fd, std::function<int()> ready);
    /// Leave: the kernel cleans up after this application. No on_reply or on_lost after it returns.
    virtual void close() = 0;

   protected:
    virtual void end_turn() {}
};

/// A channel or whatever else sleeps on a bell of its own and must hear of the kernel's death.
struct Sleeper {
    BellWords* bell = nullptr;
    int fd = -1;
};

/// What must be closed before its application is, for what it has lent is its program's own memory.
class ClosesFirst {
   public:
    virtual ~ClosesFirst() = default;
    /// Returns when it is closed, whoever closes it.
    virtual void close_first() = 0;
};

class Application : public std::enable_shared_from_this<Application> {
   public:
    explicit Application(Runtime& runtime) : runtime_(&runtime) {}
    ~Application();
    Application(const Application&) = delete;
    Application& operator=(const Application&) = delete;

    /// Introduce oneself. `keep` is whatever must outlive the application (a bench, a runtime).
    Status attach(std::unique_ptr<KernelLink> link, std::shared_ptr<void> keep = {});
    /// Close everything; what asked for it (`close_first`) while its kernel can be asked still.
    /// Idempotent.
    void close();
    void close_first(const std::weak_ptr<ClosesFirst>& opened);
    bool closed() const;
    /// Its VM died, or it was closed: nothing can be asked any more.
    bool lost() const;

    /// Ask and wait. On timed_out and interrupted the request is withdrawn first; nothing is left
    /// half done. Errors: the kernel's; peer_dead (VM gone), closed, timed_out, interrupted.
    Result<guest::SysReply> call(guest::SysRequest request, Deadline deadline,
                                 Signals signals = Signals::heard);

    /// Say something whose answer is nobody's; the kernel does it before anything this thread asks
    /// later. For requests that are answered at once.
    void post(guest::SysRequest request);

    /// Asked when a signal arrives during a wait; true withdraws the request. Set once, by the
    /// bindings.
    void set_interrupt_check(std::function<bool()> check) { interrupt_check_ = std::move(check); }

    /// Who hears what the kernel says unasked, and at last that it is lost (`peer_dead`): called
    /// from its way in, must not call the kernel; what it returns is said to the kernel afterwards,
    /// and the answer to that is nobody's. Null takes it away; nothing is called after that
    /// returns.
    using Listener = std::function<std::optional<guest::SysRequest>(guest::SysReply&&)>;
    void set_listener(Listener listener);

    /// See KernelLink. Errors besides: peer_dead.
    Status when_readable(int fd, std::function<int()> ready);

    Runtime& runtime() { return *runtime_; }
    Scope& scope() { return scope_; }
    VmId vm() const { return vm_; }
    std::uint32_t id() const { return id_; }
    const std::atomic<std::uint32_t>* status_word(std::uint64_t index) const;
    /// SYSCONF's bell, for applications that drive vlinks themselves.
    BellWords& sysconf_bell();

    void add_sleeper(const Sleeper& sleeper);
    void remove_sleeper(const Sleeper& sleeper);

    /// Call `gone` when the kernel says that the object behind a handle is gone (its server died),
    /// or at once if it has said so already; also when the kernel itself is lost. `gone` runs in
    /// whatever thread hears of it and must not call back.
    void watch(std::uint32_t handle, std::function<void()> gone);
    void unwatch(std::uint32_t handle);

    /// Whether this application may have one object by two handles, so that only the kernel knows
    /// what it has mapped. To be set before such a handle is asked for.
    std::atomic<bool>& has_doubles() { return has_doubles_; }

    // --- the backend's side ---
    /// What is to be sent back now, if anything.
    std::optional<guest::SysRequest> on_reply(guest::SysReply&& reply);
    void on_lost(const std::string& why);

   private:
    struct Waiting {
        BellWords bell{};
        bool done = false;
        bool abandoned =
            false;  // nobody waits any more: the kernel did not even answer the withdrawal
        bool makes_handle = false;
        guest::SysReply reply;
    };
    void on_gone(std::uint32_t handle);
    Error lost_error() const;
    /// Why the kernel ended the connection, if it did. Under the lock.
    std::optional<std::string> dropped() const;
    void close_late();

    Runtime* runtime_;
    std::shared_ptr<void> keep_;
    std::shared_ptr<KernelLink>
        link_;  // shared with calls under way: a close does not wait for them
    mutable std::mutex mutex_;
    std::map<std::uint32_t, std::shared_ptr<Waiting>> waiting_;
    std::vector<Sleeper> sleepers_;
    std::vector<std::weak_ptr<ClosesFirst>> first_;
    std::map<std::uint32_t, std::function<void()>> watches_;  // by handle
    std::set<std::uint32_t> gone_unwatched_;                  // said before anybody watched
    std::uint32_t next_sequence_ = 1;
    std::vector<std::uint32_t> late_handles_;  // came after their request was given up
    bool lost_ = false;
    bool closed_ = false;
    std::string lost_why_;
    std::shared_ptr<mem::Region> status_;
    std::shared_ptr<mem::Region> scope_region_;
    Scope scope_;
    VmId vm_ = 0;
    std::uint32_t id_ = 0;
    std::function<bool()> interrupt_check_;
    std::atomic<bool> has_doubles_{false};
    std::mutex listener_mutex_;
    Listener listener_;
};

}  // namespace hyplink::app
