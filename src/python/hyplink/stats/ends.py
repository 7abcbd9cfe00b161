"""One end of one channel."""

from __future__ import annotations

import dataclasses
from typing import Any

from hyplink.stats.procedures import ProcedureStats

__all__ = ["NAMES", "ChannelStats"]


@dataclasses.dataclass(frozen=True, slots=True)
class ChannelStats:
    """One end of one channel. Peaks and latencies are in bytes and nanoseconds.

    The client's end counts posts, batches, copies and latencies; the server's end counts receives,
    requests and peaks; each counts the XIRQs it sent and how many of them woke somebody.
    """

    vm: int
    app: int
    link: str
    session: int
    channel: int
    role: str
    posts: int = 0
    batches: int = 0
    calls: int = 0
    receives: int = 0
    requests: int = 0
    xirqs: int = 0
    wakes: int = 0
    copies: int = 0
    copied_bytes: int = 0
    full_events: int = 0
    ring_peak: int = 0
    pmem_peak: int = 0
    lost: int = 0
    latency_count: int = 0
    latency_sum_ns: int = 0
    latency_max_ns: int = 0
    batch_max: int = 0
    ring_now: int = 0
    pmem_now: int = 0
    full_requests: int = 0
    recycles: int = 0
    uncounted: int = 0
    #: Of the server: asynchronous ones sent, those dropped, synchronous ones; of the client: those handled,
    #: those that nobody wanted, synchronous ones among the handled.
    callbacks: int = 0
    callbacks_dropped: int = 0
    callback_calls: int = 0
    #: Handed over without a copy: vUpipe, vRPC, vMQ.
    in_place_bytes: int = 0
    procedures: tuple[ProcedureStats, ...] = ()

    @property
    def copies_per_request(self) -> float:
        """Copies made for each request this end posted or called; 0 when there was none."""
        sent = self.posts + self.calls
        return self.copies / sent if sent else 0.0

    @property
    def latency_mean_ns(self) -> float:
        """Mean time of a call; 0 when there was none."""
        return self.latency_sum_ns / self.latency_count if self.latency_count else 0.0

    @property
    def key(self) -> tuple[str, int, int, int, int, str]:
        """What tells one end from another, in the order they are listed."""
        return (self.link, self.session, self.channel, self.vm, self.app, self.role)

    def to_json(self) -> dict[str, Any]:
        """Plain data with the derived figures."""
        return {
            **{n: getattr(self, n) for n in NAMES if n != "procedures"},
            "procedures": [row.to_json() for row in self.procedures],
            "copies_per_request": self.copies_per_request,
            "latency_mean_ns": self.latency_mean_ns,
        }


#: The fields, in the order of the constructor.
NAMES = tuple(field.name for field in dataclasses.fields(ChannelStats))
