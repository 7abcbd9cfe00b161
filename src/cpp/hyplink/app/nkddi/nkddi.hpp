/// NKDDI for an application: it drives ends of vlinks by itself, as a guest driver does.
///
///     auto nk = HYPLINK_TRY(Nkddi::open(application));
///     for (mem::Ipa link; (link = nk->vlink_lookup("vearlydata", link));) {
///         const mem::Ipa at = HYPLINK_TRY(nk->pmem_alloc(link, 0, 512));
///         const std::byte* memory = HYPLINK_TRY(nk->map(at, 512)).data;
///         …
///     }
///     HYPLINK_TRY(nk->attach(kSysconf, [&](XirqNumber) { rescan(); }));
///     while (nk->dispatch(Deadline::never())) {}
///
/// XIRQs coalesce and are numbered per destination. Waiting delivers SYSCONF before others and
/// these in turn, beginning with the lowest: one that is rung without end, SYSCONF too, holds up no
/// other. A masked number remembers at most one. Handlers run in the thread that calls `dispatch`;
/// that is where a driver in a kernel would be interrupted. A trigger rings a bell in shared
/// memory: one locked instruction when the destination is awake.
///
/// One per application (SYSCONF has one bell). Closing it takes every end it had taken OFF, as its
/// death does. Thread rule: trigger, resources and memory any thread; everything that attaches,
/// masks or waits one thread. Source: vlx-facts 1.3, 6.
#pragma once

#include <array>
#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string_view>
#include <vector>

#include "hyplink/app/application.hpp"
#include "hyplink/hyp/hypercalls.hpp"
#include "hyplink/hyp/vlink.hpp"

namespace hyplink::nkddi {

/// Memory at an address, and what keeps it mapped.
struct Window {
    std::byte* data = nullptr;
    std::shared_ptr<mem::Region> region;
};

class Nkddi {
   public:
    using Handler = std::function<void(XirqNumber)>;
    using AttachId = std::uint32_t;  ///< 0: none

    /// Errors: busy (the application has one already), peer_dead, version.
    static Result<std::unique_ptr<Nkddi>> open(std::shared_ptr<app::Application> application);
    ~Nkddi();
    Nkddi(const Nkddi&) = delete;
    Nkddi& operator=(const Nkddi&) = delete;
    /// Give everything back: ends go OFF, peers are told. Idempotent. Memory stays mapped while
    /// windows live.
    void close();

    VmId id() const { return id_; }
    VmId last_id() const { return last_id_; }  ///< highest id of the board
    /// Bit mask of the VMs that run now. Asks the hypervisor.
    Result<std::uint32_t> running_ids();

    // --- vlinks ---
    /// The next vlink of exactly this class after `previous` (none: the first), in the order of the
    /// board; none at the end. An empty name finds all.
    mem::Ipa vlink_lookup(std::string_view name, mem::Ipa previous);
    /// Null when the address is not a descriptor of this VM.
    hyp::VlinkDescriptor* descriptor(mem::Ipa vlink);
    bool is_own(mem::Ipa vlink, Role role);  ///< that side of it is this VM's
    LinkState state(mem::Ipa vlink, Role role);
    std::string info(mem::Ipa vlink, Role role);
    /// Write an own side's state and announce it. Returns the state the bridge left there: another
    /// one when the step was refused. Errors: bad_argument, not_permitted (not this VM's side),
    /// busy (driven by somebody else).
    Result<LinkState> set_state(mem::Ipa vlink, Role role, LinkState state);

    // --- persistent resources: the same from both ends, kept over restarts ---
    /// Errors: exists (other size, owner or count), busy (driven by somebody else), no_memory,
    /// bad_argument.
    Result<mem::Ipa> pmem_alloc(mem::Ipa vlink, std::uint32_t id, std::uint64_t bytes);
    Result<mem::Ipa> pdev_alloc(mem::Ipa vlink, std::uint32_t id, std::uint64_t bytes);
    /// First of `count` consecutive numbers of `owner`.
    Result<XirqNumber> pxirq_alloc(mem::Ipa vlink, std::uint32_t id, VmId owner,
                                   std::uint32_t count);

    // --- memory ---
    /// PMEM, PDEV pieces and static regions (`vl,io-memory`), at the address this VM sees them. A
    /// static region is contiguous, however many objects it is made of. Errors: bad_address
    /// (outside what this VM shares, or across its end).
    Result<Window> map(mem::Ipa address, std::uint64_t bytes);
    /// The address of a pointer into mapped memory; none when it is not.
    mem::Ipa vtop(const void* pointer);
    /// Bytes from an address to the end of its object; 0 when there is none.
    std::uint64_t bytes_at(mem::Ipa address);

