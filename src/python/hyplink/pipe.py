"""vBpipe and vPipe: streams of bytes between applications of two VMs, as Python files.

    with bench.vm(2).pipe("vbpipe0") as pipe:          # waits until VM 4 opens its end
        pipe.write(b"ping")
        answer = pipe.read(4)                          # waits for 4 bytes; fewer mean the end

The manners are those of a named pipe: opening is a rendez-vous, ``b""`` is the end, writing to nobody is
`BrokenPipeError`, a non-blocking end says ``None``. What is left in the ring can still be read when the other end
has gone. To meet it again, everybody in this VM has to close and open.

Source: DV-0024 3.1, 3.2; PVUG 3.3; MODEL in src/README.md.
"""

from __future__ import annotations

import enum
import errno
import io
import select
from typing import TYPE_CHECKING, Any

from hyplink import _core, errors

if TYPE_CHECKING:
    import asyncio

__all__ = ["Pipe", "PollEvents"]

_MODES = {
    "r": (True, False),
    "w": (False, True),
    "r+": (True, True),
    "w+": (True, True),
}


class PollEvents(enum.IntFlag):
    """What `Pipe.poll` tells, with the numbers of ``select.poll``."""

    IN = select.POLLIN
    OUT = select.POLLOUT
    ERR = select.POLLERR
    HUP = select.POLLHUP


class Pipe(io.RawIOBase):
    """An open pipe. Any thread; reads take turns, and so do writes, with all openers of the VM.

    ``timeout`` is how many seconds a read or write may wait, None for ever; what was transferred until then is
    returned, and if that is nothing it is `DeadlineExceeded`.
    """

    def __init__(
        self,
        application: Any,
        name: str,
        mode: str = "r+",
        *,
        nonblock: bool = False,
        exclusive: bool = False,
        timeout: float | None = None,
        open_timeout: float | None = None,
    ) -> None:
        """Open it: wait until the other VM has it open, too. Joins at once what this VM has open already.

        Args:
            application: Of whose VM the device is.
            name: ``vbpipe0``.
            mode: ``r``, ``w`` or ``r+``; a vPipe is opened for what its end can do.
            nonblock: O_NONBLOCK: reads and writes never wait; opening does.
            exclusive: O_EXCL: writes never wait.
            timeout: Of reads and writes.
            open_timeout: Of the rendez-vous.

        Raises:
            NoSuchLink: ENODEV; names those there are.
            AccessDenied: EACCES; that end of a vPipe is for the other direction.
            LinkError: ENXIO; a vBpipe without its second vlink.
            DeadlineExceeded: ETIMEDOUT; nobody came.
        """
        super().__init__()
        access = _MODES.get(mode.replace("b", ""))
        if access is None:
            raise errors.BadArgument(22, f"mode {mode!r}: expected one of r, w, r+")
        self._can_read, self._can_write = access
        self.timeout = timeout
        name = name.removeprefix("/dev/")
        self._core: Any = _core.Pipe.open(
            application, name, *access, nonblock, exclusive, open_timeout
        )
        self.name = name
        self.mode = mode

    # --- as a file --------------------------------------------------------------------------------

    def readable(self) -> bool:
        """Whether it was opened for reading."""
        return self._can_read

    def writable(self) -> bool:
        """Whether it was opened for writing."""
        return self._can_write

    def readinto(self, into: Any, /) -> int | None:
        """Fill a buffer; fewer bytes mean that the other end has gone, or that the pipe has the policy ``a``.

        Raises:
            DeadlineExceeded: ETIMEDOUT; nothing came.
            CorruptRing: EBADMSG; the peer wrote something impossible.

        Blocks: until it is full; returns None instead when non-blocking. Copies: 1.
        """
        self._checked("read", self._can_read)
        done: int | None = self._core.read_into(into, self.timeout)
        return done

    def write(self, data: Any, /) -> int | None:
        """Write all of it.

        Non-blocking, what the ring can ever hold is written whole or not at all (None).

        Raises:
            PeerDied: EPIPE; also when a part had been written.
            DeadlineExceeded: ETIMEDOUT; nothing could be written. A part that went is returned.

        Blocks: until all is in the ring. Copies: 1.
        """
        self._checked("write", self._can_write)
        done: int | None = self._core.write(data, self.timeout)
        return done

    def read_available(self, most: int = 65536) -> bytes:
        """What is there, as soon as something is; ``b""`` is the end. Whatever the policy and flags.

        Blocks: until something is there or the other end has gone. Copies: 1.
        """
        self._checked("read", self._can_read)
        self._core.poll(int(PollEvents.IN), self.timeout)
        size = min(most, int(self._core.readable()))
        into = bytearray(size)
        return bytes(into[: self._core.read_into(into, self.timeout)]) if size else b""

    def close(self) -> None:
        """Close: the peer sees the end once all openers of this VM have closed. Idempotent.

        A thread that waits in it gets `Cancelled`.
        """
        if not self.closed and hasattr(self, "_core"):
            self._core.close()
        super().close()

    def _checked(self, doing: str, allowed: bool) -> None:
        if not allowed:
            raise io.UnsupportedOperation(
                errno.EBADF, f"{doing}: {self.name} is open for {self.mode}"
            )

    # --- as a device ------------------------------------------------------------------------------

    @property
    def connected(self) -> bool:
        """False once the other end has gone; what it wrote before can still be read."""
        return bool(self._core.connected)

    @property
    def peer_vm(self) -> int:
        """The VM at the other end."""
        return int(self._core.peer_vm)

    @property
    def in_waiting(self) -> int:
        """Bytes that can be read now: FIONREAD."""
        return int(self._core.readable())

    @property
    def capacity(self) -> tuple[int, int]:
        """Bytes that fit in the ring that is read, and in the one that is written; 0 if it has none."""
        return int(self._core.in_capacity), int(self._core.out_capacity)

    @property
    def nonblock(self) -> bool:
        """O_NONBLOCK; may be set."""
        return bool(self._core.nonblock)

    @nonblock.setter
    def nonblock(self, on: bool) -> None:
        self._core.nonblock = on

    @property
    def reads_available(self) -> bool:
        """The policy ``a``: a read returns what is there once something is."""
        return bool(self._core.reads_available)

    def poll(
        self,
        events: PollEvents = PollEvents.IN | PollEvents.OUT,
        *,
        timeout: float | None = 0.0,
    ) -> PollEvents:
        """What could be done without waiting; nothing when the time is over.

        ERR and HUP count always, and alone once the other end has gone, even with data left.
        """
        try:
            return PollEvents(self._core.poll(int(events), timeout))
        except errors.DeadlineExceeded:
            return PollEvents(0)

    async def streams(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Both directions as streams of asyncio. Closing the writer closes the pipe."""
        from hyplink._pipe_streams import open_streams  # asyncio is imported by who uses it

        return await open_streams(self)

    def __repr__(self) -> str:
        if self.closed:
            return f"<pipe.Pipe {self.name}: closed>"
        state = "connected" if self.connected else "the other end has gone"
        return f"<pipe.Pipe {self.name} to VM {self.peer_vm}: {state}>"
