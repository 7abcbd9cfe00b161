"""vEvent's back end, as an application of the VM that has the device has it."""

from __future__ import annotations

import os
import select
import time
from typing import TYPE_CHECKING, Any

from hyplink import _core, errors
from hyplink.closing import Closing
from hyplink.event import codes
from hyplink.event.form import STRUCT
from hyplink.event.properties import Properties

if TYPE_CHECKING:
    from hyplink.event.sources import Device, Source

__all__ = ["EVERYBODY", "NOBODY", "BackEnd"]

#: Who has the focus, instead of a VM.
EVERYBODY, NOBODY = "everybody", "nobody"
_NUMBERS: dict[int | str, int] = {EVERYBODY: -1, NOBODY: -2}
_WORDS = {number: word for word, number in _NUMBERS.items()}


def _focus(who: int | str) -> int:
    if isinstance(who, int):
        if who < 0:
            raise errors.NotFound(2, f"focus {who}: a VM, {EVERYBODY!r} or {NOBODY!r}")
        return who
    if who not in _NUMBERS:
        raise errors.NotFound(2, f"focus {who!r}: a VM, {EVERYBODY!r} or {NOBODY!r}")
    return _NUMBERS[who]


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
