"""Buffers that VMs lend each other: what the driver at each end of a vlink has counted."""

from __future__ import annotations

import dataclasses
import struct
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Self

from hyplink.stats.procedures import ProcedureStats, sum_procedures
from hyplink.stats.rows import Rows
from hyplink.units import duration, size

__all__ = ["BufferEnd", "BufferStats"]

#: One slot of counters, and what its first words say about it.
_SLOT = struct.Struct("<8I12Q128x")
_CLOSED = 2
_ROLES = ("server", "client")
#: ChannelCounters::kind: the mechanism, and its requests by number.
_MECHANISMS: Mapping[int, tuple[str, Mapping[int, str]]] = {
    1: (
        "vUmem",
        {
            1: "alloc",
            2: "free",
            3: "register",
            4: "unregister",
            5: "control",
            6: "session",
            7: "cache, remote",
            13: "revoke",
            32: "map",
            33: "unmap",
            34: "cache, local",
            35: "import",
        },
    ),
    2: ("vION", {1: "import", 2: "release"}),
}
_REQUESTS = dict(_MECHANISMS.values())
_NOW = ("sessions", "buffers", "nbytes", "area_used")
_PEAKS = ("buffers_peak", "nbytes_peak", "area_peak", "area_nbytes")
_COUNTS = ("answers", "errors", "waited", "xirqs")


@dataclasses.dataclass(frozen=True, slots=True)
class BufferEnd:
    """One end of one vlink: vUmem's server lends, its client borrows; of vION the server's end exports."""

    link: str
    vm: int
    role: str
    #: ``vUmem`` or ``vION``.
    mechanism: str
    #: Of a vUmem client's end the sessions there are; of a server's, 1 while its program is there.
    sessions: int
    buffers: int
    buffers_peak: int
    #: Bytes of those buffers.
    nbytes: int
    nbytes_peak: int
    #: Requests answered: a server's end gave the answer, a client's got it. Revocations go the other way.
    answers: int
    #: Those that were refused.
    errors: int
    #: Requests that waited for others: one at a time is under way on a link.
    waited: int
    #: XIRQs this end has raised.
    xirqs: int
    #: Bytes that the last message took in the shared area (vUmem: the own half of the PDEV), the most, and its size.
    area_used: int
    area_peak: int
    area_nbytes: int
    #: By kind, see `requests`.
    kinds: tuple[ProcedureStats, ...] = ()

    @property
    def requests(self) -> Mapping[str, int]:
        """How many of each kind, the most first: ``{"alloc": 3, "map": 2}``."""
        return {self._kind(row): row.requests for row in self.kinds}

    def _kind(self, row: ProcedureStats) -> str:
        return _REQUESTS[self.mechanism].get(row.proc, f"request {row.proc}")

    @property
    def key(self) -> tuple[str, str, bool, int]:
        """What tells one from another, in the order they are listed."""
        return (self.link, self.mechanism, self.role != "server", self.vm)

    @classmethod
    def from_slot(
        cls, slot: bytes, link: Callable[[int], str], kinds: Iterable[ProcedureStats]
    ) -> Self | None:
        """What a slot of counters says; None if it counts something else."""
        in_use, vm, _app, number, _session, _channel, role, kind, *counts = _SLOT.unpack(slot)
        if kind not in _MECHANISMS:
            return None
        sessions, buffers, most, nbytes, most_bytes, *others = counts
        answers, errors, waited, xirqs, used, most_used, area = others
        if in_use == _CLOSED:  # its VM has ended: what it had is gone
            sessions = buffers = nbytes = used = 0
        return cls(
            link(number),
            vm,
            _ROLES[role] if role < len(_ROLES) else f"role {role}",
            _MECHANISMS[kind][0],
            *(sessions, buffers, most, nbytes, most_bytes),
            *(answers, errors, waited, xirqs, used, most_used, area),
            tuple(kinds),
        )

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """The inverse of `to_json`.

        Raises:
            KeyError: something is missing.
        """
        fields = {f.name: data[f.name] for f in dataclasses.fields(cls) if f.name != "kinds"}
        names = [field.name for field in dataclasses.fields(ProcedureStats)]
        kinds = [ProcedureStats(**{name: row[name] for name in names}) for row in data["kinds"]]
        return cls(**fields, kinds=tuple(kinds))

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        kinds = [{"request": self._kind(row), **row.to_json()} for row in self.kinds]
        return {**{f.name: getattr(self, f.name) for f in dataclasses.fields(self)}, "kinds": kinds}

    def since(self, earlier: BufferEnd | None) -> BufferEnd:
        """What was counted after an earlier moment; what is so now, and peaks, stay what they are."""
        if earlier is None:
            return self
        before = {row.proc: row for row in earlier.kinds}
        kinds = [row.since(before.get(row.proc)) for row in self.kinds]
        return dataclasses.replace(
            self,
            **{name: max(0, getattr(self, name) - getattr(earlier, name)) for name in _COUNTS},
            kinds=tuple(row for row in kinds if row.requests),
        )


