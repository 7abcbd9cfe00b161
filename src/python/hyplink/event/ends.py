"""The two ends of a vEvent link, as applications of their VMs have them."""

from __future__ import annotations

import asyncio
import os
import select
import struct
import time
from collections import deque
from collections.abc import AsyncIterator, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

from hyplink import _core, errors
from hyplink.closing import Closing
from hyplink.event import codes
from hyplink.event.properties import Properties

if TYPE_CHECKING:
    from hyplink.event.sources import Device, Source

__all__ = ["EVERYBODY", "NOBODY", "BackEnd", "FrontEnd", "InputEvent"]

#: Who has the focus, instead of a VM.
EVERYBODY, NOBODY = "everybody", "nobody"
_NUMBERS: dict[int | str, int] = {EVERYBODY: -1, NOBODY: -2}
_WORDS = {number: word for word, number in _NUMBERS.items()}

#: `struct input_event` of a 64-bit program.
STRUCT = struct.Struct("<qqHHi")


class InputEvent(NamedTuple):
    """One event. The time is that of the bench's clock, in seconds."""

    time: float
    type: int
    code: int
    value: int


def _focus(who: int | str) -> int:
    if isinstance(who, int):
        if who < 0:
            raise errors.NotFound(2, f"focus {who}: a VM, {EVERYBODY!r} or {NOBODY!r}")
        return who
    if who not in _NUMBERS:
        raise errors.NotFound(2, f"focus {who!r}: a VM, {EVERYBODY!r} or {NOBODY!r}")
    return _NUMBERS[who]


def events_of(data: bytes) -> list[InputEvent]:
    """`struct input_event`s as values."""
    return [
        InputEvent(sec + usec / 1e6, kind, code, value)
        for sec, usec, kind, code, value in STRUCT.iter_unpack(data)
    ]


