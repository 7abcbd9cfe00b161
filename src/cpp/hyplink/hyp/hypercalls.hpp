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

/// Memory of one channel, and an eventfd per end for owners that sleep in an event loop.
struct PortGrant {
    std::uint32_t id = 0;  ///< unique within the link
    std::shared_ptr<mem::Region> region;
    std::shared_ptr<sys::Fd> fds[2];  ///< by Role: readable when that end is rung
};

/// What waits for a guest. Everything coalesces; numbers come lowest first.
struct GuestEvents {
    bool sysconf = false;
    bool shutdown = false;
    std::vector<XirqNumber> xirqs;
    static constexpr std::size_t kMaxXirqs = 4096;  ///< at a time
    bool empty() const { return !sysconf && !shutdown && xirqs.empty(); }
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

    /// Port memory: an object of its own, freed with its channel. Errors: no_memory names the
    /// budget.
    virtual Result<PortGrant> port_alloc(std::uint32_t slot, std::uint64_t bytes) = 0;
    virtual Result<PortGrant> port_open(std::uint32_t slot, std::uint32_t id) = 0;
    virtual Status port_free(std::uint32_t slot, std::uint32_t id) = 0;

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
