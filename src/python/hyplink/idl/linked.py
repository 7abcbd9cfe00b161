"""What generated Python keeps for each channel and session: handles, registrations, versions.

Only interfaces that say ``handle``, ``callback``, ``umem`` and the like use any of it; a plain
procedure never comes here. Generated code reaches these names through ``runtime``.
"""

from __future__ import annotations

import errno
import struct
import threading
from collections import deque
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

from hyplink.errors import BadArgument, LinkError, VersionMismatch

__all__ = [
    "NO_BUFFER",
    "BufferTable",
    "CallbackRef",
    "Handle",
    "HandleTable",
    "InterfaceInfo",
    "Registrations",
    "Schema",
    "Thrown",
    "UmemRef",
    "cookie_number",
    "hello",
    "hello_problem",
    "large_words",
    "receive_umem",
    "send_umem",
    "session_handles",
    "transfer",
    "user_info",
]

_SLOT_BITS = 20


class Handle(int):
    """A client's name for an object at the server: slot and generation, nothing to compute with."""

    def __repr__(self) -> str:
        slot, generation = self & (1 << _SLOT_BITS) - 1, self >> _SLOT_BITS
        return f"<{type(self).__name__} {slot}.{generation}>"

    __str__ = __repr__


class Thrown(LinkError):
    """A failure that an interface declares with ``throws``."""

    def __init__(self, status: int, text: str = "") -> None:
        super().__init__(errno.EREMOTEIO, text or f"{status!r}")
        self.status = status

    @property
    def word(self) -> int:
        """The reason as it travels: unlike any errno."""
        return 0x10000 | int(self.status) & 0xFFFF

    def __reduce__(self) -> tuple[Any, ...]:
        return (type(self), (self.status, self.strerror or ""))


# -- handles ---------------------------------------------------------------------------------------


#: A handle whose object does not exist yet.
_NOTHING = object()


class _Entry:
    __slots__ = ("children", "kind", "number", "parent", "value")

    def __init__(self, kind: str, number: int, parent: int) -> None:
        self.kind, self.number, self.parent = kind, number, parent
        self.value: Any = _NOTHING
        self.children: set[int] = set()


class HandleTable:
    """The objects of one session, by handle. Any thread.

    A handle is a slot and a generation that changes each time the slot is used again, so one that
    was destroyed stays dead. Children go with their parent.
    """

    def __init__(self, most: int = (1 << _SLOT_BITS) - 1) -> None:
        self._lock = threading.Lock()
        self._most = most
        self._entries: dict[int, _Entry] = {}
        self._numbers: dict[tuple[str, int], int] = {}
        self._free: deque[int] = deque()
        self._generations: dict[int, int] = {}
        self._used = 0

    def __len__(self) -> int:
        return len(self._entries)

    def reserve(self, kind: str, parent: int = 0) -> int:
        """A fresh handle whose object comes later (`fill`), or does not (`drop`).

        Raises:
            LinkError: EAGAIN; every slot is taken.
        """
        with self._lock:
            # A slot rests as long as possible, so that generations come round late.
            if self._used < min(self._most, 1024) or not (self._free or self._used >= self._most):
                self._used += 1
                slot = self._used
            elif self._free:
                slot = self._free.popleft()
            else:
                raise LinkError(errno.EAGAIN, f"no handle is left for a {kind}")
            number = self._generations.get(slot, 1) << _SLOT_BITS | slot
            self._entries[number] = _Entry(kind, number, parent)
            if parent in self._entries:
                self._entries[parent].children.add(number)
            return number

    def fill(self, number: int, value: Any) -> None:
        with self._lock:
            entry = self._entries.get(number)
            if entry is not None:  # its parent may have gone meanwhile
                entry.value = value
                self._numbers[entry.kind, id(value)] = number

    def drop(self, number: int) -> None:
        """Forget a handle and everything below it; the slot gets another generation."""
        with self._lock:
            self._drop(number)

    def _drop(self, number: int) -> None:
        entry = self._entries.pop(number, None)
        if entry is None:
            return
        for child in sorted(entry.children):
            self._drop(child)
        above = self._entries.get(entry.parent)
        if above is not None:
            above.children.discard(number)
        if self._numbers.get((entry.kind, id(entry.value))) == number:
            del self._numbers[entry.kind, id(entry.value)]
        slot = number & (1 << _SLOT_BITS) - 1
        following = (self._generations.get(slot, 1) + 1) & 0xFFF
        self._generations[slot] = following or 1
        self._free.append(slot)

    def get(self, kind: str, number: int) -> Any:
        """The object behind a handle.

        Raises:
            LookupError: no such handle lives, or it is of another type (rule D13).
        """
        entry = self._entries[number]
        if entry.kind != kind or entry.value is _NOTHING:
            raise LookupError(number)
        return entry.value

    def number(self, kind: str, value: Any) -> int:
        """The handle of an object that a `creates` handler returned; a number is taken as it is."""
        found = self._numbers.get((kind, id(value)))
        if found is not None:
            return found
        if isinstance(value, int) and value in self._entries:
            return int(value)
        raise BadArgument(errno.EINVAL, f"{value!r} is no live {kind} of this session")


