"""What a journal's record says, as values: kinds, names, the record itself."""

from __future__ import annotations

import dataclasses
import enum
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hyplink.board import Board

__all__ = ["EventKind", "LinkName", "Names", "Record"]


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
    HOLD_MISSED = 42
    EVENT_LOST = 50
    EVENT_FOCUS = 51


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
class Record:
    """One thing that happened, in numbers; `Event` adds the words.

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


_ABOUT_AN_END = (EventKind.LINK_STATE, EventKind.LINK_REFUSED, EventKind.LINK_FORCED)
