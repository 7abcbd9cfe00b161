/// What a guest kernel may ask of the hypervisor: the whole control path between the two, as one
/// interface.
///
/// The thread backend implements it by a direct call, the process backend by messages with passed
/// file descriptors. Every argument is checked by the hypervisor; a call names its link end by the
/// descriptor's slot in the caller's own PDEV. Thread rule: one thread per guest at a time. Blocks:
/// never (beyond the message's round trip).
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "hyplink/base/ids.hpp"
#include "hyplink/base/result.hpp"
#include "hyplink/hyp/xirq_line.hpp"
#include "hyplink/mem/address.hpp"
#include "hyplink/mem/region.hpp"
#include "hyplink/sys/fd.hpp"

namespace hyplink::hyp {

struct Identity {
    VmId id = 0;
    VmId last_id = 0;           ///< highest id the board knows
    std::uint32_t running = 0;  ///< bit mask of running VMs
    std::string name;
};

/// A piece of the guest's address space and where it starts.
struct MemoryView {
    mem::Ipa base;
    std::shared_ptr<mem::Region> region;
};

/// One side of one of the caller's vlinks.
struct EndRef {
    std::uint32_t slot = 0;  ///< position in the caller's descriptor table
    Role role = Role::server;
};

enum class ResourceType : std::uint32_t { pmem = 0, pdev = 1, pxirq = 2 };

struct ResourceRequest {
    ResourceType type = ResourceType::pmem;
    std::uint32_t slot = 0;
    std::uint32_t id = 0;
    VmId owner = 0;          ///< PXIRQ: whose numbers
    std::uint64_t size = 0;  ///< bytes, or how many consecutive numbers
};

struct ResourceReply {
    Errc code = Errc::ok;
    XirqNumber first = 0;  ///< PXIRQ: first number
    mem::Ipa at;           ///< the memory, or the first number's bell
};

/// How a number of another VM is reached without the hypervisor, over every life of it.
struct XirqRoute {
    LinkIndex link = 0;
    std::uint32_t bit = 0;  ///< in the line from the caller to the number's owner
    mem::Ipa bell;
};

/// Memory of one channel, and an eventfd per end for owners that sleep in an event loop.
struct PortGrant {
    std::uint32_t id = 0;  ///< unique within the link
    std::shared_ptr<mem::Region> region;
    std::shared_ptr<sys::Fd> fds[2];  ///< by Role: readable when that end is rung
};

/// Whole pages of a VM's own map.
struct MemRange {
    std::uint64_t at = 0;
    std::uint64_t bytes = 0;
    auto operator<=>(const MemRange&) const = default;
};

/// `flags` of mem_grant, mem_deny and mem_verify: what may be done, by whom, and how it is
/// enforced.
inline constexpr std::uint32_t kGrantRead = 1;
inline constexpr std::uint32_t kGrantWrite = 2;  ///< only with reading: no mapping is write-only
inline constexpr std::uint32_t kGrantCpu = 4;
inline constexpr std::uint32_t kGrantDma = 8;
inline constexpr std::uint32_t kGrantRights = 15;
/// Of the levels at most one may be asked for; none means that of the backend. A level that cannot
/// be given is refused.
inline constexpr std::uint32_t kGrantCooperative = 0x100;
inline constexpr std::uint32_t kGrantMemfd = 0x200;
inline constexpr std::uint32_t kGrantBroker = 0x400;
inline constexpr std::uint32_t kGrantLevels = 0x700;

/// A call with many ranges comes in parts: nothing is done until the last one is there. A part that
/// does not go on is the first of a new call, whatever was begun before. Not of mem_verify.
inline constexpr std::uint32_t kCallHasMore = 0x10000;
inline constexpr std::uint32_t kCallGoesOn = 0x20000;

/// Of mem_verify: and the caller has heard of every change of it that there was before.
inline constexpr std::uint32_t kVerifyShown = 0x40000;

/// Of mem_deny: the objects are empty, and the hypervisor moves the pages there. Nobody is asked to
/// hold: whoever keeps them watches (mem_watch), and so does the caller.
inline constexpr std::uint32_t kDenyMoves = 0x80000;

struct MemCall {
    static constexpr std::size_t kMaxRanges = 8;  ///< a part: as many objects as a message carries
    static constexpr std::size_t kMostRanges = 8192;  ///< all parts of all calls of one VM
    VmId vm = 0;  ///< the other one: importer, or exporter of a verify
    std::uint32_t flags = 0;
    std::uint32_t app = 0;  ///< application of the caller whose memory it is
    std::vector<MemRange> ranges;
    /// Unsealed memfds that stand behind the ranges now, one each; empty in a deny that leaves no
    /// other importer.
    std::vector<std::shared_ptr<sys::Fd>> objects;
};

/// Part of a window on granted memory: `range` lies at `offset` of an object, or is not granted
/// and has none.
struct WindowPiece {
    MemRange range;
    std::uint64_t offset = 0;
    std::shared_ptr<sys::Fd> fd;
    std::uint32_t generation = 0;  ///< of the object, for mem_watch; 0: its pages cannot be moved
};

/// What a window may consist of.
enum class Show : std::uint8_t {
    whole,   ///< of granted pages only
    partly,  ///< of what is granted of them, and gaps
};

/// An order to the device of an application that moves memory by itself (dma.hpp).
enum class DmaOp : std::uint32_t {
    attach = 1,  ///< an object → `at`
    detach,      ///< `to` = where it was
    start,       ///< → `job`
    look,        ///< `job`
    stop,        ///< `job`
    leave        ///< all of the application's
};
enum class DmaKind : std::uint32_t { copy = 1, fill, checksum };
struct DmaOrder {
    DmaOp op{};
    std::uint32_t app = 0;
    std::uint32_t job = 0;
    DmaKind kind = DmaKind::copy;
    std::uint32_t value = 0;   ///< a byte, to fill with
    std::uint32_t repeat = 0;  ///< 1: again and again until it is stopped, or faults
    std::uint64_t from = 0;    ///< addresses of the VM's map
    std::uint64_t to = 0;
    std::uint64_t bytes = 0;
};
enum class DmaState : std::uint32_t { none = 0, running, done, faulted, stopped };
enum class DmaFault : std::uint32_t {
    none = 0,
    unmapped,     ///< nothing is there that the device may touch
    not_for_dma,  ///< granted to the VM, but not for DMA
    read_only,
    broken  ///< the object behind it cannot be read or written
};
struct DmaReply {
    std::uint32_t job = 0;
    DmaState state = DmaState::none;
    DmaFault fault = DmaFault::none;
    std::uint32_t checksum = 0;  ///< CRC-32 of the last whole round
    std::uint64_t at = 0;        ///< where it faulted; where the object was attached
    std::uint64_t done = 0;      ///< bytes of this round
    std::uint64_t rounds = 0;
};

/// Memory of one VM that the VM at the other end of a vlink may map: a piece of some object.
struct Loan {
    mem::Ipa at;  ///< its first address in the machine's map, where both VMs find it
    std::uint64_t bytes = 0;
    std::shared_ptr<sys::Fd> object;
    std::uint64_t offset = 0;  ///< of the first byte in the object
};

/// How a loan ends when its lender is gone.
enum class LoanKind : std::uint32_t {
    file = 0,   ///< the object is more than this loan: it is let go, what is in it stays
    whole = 1,  ///< made for this loan: its pages are taken away, whoever has mapped them
};

/// Somebody else is about to lose pages that applications of this VM have mapped.
struct HoldEvent {
    std::uint32_t id = 0;  ///< of the hold
    bool begin = true;     ///< false: the pages stay what they were, go on
    std::vector<MemRange> ranges;
};

/// What waits for a guest. Everything coalesces; numbers come lowest first.
struct GuestEvents {
    bool sysconf = false;
    bool shutdown = false;
    std::vector<XirqNumber> xirqs;
    /// Granted memory of others that it maps and that changed: taken back, or another object now.
    std::vector<MemRange> windows;
    /// To be looked at after the windows: a hold is about what is mapped then.
    std::vector<HoldEvent> holds;
    /// Holds that it asked for and that are complete, or were not answered in time.
    std::vector<std::uint32_t> held;
    /// DMA jobs of its applications that have ended.
    std::vector<std::uint32_t> dma;
    static constexpr std::size_t kMaxXirqs = 4096;  ///< at a time, windows, too
    static constexpr std::size_t kMaxHolds = 64;
};

class Hypercalls {
   public:
    virtual ~Hypercalls() = default;

