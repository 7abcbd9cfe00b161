/// The hypervisor of one bench: board, VMs, bridge, pools. One value, no globals; trusted by all,
/// trusting none.
///
/// It is passive: backends call it from the bench (boot, kill, …) and on behalf of guests
/// (hypercalls, through `LocalHypercalls`). It wakes a guest through that guest's `GuestWaker` and
/// everybody who waits for a change of state through the bells that `subscribe()`d. Thread rule:
/// any thread; one lock inside, never held while calling out (except `GuestWaker::wake`).
#pragma once

#include <deque>
#include <mutex>
#include <optional>

#include "hyplink/base/runtime.hpp"
#include "hyplink/hyp/dma.hpp"
#include "hyplink/hyp/grants.hpp"
#include "hyplink/hyp/io_memory.hpp"
#include "hyplink/hyp/pair_memory.hpp"
#include "hyplink/hyp/state.hpp"

namespace hyplink::hyp {

/// The memory one process writes its journal and counters to, and whose it is.
struct OwnedScope {
    std::shared_ptr<mem::Region> region;
    VmId vm = kHypervisor;
    std::uint32_t app = 0;
    bool ended = false;  ///< its VM does not run any more
};

/// How often a VM that keeps pages did not hold while another was denied them.
struct MissedHolds {
    VmId exporter = 0;
    VmId importer = 0;
    std::uint64_t count = 0;
};

class Hypervisor {
   public:
    static Result<std::unique_ptr<Hypervisor>> make(const BoardSpec& board, Runtime& runtime,
                                                    Limits limits);
    Hypervisor(const Hypervisor&) = delete;
    Hypervisor& operator=(const Hypervisor&) = delete;
    ~Hypervisor();

    // --- the bench's side
    // -------------------------------------------------------------------------------
    /// OFF or DEAD becomes BOOTING. Errors: no_such_link (unknown VM), busy (already up).
    Status begin_boot(VmId vm, GuestWaker& waker);
    /// RUNNING becomes STOPPING; the guest is told. Errors: bad state is `protocol`.
    Status request_shutdown(VmId vm);
    /// The VM's processes are gone (killed, or halted). Forces its ends OFF and tells the peers.
    void vm_gone(VmId vm);
    /// Do what is due: survivors that did not leave ON in time are forced OFF.
    void on_time();
    Deadline next_deadline();
    /// From now on work that nobody waits for is left to `tidy`.
    void leave_to_tidy();
    bool untidy();
    /// Does a piece of it, 0.1 ms at most.
    void tidy();

    VmState vm_state(VmId vm);
    std::uint32_t boots(VmId vm);
    LinkState link_state(LinkIndex link, Role role);
    std::size_t link_count() const { return links_.size(); }
    const LinkSpec& link_spec(LinkIndex link) const { return links_[link].spec; }
    std::vector<VmId> vm_ids() const;
    /// Ring `bell` at every change of a VM's or link's state, until unsubscribed.
    void subscribe(BellWords& bell);
    void unsubscribe(BellWords& bell);
    Runtime& runtime() { return *runtime_; }

    void journal(Event event, std::uint32_t link, std::uint32_t a = 0, std::uint64_t b = 0,
                 std::uint64_t c = 0);
    /// Every scope there is: the hypervisor's own first. Who wrote one is said here, not by what it
    /// holds.
    std::vector<OwnedScope> scopes();
    void enable_journal(bool on);
    /// Every grant there is, by address, then importer.
    std::vector<GrantRow> grants();
    /// Where windows may have shown zeroes for a moment although nothing was taken from them.
    std::vector<MissedHolds> missed_holds();
    GrantLevel grant_level() const { return limits_.grant_level; }
    /// Whether channels count by procedure, too; those that are open go along.
    void count_procedures(bool on);

    // --- the guests' side: see hypercalls.hpp
    // ------------------------------------------------------------
    Result<Identity> identity(VmId caller);
    Result<MemoryView> pdev(VmId caller);
    Status publish(VmId caller, std::span<const EndRef> ends);
    Result<std::vector<ResourceReply>> resources(VmId caller,
                                                 std::span<const ResourceRequest> requests);
    Result<MemoryView> mem_open(VmId caller, mem::Ipa address);
    Result<mem::Ipa> xirq_bell(VmId caller, XirqNumber number, VmId owner);
    Status xirq_trigger(VmId caller, XirqNumber number, VmId destination);
    Result<XirqRoute> xirq_route(VmId caller, XirqNumber number, VmId destination);
    Result<XirqLine> xirq_line(VmId caller, VmId owner, VmId raiser);
    Result<std::vector<XirqNumber>> xirq_numbers(VmId caller, VmId raiser, std::uint32_t first);
    Result<PortGrant> port_alloc(VmId caller, std::uint32_t slot, std::uint64_t bytes);
    Result<PortGrant> port_open(VmId caller, std::uint32_t slot, std::uint32_t id);
    Status port_free(VmId caller, std::uint32_t slot, std::uint32_t id);
    Result<mem::Ipa> mem_alloc(VmId caller, std::uint32_t app, std::uint64_t bytes);
    Status mem_free(VmId caller, std::uint32_t app, mem::Ipa at);
    Status mem_grant(VmId caller, const MemCall& part);
    Status mem_deny(VmId caller, const MemCall& part);
    Result<std::uint32_t> mem_hold(VmId caller, const MemCall& part);
    Status mem_release(VmId caller, std::uint32_t app);
    Status mem_held(VmId caller, std::uint32_t hold);
    Status mem_verify(VmId caller, const MemCall& call);
    Result<std::vector<WindowPiece>> mem_map(VmId caller, MemRange range, bool writable, Show show);
    Status mem_watch(VmId caller, MemRange range, std::uint32_t generation);
    Status mem_unmap(VmId caller, MemRange range);
    Result<DmaReply> dma(VmId caller, const DmaOrder& order,
                         const std::shared_ptr<sys::Fd>& object);
    Result<mem::Ipa> lend(VmId caller, std::uint32_t slot, const std::shared_ptr<sys::Fd>& object,
                          std::uint64_t offset, std::uint64_t bytes, LoanKind kind);
    Result<Loan> borrow(VmId caller, std::uint32_t slot, mem::Ipa at);
    Status recall(VmId caller, std::uint32_t slot, mem::Ipa at, bool erase);
    Result<std::shared_ptr<mem::Region>> scope(VmId caller, std::uint32_t app);
    Status boot_done(VmId caller);
    Status halt(VmId caller);
    GuestEvents take_events(VmId caller);

