/// What happened, in fixed-size records: the journal of one process, and its counters.
///
/// A `Scope` is the memory one process (hypervisor, guest kernel, application) writes its
/// observations to. It lives in a shared region, so the bench can read it after the writer was
/// killed. The bench merges the scopes of all processes by time. A reader treats a scope as foreign
/// bytes: it copies a record, then checks its sequence number. Thread rule: any thread writes; one
/// reader.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "hyplink/base/ids.hpp"

namespace hyplink {

enum class Event : std::uint16_t {
    none = 0,
    vm_state = 1,        ///< a = new state, b = old state, c = VM
    link_state = 2,      ///< a = role, b = new state, c = old state
    link_refused = 3,    ///< a = role, b = state asked for, c = state kept
    link_forced = 4,     ///< a = role: the hypervisor took the end OFF by itself
    sysconf = 5,         ///< a = destination VM, b = 1 if it woke it
    xirq = 6,            ///< a = number, b = destination VM, c = 1 if it woke somebody
    xirq_refused = 7,    ///< a = number, b = destination VM, c = who asked
    app_start = 8,       ///< a = application id
    app_end = 9,         ///< a = application id, b = 1 if it died without closing
    session_open = 10,   ///< a = session, b = role
    session_abort = 11,  ///< a = session, b = role
    session_close = 12,  ///< a = session, b = role
    channel_open = 13,   ///< a = channel, b = role, c = port bytes
    channel_close = 14,  ///< a = channel, b = role
    notify = 15,         ///< a = channel, b = requests in the batch, c = 1 sent XIRQ | 2 woke
    receive = 16,        ///< a = channel, b = requests
    call = 17,           ///< a = channel, b = procedure, c = latency in ns
    reply = 18,          ///< a = channel, b = procedure, c = reason
    corrupt = 19,        ///< a = channel or link end, b = field, c = value found
    resource = 20,       ///< a = 0 PMEM, 1 PDEV, 2 PXIRQ, 3 port; b = id, c = bytes or count
    peer_death = 21,     ///< a = channel, b = requests lost
    mark = 22,           ///< a, b, c free: set from the outside, e.g. by a demo
    grant = 23,          ///< a = importer + 65536 × exporter, b = address, c = bytes
    deny = 24,           ///< the same
    grant_map = 25,      ///< the same; the importer got descriptors
    grant_revoked = 26,  ///< the same; taken without being asked
    lend = 27,           ///< a = lender, b = address, c = bytes
    recall = 28,         ///< a = lender, b = address, c = bytes
    xirq_muted = 29,     ///< a = the VM that woke the writer for nothing until it stopped listening
    hold_missed = 42,    ///< as grant; this importer keeps it, but did not hold while it moved on
    pipe_open = 40,      ///< a = role, b = capacity in bytes: its applications have it now
    pipe_close = 41,     ///< a = role
    callback_sent = 30,  ///< a = channel, b = procedure, c = 1 if synchronous
    callback_done = 31,  ///< a = channel, b = procedure, c = the handler's status
    callback_lost = 32,  ///< a = channel, b = procedure: no room, or nobody wanted it
    app_dropped = 33,    ///< a = application id, 0: it had none yet; b = Dropped, c = errno
    program_failed = 34,  ///< it could not be started: c = errno
    program_end = 35,     ///< a = process id, b = status as of wait(2), c = ms that it ran
    vm_dropped = 36,      ///< a = VM, b = Dropped, c = errno
    dma_start = 37,       ///< a = VM, b = job, c = bytes
    dma_end = 38,         ///< a = VM, b = job, c = bytes done in its last round
    dma_fault = 39,       ///< a = VM + 65536 × hyp::DmaFault, b = address, c = bytes done before
};

/// Why one side of a control connection ended it.
enum class Dropped : std::uint32_t {
    none = 0,
    unread = 1,     ///< the other side does not read what it is told
    malformed = 2,  ///< what it sent is no message of the protocol
    refused = 3,    ///< no room for another one
    broken = 4,     ///< a system call on the connection failed
};

struct Record {
    std::uint64_t time = 0;  ///< nanoseconds of the runtime's clock
    std::uint16_t event = 0;
    std::uint16_t vm = 0;   ///< who wrote it; 0 = hypervisor
    std::uint32_t app = 0;  ///< application within the VM; 0 = its kernel
    std::uint32_t link = kNoLink;
    std::uint32_t a = 0;
    std::uint64_t b = 0;
    std::uint64_t c = 0;
    std::uint64_t spare[2] = {0, 0};
    std::uint64_t sequence = 0;  ///< index + 1 once the record is whole

