"""Pipes, calls and queues: what each end of a vlink has counted, over all who had it open."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, Self

from hyplink.stats.rows import Rows
from hyplink.units import size

if TYPE_CHECKING:
    from hyplink.stats.ends import ChannelStats

__all__ = ["FlowStats", "LinkEnd"]


@dataclasses.dataclass(frozen=True, slots=True)
class LinkEnd:
    """One end of one vlink. vIPC's calls are messages of its vMQ."""

    link: str
    vm: int
    role: str
    #: Writes of a pipe, notifications of a vUpipe, calls, messages.
    sent: int
    #: The same at the end that gets them. A read of a pipe need not be one write.
    received: int
    #: Bytes this end handed over, or of a pipe that is read, took: copied or in place.
    nbytes: int
    #: How often it had to wait for room.
    full_events: int
    xirqs: int
    #: XIRQs that woke somebody.
    wakes: int
    #: Bytes in the ring of a pipe; messages under way of a queue that sends; calls being handled of a server. As the
    #: newest opener saw it last.
    depth: int
    depth_peak: int

    @property
    def device_class(self) -> str:
        """``vbpipe``, ``vpipe``, ``vupipe``, ``vrpc``, ``vmq``."""
        return self.link.rstrip("0123456789")

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return {**dataclasses.asdict(self), "class": self.device_class}


def _end(channels: Sequence[ChannelStats]) -> LinkEnd:
    newest = max(channels, key=lambda channel: channel.channel)

    def total(*names: str) -> int:
        return sum(getattr(channel, name) for channel in channels for name in names)

    return LinkEnd(
        newest.link,
        newest.vm,
        newest.role,
        sent=total("posts", "calls"),
        received=total("receives", "requests"),
        nbytes=total("copied_bytes", "in_place_bytes"),
        full_events=total("full_events"),
        xirqs=total("xirqs"),
        wakes=total("wakes"),
        depth=newest.pmem_now or newest.ring_now,
        depth_peak=max(channel.pmem_peak or channel.ring_peak for channel in channels),
    )


_COLUMNS: dict[str, Callable[[LinkEnd], str]] = {
    "link": lambda e: e.link,
    "end": lambda e: f"VM {e.vm} {e.role}",
    "sent": lambda e: f"{e.sent:,}",
    "received": lambda e: f"{e.received:,}",
    "bytes": lambda e: size(e.nbytes),
    "full": lambda e: f"{e.full_events:,}",
    "XIRQs": lambda e: f"{e.xirqs:,}",
    "woke": lambda e: f"{e.wakes:,}",
    "depth": lambda e: f"{e.depth:,}",
    "peak": lambda e: f"{e.depth_peak:,}",
}


class FlowStats(Rows[LinkEnd]):
    """All of them at one moment, by link, the server's end first."""

    _columns = _COLUMNS

    @classmethod
    def of(cls, channels: Iterable[ChannelStats]) -> Self:
        """From the counters of a bench: what has no session."""
        found: dict[tuple[str, bool, int], list[ChannelStats]] = {}
        for channel in channels:
            if channel.session == 0:
                where = (channel.link, channel.role != "server", channel.vm)
                found.setdefault(where, []).append(channel)
        return cls([_end(found[where]) for where in sorted(found)])

    def to_json(self) -> list[dict[str, Any]]:
        """Plain data, an end each."""
        return [end.to_json() for end in self]

    def __str__(self) -> str:
        from hyplink.display.tables import text_table

        if not self:
            return "no pipe, call or queue was opened yet"
        return text_table(list(self._columns), self._rows(), left=2)

    def __repr__(self) -> str:
        return f"<FlowStats of {len(self)} ends>"

    def _repr_html_(self) -> str:
        from hyplink.display.tables import html_table

        return html_table(list(self._columns), self._rows(), f"{len(self)} ends")
