"""Memory of a VM's applications that other VMs may be given, and taken back from them.

    with bench.vm(3).application() as app, app.memory.alloc(65536) as region:
        region.view[:5] = b"hello"
        app.memory.grant(2, region, "r")                 # VM 2: memory.map(region.address, region.nbytes)
        …
        app.memory.deny(2, region, "r")                  # what VM 2 mapped shows zeroes from now on

Sizes are bytes, in whole pages; addresses are the VM's (IPA, equal to PA) and are never used again. What is granted is
shared in place: no copy while it is written and read, one of each page when it is granted or denied. The importer
needs a ``vl,vm-memory`` node that names the exporter, and learns the address by some other way.

Source: spec 003 2.1.2; vlx-facts 6.7; MODEL in src/README.md.
"""

from __future__ import annotations

import contextlib
from typing import Any

from hyplink import errors
from hyplink.arguments import LAST_VM, span, whole
from hyplink.closing import Closing
from hyplink.grants import Access, Grant, GrantLevel, Grants, MissedHolds, flags_of
from hyplink.timeouts import UNSET, Timeout, or_default

__all__ = [
    "Access",
    "Grant",
    "GrantLevel",
    "Grants",
    "Memory",
    "MemoryRegion",
    "MemoryWindow",
    "MissedHolds",
]