    static constexpr std::uint32_t kNoLink = 0xffffffff;
};
static_assert(sizeof(Record) == 64);

/// ChannelCounters::in_use
enum : std::uint32_t { kSlotFree = 0, kSlotTaken = 1, kSlotClosed = 2 };
/// ChannelCounters::kind: what a slot counts. The last two are BufferCounters.
enum : std::uint32_t { kCountsChannel = 0, kCountsUmem = 1, kCountsIon = 2 };

/// Counters of one end of one channel. One writer each, so plain stores suffice.
struct ChannelCounters {
    std::uint32_t in_use, vm, app, link, session, channel, role, kind;
    std::uint64_t posts, batches, calls, receives, requests, xirqs, wakes, copies, copied_bytes;
    std::uint64_t full_events, ring_peak, pmem_peak, lost;
    std::uint64_t latency_count, latency_sum, latency_max;
    std::uint64_t batch_max;           ///< most requests one notify published
    std::uint64_t ring_now, pmem_now;  ///< held when the server looked last
    std::uint64_t full_requests;       ///< of full_events: no request left (else: no room)
    std::uint64_t recycles;            ///< how often the client looked for room given back
    std::uint64_t procedures;          ///< entries in the table of procedures
    std::uint64_t uncounted;           ///< requests that found no entry there
    /// Of the server: asynchronous ones sent, those dropped, and synchronous ones. Of the client:
    /// handled, those that nobody wanted, and synchronous ones among the handled.
    std::uint64_t callbacks, callbacks_dropped, callback_calls;
    std::uint64_t in_place_bytes;  ///< handed over without a copy: vUpipe, vRPC, vMQ
    std::uint64_t reserved[1];
};
static_assert(sizeof(ChannelCounters) == 256);

/// The same slot where a driver counts what it lends or borrows at one end of a vlink. Requests by
/// kind are in the table of procedures.
struct BufferCounters {
    std::uint32_t in_use, vm, app, link, session, channel, role, kind;
    std::uint64_t sessions;  ///< now; of a vUmem server's end: server programs
    std::uint64_t buffers, buffers_peak;
    std::uint64_t bytes, bytes_peak;  ///< of those buffers
    std::uint64_t answers, errors;    ///< of requests, given or got; those that refused
    std::uint64_t waited;             ///< requests that waited for others of the link
    std::uint64_t xirqs;              ///< raised by this end
    std::uint64_t area, area_peak,
        area_size;  ///< bytes of its shared area: last message, most, all
    std::uint64_t reserved[9];
    std::uint64_t procedures, uncounted;
    std::uint64_t reserved_too[5];
};
static_assert(sizeof(BufferCounters) == sizeof(ChannelCounters));
static_assert(offsetof(BufferCounters, procedures) == offsetof(ChannelCounters, procedures));

/// One procedure of one channel end: the server counts requests, the client times calls.
struct ProcedureCounters {
    std::uint32_t used, proc;
    std::uint64_t requests, bytes;
    std::uint64_t latency_count, latency_sum, latency_max;
};
static_assert(sizeof(ProcedureCounters) == 48);

/// What a reader gets: `channel` counts the channels of the same look.
struct ProcedureRow {
    std::uint32_t channel, spare;
    ProcedureCounters counters;
};
static_assert(sizeof(ProcedureRow) == 56);

struct ScopeHeader {
    std::uint32_t magic;  ///< kMagic
    std::uint32_t version;
    std::uint32_t vm, app;
    std::uint32_t capacity;               ///< records
    std::uint32_t slots;                  ///< counter slots
    std::atomic<std::uint32_t> enabled;   ///< journalling on; the bench may switch it
    std::atomic<std::uint32_t> counting;  ///< procedures are counted; the bench may switch it
    std::atomic<std::uint64_t> head;      ///< records ever written
    std::uint64_t spare[2];

