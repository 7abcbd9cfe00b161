"""What generated Python leans on: errors, parts, array conversion. Standard library only.

The arithmetic of blocks lives here rather than in every generated file, so a mistake in it is
repaired without generating anything again.
"""

from __future__ import annotations

import errno
import reprlib
import struct
import sys
from collections.abc import Awaitable, Iterable, Sequence
from typing import Any, NamedTuple, Protocol

from hyplink.errors import BadArgument, CorruptRing, LinkError, ProtocolViolation, from_errno

__all__ = [
    "PACK_ERRORS",
    "AsyncChannel",
    "BadBlock",
    "Buffer",
    "Channel",
    "ProcInfo",
    "Request",
    "bad_argument",
    "bad_length",
    "bad_value",
    "encode_text",
    "octets",
    "pack_array",
    "put_part",
    "refused",
    "take_part",
    "take_text",
]

if sys.byteorder != "little":  # pragma: no cover - the project has no such target
    raise ImportError("hyplink blocks are little-endian and are used in place")

Buffer = bytes | bytearray | memoryview
PACK_ERRORS = (struct.error, OverflowError)
_ZEROS = [bytes(n) for n in range(8)]


class Channel(Protocol):
    """What a generated client needs of a channel."""

    @property
    def window(self) -> memoryview: ...

    def begin(self, proc: int, nbytes: int, /) -> int: ...

    def post(self) -> object: ...

    def notify(self) -> object: ...

    def begin_call(self, proc: int, in_bytes: int, out_bytes: int, /) -> int: ...

    def call(self, *, timeout: float | None = None) -> tuple[int, int, int]: ...


class AsyncChannel(Channel, Protocol):
    """The same with an awaitable call."""

    def call_async(self) -> Awaitable[tuple[int, int, int]]: ...


class Request(Protocol):
    """A request as ``dispatch`` takes it."""

    @property
    def proc(self) -> int: ...

    @property
    def params(self) -> memoryview: ...

    @property
    def out(self) -> memoryview: ...

    @property
    def is_call(self) -> bool: ...


class ProcInfo(NamedTuple):
    """One line of an interface's table of procedures."""

    name: str
    is_call: bool
    in_max: int
    out_max: int
    on_lost: int | None


class BadBlock(CorruptRing):
    """A block broke a decode rule; nothing of its channel can be believed any more."""

    def __init__(self, proc: int, rule: int, field: str, offset: int, name: str) -> None:
        text = (
            f"rpq block for {name}: rule D{rule} broken "
            f"(procedure {proc & 0xFFFF}, field {field}, offset {offset})"
        )
        super().__init__(errno.EBADMSG, text)
        self.proc = proc
        self.rule = f"D{rule}"
        self.field = field
        self.offset = offset
        self._init = (proc, rule, field, offset, name)

    def __reduce__(self) -> tuple[Any, ...]:
        return (BadBlock, self._init)


def bad_argument(name: str, field: str, found: object = None, expected: str = "") -> BadArgument:
    """An argument that the server would refuse."""
    what = "" if found is None else f" {reprlib.repr(found)}"
    wanted = f", expected {expected}" if expected else ""
    return BadArgument(errno.EINVAL, f"{name}: bad value{what} for '{field}'{wanted}")


def bad_length(name: str, field: str, found: int, expected: int, most: int) -> BadArgument:
    """A part whose size is not what the other arguments say, or is beyond its ``max``."""
    wanted = f"0..{most}" if not 0 <= expected <= most else str(expected)
    return BadArgument(errno.EINVAL, f"{name}: '{field}' has {found} elements, expected {wanted}")


def bad_value(name: str, error: Exception) -> BadArgument:
    """The same, when ``struct`` found it."""
    return BadArgument(errno.EINVAL, f"{name}: {error}")


def refused(name: str, status: int) -> LinkError:
    """The server answered with an errno."""
    if not 0 < status <= 4095:
        return ProtocolViolation(errno.EPROTO, f"{name}: impossible status {status}")
    word = errno.errorcode.get(status, str(status))
    return from_errno(status, f"{name}: refused by the server ({word})")


def octets(name: str, field: str, data: Buffer) -> Buffer:
    """Any contiguous buffer as bytes, without copying it."""
    if type(data) is bytes:
        return data
    try:
        return memoryview(data).cast("B")
    except TypeError:
        raise bad_argument(name, field, data, "a contiguous buffer of bytes") from None


def pack_array(name: str, field: str, letter: str, data: Iterable[float] | Buffer) -> Buffer:
    """Numbers as they travel; an array of the right type already is."""
    try:
        view = memoryview(data)  # type: ignore[arg-type]  # most iterables are no buffers
    except TypeError:
        pass
    else:
        if view.format.lstrip("<=@") == letter and view.c_contiguous:
            return view.cast("B")
        if view.format in ("l", "L") and struct.calcsize(letter) == view.itemsize:
            same = letter == ("q" if view.format == "l" else "Q")
            if same and view.c_contiguous:
                return view.cast("B")
    try:
        values = list(data)
        return struct.pack(f"<{len(values)}{letter}", *values)
    except (TypeError, *PACK_ERRORS):
        raise bad_argument(name, field, data, f"numbers of type {letter!r}") from None


def encode_text(name: str, field: str, text: str, limit: int) -> bytes:
    """Text with its NUL."""
    data = text.encode("utf-8", "surrogateescape")
    if len(data) > limit or 0 in data:
        raise bad_argument(name, field, text, f"text of at most {limit} bytes without NUL")
    return data + b"\0"


def put_part(window: memoryview, at: int, data: Buffer) -> None:
    """A part's bytes and the zeros behind them."""
    end = at + len(data)
    window[at:end] = data
    rest = -len(data) & 7
    if rest:
        window[end : end + rest] = _ZEROS[rest]


class Fault(Exception):
    """A broken rule, before the generated code adds procedure and field."""

    def __init__(self, rule: int) -> None:
        super().__init__(rule)
        self.rule = rule


def take_part(
    block: memoryview, cursor: int, end: int, off: int, length: int, want: int, reserve: int
) -> int:
    """Accept the part if it is ``want`` bytes at ``cursor``; return the next cursor."""
    if length != want:
        raise Fault(5)
    need = (reserve + 7) & -8
    if off != cursor or need > end - cursor:
        raise Fault(3)
    rest = -length & 7
    if (
        rest
        and reserve == want
        and bytes(block[off + length : off + length + rest]) != _ZEROS[rest]
    ):
        raise Fault(7)
    return cursor + need


def take_text(
    block: memoryview, cursor: int, end: int, off: int, length: int, limit: int, reserve: int
) -> tuple[str, int]:
    """Accept a string part; the text and the next cursor. ``reserve`` is 0 for requests."""
    if length > limit:
        raise Fault(3)
    following = take_part(block, cursor, end, off, length, length, max(reserve, length + 1))
    used = (length + 8) & -8
    raw = bytes(block[off : off + used])
    if raw[length:] != _ZEROS[0].ljust(used - length, b"\0") or raw.find(0) != length:
        raise Fault(7)
    return raw[:length].decode("utf-8", "surrogateescape"), following


def values(letter: str, data: Buffer) -> Sequence[Any]:
    """A numeric part as a sequence, without another copy."""
    return memoryview(data).cast("B").cast(letter)  # type: ignore[call-overload,no-any-return]