class MemoryRegion(Closing):
    """Pages of this application. They stay where they are, whatever is granted of them. Any thread.

    No write is lost while pages are granted or denied: threads that write then wait a moment. (A system call that
    would write there meanwhile fails with EFAULT where the process may not have such waits in the kernel.)
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
        """(address, bytes) of a part, from `offset` bytes on: what `Memory.grant` and `Memory.deny` take, too.

        Raises:
            BadArgument: EINVAL; it begins behind the region, or is no part at all.
        """
        at, size = _part(self.nbytes, offset, nbytes)
        return self.address + at, size

    def close(self) -> None:
        """Free it; whoever was granted some of it loses it. Idempotent.

        `view` keeps its contents, for this process alone. Copies: one of each page, if any of it is granted.
        """
        if self._open:
            self._open = False
            if not self._memory._closed:
                with contextlib.suppress(errors.PeerDied):  # the VM's end has taken it already
                    self._memory._core.free(self._core)

    def __repr__(self) -> str:
        state = "" if self._open else ", closed"
        return f"<MemoryRegion at {self.address:#x}, {self.nbytes} bytes{state}>"

    def _repr_html_(self) -> str:
        from hyplink.display import html_of
        from hyplink.units import size

        state = "open" if self._open else "closed"
        facts = {"address": f"{self.address:#x}", "size": size(self.nbytes), "state": state}
        return html_of("MemoryRegion", facts)


class MemoryWindow(Closing):
    """Granted pages of another VM. Any thread; what is in them the exporter may change at any time.

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
            BadArgument: EINVAL; not a part of the window, or 0 bytes.
            HandleClosed: EBADF; the window is closed.
        """
        self._memory._core.check(self._core, *_part(self.nbytes, offset, nbytes))

    def read(self, offset: int = 0, nbytes: int | None = None) -> bytes:
        """A copy of which every byte was the exporter's: one copy, one system call.

        Raises:
            GrantRevoked: ESTALE; some of it was taken back, before or meanwhile.
            Busy: EBUSY; pages are being taken from other importers all the time.
            BadArgument: EINVAL; not a part of the window.
            HandleClosed: EBADF; the window is closed.
        """
        data: bytes = self._memory._core.read(self._core, *_part(self.nbytes, offset, nbytes))
        return data

    def wait_revoked(self, *, timeout: Timeout = UNSET) -> None:
        """Wait until some of it was taken back. `timeout`: seconds, None for ever.

        Raises:
            DeadlineExceeded: ETIMEDOUT.
            HandleClosed: EBADF; it was closed before, with nothing taken.
            Cancelled: ECANCELED; it was closed meanwhile.

        Blocks: until then, or until either VM has ended, which takes all of it; Ctrl-C works.
        """
        limit = or_default(timeout, self._memory.timeout)
        self._memory._core.wait_revoked(self._core, limit)

    def close(self) -> None:
        """Let it go; the grant stays, and may be mapped again. `view` follows no change from now on. Idempotent."""
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

    def _repr_html_(self) -> str:
        from hyplink.display import html_of
        from hyplink.units import size

        facts = {
            "address": f"{self.address:#x}",
            "size": size(self.nbytes),
            "access": "rw" if self.writable else "r",
            "taken back": size(self.revoked),
            "moved": f"{self.remapped} times",
            "state": "open" if self._open else "closed",
        }
        return html_of("MemoryWindow", facts)


#: What names pages: a region, a window, or (address, bytes).
Pages = MemoryRegion | MemoryWindow | tuple[int, int]


_PAGES = "a region, a window, (address, bytes), or a list of these"


def _part(whole_bytes: int, offset: int, nbytes: int | None) -> tuple[int, int]:
    """(offset, bytes) of a part; without a size, the rest."""
    at = whole(offset, "offset", 0, whole_bytes)
    return at, whole_bytes - at if nbytes is None else whole(nbytes, "nbytes")


def _ranges(pages: Pages | list[Pages]) -> list[tuple[int, int]]:
    many = pages if isinstance(pages, list) else [pages]
    return [span(one, "pages", _PAGES) for one in many]


class Memory(Closing):
    """An application's share of its VM's memory. Any thread.

    What was allocated here is this application's: only it grants it, and its end takes all of it back.
    """

    def __init__(self, core: Any, timeout: float | None, vm: int) -> None:
        self._core = core
        self.timeout = timeout
        self.vm = vm
        self._closed = False

    def alloc(self, nbytes: int) -> MemoryRegion:
        """Zeroed memory of `nbytes`, rounded up to pages; private until some of it is granted.

        Raises:
            BadArgument: EINVAL; 0 bytes, or no number of bytes.
            QuotaExceeded: EDQUOT; the VM's applications have as much as it may have.
            PeerDied: EPIPE; the VM is gone.
        """
        return MemoryRegion(self, self._core.alloc(whole(nbytes, "nbytes", 1)))

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
            level: How taking back must be enforced: ``cooperative`` (not at all: threads), ``memfd`` (the object
                behind the pages is emptied), ``broker`` (that, and no importer ever holds the object: it can neither
                cut, punch, seal nor reopen what it has). None: memfd between processes, else cooperative.

        Raises:
            AccessDenied: EACCES; the importer has no ``vl,vm-memory`` node for this VM.
            NotPermitted: EPERM; not this application's memory.
            BadArgument: EINVAL; not whole pages, overlaps in the call, unknown VM or rights.
            Busy: EBUSY; granted already, or another VM has other pages of it, other rights, another
                level, or the rest of a larger grant, parts of which were denied.
            Unsupported: EOPNOTSUPP; the level cannot be given here, and why.
            QuotaExceeded: EDQUOT; too many grants: 8,192 an exporter.
            PeerDied: EPIPE; this VM is gone.

        Blocks: for its hypercalls, and while the pages move into an object of their own: one copy of each page that
        was not granted before. Source: spec 003 2.1.2.1.
        """
        importer = whole(to, "to", 1, LAST_VM)
        self._core.grant(importer, flags_of(access, level), _ranges(pages))

    def deny(self, to: int, pages: Pages | list[Pages], access: Access = "r") -> None:
        """Take pages back, with the access of the grant; any part of what was granted.

        When it returns, no process of the importer can read what was or will be there, whatever it did.

        Raises:
            BadArgument: EINVAL; not granted to that VM with this access, or no VM, pages or access at all.
            PeerDied: EPIPE; this VM is gone.

        Blocks: never for the VM that loses them. Where others keep the same pages, until these have held back, 0.1 s
        at most. Copies: 1 of each page. Source: spec 003 2.1.2.1.
        """
        self._core.deny(whole(to, "to", 1, LAST_VM), flags_of(access), _ranges(pages))

    def verify(self, exporter: int, pages: Pages | list[Pages], access: Access = "r") -> bool:
        """Whether all of these pages are granted to this VM with at least this access, now. One hypercall.

        Args:
            exporter: By this VM; 0 by any.
            pages: As `grant`.
            access: As `grant`.

        Raises:
            BadArgument: EINVAL; no VM, not whole pages, or no access.

        Source: spec 003 2.1.2.1.
        """
        owner = whole(exporter, "exporter", 0, LAST_VM)
        try:
            self._core.verify(owner, flags_of(access), _ranges(pages))
        except errors.AccessDenied:
            return False
        return True

    def map(self, address: int, nbytes: int, *, writable: bool = False) -> MemoryWindow:
        """Map `nbytes` (whole pages) that were granted to this VM for the CPU.

        Raises:
            AccessDenied: EACCES; not all of it is granted so.
            BadArgument: EINVAL; not whole pages.
            PeerDied: EPIPE; this VM is gone.

        Blocks: while some of it is being taken from another importer, which is soon over. Copies: 0. Source: spec
        003 2.1.2.1.
        """
        at, size = whole(address, "address"), whole(nbytes, "nbytes", 1)
        return MemoryWindow(self, self._core.map(at, size, bool(writable)), bool(writable))

    def close(self) -> None:
        """Take back all that was granted, forget all windows. Idempotent; the application does it, too."""
        self._closed = True
        self._core.close()

    def __repr__(self) -> str:
        return f"<Memory of VM {self.vm}{', closed' if self._closed else ''}>"
