/// What the hypervisor knows about VMs, links and resources. Private to `hyp/`; guests see none of
/// it.
#pragma once

#include <map>
#include <memory>
#include <set>
#include <string>
#include <unordered_map>
#include <vector>

#include "hyplink/base/bell.hpp"
#include "hyplink/base/journal.hpp"
#include "hyplink/hyp/board_spec.hpp"
#include "hyplink/hyp/hypercalls.hpp"
#include "hyplink/hyp/pair_memory.hpp"
#include "hyplink/hyp/vlink.hpp"

namespace hyplink::hyp {

/// How the hypervisor gets a guest's attention. Called with the hypervisor's lock held: only ring
/// or queue.
class GuestWaker {
   public:
    virtual ~GuestWaker() = default;
    virtual void wake() = 0;
    /// Whether the kernel sleeps on descriptors, so that others may ring it directly.
    virtual bool hears_lines() const { return false; }
    /// Its peer has lent it this, at one of its slots: it will ask for it soon. Under the
    /// hypervisor's lock; a kernel that is not told asks.
    virtual void offer(std::uint32_t, const Loan&) {}
};

/// A cross interrupt number of one VM.
struct Xirq {
    LinkIndex link = 0;
    PairMemory::Piece bell{};
    std::uint32_t bit = 0;  // in the line from the VM at the other end
    BellWords& words() const { return *reinterpret_cast<BellWords*>(bell.data); }
};

struct Vm {
    VmSpec spec;
    VmState state = VmState::off;
    std::uint32_t boots = 0;
    GuestWaker* waker = nullptr;  // set while there is a kernel to wake
    MemoryView pdev;
    std::vector<LinkIndex> slots;  // descriptor slot -> link
    std::vector<Xirq> xirqs;       // number kSysconf + 1 + i
    bool sysconf_pending = false;
    bool shutdown_pending = false;
    std::set<XirqNumber> xirqs_pending;
    std::map<VmId, XirqLine> lines;                        // of this life, by who raises
    std::map<VmId, std::vector<XirqNumber>> line_numbers;  // by bit
    std::set<MemRange> windows_pending;
    std::vector<HoldEvent> holds_pending;
    std::vector<std::uint32_t> held_pending;
    std::vector<std::uint32_t> dma_pending;
    std::map<std::uint32_t, std::shared_ptr<mem::Region>> scopes;  // by application

    VlinkDescriptor& descriptor(std::uint32_t slot) const {
        auto* header = reinterpret_cast<PdevHeader*>(pdev.region->data());
        return reinterpret_cast<VlinkDescriptor*>(reinterpret_cast<std::byte*>(header) +
                                                  sizeof(PdevHeader) * 2)[slot];
    }
};

/// Exporter and importer in one field of a record.
constexpr std::uint32_t between(VmId exporter, VmId importer) { return exporter << 16 | importer; }

/// A deny under way that leaves others with the pages: see Hypercalls::mem_hold.
struct Hold {
    VmId exporter = 0;
    std::uint32_t app = 0;
    std::vector<MemRange> ranges;
    std::vector<MemRange> held;  // what those who hold were told: the same, or
    bool coarse = false;         // more than that
    std::uint32_t told = 0;      // sets of VMs: who was asked to hold
    std::uint32_t waiting = 0;   // whose answer is waited for
    std::uint32_t holding = 0;   // who has said that it does
    std::uint32_t mapping = 0;   // wants to map some of it, later
    std::int64_t patience = 0;
    std::int64_t most = 0;
};

enum class MemOp : std::uint8_t { grant, deny, hold };
/// A call that comes in parts, as far as it has come.
struct BegunCall {
    MemOp op{};
    MemCall call;
};

struct Resource {
    std::uint64_t size = 0;  // bytes asked for, or count of numbers
    VmId owner = 0;          // PXIRQ only
    PairMemory::Piece piece{};
    XirqNumber first = 0;
};

struct Port {
    PortGrant grant;
    std::uint64_t bytes = 0;
    std::uint32_t holders = 0;  // bit per Role
};

struct LentMemory {
    Loan loan;
    VmId lender = 0;
    LoanKind kind = LoanKind::file;
};

struct Link {
    LinkSpec spec;
    std::uint32_t slot[2] = {0, 0};  // by Role: descriptor slot in that end's VM
    LinkState state[2] = {LinkState::off, LinkState::off};
    std::map<std::uint32_t, Resource> resources[3];  // by ResourceType, then id
    std::map<std::uint32_t, Port> ports;
    std::map<mem::Ipa, LentMemory> loans;
    std::uint64_t port_bytes = 0;
    std::uint64_t memory_bytes = 0;  // of all PMEM and PDEV
    std::uint64_t xirq_count = 0;
    std::uint32_t next_port = 1;

    VmId vm(Role role) const { return role == Role::server ? spec.server : spec.client; }
    LinkState& of(Role role) { return state[static_cast<std::uint32_t>(role)]; }
};

}  // namespace hyplink::hyp
