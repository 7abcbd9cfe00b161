"""Where a back end's events come from: a real device, a recording, or a text to be typed.

source = event.find() or event.Recording("keys.rec")         # no /dev/input here: what was recorded
"""

from __future__ import annotations

import array
import errno
import fcntl
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from hyplink import errors
from hyplink.closing import Closing
from hyplink.event import codes
from hyplink.event.form import STRUCT, InputEvent, events_of
from hyplink.event.front import FrontEnd
from hyplink.event.properties import AbsInfo, Properties

__all__ = ["Device", "Recording", "Source", "find", "record", "typing"]

#: Anything that gives events; their times matter only when they are played at a speed.
Source = Iterable[InputEvent]

_MAGIC = b"HYPLEVT1"
_READ, _WRITE = 2, 1


def _request(direction: int, number: int, size: int) -> int:
    """An ioctl of evdev, as <asm-generic/ioctl.h> numbers them."""
    return direction << 30 | size << 16 | ord("E") << 8 | number


class Device(Closing):
    """A real input device, taken from everybody else (EVIOCGRAB) while this is open.

    Args:
        path: ``/dev/input/event3``.
        grab: False leaves its events to others, too.
    """

    def __init__(self, path: str | os.PathLike[str], *, grab: bool = True) -> None:
        """Open it.

        Raises:
            OSError: The kernel's; EBUSY when another program has grabbed it.
        """
        self.path = Path(path)
        self._fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            self.properties = self._describe()
            if grab:
                fcntl.ioctl(self._fd, _request(_WRITE, 0x90, 4), 1)
        except BaseException:
            self.close()
            raise

    def _ask(self, number: int, size: int) -> bytes:
        answer = array.array("B", bytes(size))
        fcntl.ioctl(self._fd, _request(_READ, number, size), answer, True)
        return answer.tobytes()

    def _codes(self, number: int, size: int) -> frozenset[int]:
        bits = int.from_bytes(self._ask(number, size), "little")
        return frozenset(code for code in range(bits.bit_length()) if bits >> code & 1)

    def _describe(self) -> Properties:
        bus, vendor, product, version = (
            int.from_bytes(self._ask(0x02, 8)[at : at + 2], "little") for at in (0, 2, 4, 6)
        )
        types = self._codes(0x20, 4)

        def bits(kind: int, size: int) -> frozenset[int]:
            return self._codes(0x20 + kind, size) if kind in types else frozenset()

        axes = {}
        for axis in bits(codes.EV_ABS, 8):
            fields = array.array("i", self._ask(0x40 + axis, 24))
            axes[axis] = AbsInfo(fields[1], fields[2], fields[0], *fields[3:])
        repeat = array.array("i", self._ask(0x03, 8)) if codes.EV_REP in types else None
        return Properties(
            self._ask(0x06, 80).partition(b"\0")[0].decode(errors="replace"),
            bits(codes.EV_KEY, 96),
            bits(codes.EV_REL, 4),
            axes,
            bits(codes.EV_SW, 4),
            bits(codes.EV_LED, 4),
            bits(codes.EV_MSC, 4),
            bits(codes.EV_SND, 4),
            bits(codes.EV_FF, 16),
            self._codes(0x09, 4),
            (repeat[0], repeat[1]) if repeat else None,
            bus,
            vendor,
            product,
            version,
        )

    def fileno(self) -> int:
        """To be waited on."""
        return self._fd

    def read(self) -> bytes | None:
        """What there is without waiting, as `struct input_event`; None when the device is gone."""
        try:
            return os.read(self._fd, 64 * STRUCT.size)
        except BlockingIOError:
            return b""
        except OSError as error:
            if error.errno == errno.ENODEV:
                return None
            raise

    def close(self) -> None:
        """Let go of it. Idempotent."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


def find(name: str | None = None, folder: str | os.PathLike[str] = "/dev/input") -> Device | None:
    """The first device whose name starts with ``name`` and that is not a virtual one; None if there is none."""
    nodes = Path(folder).glob("event*") if Path(folder).is_dir() else ()
    for path in sorted(nodes, key=lambda node: (len(node.name), node.name)):
        try:
            device = Device(path)
        except OSError:
            continue
        fits = name is None or device.properties.name.startswith(name)
        if fits and device.properties.bustype != codes.BUS_VIRTUAL:
            return device
        device.close()
    return None


class Recording:
    """Events from a file: what `record` wrote, or ``cat /dev/input/event3 > file`` on a 64-bit machine.

    Without a description in the file the device has what occurs in it.
    """

    def __init__(self, source: str | os.PathLike[str] | bytes) -> None:
        """Read it.

        Raises:
            BadArgument: EINVAL; it is no recording.
        """
        data = source if isinstance(source, bytes) else Path(source).read_bytes()
        described = None
        if data.startswith(_MAGIC):
            size = len(Properties().pack())
            described = Properties.unpack(data[len(_MAGIC) : len(_MAGIC) + size])
            data = data[len(_MAGIC) + size :]
        if len(data) % STRUCT.size:
            raise errors.BadArgument(
                22, f"a recording of {len(data)} bytes: an event has {STRUCT.size}"
            )
        self.events = [
            event
            for event in events_of(data)
            if (event.type, event.code) != (codes.EV_SYN, codes.SYN_DROPPED)
        ]
        self.properties = described or self._derived()

    def _derived(self) -> Properties:
        seen: dict[int, set[int]] = {}
        for event in self.events:
            seen.setdefault(event.type, set()).add(event.code)
        axes = {}
        for axis in seen.get(codes.EV_ABS, ()):
            values = [e.value for e in self.events if (e.type, e.code) == (codes.EV_ABS, axis)]
            axes[axis] = AbsInfo(min(values), max(values))

        def of(kind: int) -> frozenset[int]:
            return frozenset(seen.get(kind, ()))

        return Properties(
            "recorded",
            of(codes.EV_KEY),
            of(codes.EV_REL),
            axes,
            of(codes.EV_SW),
            of(codes.EV_LED),
            of(codes.EV_MSC),
            of(codes.EV_SND),
        )

    def __iter__(self) -> Iterator[InputEvent]:
        """Its events."""
        return iter(self.events)

    def __len__(self) -> int:
        """How many they are."""
        return len(self.events)


def record(front: FrontEnd, path: str | os.PathLike[str], count: int | None = None) -> int:
    """Write what a front end reads to a file, with the device's description; returns how many events.

    Ends after ``count`` events, or when the back end goes.
    """
    written = 0
    with Path(path).open("wb") as file:
        file.write(_MAGIC + front.properties.pack())
        while count is None or written < count:
            try:
                data = front.read_bytes(64 if count is None else min(64, count - written))
            except (errors.PeerDied, errors.HandleClosed):
                break
            file.write(data)
            written += len(data) // STRUCT.size
    return written


_SHIFTED = dict(zip('!@#$%^&*()_+{}:"~|<>?', "1234567890-=[];'`\\,./", strict=True))
_PLAIN = {
    " ": codes.KEY_SPACE,
    "\n": codes.KEY_ENTER,
    "\t": codes.KEY_TAB,
    "-": codes.KEY_MINUS,
    "=": codes.KEY_EQUAL,
    "[": codes.KEY_LEFTBRACE,
    "]": codes.KEY_RIGHTBRACE,
    ";": codes.KEY_SEMICOLON,
    "'": codes.KEY_APOSTROPHE,
    "`": codes.KEY_GRAVE,
    "\\": codes.KEY_BACKSLASH,
    ",": codes.KEY_COMMA,
    ".": codes.KEY_DOT,
    "/": codes.KEY_SLASH,
    **{letter: getattr(codes, f"KEY_{letter.upper()}") for letter in "abcdefghijklmnopqrstuvwxyz"},
    **{digit: getattr(codes, f"KEY_{digit}") for digit in "0123456789"},
}


def typing(text: str, *, pause: float = 0.05) -> Iterator[InputEvent]:
    """The events of a text typed on a keyboard of the United States, ``pause`` seconds from key to key.

    Raises:
        BadArgument: EINVAL; that keyboard has no such character.
    """
    moment = 0.0
    for character in text:
        shift = character.isupper() or character in _SHIFTED
        plain = _SHIFTED.get(character, character.lower())
        if plain not in _PLAIN:
            raise errors.BadArgument(22, f"typing {character!r}: the keyboard has no such key")
        keys = ([codes.KEY_LEFTSHIFT] if shift else []) + [_PLAIN[plain]]
        for code, value in [(k, 1) for k in keys] + [(k, 0) for k in reversed(keys)]:
            yield InputEvent(moment, codes.EV_KEY, code, value)
            yield InputEvent(moment, codes.EV_SYN, codes.SYN_REPORT, 0)
        moment += pause
