"""Sessions as files: what a client asked and what it was told, to be asked again.

    with idl.record(channel, "today.rec", gles) as recorded:
        gl = gles.Client(recorded)
        …
    report = idl.replay("today.rec", other_channel, gles)

The file holds blocks, not meanings: it is replayed by any server of the same interface, and
``hyplink idl dump`` explains every block of it.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, Self

from hyplink.errors import IdlError, LinkError
from hyplink.idl.linked import hello_problem

__all__ = ["Difference", "Entry", "Recording", "Replay", "read", "record", "replay"]

#: Format: magic, version 1, length of the hello, the hello; then entries.
_MAGIC = b"VIDLREC\n"
_VERSION = 1
_HEAD = struct.Struct("<8sII")
#: kind (0 post, 1 call), procedure, status, bytes in, room for the answer, bytes of the answer.
_ENTRY = struct.Struct("<IIiIII")


@dataclass(slots=True)
class Entry:
    """One request, and for a call its answer."""

    proc: int
    is_call: bool
    block: bytes
    room: int = 0
    status: int = 0
    answer: bytes = b""


class Recording:
    """A channel that writes down what goes through it. Generated clients take it like a channel."""

    def __init__(self, channel: Any, file: BinaryIO, hello: bytes) -> None:
        self._channel, self._file = channel, file
        self.window: memoryview = channel.window
        self._begun: tuple[int, int, int, int] = (0, 0, 0, 0)
        file.write(_HEAD.pack(_MAGIC, _VERSION, len(hello)) + hello)

    def begin(self, proc: int, nbytes: int, /) -> int:
        at: int = self._channel.begin(proc, nbytes)
        self._begun = (proc, at, nbytes, 0)
        return at

    def begin_call(self, proc: int, in_bytes: int, out_bytes: int, /) -> int:
        at: int = self._channel.begin_call(proc, in_bytes, out_bytes)
        self._begun = (proc, at, in_bytes, out_bytes)
        return at

    def _block(self) -> bytes:
        _, at, size, _ = self._begun
        return bytes(self.window[at : at + size])

    def _write(self, entry: Entry) -> None:
        self._file.write(
            _ENTRY.pack(
                int(entry.is_call),
                entry.proc,
                entry.status,
                len(entry.block),
                entry.room,
                len(entry.answer),
            )
        )
        self._file.write(entry.block + entry.answer)

    def post(self) -> None:
        self._write(Entry(self._begun[0], False, self._block()))
        self._channel.post()

    def notify(self) -> None:
        self._channel.notify()

    def _answered(self, block: bytes, reply: tuple[int, int, int]) -> tuple[int, int, int]:
        status, at, room = reply
        answer = bytes(self.window[at : at + room]) if not status else b""
        self._write(Entry(self._begun[0], True, block, self._begun[3], status, answer))
        return reply

    def call(self, **options: Any) -> tuple[int, int, int]:
        block = self._block()
        return self._answered(block, self._channel.call(**options))

    async def call_async(self, **options: Any) -> tuple[int, int, int]:
        block = self._block()
        return self._answered(block, await self._channel.call_async(**options))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._channel, name)

    def close(self) -> None:
        """Finish the file; the channel stays open."""
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def record(channel: Any, path: str | Path, module: Any) -> Recording:
    """A channel that keeps everything in a file. Written anew if it is there."""
    return Recording(channel, open(path, "wb"), module.hello())


def read(path: str | Path) -> tuple[bytes, list[Entry]]:
    """The hello and the entries of a recording.

    Raises:
        IdlError: the file is no recording, of another version, or cut short.
    """
    data = Path(path).read_bytes()
    if len(data) < _HEAD.size or data[:8] != _MAGIC:
        raise IdlError(f"{path} is no recording")
    _, version, length = _HEAD.unpack_from(data)
    if version != _VERSION:
        raise IdlError(f"{path} has format {version}; this is {_VERSION}")
    at = _HEAD.size + length
    return data[_HEAD.size : at], list(_entries(str(path), data, at))


def _entries(path: str, data: bytes, at: int) -> Iterator[Entry]:
    while at < len(data):
        if at + _ENTRY.size > len(data):
            raise IdlError(f"{path} is cut short")
        kind, proc, status, size, room, answered = _ENTRY.unpack_from(data, at)
        at += _ENTRY.size
        if at + size + answered > len(data):
            raise IdlError(f"{path} is cut short")
        block, answer = data[at : at + size], data[at + size : at + size + answered]
        at += size + answered
        yield Entry(proc, bool(kind), block, room, status, answer)


@dataclass(slots=True)
class Difference:
    """An answer that is not the recorded one."""

    number: int
    name: str
    proc: int
    expected: Entry
    status: int
    answer: bytes

    def __str__(self) -> str:
        if self.status != self.expected.status:
            return f"{self.number}: {self.name}: status {self.status}, was {self.expected.status}"
        pairs = zip(self.answer, self.expected.answer, strict=False)
        at = next((i for i, (a, b) in enumerate(pairs) if a != b), 0)
        return f"{self.number}: {self.name}: another answer, from byte {at:#x} on"


@dataclass(slots=True)
class Replay:
    """What came of a replay."""

    posts: int = 0
    calls: int = 0
    differences: list[Difference] = field(default_factory=list)

    @property
    def same(self) -> bool:
        return not self.differences


def replay(path: str | Path, channel: Any, module: Any) -> Replay:
    """Send a recording through a channel and compare the answers.

    Raises:
        IdlError: it was recorded with an interface that does not fit.
        PeerDied, CorruptRing: as with any request.
    """
    hello, entries = read(path)
    problem = hello_problem(hello, module.hello())
    if problem:
        raise IdlError(f"{path}: {problem.replace('the server', 'this interface')}")
    names = {
        proc: info.name for i in module.INTERFACES.values() for proc, info in i.procedures.items()
    }
    found, window = Replay(), channel.window
    for number, entry in enumerate(entries):
        size = len(entry.block)
        if not entry.is_call:
            at = channel.begin(entry.proc, size)
            window[at : at + size] = entry.block
            channel.post()
            found.posts += 1
            continue
        at = channel.begin_call(entry.proc, size, entry.room)
        window[at : at + size] = entry.block
        try:
            status, at, room = channel.call()
            answer = bytes(window[at : at + room]) if not status else b""
        except LinkError as error:
            error.add_note(f"at request {number} of {path}")
            raise
        found.calls += 1
        if (status, answer) != (entry.status, entry.answer):
            name = names.get(entry.proc, f"{entry.proc:#x}")
            found.differences.append(Difference(number, name, entry.proc, entry, status, answer))
    channel.notify()
    return found