def session_handles(session: Any) -> HandleTable:
    """The table that all channels of a session share; one for a lone channel without a session."""
    if session is None:
        return HandleTable()
    shared: dict[str, Any] = session.shared
    return shared.setdefault("handles", HandleTable())  # type: ignore[no-any-return]  # its only use


# -- callbacks -------------------------------------------------------------------------------------


class CallbackRef:
    """A callback that the client registered; calling it sends the callback with its cookie."""

    __slots__ = ("_emit", "_has_cookie", "number")

    def __init__(self, emit: Callable[..., Any], number: int, has_cookie: bool = True) -> None:
        self._emit, self.number, self._has_cookie = emit, number, has_cookie

    def __call__(self, *arguments: Any) -> Any:
        if self._has_cookie:
            return self._emit(*arguments, self.number)
        return self._emit(*arguments)

    emit = __call__

    def __eq__(self, other: object) -> bool:
        return isinstance(other, CallbackRef) and other.number == self.number

    def __hash__(self) -> int:
        return self.number


def cookie_number(cookie: CallbackRef | int) -> int:
    return cookie.number if isinstance(cookie, CallbackRef) else cookie


class Registrations:
    """What a client registered with one channel: functions and cookies by 16-bit slot and generation.

    Neither a function nor an object ever travels, only its number; a number that is not alive is
    not followed.
    """

    def __init__(self) -> None:
        self._live: dict[int, tuple[Callable[..., Any] | None, Any]] = {}
        self._places: dict[Any, int] = {}
        self._generations: dict[int, int] = {}
        self._free: deque[int] = deque()
        self._used = 0
        #: Functions by callback, for those that need no registration.
        self.on: dict[int, Callable[..., Any]] = {}
        #: Callbacks for nobody: the cookie names no live registration, or nothing was set.
        self.dropped = 0

    def __len__(self) -> int:
        return len(self._live)

    def register(self, place: Any, function: Callable[..., Any] | None, cookie: Any) -> int:
        """The number of a registration.

        ``place`` (the procedure) holds one at a time: the one before it ends, and nothing is left
        after ``None, None``. Without a place each stays.
        """
        before = self._places.get(place, 0) if place else 0
        if before and self._live[before] == (function, cookie):
            return before
        if before:
            del self._places[place], self._live[before]
            slot = before & 0xFFFF
            self._generations[slot] = (before >> 16) + 1 & 0xFFFF
            self._free.append(slot)
        if function is None and cookie is None:
            return 0
        if self._free and (len(self._free) > 64 or self._used == 0xFFFF):
            slot = self._free.popleft()
        elif self._used < 0xFFFF:
            self._used += 1
            slot = self._used
        else:
            raise LinkError(errno.EAGAIN, "65535 callbacks are registered already")
        number = self._generations.get(slot, 0) << 16 | slot
        self._live[number] = (function, cookie)
        if place:
            self._places[place] = number
        return number

    def set(self, proc: int, function: Callable[..., Any] | None) -> None:
        """The function for every callback ``proc``; None for nobody."""
        if function is None:
            self.on.pop(proc, None)
        else:
            self.on[proc] = function

    def find(self, number: int) -> tuple[Callable[..., Any] | None, Any] | None:
        return self._live.get(number)


# -- buffers ---------------------------------------------------------------------------------------


class UmemRef(NamedTuple):
    """Where a buffer lies, as it travels: never an address."""

    slot: int
    generation: int
    offset: int
    length: int


class BufferTable(Protocol):
    """A side's buffers. What implements it knows the mapping; stubs know the rights."""

    def reference(self, buffer: Any, rights: str, transfer: str, /) -> UmemRef:
        """The reference that the other side may follow with ``rights``.

        ``transfer`` is ``gives``, ``lends`` or "". Raises NotPermitted where this side may not pass
        the buffer on: it was given away.
        """

    def resolve(self, reference: UmemRef, rights: str, transfer: str, /) -> Any:
        """The buffer behind a reference from the other side.

        Of a large part (``transfer`` is "") the memory itself. Raises LookupError if there is none,
        its generation is old, the range leaves it, or the rights do not allow it.
        """

    def transferred(self, reference: UmemRef, given: bool, /) -> None:
        """The buffer is the other side's from now on (``given``), or this side's.

        Said exactly once for each way: by the sender before the other side can know of the request,
        whatever becomes of it then; by the receiver when the request has passed its checks.
        """

    def place(self, data: memoryview, first: bool, /) -> UmemRef | None:
        """Copy a large part into a buffer, where it stays until its request is done.

        ``first``: none of the same request came before. None: it travels inside the block. Raises
        DeadlineExceeded where it waits for room in vain.
        """