    virtual Result<Identity> identity() = 0;
    /// The caller's descriptor table.
    virtual Result<MemoryView> pdev() = 0;
    /// The caller has changed its own side of these ends; the bridge checks and carries over. One
    /// SYSCONF per peer VM, however many ends. A refused step is undone in the caller's descriptor
    /// and reported in the journal. Errors: bad_argument (slot or role not the caller's).
    virtual Status publish(std::span<const EndRef> ends) = 0;

    /// Persistent resources, keyed (link, type, id): the same for either side whoever asks first,
    /// never freed, kept over a restart with their contents. Many in one call, because a board may
    /// have thousands of links. Errors (of one item: in its reply): exists (other size or owner),
    /// no_memory, bad_argument.
    virtual Result<std::vector<ResourceReply>> resources(
        std::span<const ResourceRequest> requests) = 0;
    /// The memory object around an address the caller may touch. Errors: bad_address.
    virtual Result<MemoryView> mem_open(mem::Ipa address) = 0;
    /// Where the bell of a number of `owner` lies. Errors: bad_argument.
    virtual Result<mem::Ipa> xirq_bell(XirqNumber number, VmId owner) = 0;
    /// Raise a number of another VM (or of oneself). Errors: bad_argument (unknown number or VM),
    /// not_permitted (no common link).
    virtual Status xirq_trigger(XirqNumber number, VmId destination) = 0;
    /// Errors: as xirq_trigger; unsupported (a number of one's own, or without a bit).
    virtual Result<XirqRoute> xirq_route(XirqNumber number, VmId destination) = 0;
    /// The line from `raiser` to `owner`, one of which is the caller; good for the owner's present
    /// life, which a SYSCONF ends. Errors: no_such_link (no common vlink), unsupported (the owner
    /// is down, or a kernel that is called directly).
    virtual Result<XirqLine> xirq_line(VmId owner, VmId raiser) = 0;
    /// The caller's numbers that `raiser` may raise through its line, by bit, from `first` on.
    /// There may be more of them each time; they keep their bits.
    virtual Result<std::vector<XirqNumber>> xirq_numbers(VmId raiser, std::uint32_t first) = 0;

