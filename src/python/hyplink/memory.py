"""Memory of a VM's applications that other VMs may be given, and taken back from them.

    with bench.vm(3).application() as app, app.memory.alloc(65536) as region:
        region.view[:5] = b"hello"
        app.memory.grant(2, region, "r")                 # VM 2: memory.map(region.address, region.nbytes)
        …
        app.memory.deny(2, region, "r")                  # what VM 2 mapped shows zeroes from now on

The importer needs a ``vl,vm-memory`` node that names the exporter. Source: spec 003; vlx-facts 6.7.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from hyplink import _core, errors
from hyplink.closing import Closing
from hyplink.timeouts import UNSET, Timeout, or_default

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = [
    "Access",
    "Grant",
    "GrantLevel",
    "Memory",
    "MemoryRegion",
    "MemoryWindow",
    "MissedHolds",
]

#: Letters: ``r`` read, ``w`` write (only with r); ``c`` by the CPU, ``d`` by DMA. Without c and d: c.
Access = str
GrantLevel = Literal["cooperative", "memfd", "broker"]

_LETTERS = {
    "r": int(_core.GRANT_READ),
    "w": int(_core.GRANT_WRITE),
    "c": int(_core.GRANT_CPU),
    "d": int(_core.GRANT_DMA),
}
_LEVELS = {
    "cooperative": int(_core.GRANT_COOPERATIVE),
    "memfd": int(_core.GRANT_MEMFD),
    "broker": int(_core.GRANT_BROKER),
}
_STATES = {1: "offered", 2: "active", 3: "revoking"}


def _flags(access: Access, level: GrantLevel | None = None) -> int:
    if not access or set(access) - set(_LETTERS):
        raise errors.BadArgument(22, f"access {access!r}: letters of r, w, c (CPU), d (DMA)")
    flags = sum(_LETTERS[letter] for letter in set(access))
    if not flags & (_LETTERS["c"] | _LETTERS["d"]):
        flags |= _LETTERS["c"]
    if level is not None and level not in _LEVELS:
        raise errors.BadArgument(22, f"level {level!r}: one of {', '.join(_LEVELS)}")
    return flags if level is None else flags | _LEVELS[level]


class Grant(NamedTuple):
    """One importer of one range of pages."""

    address: int
    nbytes: int
    exporter: int
    importer: int
    #: Letters, as in `Memory.grant`.
    access: str
    #: ``offered`` (not mapped), ``active``, ``revoking`` (its exporter has ended).
    state: str
    #: Counts the objects that stood behind granted pages of this bench.
    generation: int
    level: str

    def __str__(self) -> str:
        return (
            f"VM {self.exporter} → VM {self.importer}: {self.nbytes} bytes at {self.address:#x}, "
            f"{self.access}, {self.state}, {self.level}"
        )


class MissedHolds(NamedTuple):
    """How often a VM that keeps pages did not hold them while another VM was denied them.

    Each is a ``HOLD_MISSED`` in the journal, with the pages; its windows on them may have shown zeroes for a moment.
    """

    exporter: int
    importer: int
    times: int


def grants_of(rows: Iterable[tuple[int, int, int, int, int, int, int]], level: str) -> list[Grant]:
    """The hypervisor's rows as grants."""
    return [
        Grant(
            at,
            nbytes,
            exporter,
            importer,
            "".join(letter for letter, bit in _LETTERS.items() if rights & bit),
            _STATES[state],
            generation,
            level,
        )
        for at, nbytes, exporter, importer, rights, state, generation in rows
    ]


class MemoryRegion(Closing):
    """Pages of this application. They stay where they are, whatever is granted of them.

    No write is lost while pages are granted or denied: threads that write then wait a moment.
    """

    def __init__(self, memory: Memory, core: Any) -> None:
        self._memory = memory
        self._core = core
        #: Where the VM, and whoever it is granted to, finds it: IPA, equal to PA.
        self.address: int = core.at
        self.nbytes: int = core.nbytes
        #: The bytes: writable, no copy, ready for NumPy. Stays good after a close.
        self.view: memoryview = core.view()
        self._open = True

    def pages(self, offset: int = 0, nbytes: int | None = None) -> tuple[int, int]:
        """(address, bytes) of a part: what `Memory.grant` and `Memory.deny` take, too."""
        return self.address + offset, self.nbytes - offset if nbytes is None else nbytes

    def close(self) -> None:
        """Free it; whoever was granted some of it loses it. Idempotent."""
        if self._open:
            self._open = False
            if not self._memory._closed:
                with contextlib.suppress(errors.PeerDied):  # the VM's end has taken it already
                    self._memory._core.free(self._core)

    def __repr__(self) -> str:
        state = "" if self._open else ", closed"
        return f"<MemoryRegion at {self.address:#x}, {self.nbytes} bytes{state}>"


