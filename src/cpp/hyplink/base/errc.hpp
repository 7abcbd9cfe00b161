/// What can go wrong, one code per errno.
///
/// `hyplink.errors` in Python has one class per row; a test compares the two. The value of a code
/// *is* its errno on Linux, so it crosses process and language borders as a plain number. Thread
/// rule: pure functions.
#pragma once

#include <cerrno>
#include <cstdint>

namespace hyplink {

enum class Errc : std::int32_t {
    ok = 0,
    would_block = EAGAIN,        ///< nothing there, or no room, and the call does not wait
    timed_out = ETIMEDOUT,       ///< the deadline passed first
    cancelled = ECANCELED,       ///< the handle was closed while another thread waited
    interrupted = EINTR,         ///< a signal arrived; never leaves the bindings
    peer_dead = EPIPE,           ///< the peer VM or application is gone
    peer_reset = ECONNRESET,     ///< the peer restarted; the old session is void
    link_down = ENOTCONN,        ///< the link is not ON
    no_such_link = ENODEV,       ///< no VM, device or link of that name
    not_found = ENOENT,          ///< no object goes by that number
    exists = EEXIST,             ///< there already, with other properties
    busy = EBUSY,                ///< somebody holds it exclusively
    not_permitted = EPERM,       ///< not the owner
    access_denied = EACCES,      ///< the board or the grant forbids it
    revoked = ESTALE,            ///< the grant or object was taken back
    no_memory = ENOMEM,          ///< a configured pool is used up
    ring_full = ENOBUFS,         ///< no slot and the call does not wait
    over_quota = EDQUOT,         ///< one VM may not hold more of it
    too_long = EMSGSIZE,         ///< larger than the ring, slot or record allows
    bad_address = EFAULT,        ///< outside the memory this VM may touch
    bad_argument = EINVAL,       ///< zero, misaligned, out of range
    closed = EBADF,              ///< used after close, or never opened
    corrupt = EBADMSG,           ///< the peer wrote something impossible
    protocol = EPROTO,           ///< a well-formed message at the wrong time
    version = EPROTONOSUPPORT,   ///< the two sides speak different versions
    unsupported = EOPNOTSUPP,    ///< not on this machine or link
    deadlock = EDEADLK,          ///< every task of a seeded bench waits
    shutting_down = ENXIO,       ///< the end-point is being torn down
    internal = ENOTRECOVERABLE,  ///< a check of ours failed
};

/// The code's name as spelled above, for messages and the journal.
constexpr const char* name(Errc code) {
    switch (code) {
        case Errc::ok:
            return "ok";
        case Errc::would_block:
            return "would_block";
        case Errc::timed_out:
            return "timed_out";
        case Errc::cancelled:
            return "cancelled";
        case Errc::interrupted:
            return "interrupted";
        case Errc::peer_dead:
            return "peer_dead";
        case Errc::peer_reset:
            return "peer_reset";
        case Errc::link_down:
            return "link_down";
        case Errc::no_such_link:
            return "no_such_link";
        case Errc::not_found:
            return "not_found";
        case Errc::exists:
            return "exists";
        case Errc::busy:
            return "busy";
        case Errc::not_permitted:
            return "not_permitted";
        case Errc::access_denied:
            return "access_denied";
        case Errc::revoked:
            return "revoked";
        case Errc::no_memory:
            return "no_memory";
        case Errc::ring_full:
            return "ring_full";
        case Errc::over_quota:
            return "over_quota";
        case Errc::too_long:
            return "too_long";
        case Errc::bad_address:
            return "bad_address";
        case Errc::bad_argument:
            return "bad_argument";
        case Errc::closed:
            return "closed";
        case Errc::corrupt:
            return "corrupt";
        case Errc::protocol:
            return "protocol";
        case Errc::version:
            return "version";
        case Errc::unsupported:
            return "unsupported";
        case Errc::deadlock:
            return "deadlock";
        case Errc::shutting_down:
            return "shutting_down";
        case Errc::internal:
            return "internal";
    }
    return "system";
}

}  // namespace hyplink