    /// Port memory: an object of its own, freed with its channel. Errors: no_memory names the
    /// budget.
    virtual Result<PortGrant> port_alloc(std::uint32_t slot, std::uint64_t bytes) = 0;
    virtual Result<PortGrant> port_open(std::uint32_t slot, std::uint32_t id) = 0;
    virtual Status port_free(std::uint32_t slot, std::uint32_t id) = 0;

    /// Addresses for memory that an application of the caller has. Errors: over_quota,
    /// bad_argument.
    virtual Result<mem::Ipa> mem_alloc(std::uint32_t app, std::uint64_t bytes) = 0;
    /// The memory is gone: what was granted of it is revoked. Errors: not_permitted.
    virtual Status mem_free(std::uint32_t app, mem::Ipa at) = 0;
    /// Let another VM map ranges of the caller's memory. All or nothing. Errors: not_permitted (not
    /// the application's memory, or an object sealed by its maker), access_denied (the importer has
    /// no "vl,vm-memory" node for the caller; the caller's own devices may be granted its memory
    /// for DMA only), bad_argument (flags, pages, overlaps in the call), busy (granted already,
    /// overlapping another grant, or part of an object whose other parts somebody else has),
    /// unsupported (the level), over_quota.
    virtual Status mem_grant(const MemCall& call) = 0;
    /// Take them back, with the flags of the grant; parts may be taken. When it returns nothing
    /// that was in them can be read, whatever the importer did. All or nothing. A range whose pages
    /// others keep must be kept by the same VMs everywhere: they get one object for it. Errors: as
    /// mem_grant; bad_argument (not granted so, kept by different VMs); with kDenyMoves would_block
    /// (somebody keeps them who does not watch, or only to read; or nobody keeps them: do without).
    virtual Status mem_deny(const MemCall& call) = 0;
    /// Before a mem_deny that leaves others with the pages: have those who map them hold back their
    /// applications, so that none of them reads or writes while the pages move on. Nobody is
    /// trusted: who does not answer within `hold_patience` is not waited for (nor the next time,
    /// until it answers), and who answers without holding harms itself. The number of the hold if
    /// an event will tell when it is complete, 0 if it is. One at a time for an application. It
    /// ends with the mem_deny, with mem_release, or after `hold_most`. Errors: as mem_deny.
    virtual Result<std::uint32_t> mem_hold(const MemCall& call) = 0;
    virtual Status mem_release(std::uint32_t app) = 0;
    /// The caller's applications hold.
    virtual Status mem_held(std::uint32_t hold) = 0;
    /// Whether all of it is granted to the caller by `call.vm` (0: by anybody) with at least these
    /// rights. Errors: access_denied; with kVerifyShown would_block (a window event tells when to
    /// ask again).
    virtual Status mem_verify(const MemCall& call) = 0;
    /// Descriptors of memory granted to the caller, in order; at most kMaxRanges, so ask again for
    /// what is left. Errors: access_denied (`whole`, and not all of it is granted), bad_argument,
    /// would_block (it is held: a window event tells when to ask again).
    virtual Result<std::vector<WindowPiece>> mem_map(MemRange range, bool writable, Show show) = 0;
    /// All the caller's mappings of these pages, of which it has whole grants, wait in the fault
    /// when the pages are moved from under them, and go on when it has mapped what is there then.
    /// `generation`: of what they show (WindowPiece); 0, or that of another object: it is not so.
    /// Until it maps some of it again. Who says so and does not do so harms itself.
    virtual Status mem_watch(MemRange range, std::uint32_t generation) = 0;
    /// The caller has no mapping of it any more, so it need not hear of changes.
    virtual Status mem_unmap(MemRange range) = 0;