class BackEnd(Closing):
    """The VM that has the device. One thread at a time, `request_focus` any."""

    def __init__(
        self,
        application: Any,
        name: str,
        timeout: float | None,
        properties: Properties,
        *,
        ring: int = 64,
        focus: int | str = EVERYBODY,
    ) -> None:
        """Be the back end of every vlink of that name.

        Args:
            application: Of the VM.
            name: The device's, exactly as the board's info has it.
            timeout: Seconds that `wait_front` takes.
            properties: What the front ends see of the device.
            ring: Events of each front end's ring, a power of two.
            focus: A VM, ``EVERYBODY`` or ``NOBODY``.

        Raises:
            NotFound: ENOENT; lists the ends there are, or the VMs that can have the focus.
            Busy: EBUSY; another application is the back end.
            BadArgument: EINVAL; the ring or the device.
        """
        self.timeout = timeout
        self._wake = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        try:
            self._core = _core.EventBackEnd.open(
                application, name, properties.pack(), ring, _focus(focus), timeout
            )
        except BaseException:
            os.close(self._wake)
            self._wake = -1
            raise
        self.properties = properties
        self._stopped = False

    def emit(self, type: int, code: int, value: int) -> None:
        """One event. It goes out with the next `sync`, at the latest when there is half a ring of them.

        Never waits: what a front end's ring has no room for is lost and counted there.

        Raises:
            BadArgument: EINVAL; the device has no such event.
            HandleClosed: EBADF.
        """
        self._core.emit(type, code, value)

    def sync(self) -> None:
        """Send what was emitted, as one packet (SYN_REPORT)."""
        self._core.emit(codes.EV_SYN, codes.SYN_REPORT, 0)

    def key(self, code: int) -> None:
        """A key pressed and released."""
        for value in (1, 0):
            self.emit(codes.EV_KEY, code, value)
            self.sync()

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Emit `struct input_event`s; their times are replaced, their SYN_DROPPED left out."""
        for _sec, _usec, kind, code, value in STRUCT.iter_unpack(data):
            if (kind, code) != (codes.EV_SYN, codes.SYN_DROPPED):
                self._core.emit(kind, code, value)

    def play(self, source: Source, *, speed: float | None = None) -> int:
        """Emit all of a source; returns how many events.

        Args:
            source: A recording, or anything generated.
            speed: 1 plays it as fast as it was recorded, 2 twice as fast; None without waiting. Waiting is the
                machine's time, so a seeded bench plays without.
        """
        count, began, first = 0, time.monotonic(), None
        for moment, kind, code, value in source:
            if speed is not None:
                first = moment if first is None else first
                wait = began + (moment - first) / speed - time.monotonic()
                if wait > 0:
                    self._pause(wait)
            if self._stopped:
                break
            self._core.emit(kind, code, value)
            count += 1
        return count

    def forward(self, device: Device) -> None:
        """Pass a real device's events on until it goes or `stop` is called.

        A focus that another thread requests comes true at once.
        """
        while not self._stopped:
            self._core.service()
            waited: list[Any] = [device, self._wake]
            ready, _, _ = select.select(waited, [], [])
            if self._wake in ready:
                os.eventfd_read(self._wake)
            if device in ready:
                data = device.read()
                if data is None:
                    return
                self.write(data)

    def _pause(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        while not self._stopped and (left := until - time.monotonic()) > 0:
            if select.select([self._wake], [], [], left)[0]:
                os.eventfd_read(self._wake)
                self._core.service()  # a focus was requested

    @property
    def focus(self) -> int | str:
        """Who gets the events. Who loses it is sent the releases of what it saw pressed.

        Raises:
            NotFound: ENOENT; no vlink leads there.
        """
        number = int(self._core.focus)
        return _WORDS.get(number, number)

    @focus.setter
    def focus(self, who: int | str) -> None:
        self._core.set_focus(_focus(who))

    def request_focus(self, who: int | str) -> None:
        """The same from any thread, while another one emits: before its next packet."""
        self._core.request_focus(_focus(who))
        os.eventfd_write(self._wake, 1)

    def focus_on_release(self, key: int, who: int | str) -> None:
        """Move the focus when a key is released (`vevent-focus` of the product)."""
        self._core.focus_on_release(key, _focus(who))

    def stop(self) -> None:
        """Have `forward` and `play`, in another thread, return. Any thread."""
        self._stopped = True
        os.eventfd_write(self._wake, 1)

    def service(self) -> None:
        """Look after front ends that came or went. `emit` of a SYN_REPORT does it, too."""
        self._core.service()

    def wait_front(self, vm: int) -> None:
        """Wait until the front end of a VM is there.

        Raises:
            NotFound: ENOENT; no vlink leads there.
            DeadlineExceeded: ETIMEDOUT.
        """
        self._core.wait_front(vm, self.timeout)

    @property
    def front_ends(self) -> list[int]:
        """The VMs whose front end is there."""
        return list(self._core.front_ends())

    @property
    def sent(self) -> int:
        """Events that went to at least one front end; SYN_REPORT does not count."""
        return int(self._core.sent)

    @property
    def dropped(self) -> int:
        """Events for which nobody had the focus, or who had it was not there."""
        return int(self._core.dropped)

    @property
    def lost(self) -> int:
        """Events that a full ring had no room for, over all front ends."""
        return int(self._core.lost())

    def lost_to(self, vm: int) -> int:
        """The same of one VM's front end."""
        return int(self._core.lost_to(vm))

    def pressed(self) -> frozenset[int]:
        """Keys that are down."""
        return frozenset(self._core.on(codes.EV_KEY))

    @property
    def is_open(self) -> bool:
        """Until it is closed."""
        return bool(self._core.is_open)

    def close(self) -> None:
        """Let go of the ends; front ends get the releases of what is held, then EPIPE. Idempotent."""
        if self._wake < 0:
            return
        self._core.close()
        os.close(self._wake)
        self._wake = -1

    def __repr__(self) -> str:
        state = f"focus {self.focus}" if self.is_open else "closed"
        return f"<event.BackEnd {self._core.name!r}: {state}, {self.sent} sent, {self.lost} lost>"


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
                _packed(self._ready.popleft()) for _ in range(min(most, len(self._ready)))
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
        loop = asyncio.get_running_loop()
        descriptor = self.fileno()
        rung = asyncio.Event()
        loop.add_reader(descriptor, rung.set)
        try:
            while True:
                rung.clear()
                self._core.fd_rearm()  # before the look: a ring in between is not lost
                try:
                    self._ready.extend(self.try_read())
                except (errors.PeerDied, errors.HandleClosed):
                    return
                if not self._ready:
                    await rung.wait()
                while self._ready:
                    yield self._ready.popleft()
        finally:
            loop.remove_reader(descriptor)

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


def _packed(event: InputEvent) -> bytes:
    micros = round(event.time * 1e6)
    return STRUCT.pack(micros // 1_000_000, micros % 1_000_000, *event[1:])
