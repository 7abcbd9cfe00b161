"""Every failure hyplink can report, as exception classes.

One row of the C++ table ``hyplink/base/errc.hpp`` is one class here. Each class is also the built-in
exception a Python programmer would expect (``BrokenPipeError``, ``TimeoutError``, …), so ``except OSError``
and ``errno`` work as usual. This module uses the standard library only and imports nothing of hyplink.
"""

from __future__ import annotations

import errno as _errno

__all__ = [
    "AccessDenied",
    "AlreadyExists",
    "BadArgument",
    "BadGuestAddress",
    "BoardError",
    "Busy",
    "Cancelled",
    "CorruptRing",
    "DeadlineExceeded",
    "GrantRevoked",
    "GuestFailed",
    "HandleClosed",
    "HyplinkError",
    "IdlError",
    "InternalError",
    "LinkDown",
    "LinkError",
    "MessageTooLong",
    "NoSuchLink",
    "NotFound",
    "NotPermitted",
    "PeerDied",
    "PeerReset",
    "PmemExhausted",
    "ProtocolViolation",
    "QuotaExceeded",
    "RingFull",
    "Unsupported",
    "VersionMismatch",
    "VmCrashed",
    "WouldBlock",
    "WouldDeadlock",
]


class HyplinkError(Exception):
    """Base of everything hyplink raises on purpose."""


class InternalError(HyplinkError):
    """A check inside hyplink failed; this is a bug of hyplink, not of the caller."""


class LinkError(HyplinkError, OSError):
    """A failure with an errno. ``errno`` and ``strerror`` are set, as for every ``OSError``."""

    #: Requests that were posted but never confirmed; only ``PeerDied`` fills it in.
    pending: int = 0


class WouldBlock(LinkError, BlockingIOError):
    """EAGAIN: nothing there, or no room, and the call was told not to wait."""


class DeadlineExceeded(LinkError, TimeoutError):
    """ETIMEDOUT: the deadline passed first."""


class Cancelled(LinkError):
    """ECANCELED: the handle was closed by another thread while this one waited."""


class PeerDied(LinkError, BrokenPipeError):
    """EPIPE: the peer VM or its application died or closed; make a new session."""


class PeerReset(LinkError, ConnectionResetError):
    """ECONNRESET: the peer restarted; the old session is void."""


class LinkDown(LinkError, ConnectionError):
    """ENOTCONN: the link is not ON."""


class NoSuchLink(LinkError, LookupError):
    """ENODEV: no device, link or VM of that name; the message lists those that exist."""


class NotFound(LinkError, FileNotFoundError):
    """ENOENT: no object goes by that number (any more)."""


class AlreadyExists(LinkError, FileExistsError):
    """EEXIST: it is there already, or there with another size."""


class Busy(LinkError):
    """EBUSY: somebody else holds it exclusively."""


class NotPermitted(LinkError, PermissionError):
    """EPERM: not the owner, or the VM has no right to it."""


class AccessDenied(LinkError, PermissionError):
    """EACCES: the board or the grant does not allow this access."""


class GrantRevoked(LinkError):
    """ESTALE: the grant was denied, its exporter stopped or its importer restarted."""


class PmemExhausted(LinkError):
    """ENOMEM: the configured memory is used up; the message names the key to raise."""


class QuotaExceeded(LinkError):
    """EDQUOT: one VM may not hold more of it; the message says how much."""


class RingFull(LinkError):
    """ENOBUFS: the ring is full and the call does not wait."""


class MessageTooLong(LinkError):
    """EMSGSIZE: larger than the channel, slot or record allows."""


class BadGuestAddress(LinkError):
    """EFAULT: outside the memory this VM may touch."""


class BadArgument(LinkError, ValueError):
    """EINVAL: misaligned, zero, negative, out of range."""


class HandleClosed(LinkError, ValueError):
    """EBADF: used after ``close()``."""


class CorruptRing(LinkError):
    """EBADMSG: the peer wrote something impossible; the channel is closed."""


class ProtocolViolation(LinkError):
    """EPROTO: a well-formed message at the wrong time, or an unknown procedure."""


class VersionMismatch(LinkError):
    """EPROTONOSUPPORT: the two sides speak different versions."""


class Unsupported(LinkError, NotImplementedError):
    """EOPNOTSUPP: this machine or this link cannot do it."""


class WouldDeadlock(LinkError):
    """EDEADLK: every task of a seeded bench waits and nothing can wake one."""


class GuestFailed(HyplinkError):
    """Code started in a VM raised; the original exception is chained as ``__cause__``."""


class VmCrashed(HyplinkError):
    """A VM or the application that ran the code is gone before it answered."""


class _TextError(HyplinkError, ValueError):
    """A text written by a user is wrong. ``diagnostics`` holds every finding of the run."""

    def __init__(self, message: str, diagnostics: tuple[object, ...] = ()) -> None:
        super().__init__(message)
        self.diagnostics = diagnostics


class BoardError(_TextError):
    """A device tree is wrong; the message shows each place with a caret."""


class IdlError(_TextError):
    """An interface description is wrong; the message shows each place with a caret."""


#: errno -> class, for errors that cross the border from C++ as a number.
BY_ERRNO: dict[int, type[LinkError]] = {
    _errno.EAGAIN: WouldBlock,
    _errno.ETIMEDOUT: DeadlineExceeded,
    _errno.ECANCELED: Cancelled,
    _errno.EPIPE: PeerDied,
    _errno.ECONNRESET: PeerReset,
    _errno.ENOTCONN: LinkDown,
    _errno.ENODEV: NoSuchLink,
    _errno.ENOENT: NotFound,
    _errno.EEXIST: AlreadyExists,
    _errno.EBUSY: Busy,
    _errno.EPERM: NotPermitted,
    _errno.EACCES: AccessDenied,
    _errno.ESTALE: GrantRevoked,
    _errno.ENOMEM: PmemExhausted,
    _errno.ENOBUFS: RingFull,
    _errno.EDQUOT: QuotaExceeded,
    _errno.EMSGSIZE: MessageTooLong,
    _errno.EFAULT: BadGuestAddress,
    _errno.EINVAL: BadArgument,
    _errno.EBADF: HandleClosed,
    _errno.EBADMSG: CorruptRing,
    _errno.EPROTO: ProtocolViolation,
    _errno.EPROTONOSUPPORT: VersionMismatch,
    _errno.EOPNOTSUPP: Unsupported,
    _errno.EDEADLK: WouldDeadlock,
}


def from_errno(number: int, message: str) -> LinkError:
    """Build the exception for an errno; an errno without a row becomes a plain ``LinkError``."""
    return BY_ERRNO.get(number, LinkError)(number, message)