#: No buffer: all words are zero.
NO_BUFFER = UmemRef(0, 0, 0, 0)


def send_umem(
    table: BufferTable | None, value: Any, rights: str, transfer: str, most: int
) -> UmemRef:
    if value is None:
        return NO_BUFFER
    found = value if table is None else table.reference(value, rights, transfer)
    if not isinstance(found, UmemRef):
        raise BadArgument(errno.EINVAL, f"{value!r} is a buffer and no table of buffers was given")
    if found.length > most:
        raise BadArgument(errno.EINVAL, f"a buffer of {found.length} bytes, at most {most} allowed")
    return found


def transfer(table: BufferTable | None, reference: UmemRef, given: bool) -> None:
    """``gives``: what a stub says to its table. No table, or no buffer: nothing."""
    if table is not None and reference != NO_BUFFER:
        table.transferred(reference, given)


def receive_umem(
    table: BufferTable | None, words: tuple[Any, ...], rights: str, transfer: str, most: int
) -> Any:
    """The buffer of a reference; the reference itself where there is no table.

    Raises:
        LookupError: it leads nowhere.
    """
    reference = UmemRef(*words)
    if reference.length > most or reference.offset + reference.length >= 1 << 64:
        raise LookupError(reference)
    return reference if table is None else table.resolve(reference, rights, transfer)


def large_words(table: BufferTable | None, data: Any, threshold: int, first: bool) -> UmemRef:
    """Where a large part was put, or all zero: it travels inside the block."""
    if table is None or len(data) < threshold:
        return NO_BUFFER
    return table.place(memoryview(data), first) or NO_BUFFER


# -- versions --------------------------------------------------------------------------------------

_MAGIC = 0x4C444956
_WIRE_VERSION = 1
_HEAD = struct.Struct("<IHH")
_GROUP = struct.Struct("<HHHHQ")


class Schema(NamedTuple):
    """What one side says about one group."""

    group: int
    major: int
    minor: int
    hash: int


class InterfaceInfo(NamedTuple):
    """An interface for tools that know it only at run time."""

    name: str
    schema: Schema
    procedures: dict[int, Any]
    callbacks: dict[int, Any]
    client: type[Any]
    async_client: type[Any]
    handler: type[Any]
    #: (handler, session, channel, buffers) to a function that performs one request.
    bind: Callable[..., Callable[[Any], int]]


def hello(schemas: list[Schema]) -> bytes:
    """The first bytes of a session's info: which interfaces, in which version."""
    body = b"".join(_GROUP.pack(s.group, s.major, s.minor, 0, s.hash) for s in schemas)
    return _HEAD.pack(_MAGIC, _WIRE_VERSION, len(schemas)) + body


def _split(info: bytes) -> tuple[int, list[Schema], bytes] | None:
    if len(info) < _HEAD.size:
        return None
    magic, version, count = _HEAD.unpack_from(info)
    if magic != _MAGIC:
        return None
    end = _HEAD.size + count * _GROUP.size
    if len(info) < end:
        raise VersionMismatch(errno.EPROTONOSUPPORT, f"a hello of {count} groups is cut short")
    rows = _GROUP.iter_unpack(info[_HEAD.size : end])
    return version, [Schema(g, major, minor, key) for g, major, minor, _, key in rows], info[end:]


def user_info(info: bytes) -> bytes:
    """What the user added behind the hello; all of it where there is none."""
    found = _split(info)
    return info if found is None else found[2]


def hello_problem(info: bytes, own: bytes) -> str:
    """Why ``info`` of a peer cannot be served by the side that would say ``own``; "" if it can.

    The same minor version must be the same text; another one is fine, since procedures are only
    ever added. Groups this side does not know are its peer's business.
    """
    try:
        theirs = _split(info)
    except VersionMismatch as error:
        return str(error.strerror)
    ours = _split(own)
    if theirs is None or ours is None:
        return ""
    if theirs[0] != ours[0]:
        return f"the client speaks wire version {theirs[0]}, the server {ours[0]}"
    known = {s.group: s for s in ours[1]}
    for other in theirs[1]:
        mine = known.get(other.group)
        if mine is None:
            continue
        said = f"group {other.group}: the client has version {other.major}.{other.minor}"
        if mine.major != other.major:
            return f"{said}, the server {mine.major}.{mine.minor}"
        if mine.minor == other.minor and mine.hash != other.hash:
            return f"{said} with another text than the server"
    return ""
