/// What an application may ask of its guest kernel: the control path between the two.
///
/// A request may be answered later (accepting a session waits for a client), so an application
/// names each with a sequence number and may cancel it; number 0 asks for no answer. The thread
/// backend hands requests over directly, the process backend sends them with passed descriptors. A
/// guest kernel believes no application: handles are looked up in the application's own table,
/// numbers are checked.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "hyplink/base/errc.hpp"
#include "hyplink/mem/region.hpp"
#include "hyplink/sys/fd.hpp"

namespace hyplink::guest {

enum class Sys : std::uint32_t {
    hello = 1,  ///< → values {vm, app}; regions {status words, scope}
    open = 2,   ///< data = device name → values {handle}
    close = 3,  ///< handle
    list = 4,   ///< → data = device names, one a line
    cancel =
        5,  ///< args[0] = sequence number; that request is answered `cancelled` if it still waits

    rpq_session_create =
        16,  ///< handle = device, data = info → values {handle, session, peer VM, status word}
    rpq_session_accept = 17,  ///< handle = device → the same, + client app; data = client's info
    rpq_channel_create =
        18,  ///< handle = session, args {parameter bytes or 0}, data = info → ChannelReply
    rpq_channel_accept =
        19,  ///< handle = session (or device: any session) → ChannelReply; data = info

    umem_server_create = 32,  ///< handle = device → values {handle, server number}; waits for UP
    umem_server_close = 33,   ///< handle = server; the clients are told before the answer
    umem_receive = 34,        ///< handle = server → UmemRequestReply; data = opaque argument
    umem_respond = 35,        ///< handle = server, UmemRespondArgs, data = opaque, fds {memory}
    umem_session_create =
        36,  ///< handle = device, args {master} → values {handle, session, peer VM, status word}
    umem_alloc = 37,  ///< handle = session, data = opaque → UmemBufferReply; data = opaque and what
                      ///< umem_map would answer
    umem_import = 38,      ///< handle = device, args {token} (two words) → UmemBufferReply
    umem_register = 39,    ///< handle = buffer, args {session handle}
    umem_unregister = 40,  ///< handle = buffer
    umem_free = 41,        ///< handle = buffer; it is closed even if the answer is an error
    umem_mapped = 48,      ///< handle = buffer; what came with umem_alloc is being mapped
    umem_map = 42,      ///< handle = buffer, args {1: after umem_mapped} → data = UmemPiece …, fds:
                        ///< one for each piece
    umem_unmap = 43,    ///< handle = buffer
    umem_cache = 44,    ///< handle = buffer, args {operations}
    umem_control = 45,  ///< handle = buffer, args {command, word}, data → values {word}; data
    umem_profile = 46,  ///< handle = device, args {reset} → data = counters, 8 bytes each
    umem_respond_receive =
        47,  ///< as umem_respond, answered as umem_receive; a response that was refused for what is
             ///< in it: values {Command::none, errno}, data = why

    ion_export = 50,  ///< handle = vion, fds {whole object} → IonReply
    ion_import = 51,  ///< handle = vion, args {id} → IonReply, fds {object}

    pipe_open = 56,    ///< handle = device, args {PipeAccess} → PipeReply; waits for the other end
    port_lookup = 60,  ///< handle = vrpc, vmq or vevent, args {PortRole, peer VM or 0, how many to
                       ///< pass over}, data = start of the info → EndReply; data = info
    port_join = 61,    ///< handle = end, args {bytes, PortJoin flags}, data = words → PortReply;
                       ///< data = the other's words, regions {port}, fds {own bell, peer's bell}

    ump_identity = 64,  ///< → values {vm, last vm, running mask}, regions {PDEV}
    ump_resource =
        65,  ///< args {type, slot, id, owner << 32 | reserved, size} → values {first, address}
    ump_memory = 66,   ///< args {address} → values {base}, regions {memory}
    ump_bell = 67,     ///< args {number, owner, UmpBell} → values {address}
    ump_trigger = 68,  ///< args {number, destination}
    ump_publish = 69,  ///< args {slot, role}: this end's state was written

