"""vION: buffers that applications of several VMs map at once, by global ids.

    with producer_vm.ion() as ion:                         # VM 2
        frame = ion.alloc(4 << 20)
        numpy.frombuffer(frame.map(), "u4")[:] = 7
        ident = frame.share()                              # a number; tell it to anybody

    with consumer_vm.ion() as ion:                         # VM 3, or VM 2 itself
        frame = ion.import_buffer(ident)
        numpy.frombuffer(frame.map(), "u4").sum()          # no copy: the same memory

A buffer lives until its exporter has closed it and every import has been closed. When the exporting VM dies its
memory goes with it: whoever has mapped it reads zeroes. The vlinks are of class ``vrpc`` with ``vion`` in their info,
two between two VMs, one for each direction.

Sizes are bytes, whole pages. Nothing is copied: all maps are of the same memory, and what is in it anybody may change
at any time; who may write when is for the applications to say to each other (a pipe, an XIRQ, a call).

Source: DV-0024 3.6; MODEL in src/README.md.
"""

from __future__ import annotations

from typing import Any

from hyplink import _core
from hyplink.arguments import whole
from hyplink.closing import Closing

__all__ = ["Buffer", "Ion"]


class Buffer(Closing):
    """Memory that may be mapped by several VMs. One thread at a time; what is in it, by anybody at any time."""

    def __init__(self, core: Any, device: Ion) -> None:
        self._core = core
        self._device = device  # a buffer is shared through it

    @property
    def nbytes(self) -> int:
        """Its size, whole pages."""
        return int(self._core.nbytes)

    @property
    def id(self) -> int | None:
        """The global id; None until it was shared."""
        return int(self._core.id) or None

    @property
    def is_lost(self) -> bool:
        """True once the VM whose buffer it is has gone: what is read are zeroes."""
        return bool(self._core.is_lost)

    def map(self) -> memoryview:
        """All of it, writable, in place. The view stays good after a close. Copies: 0; a second call maps nothing.

        Raises:
            HandleClosed: EBADF; it was closed before.
        """
        view: memoryview = self._core.view()
        return view

    def fileno(self) -> int:
        """The memory object's descriptor, to be mapped or passed on; it belongs to the buffer."""
        return int(self._core.fileno())

    def share(self) -> int:
        """Export: the id under which others import it; the same every time. Nobody can before.

        Raises:
            PmemExhausted: ENOMEM; the VM exports 4,096 buffers already.
            HandleClosed: EBADF; the device was closed.
            PeerDied: EPIPE; the VM is gone.

        Blocks: for one call of the own kernel.
        """
        return int(self._core.share(self._device._application, self._device.timeout))

    def close(self) -> None:
        """Give it up here; whoever has imported it keeps it. Idempotent."""
        self._core.close()

    def __repr__(self) -> str:
        if not self._core.is_open:
            return "<ion.Buffer closed>"
        name = f"{self.id:#x}" if self.id else "not shared"
        return f"<ion.Buffer {name}: {self.nbytes} bytes{', lost' if self.is_lost else ''}>"

    def _repr_html_(self) -> str:
        from hyplink.display import html_of
        from hyplink.units import size

        if not self._core.is_open:
            return html_of("ion.Buffer", {"state": "closed"})
        facts = {
            "id": f"{self.id:#x}" if self.id else "not shared",
            "size": size(self.nbytes),
            "state": "lost" if self.is_lost else "open",
        }
        return html_of("ion.Buffer", facts)


class Ion(Closing):
    """The device ``vion`` of an application. Any thread."""

    def __init__(self, application: Any, timeout: float | None) -> None:
        """Open it.

        Raises:
            NoSuchLink: ENODEV; no vlink of this VM carries vION.
        """
        self._application = application
        self.timeout = timeout
        self._core: Any = _core.Ion.open(application, timeout)

    def alloc(self, nbytes: int) -> Buffer:
        """Zeroed memory of this VM, rounded up to pages.

        Raises:
            BadArgument: EINVAL; 0 bytes, or no number of bytes.
            PmemExhausted: ENOMEM; this machine has no such room.
        """
        return Buffer(self._core.alloc(whole(nbytes, "nbytes", 1)), self)

    def import_buffer(self, ident: int) -> Buffer:
        """A buffer by its global id, of another VM or of this one.

        Raises:
            NotFound: ENOENT; the id is stale or was made up.
            BadArgument: EINVAL; no id at all: not a whole number of 64 bits.
            NoSuchLink: ENODEV; no vlink that carries vION leads to its VM.
            PeerDied: EPIPE; that VM died meanwhile.
            DeadlineExceeded: ETIMEDOUT; the link did not come up in time.

        Blocks: until the other VM's kernel has answered. Copies: 0.
        """
        core = self._core.import_buffer(whole(ident, "ident"), self.timeout)
        return Buffer(core, self)

    def close(self) -> None:
        """No more imports and exports; buffers stay. Idempotent."""
        self._core.close()

    def __repr__(self) -> str:
        return f"<ion.Ion of VM {self._application.vm}>"