   private:
    Hypervisor(Runtime& runtime, Limits limits) : runtime_(&runtime), limits_(limits) {}
    Status build(const BoardSpec& board);
    Status build_pdev(Vm& vm);
    /// Where the info strings lie in a VM's PDEV, behind its descriptors; `end` is the size of it
    /// all.
    std::map<std::string, std::uint64_t> pdev_strings(const Vm& vm, std::uint64_t& end) const;
    void write_pdev(Vm& vm);

    Vm* find(VmId vm);
    Result<Vm*> guest(VmId caller);
    Result<Link*> link_of(Vm& vm, std::uint32_t slot);
    PairMemory& pair(const Link& link);
    Result<ResourceReply> resource(Vm& vm, const ResourceRequest& request);
    /// A number that `caller` may raise; a refusal is journalled.
    Result<const Xirq*> raisable(VmId caller, XirqNumber number, VmId destination);
    /// Carry a side's state into its own and the peer's descriptor.
    void store_state(Link& link, LinkIndex index, Role role, LinkState state);
    void raise_sysconf(Vm& vm);
    void set_state(Vm& vm, VmState state);
    void force_off(Vm& vm);
    /// What a VM that ended has granted is taken as soon as no importer is ON towards it any more.
    void revoke_exports();
    void exporter_ended(VmId exporter);
    void taken_back(const std::vector<GrantRow>& rows, Event event);
    /// Errors: would_block (this machine has none).
    Result<sys::PageMover*> page_mover();
    /// For level broker. Errors: unsupported and why.
    Result<sys::PassThrough*> pass_through();
    /// Put a call together that comes in parts; false: more is to come.
    Result<bool> whole(VmId caller, MemOp op, const MemCall& part, MemCall& call);
    using Holds = std::map<std::uint32_t, Hold>;
    /// `release`: nothing came of it, whoever holds goes on as before.
    void end_hold(Holds::iterator hold, bool release);
    Holds::iterator hold_of(VmId exporter, std::uint32_t app);
    /// All have answered, or nobody waits any more.
    void hold_complete(const Holds::value_type& hold);
    void vm_ended_holds(VmId vm);
    void holds_on_time(std::int64_t now);
    /// True if somebody's hold covers some of it; the caller will hear when it is over.
    bool map_later(VmId caller, MemRange range);
    /// Rows of a deny that are kept by somebody who did not hold meanwhile are journalled.
    void missed_holds(const std::vector<GrantRow>& rows, VmId denied, std::uint32_t holding);
    void dma_ended(VmId vm, const DmaReply& reply);
    void dma_on_time();
    void drop_ports(Link& link, Role role);
    /// A VM is gone: what it lent on this link is taken away from whoever has it.
    void drop_loans(Link& link, VmId lender);
    void note_change();
    void write(Event event, std::uint32_t link, std::uint32_t a = 0, std::uint64_t b = 0,
               std::uint64_t c = 0);

    Runtime* runtime_;
    Limits limits_;
    std::mutex mutex_;
    std::map<VmId, Vm> vms_;
    std::vector<Link> links_;
    AddressSpace addresses_;
    IoMemory io_memory_;
    std::map<std::pair<VmId, VmId>, PairMemory> pairs_;
    GrantTable grants_;
    DmaDevices devices_;
    std::map<std::pair<VmId, std::uint32_t>, BegunCall> begun_calls_;  // by VM and application
    std::unique_ptr<sys::PageMover> page_mover_;                       // once one was needed
    bool cannot_move_ = false;
    bool tidied_ = false;                             // by somebody who calls `tidy`
    std::unique_ptr<sys::PassThrough> pass_through_;  // the same
    Holds holds_;
    std::uint32_t next_hold_ = 1;
    std::map<std::pair<VmId, VmId>, std::uint64_t> missed_;  // by exporter and keeper
    std::uint32_t silent_ = 0;  // set of VMs that did not answer the last hold in time
    /// VMs that ended with grants that are still to be taken, and the ends of their importers that
    /// were ON then and have not left it since. (A next life may bring the links up meanwhile.)
    std::map<VmId, std::set<std::pair<LinkIndex, Role>>> ended_exporters_;
    std::shared_ptr<mem::Region> scope_region_;
    Scope scope_;
    std::deque<OwnedScope> archive_;  // scopes of earlier lives, oldest first
    std::vector<BellWords*> watchers_;
    /// VMs that died while peers were still ON, and when those are forced.
    std::map<VmId, std::int64_t> overdue_;
};

}  // namespace hyplink::hyp
