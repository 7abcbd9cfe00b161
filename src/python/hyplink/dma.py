"""A device of a VM that moves memory by itself, behind the machine's memory protection.

    with bench.vm(2).dma() as device:
        with device.attach(buffer) as frame:                  # a vION buffer
            device.fill(frame, 0x80).result()
            print(device.checksum(frame).result())

It may touch what is attached to it, what its application granted its own VM for DMA
(``memory.grant(memory's own VM, region, "rwd")``), and what other VMs granted this VM for DMA. Anything else
ends the job with a fault that names the address, here and in the journal; a deny ends a job in its midst. It
stands for the disk, codec or display of document 003. Source: spec 003 2.1.2; 001 3.6.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from hyplink import _core, errors
from hyplink.arguments import span, whole, wrong
from hyplink.closing import Closing
from hyplink.memory import MemoryRegion, MemoryWindow
from hyplink.timeouts import UNSET, Timeout, or_default

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Attached", "Device", "Job"]


_COPY, _FILL, _CHECKSUM = 1, 2, 3
_STATES = {1: "running", 2: "done", 3: "faulted", 4: "stopped"}
_FAULTS = {
    1: "nothing is there that the device may touch",
    2: "granted, but not for DMA",
    3: "not for writing",
    4: "the object behind it cannot be read or written",
}


class _HasDescriptor(Protocol):
    nbytes: Any

    def fileno(self) -> int: ...


class Attached(Closing):
    """A buffer as the device sees it: all of its memory object."""

    def __init__(self, device: Device, buffer: _HasDescriptor) -> None:
        if not hasattr(buffer, "fileno") or not hasattr(buffer, "nbytes"):
            raise wrong("attach", buffer, "a buffer with a memory object (fileno, nbytes)")
        self._device = device
        self._open = True
        #: Where the device finds it.
        self.address: int = device._core.attach(buffer.fileno())
        self.nbytes: int = buffer.nbytes

    def close(self) -> None:
        """The device may not touch it any more; jobs on it end with a fault. Idempotent."""
        if self._open:
            self._open = False
            if not self._device._closed:
                self._device._core.detach(self.address)

    def __repr__(self) -> str:
        state = "" if self._open else ", detached"
        return f"<dma.Attached at {self.address:#x}, {self.nbytes} bytes{state}>"


#: What a job is about: whole pages or not, at any address.
Place = Attached | MemoryRegion | MemoryWindow | tuple[int, int]


_PLACE = "what was attached, a region, a window, or (address, bytes)"


class Job:
    """Something the device does. Any thread."""

    def __init__(
        self, device: Device, number: int, what: str, answer: Callable[[int], Any]
    ) -> None:
        self._device = device
        self._number = number
        self._what = what
        self._answer = answer

    @property
    def state(self) -> str:
        """``running``, ``done``, ``faulted`` or ``stopped``."""
        return _STATES[self._device._core.look(self._number)[0]]

    @property
    def done(self) -> int:
        """Bytes so far, in the present round."""
        return int(self._device._core.look(self._number)[4])

    @property
    def rounds(self) -> int:
        """How often it was done."""
        return int(self._device._core.look(self._number)[5])

    def stop(self) -> None:
        """End it where it is. Idempotent."""
        self._device._core.stop(self._number)

    def result(self, *, timeout: Timeout = UNSET) -> int:
        """Wait until it has ended: the CRC-32 of a checksum (as of zlib), else bytes.

        Raises:
            BadGuestAddress: EFAULT; the device may not touch what it came to. `address` and `done` of
                the error say where, and how much was done before.
            Cancelled: ECANCELED; it was stopped.
            DeadlineExceeded: ETIMEDOUT; it goes on.
        """
        limit = or_default(timeout, self._device.timeout)
        state, fault, checksum, address, done, _ = self._device._core.wait(self._number, limit)
        if _STATES[state] == "faulted":
            error = DmaFault(
                14, f"{self._what}: fault at {address:#x} after {done} bytes: {_FAULTS[fault]}"
            )
            error.address, error.done = address, done
            raise error
        if _STATES[state] == "stopped":
            raise errors.Cancelled(125, f"{self._what}: stopped after {done} bytes")
        return int(self._answer(checksum))

    def __repr__(self) -> str:
        return f"<dma.Job {self._number}: {self._what}, {self.state}>"

    def _repr_html_(self) -> str:
        from hyplink.display import html_of
        from hyplink.units import size

        facts = {
            "job": str(self._number),
            "what": self._what,
            "state": self.state,
            "done": size(self.done),
            "rounds": f"{self.rounds:,}",
        }
        return html_of("dma.Job", facts)


class DmaFault(errors.BadGuestAddress):
    """EFAULT: the device came to an address that it may not touch."""

    #: Where, and how many bytes of the round were done before.
    address: int = 0
    done: int = 0


class Device(Closing):
    """The device of one application. Any thread; its jobs take turns, 64 KiB at a time.

    Copies: one, by the hypervisor's process. At most 64 jobs a VM at a time.
    """

    def __init__(self, application: Any, timeout: float | None) -> None:
        """Open it.

        Raises:
            Busy: EBUSY; the application has it open.
            PeerDied: EPIPE; the VM is gone.
        """
        self._core: Any = _core.DmaDevice(application)
        self.timeout = timeout
        self._closed = False

    def attach(self, buffer: _HasDescriptor) -> Attached:
        """Let the device touch a buffer: anything with a memory object that keeps its size (`ion.Buffer`).

        Raises:
            AccessDenied: EACCES; granted memory has to be granted for DMA.
            BadArgument: EINVAL; not such an object.
            QuotaExceeded: EDQUOT; the VM has attached 1,024 already.
        """
        return Attached(self, buffer)

    def copy(self, source: Place, target: Place, *, repeat: bool = False) -> Job:
        """Copy the source to the beginning of the target. With `repeat` again and again until stopped.

        Raises:
            BadArgument: EINVAL; the target is smaller.
            QuotaExceeded: EDQUOT; too many jobs.
        """
        at, nbytes = span(source, "source", _PLACE)
        to, room = span(target, "target", _PLACE)
        if nbytes > room:
            raise errors.BadArgument(22, f"copy {nbytes} bytes into {room}")
        return self._start(_COPY, f"copy {nbytes} bytes", at, to, nbytes, repeat=repeat)

    def fill(self, target: Place, value: int, *, repeat: bool = False) -> Job:
        """Fill the target with a byte, 0..255. Raises: as copy."""
        to, nbytes = span(target, "target", _PLACE)
        byte = whole(value, "value", 0, 255)
        return self._start(_FILL, f"fill {nbytes} bytes", 0, to, nbytes, byte, repeat=repeat)

    def checksum(self, source: Place, *, repeat: bool = False) -> Job:
        """CRC-32 of the source, as of `zlib.crc32`. Raises: as copy."""
        at, nbytes = span(source, "source", _PLACE)
        return self._start(_CHECKSUM, f"checksum of {nbytes} bytes", at, 0, nbytes, repeat=repeat)

    def _start(
        self, kind: int, what: str, at: int, to: int, nbytes: int, value: int = 0, *, repeat: bool
    ) -> Job:
        number = self._core.start(kind, at, to, nbytes, value, repeat)
        return Job(self, number, what, lambda sum: sum if kind == _CHECKSUM else nbytes)

    def close(self) -> None:
        """Its jobs end. Idempotent; the application's end does it, too."""
        self._closed = True
        self._core.close()

    def __repr__(self) -> str:
        return f"<dma.Device{', closed' if self._closed else ''}>"