    /// Orders to a device. Errors: bad_argument, access_denied (granted memory cannot be attached),
    /// bad_address (nothing attached there), not_found (no such job), over_quota.
    virtual Result<DmaReply> dma(const DmaOrder& order, const std::shared_ptr<sys::Fd>& object) = 0;

    /// Lend memory to the VM at the other end of a vlink; `object` is an open descriptor of it.
    /// Pages only. An address is never used twice. The lender's death recalls all it had lent.
    /// Errors: bad_argument (not pages, beyond the object's end, an object that can be cut short
    /// although it is said to be `whole`), no_memory (too many at a time).
    virtual Result<mem::Ipa> lend(std::uint32_t slot, const std::shared_ptr<sys::Fd>& object,
                                  std::uint64_t offset, std::uint64_t bytes, LoanKind kind) = 0;
    /// The loan around an address that the peer of this vlink has lent to the caller (on a
    /// loopback: the caller itself). Errors: bad_address.
    virtual Result<Loan> borrow(std::uint32_t slot, mem::Ipa at) = 0;
    /// Take a loan of the caller's back. `erase`: nobody will see what is in it any more (the
    /// lender has copied what it wants, or is dead). Errors: bad_address.
    virtual Status recall(std::uint32_t slot, mem::Ipa at, bool erase) = 0;
    /// The same for whom its result does not matter: with the caller's next hypercall, or within
    /// milliseconds. Costs no wake-up.
    virtual void recall_soon(std::uint32_t slot, mem::Ipa at, bool erase) = 0;

    /// Journal and counters of the kernel (app 0) or of one of its applications.
    virtual Result<std::shared_ptr<mem::Region>> scope(std::uint32_t app) = 0;

    /// The drivers are up: BOOTING becomes RUNNING.
    virtual Status boot_done() = 0;
    /// Everything is OFF and closed: STOPPING becomes OFF.
    virtual Status halt() = 0;
    /// What has happened since the last call.
    virtual GuestEvents take_events() = 0;
};

}  // namespace hyplink::hyp
