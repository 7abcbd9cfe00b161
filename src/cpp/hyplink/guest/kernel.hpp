/// The guest kernel of one VM: finds its vlinks, runs their drivers, serves its applications.
///
/// Passive: a backend calls `on_events()` when the hypervisor has something and `handle()` when an
/// application asks; answers leave through `AppSink`. It never waits, so one thread (or one lock)
/// per VM is enough. Thread rule: one thread at a time.
#pragma once

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <span>
#include <unordered_map>
#include <vector>

#include "hyplink/base/journal.hpp"
#include "hyplink/base/runtime.hpp"
#include "hyplink/guest/syscalls.hpp"
#include "hyplink/guest/vlink_end.hpp"
#include "hyplink/hyp/hypercalls.hpp"

namespace hyplink::guest {

using AppId = std::uint32_t;

/// A request that will be answered later.
struct Pending {
    AppId app = 0;
    std::uint32_t sequence = 0;
};

/// A word that tells one application the state of one of its objects.
struct StatusWord {
    std::uint32_t index = 0;
    std::atomic<std::uint32_t>* word = nullptr;
};

/// Something an application has open.
class Handle {
   public:
    virtual ~Handle() = default;
    /// The application closed it, or died.
    virtual void close() = 0;
};

/// A driver that offers device names and serves requests on the handles it made.
class Driver {
   public:
    virtual ~Driver() = default;
    virtual std::vector<std::string> devices() const = 0;
    virtual Result<std::unique_ptr<Handle>> open(AppId app, const std::string& device) = 0;
    /// True if the request was for this driver; it is answered now or later through the kernel.
    virtual bool handle(Pending pending, Handle& handle, SysRequest& request) = 0;
    /// Granted memory that this VM maps has changed: all that the hypervisor has said by now.
    virtual void on_windows(std::span<const hyp::MemRange>) {}
    /// Applications of this VM have to hold back from granted memory, or may go on.
    virtual void on_hold(const hyp::HoldEvent&) {}
    /// A hold that this VM asked for is complete.
    virtual void on_held(std::uint32_t) {}
    /// A DMA job of one of this VM's applications has ended.
    virtual void on_dma(std::uint32_t) {}
    /// An application that was congested reads again.
    virtual void on_ready(AppId) {}
};

class XirqHandler {
   public:
    virtual ~XirqHandler() = default;
    virtual void on_xirq(XirqNumber number) = 0;
};

class GuestKernel {
   public:
    GuestKernel(Runtime& runtime, hyp::Hypercalls& hypercalls);
    ~GuestKernel();
    GuestKernel(const GuestKernel&) = delete;
    GuestKernel& operator=(const GuestKernel&) = delete;

    // --- the backend's side ---
    /// Find the vlinks, start the drivers, announce. The VM is RUNNING afterwards.
    Status boot();
    /// The hypervisor has events for this VM.
    void on_events();
    /// These numbers of this VM were raised.
    void on_xirqs(std::span<const XirqNumber> numbers);
    /// A new application; `sink` lives until app_gone().
    Result<AppId> app_attach(AppSink& sink);
    void app_gone(AppId app, bool died);
    /// The backend ends the connection: said in the journal and to the application, then
    /// app_gone().
    void app_drop(AppId app, Dropped reason, Errc code);
    /// Its sink is not congested any more.
    void app_ready(AppId app);
    void handle(AppId app, SysRequest&& request);
    bool halted() const { return halted_; }
    bool stopping() const { return stopping_; }

    // --- the drivers' side ---
    Runtime& runtime() { return *runtime_; }
    hyp::Hypercalls& hypercalls() { return *hypercalls_; }
    Scope& scope() { return scope_; }
    const hyp::Identity& identity() const { return identity_; }
    void journal(Event event, std::uint32_t link, std::uint32_t a = 0, std::uint64_t b = 0,
                 std::uint64_t c = 0) {
        if (scope_.enabled()) scope_.write(runtime_->now(), event, link, a, b, c);
    }
    /// A pointer to guest memory. Errors: bad_address.
    Result<std::byte*> map(mem::Ipa address, std::uint64_t bytes);
    /// A NUL-terminated string at an address of the PDEV; empty when it is not one.
    std::string string_at(std::uint64_t address);
    /// Deliver a number of ours to `handler`, unmasked.
    void attach_xirq(XirqNumber number, BellWords& bell, XirqHandler& handler);
    void detach_xirq(XirqNumber number);
    /// Let every link end move and announce what changed. Safe to call from within a driver: it
    /// runs later.
    void kick() { kicked_ = true; }

    /// Register how to withdraw a waiting request.
    void wait(const Pending& pending, std::function<void()> cancel);
    void answer(const Pending& pending, SysReply&& reply);
    void fail(const Pending& pending, Errc code, std::string text = {});
    /// Say something to an application that did not ask (sequence number 0).
    void tell(AppId app, SysReply&& word);
    bool congested(AppId app);
    std::uint32_t add_handle(AppId app, std::unique_ptr<Handle> handle);
    Handle* find_handle(AppId app, std::uint32_t handle);
    /// It is gone, without being told to close.
    void forget_handle(AppId app, std::uint32_t handle);
    Result<StatusWord> take_status_word(AppId app);
    void drop_status_word(AppId app, const StatusWord& word);
    hyp::VlinkDescriptor& descriptor(std::uint32_t slot);
    std::uint32_t descriptor_count() const { return descriptor_count_; }
    /// Whether a driver of this kernel owns the vlink; applications cannot drive it then. Decided
    /// at boot, because they may write to the PDEV later.
    bool drives(std::uint32_t slot) const { return slot < driven_.size() && driven_[slot]; }
    const hyp::MemoryView& pdev() const { return pdev_; }
    /// Applications that drive vlinks themselves hear SYSCONF through their status page.
    void ring_sysconf_bells();

   private:
    struct AppRecord {
        AppSink* sink = nullptr;
        std::shared_ptr<mem::Region> status;
        std::shared_ptr<mem::Region> scope;
        std::deque<std::uint32_t>
            free_words;  // reused as late as possible: a waiter may still look
        std::map<std::uint32_t, std::unique_ptr<Handle>> handles;
        std::uint32_t next_handle = 1;
        bool dropped = false;
        std::map<std::uint32_t, std::function<void()>> waiting;  // by sequence number
    };
    AppRecord* find_app(AppId app);
    void deliver(std::span<const XirqNumber> numbers);
    void run_links();
    void begin_shutdown();
    void try_halt();
    void open_device(AppId app, const Pending& pending, SysRequest& request);

    Runtime* runtime_;
    hyp::Hypercalls* hypercalls_;
    hyp::Identity identity_;
    hyp::MemoryView pdev_;
    std::uint32_t descriptor_count_ = 0;
    hyp::VlinkDescriptor* descriptors_ = nullptr;
    std::shared_ptr<mem::Region> scope_region_;
    Scope scope_;
    std::vector<hyp::MemoryView> memory_;  // mapped so far
    std::vector<std::unique_ptr<VlinkEnd>> ends_;
    std::vector<bool> driven_;  // by slot
    std::vector<std::unique_ptr<Driver>> drivers_;
    struct XirqEntry {
        BellWords* bell;
        XirqHandler* handler;
    };
    std::unordered_map<XirqNumber, XirqEntry> xirqs_;
    std::map<AppId, AppRecord> apps_;
    AppId next_app_ = 1;
    bool kicked_ = false;
    bool running_links_ = false;
    bool stopping_ = false;
    bool halted_ = false;
};

}  // namespace hyplink::guest
