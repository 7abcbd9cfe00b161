"""What was found of one mechanism, and what it is compared with."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from hyplink.compare.claims import CLAIMS

__all__ = ["Baseline", "Row", "median"]


@dataclasses.dataclass(frozen=True)
class Baseline:
    """One way between two bare Python processes, medians in ns: what a mechanism's latency is above."""

    #: A byte of shared memory, both sides looking all the time.
    awake_ns: float
    #: An eventfd, both sides asleep in between.
    asleep_ns: float


@dataclasses.dataclass(frozen=True)
class Row:
    """One mechanism. None: there is no such thing for it."""

    name: str
    #: Why nothing was measured; empty if it was.
    missing: str = ""
    ends: str = ""
    #: Copies of the data by hyplink, from memory of the sender to where the receiver reads it.
    copies: float | None = None
    depends: tuple[str, ...] = ()
    #: By how a transfer behaves while the receiver is away: the names of those that wait, and of those that do not.
    waits: tuple[str, ...] = ()
    goes_on: tuple[str, ...] = ()
    #: One way, half a round trip of 8 bytes; median in ns.
    awake_ns: float | None = None
    asleep_ns: float | None = None
    #: From SIGKILL of the peer's VM to the return of who waits for it: ns, each kill.
    deaths_ns: tuple[float, ...] = ()
    #: In the unit that is natural for it, bytes per second.
    bytes_per_s: float | None = None
    chunk: int = 0

    @property
    def sync(self) -> str:
        """``sync``, ``async`` or ``both``, as measured."""
        if self.waits and self.goes_on:
            return "both"
        return "sync" if self.waits else "async" if self.goes_on else ""

    def to_dict(self) -> dict[str, Any]:
        """For JSON, with the document's claim."""
        claim = CLAIMS[self.name]
        return dataclasses.asdict(self) | {"sync": self.sync, "claim": claim._asdict()}


def median(values: Sequence[float]) -> float:
    """The middle one."""
    return sorted(values)[len(values) // 2]