    static constexpr std::uint32_t kMagic = 0x48594c4a;  // "HYLJ"
    static constexpr std::uint32_t kVersion = 1;
};
static_assert(sizeof(ScopeHeader) == 56);

class Scope {
   public:
    static constexpr std::uint32_t kRecords = 16384;
    static constexpr std::uint32_t kSlots = 128;
    static constexpr std::size_t kCountersAt = 64;
    static constexpr std::size_t kRecordsAt = kCountersAt + kSlots * sizeof(ChannelCounters);
    /// Procedures counted for each channel; the memory is touched only where some are.
    static constexpr std::uint32_t kProcedures = 256;
    static constexpr std::size_t kProceduresAt = kRecordsAt + kRecords * sizeof(Record);
    static constexpr std::size_t kBytes =
        kProceduresAt + std::size_t{kSlots} * kProcedures * sizeof(ProcedureCounters);

    Scope() = default;
    /// `memory` is kBytes of zeroed shared memory for a new scope, or a scope made elsewhere.
    Scope(std::byte* memory, VmId vm, std::uint32_t app);

    bool enabled() const {
        return header_ != nullptr && header_->enabled.load(std::memory_order_relaxed) != 0;
    }
    void enable(bool on) {
        if (header_ != nullptr) header_->enabled.store(on ? 1 : 0, std::memory_order_relaxed);
    }
    /// Whether requests are counted by procedure, too. Costs one load a batch while it is off.
    bool counting() const {
        return header_ != nullptr && header_->counting.load(std::memory_order_relaxed) != 0;
    }
    void count_procedures(bool on) {
        if (header_ != nullptr) header_->counting.store(on ? 1 : 0, std::memory_order_relaxed);
    }
    void write(std::int64_t time, Event event, std::uint32_t link, std::uint32_t a = 0,
               std::uint64_t b = 0, std::uint64_t c = 0);
    /// A zeroed counter slot; null when all are in use. Those of closed channels are used again
    /// last.
    ChannelCounters* take_counters();
    /// The entry of a procedure in the table of this slot, which the calling thread owns; null when
    /// the table is full.
    ProcedureCounters* procedure(ChannelCounters& slot, std::uint32_t proc);
    /// The channel is closed; what it counted stays to be read.
    static void close_counters(ChannelCounters& slot);

    /// Copy what a (perhaps dead, perhaps hostile) process wrote. Torn or missing records are left
    /// out.
    static std::vector<Record> read(std::span<const std::byte> memory);
    static std::vector<ChannelCounters> read_counters(std::span<const std::byte> memory);
    /// The same, with the procedures of each: `rows` gets them, numbered from `first`.
    static std::vector<ChannelCounters> read_counters(std::span<const std::byte> memory,
                                                      std::uint32_t first,
                                                      std::vector<ProcedureRow>& rows);

   private:
    void clear_procedures(std::uint32_t slot);

    ScopeHeader* header_ = nullptr;
    ChannelCounters* slots_ = nullptr;
    Record* records_ = nullptr;
    ProcedureCounters* procedures_ = nullptr;
    VmId vm_ = 0;
    std::uint32_t app_ = 0;
};

}  // namespace hyplink
