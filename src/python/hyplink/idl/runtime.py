"""What generated Python leans on: errors, parts, array conversion. Standard library only.

The arithmetic of blocks lives here rather than in every generated file, so a mistake in it is
repaired without generating anything again.
"""

from __future__ import annotations

import errno
import reprlib
import struct
import sys
import warnings
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any, NamedTuple, Protocol

from hyplink.errors import (
    BadArgument,
    CorruptRing,
    DeadlineExceeded,
    HandleClosed,
    LinkDown,
    PeerDied,
    ProtocolViolation,
    RingFull,
    from_errno,
)
from hyplink.errors import LinkError as LinkError
from hyplink.errors import WouldBlock as WouldBlock
from hyplink.idl.linked import NO_BUFFER as NO_BUFFER
from hyplink.idl.linked import BufferTable as BufferTable
from hyplink.idl.linked import CallbackRef as CallbackRef
from hyplink.idl.linked import Handle as Handle
from hyplink.idl.linked import HandleTable as HandleTable
from hyplink.idl.linked import InterfaceInfo as InterfaceInfo
from hyplink.idl.linked import Registrations as Registrations
from hyplink.idl.linked import Schema as Schema
from hyplink.idl.linked import Thrown as Thrown
from hyplink.idl.linked import UmemRef as UmemRef
from hyplink.idl.linked import cookie_number as cookie_number
from hyplink.idl.linked import hello as hello
from hyplink.idl.linked import hello_problem as hello_problem
from hyplink.idl.linked import large_words as large_words
from hyplink.idl.linked import receive_umem as receive_umem
from hyplink.idl.linked import send_umem as send_umem
from hyplink.idl.linked import session_handles as session_handles
from hyplink.idl.linked import transfer as transfer
from hyplink.idl.linked import user_info as user_info

__all__ = [
    "PACK_ERRORS",
    "AsyncChannel",
    "BadBlock",
    "Buffer",
    "Channel",
    "Fault",
    "ProcInfo",
    "Request",
    "bad_argument",
    "bad_length",
    "bad_value",
    "cache_key",
    "check_rows",
    "check_until",
    "clip_text",
    "decode_text",
    "encode_rows",
    "encode_text",
    "encode_texts",
    "join_nested",
    "missing",
    "nested_bytes",
    "octets",
    "overlay",
    "pack_array",
    "put_part",
    "refused",
    "take_nested",
    "take_part",
    "take_text",
    "terminated",
    "thrown",
]

if sys.byteorder != "little":  # pragma: no cover - the project has no such target
    raise ImportError("hyplink blocks are little-endian and are used in place")

#: How a synchronous callback ends when the client does not answer.
LOST = (DeadlineExceeded, HandleClosed, LinkDown, PeerDied, RingFull, WouldBlock)
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


class CallbackChannel(Channel, Protocol):
    """The same where the server calls back."""

    def on_callback(self, function: Callable[[Request], int], /) -> object: ...

    def handle_callbacks(self, *, timeout: float | None = 0.0) -> int: ...

    def handle_callbacks_async(self) -> Awaitable[int]: ...


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


def text_octets(text: str | Buffer) -> Buffer:
    """Characters whose number is said elsewhere."""
    return text.encode("utf-8", "surrogateescape") if isinstance(text, str) else text


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


def thrown(name: str, status: int, error: type[Thrown], known: dict[int, Any]) -> LinkError:
    """What a call that ``throws`` failed with."""
    if status >> 16 != 1:
        return refused(name, status)
    value = (status & 0xFFFF) - ((status & 0x8000) << 1)
    word = known.get(value)
    if word is None:
        return ProtocolViolation(errno.EPROTO, f"{name}: unknown failure {value}")
    return error(word, f"{name}: {word.name}")


def deprecated(name: str) -> None:
    """Warn the caller of a procedure."""
    warnings.warn(f"{name} is deprecated", DeprecationWarning, stacklevel=3)


def encode_text(name: str, field: str, text: str | bytes, limit: int) -> bytes:
    """Text with its NUL."""
    data = text.encode("utf-8", "surrogateescape") if isinstance(text, str) else bytes(text)
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


def clip_text(name: str, field: str, text: str, capacity: int, limit: int) -> bytes:
    """Text with its NUL for an output of ``capacity`` bytes: what does not fit is cut off."""
    data = encode_text(name, field, text, max(limit, len(text) * 4))
    if len(data) > capacity:
        data = data[: max(capacity - 1, 0)] + b"\0"
    return data if capacity else b""


def encode_texts(
    name: str, field: str, texts: Iterable[str | bytes], most: int, limit: int
) -> list[bytes]:
    """Several texts with their NULs: at most ``most``, together at most ``limit`` bytes of text."""
    found = [encode_text(name, field, text, limit) for text in texts]
    if len(found) > most or sum(map(len, found)) - len(found) > limit:
        raise bad_argument(name, field, texts, f"at most {most} texts of {limit} bytes in all")
    return found


def encode_rows(
    name: str, field: str, letter: str, rows: Iterable[Any], most: int, limit: int
) -> list[bytes]:
    """Several arrays of numbers: at most ``most``, together at most ``limit`` elements."""
    found = [bytes(pack_array(name, field, letter, row)) for row in rows]
    check_rows(name, field, rows, found, most, limit, struct.calcsize(letter))
    return found


