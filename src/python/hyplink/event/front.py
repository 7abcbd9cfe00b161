"""vEvent's front end, as an application of a VM that reads the device has it."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Iterator
from typing import Any

from hyplink import _core, errors
from hyplink.bells import until
from hyplink.closing import Closing
from hyplink.event import codes
from hyplink.event.form import InputEvent, events_of, packed
from hyplink.event.properties import Properties

__all__ = ["FrontEnd"]


class FrontEnd(Closing):
    """A VM that reads the device. One thread at a time."""

    def __init__(
        self,
        application: Any,
        name: str,
        timeout: float | None,
        *,
        peer: int = 0,
        wait: bool = True,
    ) -> None:
        """Look it up and wait for the back end.

        Args:
            application: Of the VM.
            name: The device's; or ``/dev/input/event0``, the VM's first.
            timeout: Seconds that waits take.
            peer: The back end's VM, 0 for any.
            wait: False: only look it up, see `wait_on`.

        Raises:
            NotFound: ENOENT; lists the ends there are.
            Busy: EBUSY; another application has it.
            DeadlineExceeded: ETIMEDOUT; no back end came.
        """
        self.timeout = timeout
        self._ready: deque[InputEvent] = deque()
        node = name.removeprefix("/dev/")
        node = node if node.startswith("input/event") else ""
        self._core = _core.EventFrontEnd.open(
            application, "" if node else name, node, peer, timeout
        )
        if wait:
            try:
                self.wait_on()
            except BaseException:
                self.close()
                raise

    @property
    def is_on(self) -> bool:
        """A back end is there."""
        return bool(self._core.is_on)

    def wait_on(self) -> None:
        """Wait until a back end is there. What the last one sent and nobody read is gone.

        Raises:
            DeadlineExceeded: ETIMEDOUT.
            ProtocolViolation: EPROTO; it describes an impossible device.
        """
        self._core.wait_on(self.timeout)
        self._ready.clear()

    @property
    def properties(self) -> Properties:
        """What the device is; of the last back end that was there."""
        return Properties.unpack(self._core.properties)

    @property
    def info(self) -> str:
        """The device's name in the board's text."""
        return str(self._core.info)

    @property
    def peer_id(self) -> int:
        """The VM that has the device."""
        return int(self._core.peer_id)

    def read_bytes(self, most: int = 64) -> bytes:
        """What there is, at least one event, as the kernel's `struct input_event` of 24 bytes.

        Raises:
            PeerDied: EPIPE; the back end is gone, and what it had sent is read.
            CorruptRing: EBADMSG; it wrote what cannot be.
            DeadlineExceeded: ETIMEDOUT.
        """
        if self._ready:
            return b"".join(
                packed(self._ready.popleft()) for _ in range(min(most, len(self._ready)))
            )
        return bytes(self._core.read(most, self.timeout))

    def read(self, most: int = 64) -> list[InputEvent]:
        """The same as values."""
        return events_of(self.read_bytes(most))

    def try_read(self, most: int = 64) -> list[InputEvent]:
        """What there is without waiting, perhaps nothing."""
        if self._ready:
            return [self._ready.popleft() for _ in range(min(most, len(self._ready)))]
        try:
            return events_of(self._core.try_read(most))
        except errors.WouldBlock:
            return []

    def __iter__(self) -> Iterator[InputEvent]:
        """Events until the back end goes."""
        while True:
            try:
                self._ready.extend(self.read())
            except (errors.PeerDied, errors.HandleClosed):
                return
            while self._ready:
                yield self._ready.popleft()

    async def __aiter__(self) -> AsyncIterator[InputEvent]:
        """The same, in an event loop."""
        while True:
            try:
                self._ready.extend(await until(self, lambda: self.try_read() or None))
            except (errors.PeerDied, errors.HandleClosed):
                return
            while self._ready:
                yield self._ready.popleft()

    def pressed(self) -> frozenset[int]:
        """Keys and buttons that are down, after what was taken from the ring."""
        return frozenset(self._core.on(codes.EV_KEY))

    def switches(self) -> frozenset[int]:
        """Switches that are on."""
        return frozenset(self._core.on(codes.EV_SW))

    def axis(self, code: int) -> int:
        """Where an absolute axis is."""
        return int(self._core.axis(code))

    def touches(self, code: int = codes.ABS_MT_TRACKING_ID) -> list[int]:
        """A value of each finger's slot; its id when none is given, -1 where there is no finger."""
        return list(self._core.touches(code))

    @property
    def lost(self) -> int:
        """Events that found no room in the ring, as the back end counts them."""
        return int(self._core.lost)

    def fileno(self) -> int:
        """Readable when something happened; look with `try_read`, then `fd_rearm`."""
        return int(self._core.fileno())

    def fd_rearm(self) -> None:
        """After a look: have the descriptor tell of what comes next."""
        self._core.fd_rearm()

    def close(self) -> None:
        """Let go of the end. Idempotent."""
        self._core.close()

    def __repr__(self) -> str:
        state = "closed" if not self._core.is_open else "on" if self.is_on else "off"
        return f"<event.FrontEnd {self.info!r}: VM {self.peer_id}, {state}>"