class MemoryWindow(Closing):
    """Granted pages of another VM. Any thread.

    Where others lose the same pages nothing is to be seen, except that a program that was not scheduled for
    0.1 s may show zeroes for a moment: then `Bench.missed_holds` and the journal say so. `read` never does.

    Where they were taken back (a deny, a free, the exporter's end) `view` shows zeroes from the moment
    that returns: no exception, no signal, never anybody else's data, and writes there reach nobody. A
    zero may be data as well: `read` and `check` tell. What is granted anew has to be mapped anew.
    (C++ can ask for SIGBUS instead: `VmMemory::Taken::signal`.)
    """

    def __init__(self, memory: Memory, core: Any, writable: bool) -> None:
        self._memory = memory
        self._core = core
        self.address: int = core.at
        self.nbytes: int = core.nbytes
        self.writable = writable
        #: The bytes, no copy; read-only unless mapped for writing. Stays good after a close.
        self.view: memoryview = core.view()
        self._open = True

    @property
    def revoked(self) -> int:
        """Bytes that were taken back. Told soon after the pages have become zeroes, never before."""
        return int(self._core.revoked)

    @property
    def remapped(self) -> int:
        """How often other pages with the same contents were put in: another importer was denied."""
        return int(self._core.remapped)

    def check(self, offset: int = 0, nbytes: int | None = None) -> None:
        """Raise if any of it (of the part) was taken back. Asks the hypervisor: one system call.

        Raises:
            GrantRevoked: ESTALE.
            HandleClosed: EBADF; the window is closed.
        """
        size = self.nbytes - offset if nbytes is None else nbytes
        self._memory._core.check(self._core, offset, size)

    def read(self, offset: int = 0, nbytes: int | None = None) -> bytes:
        """A copy of which every byte was the exporter's: one copy, one system call.

        Raises:
            GrantRevoked: ESTALE; some of it was taken back, before or meanwhile.
            Busy: EBUSY; pages are being taken from other importers all the time.
            HandleClosed: EBADF; the window is closed.
        """
        size = self.nbytes - offset if nbytes is None else nbytes
        data: bytes = self._memory._core.read(self._core, offset, size)
        return data

    def wait_revoked(self, *, timeout: Timeout = UNSET) -> None:
        """Wait until some of it was taken back.

        Raises:
            DeadlineExceeded: ETIMEDOUT.
        """
        limit = or_default(timeout, self._memory.timeout)
        self._memory._core.wait_revoked(self._core, limit)

    def close(self) -> None:
        """Let it go. Idempotent."""
        if self._open:
            self._open = False
            if not self._memory._closed:
                with contextlib.suppress(errors.PeerDied, errors.HandleClosed):
                    self._memory._core.unmap(self._core)

    def __repr__(self) -> str:
        state = "" if self._open else ", closed"
        lost = f", {self.revoked} revoked" if self.revoked else ""
        mode = "rw" if self.writable else "r"
        return f"<MemoryWindow at {self.address:#x}, {self.nbytes} bytes, {mode}{lost}{state}>"


#: What names pages: a region, a window, or (address, bytes).
Pages = MemoryRegion | MemoryWindow | tuple[int, int]


def _ranges(pages: Pages | list[Pages]) -> list[tuple[int, int]]:
    many = pages if isinstance(pages, list) else [pages]
    return [
        (one.address, one.nbytes) if isinstance(one, MemoryRegion | MemoryWindow) else one
        for one in many
    ]


class Memory(Closing):
    """An application's share of its VM's memory. Any thread."""

    def __init__(self, core: Any, timeout: float | None) -> None:
        self._core = core
        self.timeout = timeout
        self._closed = False

    def alloc(self, nbytes: int) -> MemoryRegion:
        """Zeroed pages, rounded up.

        Raises:
            QuotaExceeded: EDQUOT; the VM's applications have as much as it may have.
        """
        return MemoryRegion(self, self._core.alloc(nbytes))

    def grant(
        self,
        to: int,
        pages: Pages | list[Pages],
        access: Access = "r",
        *,
        level: GrantLevel | None = None,
    ) -> None:
        """Let a VM map pages of this application: all of them or none, up to 8,192 ranges.

        Args:
            to: The importer.
            pages: A region, (address, bytes) of whole pages, or a list of these.
            access: ``r``, ``rw``, with ``d`` for DMA only and ``cd`` for both.
            level: How taking back must be enforced; None for the best this backend has.

        Raises:
            AccessDenied: EACCES; the importer has no ``vl,vm-memory`` node for this VM.
            NotPermitted: EPERM; not this application's memory.
            BadArgument: EINVAL; not whole pages, overlaps in the call, unknown VM or rights.
            Busy: EBUSY; granted already, or another VM has other pages of it, other rights, or the rest
                of a larger grant, parts of which were denied.
            Unsupported: EOPNOTSUPP; the level cannot be given here, and why.
            QuotaExceeded: EDQUOT; too many grants.
        """
        self._core.grant(to, _flags(access, level), _ranges(pages))

    def deny(self, to: int, pages: Pages | list[Pages], access: Access = "r") -> None:
        """Take pages back, with the access of the grant; any part of what was granted.

        When it returns, no process of the importer can read what was or will be there, whatever it did.

        Raises:
            BadArgument: EINVAL; not granted to that VM with this access.
        """
        self._core.deny(to, _flags(access), _ranges(pages))

    def verify(self, exporter: int, pages: Pages | list[Pages], access: Access = "r") -> bool:
        """Whether all of these pages are granted to this VM with at least this access."""
        try:
            self._core.verify(exporter, _flags(access), _ranges(pages))
        except errors.AccessDenied:
            return False
        return True

    def map(self, address: int, nbytes: int, *, writable: bool = False) -> MemoryWindow:
        """Map pages that were granted to this VM.

        Raises:
            AccessDenied: EACCES; not all of it is granted so.
        """
        return MemoryWindow(self, self._core.map(address, nbytes, writable), writable)

    def close(self) -> None:
        """Take back all that was granted, forget all windows. Idempotent; the application does it, too."""
        self._closed = True
        self._core.close()