def check_rows(
    name: str, field: str, rows: Any, found: list[bytes], most: int, limit: int, width: int
) -> None:
    """At most ``most`` rows, together at most ``limit`` elements of ``width`` bytes."""
    if len(found) > most or sum(map(len, found)) > limit * width:
        raise bad_argument(name, field, rows, f"at most {most} rows of {limit} elements in all")


def nested_bytes(items: list[bytes]) -> int:
    """How much room `join_nested` needs."""
    return 8 * len(items) + sum(len(item) + 7 & -8 for item in items)


def join_nested(items: list[bytes], at: int, ending: int) -> bytes:
    """The part of a nested array that begins at ``at``: its places, then what they name.

    ``ending`` bytes of each item (the NUL of a text) do not count in its length.
    """
    places, pieces, where = [], [], at + 8 * len(items)
    for item in items:
        places += [where, len(item) - ending]
        pieces += [item, _ZEROS[-len(item) & 7]]
        where += len(item) + 7 & -8
    return struct.pack(f"<{len(places)}I", *places) + b"".join(pieces)


def terminated(
    name: str, field: str, data: Iterable[int], until: int, step: int, most: int
) -> list[int]:
    """A list up to and with its end mark, which the caller may leave away."""
    found = [int(value) for value in data]
    if not found or (len(found) - 1) % step or found[-1] != until:
        found.append(until)
    if len(found) > most or (len(found) - 1) % step:
        raise bad_argument(name, field, data, f"at most {most} elements, in groups of {step}")
    if until in found[:-1:step]:
        raise bad_argument(name, field, data, f"{until} at the end only")
    return found


def missing(what: str) -> int:
    """A ``match`` that has no arm for its values."""
    raise Fault(5, what)


class Fault(Exception):
    """A broken rule, before the generated code adds procedure and field."""

    def __init__(self, rule: int, what: str = "") -> None:
        super().__init__(rule, what)
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


def take_nested(
    block: memoryview,
    cursor: int,
    end: int,
    off: int,
    length: int,
    count: int | None,
    most: int,
    limit: int,
    width: int,
    text: bool,
    wanted: Callable[[int], int] | None = None,
) -> tuple[list[bytes], int]:
    """Accept a nested part; its items (without their NULs) and the next cursor.

    ``count`` is None where the carried number of places is the number; ``wanted`` says how long
    each item is where the rest of the request decides it.
    """
    if count is None:
        count = length // 8
    if length != 8 * count:
        raise Fault(5)
    if not 0 <= count <= most:
        raise Fault(4)
    cursor = take_part(block, cursor, end, off, length, length, length)
    places = struct.unpack(f"<{2 * count}I", block[off : off + length])
    items: list[bytes] = []
    total = 0
    for at, size in zip(places[::2], places[1::2], strict=True):
        total += size
        if size % width:
            raise Fault(5)
        if wanted is not None and size != wanted(len(items)) * width:
            raise Fault(5)
        if total > limit * width:
            raise Fault(3)
        used = size + 1 if text else size
        following = take_part(block, cursor, end, at, size, size, used)
        raw = bytes(block[at:following])
        if raw[size:].strip(b"\0") or (text and raw.find(0) != size):
            raise Fault(7)
        items.append(raw[:size])
        cursor = following
    return items, cursor


def decode_text(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")


def check_until(data: Sequence[int], until: int, step: int) -> None:
    """Refuse a list whose end mark is missing, or not only at its end."""
    count = len(data)
    if not count or (count - 1) % step or data[count - 1] != until:
        raise Fault(5)
    if any(data[at] == until for at in range(0, count - 1, step)):
        raise Fault(5)


def overlay(image: bytes, data: bytes, fields: tuple[tuple[int, int, bool], ...]) -> bytes:
    """A table as this side knows it: what came over the defaults, without a longer tail.

    ``fields`` are (begin, end, may be missing); none may be cut, and one without a default must be
    there.
    """
    if len(data) >= len(image):
        return data[: len(image)]
    for begin, end, optional in fields:
        if end > len(data) and (begin < len(data) or not optional):
            raise Fault(5)
    return data + image[len(data) :]


def large_part(table: BufferTable | None, words: tuple[Any, ...], length: int) -> memoryview:
    """A part that travelled as a buffer: exactly ``length`` bytes.

    Raises:
        Fault: it is of another size.
        LookupError: it leads nowhere.
    """
    reference = UmemRef(*words)
    if reference.length != length:
        raise Fault(5)
    if table is None:
        raise LookupError(reference)
    return memoryview(table.resolve(reference, "read", ""))


def cache_key(*arguments: Any) -> Any:
    """Arguments as a dictionary key; None where they cannot be one."""
    try:
        hash(arguments)
    except TypeError:
        return None
    return arguments


def keep(cache: dict[Any, Any], key: Any, result: Any) -> None:
    """Remember an answer; of very many the oldest is forgotten."""
    if key is None:
        return
    if len(cache) >= 1024:
        del cache[next(iter(cache))]
    cache[key] = result


def values(letter: str, data: Buffer) -> Sequence[Any]:
    """A numeric part as a sequence, without another copy."""
    return memoryview(data).cast("B").cast(letter)  # type: ignore[call-overload,no-any-return]
