"""vUpipe: a one-way ring of bytes that both applications map and use in place.

    with bench.vm(3).upipe("vupipe0") as out:                # the client writes
        room = out.map()
        out.available_room(5)
        room[out.offset : out.offset + 5] = b"frame"         # behind the end it goes on at the start
        out.notify_write(5)

    with bench.vm(2).upipe("vupipe0") as pipe:               # the server reads
        pipe.available_data(5)
        bytes(pipe.map()[pipe.offset : pipe.offset + 5])
        pipe.notify_read(5)

What is in the area the other application may change at any time. Source: DV-0024 3.3; MODEL in src/README.md.
"""

from __future__ import annotations

from typing import Any

from hyplink import _core, errors
from hyplink.closing import Closing
from hyplink.pipe import PollEvents

__all__ = ["Upipe"]


class Upipe(Closing):
    """One end of a vUpipe. Any thread; its calls take turns with all openers of the VM."""

    def __init__(
        self,
        application: Any,
        name: str,
        *,
        nonblock: bool = False,
        timeout: float | None = None,
        open_timeout: float | None = None,
    ) -> None:
        """Open this VM's end; waits until the other VM has opened its.

        Raises:
            NoSuchLink: ENODEV; names those there are.
            BadArgument: EINVAL; another kind of pipe.
            DeadlineExceeded: ETIMEDOUT; nobody came.
        """
        name = name.removeprefix("/dev/")
        self.name = name
        self.timeout = timeout
        try:
            self._core: Any = _core.Upipe.open(
                application, name, True, False, nonblock, open_timeout
            )
        except errors.AccessDenied:  # it is the end that writes
            self._core = _core.Upipe.open(application, name, False, True, nonblock, open_timeout)

    @property
    def reads(self) -> bool:
        """Whether this is the end that reads."""
        return bool(self._core.reads)

    @property
    def nbytes(self) -> int:
        """Size of the data area."""
        return int(self._core.in_capacity or self._core.out_capacity)

    @property
    def offset(self) -> int:
        """Where in the area the next byte of this end lies."""
        return int(self._core.offset)

    @property
    def connected(self) -> bool:
        """False once the other end has gone; what it wrote before is still there."""
        return bool(self._core.connected)

    def map(self) -> memoryview:
        """The whole area, in place; read-only at the end that reads. Good after a close, too. Copies: 0."""
        view: memoryview = self._core.view()
        return view.toreadonly() if self.reads else view

    def available_data(self, nbytes: int = 1) -> int | None:
        """Wait until so many bytes are there; how many are. 0 is the end; non-blocking: None if there are fewer.

        Raises:
            BadArgument: EINVAL; more than the area holds.
            HandleClosed: EBADF; this is the end that writes.
            DeadlineExceeded: ETIMEDOUT.
        """
        found: int | None = self._core.available_data(nbytes, self.timeout)
        return found

    def available_room(self, nbytes: int) -> int | None:
        """Wait until so many bytes are free; returns ``nbytes``, or None when non-blocking and they are not.

        Raises:
            PeerDied: EPIPE; nobody reads any more.
            BadArgument: EINVAL; more than the area holds.
            HandleClosed: EBADF; this is the end that reads.
            DeadlineExceeded: ETIMEDOUT.
        """
        found: int | None = self._core.available_room(nbytes, self.timeout)
        return found

    def notify_read(self, nbytes: int) -> None:
        """So many bytes were read: their room is free.

        Raises:
            BadArgument: EINVAL; there are fewer.
            HandleClosed: EBADF; this is the end that writes.
        """
        self._core.notify_read(nbytes)

    def notify_write(self, nbytes: int) -> None:
        """So many bytes were written: the other end may read them.

        Raises:
            BadArgument: EINVAL; less is free.
            HandleClosed: EBADF; this is the end that reads.
        """
        self._core.notify_write(nbytes)

    def poll(self, *, timeout: float | None = 0.0) -> PollEvents:
        """IN with data, OUT with room; ERR and HUP alone once the other end has gone."""
        try:
            return PollEvents(self._core.poll(int(PollEvents.IN | PollEvents.OUT), timeout))
        except errors.DeadlineExceeded:
            return PollEvents(0)

    def close(self) -> None:
        """Close this end. Idempotent."""
        self._core.close()

    def __repr__(self) -> str:
        what = "reads" if self.reads else "writes"
        return f"<upipe.Upipe {self.name}, {what}, {self.nbytes} bytes>"
