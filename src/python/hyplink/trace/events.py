"""The journal's records as Python values.

A record is 64 bytes, written by a process that may have been hostile or killed while writing, so
nothing in it is believed beyond its form: an unknown event keeps its number, an unknown link too.
Source: hyplink/base/journal.hpp.
"""

from __future__ import annotations

import dataclasses
import enum
import json
import struct
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from hyplink import errors

if TYPE_CHECKING:
    from hyplink.board import Board

__all__ = ["RECORD_BYTES", "Event", "EventKind", "LinkName", "Names", "pack_header", "read"]

RECORD_BYTES = 64
_RECORD = struct.Struct("<QHHIIIQQ24x")
_MAGIC = b"HYPLINK-JOURNAL 1 "
_NO_LINK = 0xFFFFFFFF


class EventKind(enum.IntEnum):
    """What a record tells; the meaning of ``a``, ``b`` and ``c`` depends on it."""

    NONE = 0
    VM_STATE = 1
    LINK_STATE = 2
    LINK_REFUSED = 3
    LINK_FORCED = 4
    SYSCONF = 5
    XIRQ = 6
    XIRQ_REFUSED = 7
    APP_START = 8
    APP_END = 9
    SESSION_OPEN = 10
    SESSION_ABORT = 11
    SESSION_CLOSE = 12
    CHANNEL_OPEN = 13
    CHANNEL_CLOSE = 14
    NOTIFY = 15
    RECEIVE = 16
    CALL = 17
    REPLY = 18
    CORRUPT = 19
    RESOURCE = 20
    PEER_DEATH = 21
    MARK = 22
    GRANT = 23
    DENY = 24
    GRANT_MAP = 25
    GRANT_REVOKED = 26
    LEND = 27
    RECALL = 28
    XIRQ_MUTED = 29
    CALLBACK_SENT = 30
    CALLBACK_DONE = 31
    CALLBACK_LOST = 32
    DMA_START = 37
    DMA_END = 38
    DMA_FAULT = 39
    APP_DROPPED = 33
    PROGRAM_FAILED = 34
    PROGRAM_END = 35
    VM_DROPPED = 36
    PIPE_OPEN = 40
    PIPE_CLOSE = 41
    EVENT_LOST = 50
    EVENT_FOCUS = 51


_KINDS = {int(kind): kind for kind in EventKind}


@dataclasses.dataclass(frozen=True, slots=True)
class LinkName:
    """What a trace knows of a vlink: its label and the VMs at its ends."""

    label: str
    server: int | None = None
    client: int | None = None

    def vm(self, role: int) -> int | None:
        """The VM at an end: role 0 is the server, 1 the client."""
        return self.server if role == 0 else self.client if role == 1 else None


@dataclasses.dataclass(frozen=True, slots=True)
class Names:
    """The names of a board that records refer to by number."""

    board: str = ""
    links: tuple[LinkName, ...] = ()
    vms: tuple[tuple[int, str], ...] = ()

    @classmethod
    def of(cls, board: Board) -> Names:
        """The names of a board."""
        return cls(
            board.name,
            tuple(LinkName(link.label, link.server, link.client) for link in board.links),
            tuple((vm.id, vm.name) for vm in board.vms),
        )

    def to_json(self) -> dict[str, Any]:
        """Plain data for the head of a journal file."""
        links = [[link.label, link.server, link.client] for link in self.links]
        return {"board": self.board, "links": links, "vms": [list(vm) for vm in self.vms]}

    @classmethod
    def from_json(cls, data: Any) -> Names:
        """The inverse of `to_json`."""
        return cls(
            str(data["board"]),
            tuple(LinkName(str(name), int(s), int(c)) for name, s, c in data["links"]),
            tuple((int(number), str(name)) for number, name in data["vms"]),
        )


@dataclasses.dataclass(frozen=True, slots=True)
class Event:
    """One thing that happened.

    ``time_ns`` is the bench's clock, ``time_s`` counts seconds from the start of the trace. ``vm``
    and ``app`` say who wrote it: VM 0 is the hypervisor, application 0 the VM's kernel. ``link`` is
    a label. ``a``, ``b``, ``c`` mean what ``kind`` says; ``number`` is the kind as stored.
    """

    time_ns: int
    time_s: float
    kind: EventKind
    vm: int
    app: int
    link: str | None
    a: int
    b: int
    c: int
    number: int = dataclasses.field(default=0, repr=False)
    ends: LinkName | None = dataclasses.field(default=None, repr=False, compare=False)

    @property
    def subject(self) -> int:
        """The VM that the event is about: the hypervisor writes on behalf of others."""
        if self.vm != 0:
            return self.vm
        if self.kind is EventKind.VM_STATE:
            return self.c
        if self.kind in _ABOUT_AN_END:
            return (self.ends.vm(self.a) if self.ends else None) or 0
        if self.kind is EventKind.SYSCONF:
            return self.a
        if self.kind is EventKind.XIRQ:
            return self.b
        return 0

    @property
    def text(self) -> str:
        """The event as a sentence."""
        from hyplink.trace.words import sentence

        return sentence(self)

    def to_json(self) -> dict[str, Any]:
        """Plain data: one line of ``hyplink trace tail --json``."""
        return {
            "time_s": self.time_s,
            "kind": self.kind.name.lower(),
            "vm": self.vm,
            "app": self.app,
            "link": self.link,
            "a": self.a,
            "b": self.b,
            "c": self.c,
            "text": self.text,
        }

    def __str__(self) -> str:
        return f"{self.time_s * 1e3:12.4f} ms  {self.text}"


_ABOUT_AN_END = (EventKind.LINK_STATE, EventKind.LINK_REFUSED, EventKind.LINK_FORCED)


def pack_header(names: Names) -> bytes:
    """The head of a journal file: one line, filled up so that records stay aligned."""
    line = _MAGIC + json.dumps(names.to_json(), separators=(",", ":")).encode()
    return line + b" " * (-(len(line) + 1) % RECORD_BYTES) + b"\n"


def split_header(data: bytes) -> tuple[Names | None, bytes]:
    """Take the head off, if there is one."""
    if not data.startswith(_MAGIC):
        return None, data
    end = data.find(b"\n")
    try:
        return Names.from_json(json.loads(data[len(_MAGIC) : end])), data[end + 1 :]
    except (ValueError, TypeError, KeyError):
        raise errors.BadArgument(22, "journal: its first line does not name a board") from None


def read(data: bytes, names: Names) -> Iterator[Event]:
    """The events in the order they are stored."""
    if len(data) % RECORD_BYTES:
        raise errors.BadArgument(
            22,
            f"journal of {len(data)} bytes: not a whole number of records of {RECORD_BYTES} bytes",
        )
    links: Sequence[LinkName] = names.links
    others: dict[int, LinkName] = {}
    start = _RECORD.unpack_from(data)[0] if data else 0
    for time, number, vm, app, index, a, b, c in _RECORD.iter_unpack(data):
        ends: LinkName | None = None
        if index < len(links):
            ends = links[index]
        elif index != _NO_LINK:
            ends = others.setdefault(index, LinkName(f"link {index}"))
        kind = _KINDS.get(number, EventKind.NONE)
        label = ends.label if ends else None
        seconds = (time - start) / 1e9
        yield Event(time, seconds, kind, vm, app, label, a, b, c, number, ends)