def _one(lives: Sequence[BufferEnd]) -> BufferEnd:
    """The lives of a VM together; what is so now is so in the last one."""
    return dataclasses.replace(
        lives[-1],
        **{name: sum(getattr(life, name) for life in lives) for name in (*_COUNTS, *_NOW)},
        **{name: max(getattr(life, name) for life in lives) for name in _PEAKS},
        kinds=tuple(sum_procedures(row for life in lives for row in life.kinds)),
    )


_COLUMNS: dict[str, Callable[[BufferEnd], str]] = {
    "link": lambda e: e.link,
    "end": lambda e: f"VM {e.vm} {e.role}",
    "carries": lambda e: e.mechanism,
    "sessions": lambda e: f"{e.sessions:,}" if e.mechanism == "vUmem" else "-",
    "buffers": lambda e: f"{e.buffers:,}",
    "most": lambda e: f"{e.buffers_peak:,}",
    "bytes": lambda e: size(e.nbytes),
    "peak": lambda e: size(e.nbytes_peak),
    "answers": lambda e: f"{e.answers:,}",
    "errors": lambda e: f"{e.errors:,}",
    "waited": lambda e: f"{e.waited:,}",
    "XIRQs": lambda e: f"{e.xirqs:,}",
    "area": lambda e: f"{size(e.area_peak)} of {size(e.area_nbytes)}",
}


class BufferStats(Rows[BufferEnd]):
    """All of them at one moment, by link, the end that lends first."""

    _columns = _COLUMNS

    @classmethod
    def of(cls, lives: Iterable[BufferEnd]) -> Self:
        """From what the drivers of every life of every VM have counted, in the order they lived."""
        found: dict[tuple[str, str, bool, int], list[BufferEnd]] = {}
        for life in lives:
            found.setdefault(life.key, []).append(life)
        return cls([_one(found[key]) for key in sorted(found)])

    def since(self, earlier: BufferStats) -> BufferStats:
        """What came after an earlier moment."""
        before = {end.key: end for end in earlier}
        return BufferStats([end.since(before.get(end.key)) for end in self])

    def to_json(self) -> list[dict[str, Any]]:
        """Plain data, an end each."""
        return [end.to_json() for end in self]

    def _kinds(self) -> list[list[str]]:
        return [
            [
                end.link,
                f"VM {end.vm} {end.role}",
                end._kind(row),
                f"{row.requests:,}",
                duration(row.latency_mean_ns) if row.latency_count else "-",
                duration(row.latency_max_ns) if row.latency_count else "-",
            ]
            for end in self
            for row in end.kinds
        ]

    def __str__(self) -> str:
        from hyplink.display.tables import text_table

        if not self:
            return "no buffer was asked for yet"
        ends = text_table(list(self._columns), self._rows(), left=3)
        if not (kinds := self._kinds()):
            return ends
        return f"{ends}\n\n{text_table(_KINDS, kinds, left=3)}"

    def __repr__(self) -> str:
        return f"<BufferStats of {len(self)} ends>"

    def _repr_html_(self) -> str:
        from hyplink.display.tables import html_table

        return html_table(list(self._columns), self._rows(), f"{len(self)} ends")


_KINDS = ["link", "end", "request", "count", "mean", "max"]