    // --- cross interrupts ---
    /// Ring a number of a VM. SYSCONF first announces every own end whose state was written into
    /// its descriptor. Errors: bad_argument (no such number or VM), not_permitted (no common
    /// vlink); both are in the journal.
    Status trigger(XirqNumber number, VmId destination);
    /// Deliver an own number, or SYSCONF, from now on. Several handlers may share it; they run in
    /// this order. Errors: bad_argument (never allocated), busy (another application waits on it),
    /// no_memory (too many).
    Result<AttachId> attach(XirqNumber number, Handler handler, bool masked = false);
    void detach(AttachId id);
    void mask(XirqNumber number);
    void unmask(XirqNumber number);
    static constexpr std::size_t kMaxXirqs = Runtime::kMaxBells - 1;  ///< besides SYSCONF

    /// Take the pending number whose turn it is; 0 when there is none. Errors: peer_dead (the own
    /// VM is gone), closed.
    Result<XirqNumber> take();
    /// The same, but wait for one. Errors: also timed_out, interrupted, busy (another thread
    /// waits).
    Result<XirqNumber> next(Deadline deadline);
    /// Wait for one and run the handlers of all that are pending, of kMaxBells numbers at most.
    /// Returns the numbers delivered.
    /// Errors: as next().
    Result<std::uint32_t> dispatch(Deadline deadline);
    void deliver(XirqNumber number);

    app::Application& application() { return *application_; }
    Runtime& runtime() { return application_->runtime(); }

   private:
    /// A number that can be rung, found without a lock.
    struct Bell {
        std::uint64_t key = 0;
        BellWords* words = nullptr;
        LinkIndex link = 0;
    };
    struct Attached {
        BellWords* bell = nullptr;
        std::uint32_t seen = 0;
        bool masked = false;
        std::vector<std::pair<AttachId, Handler>> handlers;
    };
    explicit Nkddi(std::shared_ptr<app::Application> application)
        : application_(std::move(application)) {}
    Result<guest::SysReply> ask(guest::Sys op, std::array<std::uint64_t, 5> args = {});
    Result<std::uint32_t> slot_of(mem::Ipa vlink) const;
    Result<guest::SysReply> resource(hyp::ResourceType type, mem::Ipa vlink, std::uint32_t id,
                                     VmId owner, std::uint64_t size);
    /// Take it if it is pending.
    bool took(XirqNumber number, Attached& xirq);
    Result<BellWords*> open_bell(XirqNumber number, VmId owner, guest::UmpBell what);
    Result<const Bell*> bell_of(XirqNumber number, VmId destination);
    Status trigger_slowly(XirqNumber number, VmId destination);
    Status trigger_sysconf(VmId destination);
    Status publish(std::uint32_t slot, Role role);
    /// What is mapped already.
    std::optional<Window> mapped(mem::Ipa address, std::uint64_t bytes);
    Result<hyp::MemoryView> open_memory(mem::Ipa address);
    static constexpr std::size_t kMaxParts = 1024;  ///< objects of one window
    hyp::VlinkDescriptor& at(std::uint32_t slot) const { return table_[slot]; }

    std::shared_ptr<app::Application> application_;
    std::uint32_t handle_ = 0;
    std::atomic<bool> closed_{false};
    VmId id_ = 0;
    VmId last_id_ = 0;
    std::shared_ptr<mem::Region> pdev_;
    mem::Ipa table_at_;
    hyp::VlinkDescriptor* table_ = nullptr;
    std::uint32_t count_ = 0;  // a copy: the region is shared with the VM's other applications

    std::mutex mutex_;
    std::vector<hyp::MemoryView> views_;  // mapped so far
    std::map<std::pair<std::uint32_t, Role>, std::uint32_t>
        known_;  // own ends looked up: state last announced
    std::map<std::pair<VmId, XirqNumber>, std::pair<std::uint32_t, LinkIndex>>
        ranges_;  // pxirq: count, link
    std::map<std::uint64_t, std::unique_ptr<Bell>> bells_;
    std::array<std::atomic<const Bell*>, 256> fast_{};

    std::map<XirqNumber, Attached> xirqs_;  // the waiting thread's
    std::uint32_t checked_ = 0;  // SYSCONF's count when the own VM was last known to live
    XirqNumber last_ = 0;        // taken; 0: nothing was pending since
    XirqNumber turn_ = 0;        // the same without SYSCONF
    AttachId next_attach_ = 1;
    std::atomic<bool> waiting_{false};
};

}  // namespace hyplink::nkddi