    // handle = "vlx-mem". Ranges travel in `data` as pairs of u64 {address, bytes}.
    mem_alloc = 96,     ///< args {bytes} → values {address}
    mem_free = 97,      ///< args {address}
    mem_grant = 98,     ///< args {vm, flags, set of ranges with an fd}, data, fds
    mem_deny = 99,      ///< the same
    mem_verify = 100,   ///< args {vm, flags}, data
    mem_map = 101,      ///< args {address, bytes, writable, window or 0} → values {window}, data of
                        ///< MemPiece, fds; the first part only: ask again with the window for the
                        ///< address that follows
    mem_unmap = 102,    ///< args {window}
    mem_hold = 103,     ///< as mem_deny, without objects; answered when the importers that keep the
                        ///< pages hold back, or are not waited for any more
    mem_release = 104,  ///< nothing comes of the hold
    mem_held = 105,     ///< args {hold}: this application holds back
    mem_watched = 107,  ///< args {window}, data of triples {address, bytes, generation}: whoever
                        ///< touches these pages of it when they are moved away waits in the fault
    mem_show = 108,     ///< args {window}: what is there now, as when it changes
    mem_check = 106,    ///< args {window, address, bytes}: it is granted, and what the window shows
                        ///< was said before the answer. Errors: access_denied
    dma_order = 112,  ///< handle = "vlx-dma", data = hyp::DmaOrder, fds {object} → data = DmaReply
    dma_wait = 113,   ///< args {job} → data = hyp::DmaReply, once it has ended
};

/// What a bell is wanted for: to ring it, to wait on it (one application per number), no more.
enum class UmpBell : std::uint64_t { look = 0, attach = 1, detach = 2 };

/// Positions in `values` of what a vUmem server receives.
struct UmemRequestReply {
    enum : std::size_t { command, buffer, vm, app, count };
};
/// Positions in `args` of its response. `kind`: hyp::LoanKind, in the upper half `attributes`.
struct UmemRespondArgs {
    enum : std::size_t { error, buffer, bytes, offset, kind, count };
};
/// Positions in `values` when a buffer was made or imported.
struct UmemBufferReply {
    enum : std::size_t { handle, buffer, bytes, attributes, token_low, token_high, pieces, count };
};
/// Part of a mapping: where it lies in its descriptor.
struct UmemPiece {
    std::uint64_t offset, bytes;
};
static_assert(sizeof(UmemPiece) == 16);

/// Part of a window on granted memory: where it lies in its descriptor, or kTakenBack. `generation`
/// is that of the object if its pages may be moved from under whoever watches them (mem_watched).
struct MemPiece {
    std::uint64_t at, bytes, offset, generation;
};
static_assert(sizeof(MemPiece) == 32);

/// Positions in `values` when a vION buffer was exported or imported.
struct IonReply {
    enum : std::size_t { handle, id, bytes, count };
};

/// How a pipe is opened: bits of an argument.
inline constexpr std::uint64_t kPipeRead = 1;
inline constexpr std::uint64_t kPipeWrite = 2;
/// As what: a file, or an area that is mapped. Without either, whatever it is.
inline constexpr std::uint64_t kPipeStream = 4;
inline constexpr std::uint64_t kPipeArea = 8;
/// Positions in `values` when a pipe was opened; regions {what the openers of this VM share, port
/// it reads, port it writes}, those there are. `kind`: a PipeKind, | 256 when a read returns what
/// there is. `links`: indices, that of the port it writes in the upper half.
struct PipeReply {
    enum : std::size_t {
        handle,
        opener,
        status_word,
        kind,
        in_capacity,
        out_capacity,
        peer,
        links
    };
};

/// Which end of a vlink is looked up.
enum class PortRole : std::uint64_t { server = 0, client = 1, either = 2 };
/// How an end joins: without waiting for the other one's application, or for the other end's.
struct PortJoin {
    enum : std::uint64_t { alone = 1, now = 2 };
};
/// Positions in `values` when an end was looked up. `bytes`: of the memory, vRPC only.
struct EndReply {
    enum : std::size_t { handle, role, peer, link, number, bytes, presence, count };
};
/// Positions in `values` when it has joined. `wish`: the server's, to which calls are addressed.
struct PortReply {
    enum : std::size_t {
        handle,
        port,
        peer,
        status_word,
        link,
        own_bytes,
        peer_bytes,
        wish,
        count
    };
};

/// Positions in `values` of a channel reply; regions {port}, fds {own bell, peer's bell}.
struct ChannelReply {
    enum : std::size_t { handle, channel, session, peer, status_word, max_requests, link, count };
};

struct SysRequest {
    std::uint32_t sequence = 0;
    Sys op{};
    std::uint32_t handle = 0;
    std::uint64_t args[5] = {0, 0, 0, 0, 0};
    std::string data;
    std::vector<std::shared_ptr<sys::Fd>> fds;  ///< mem_grant, mem_deny and umem_respond only
};

/// Answers carry the sequence number of their request; number 0 is the kernel's own word. With code
/// ok it is about a window: values {window}, data and fds as in a reply to mem_map; a piece that
/// was taken back has no descriptor. Window 0: values {0, hold, begin}, ranges in `data`: hold all
/// access to them back until they are replaced, answer mem_held; or (begin 0) go on. With
/// peer_dead, the object behind handle values[0] is gone.
constexpr std::uint64_t kTakenBack = ~std::uint64_t{0};

struct SysReply {
    std::uint32_t sequence = 0;
    Errc code = Errc::ok;
    std::uint64_t values[8] = {0, 0, 0, 0, 0, 0, 0, 0};
    std::string data;  ///< result, or the error's text
    std::vector<std::shared_ptr<mem::Region>> regions;
    std::vector<std::shared_ptr<sys::Fd>> fds;
    bool spares_fds = false;  ///< who has no room for `fds` does without
};

/// Where the answers for one application go. Called from the kernel; must not call back into it.
class AppSink {
   public:
    virtual ~AppSink() = default;
    virtual void reply(SysReply&& reply) = 0;
    /// Words wait here because the application does not read them. What can be said later in fewer
    /// is kept back by who says it, until GuestKernel::app_ready().
    virtual bool congested() const { return false; }
};

/// Memory that the kernel writes and one application reads: states of its sessions and channels,
/// the bell of SYSCONF for applications that drive vlinks themselves, and why the kernel ended the
/// connection, if it did (which could not be said through one that nobody reads).
struct StatusPage {
    static constexpr std::size_t kBytes = 4096;
    static constexpr std::uint32_t kWords = 896;
    static constexpr std::size_t kSysconfBellAt = 3840;
    static constexpr std::size_t kDroppedAt = 3968;  ///< AppDropped
};

struct AppDropped {
    std::atomic<std::uint32_t> reason;  ///< Dropped; written last
    std::int32_t code;                  ///< errno
};
static_assert(sizeof(AppDropped) == 8);

}  // namespace hyplink::guest
