"""The guides' vrpqstat: channel by channel, both ends together."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from hyplink.stats.procedures import ProcedureStats, name_of, sum_procedures
from hyplink.stats.rows import Rows
from hyplink.units import duration, size

if TYPE_CHECKING:
    from typing import Self

    from hyplink.stats.ends import ChannelStats

__all__ = ["RpqChannel", "RpqStats"]


@dataclasses.dataclass(frozen=True, slots=True)
class RpqChannel:
    """One channel. An end that this bench has no counters of counts nothing."""

    link: str
    session: int
    channel: int
    #: Requests published and not picked up.
    stacked: int
    client: ChannelStats | None
    server: ChannelStats | None

    @property
    def requests(self) -> int:
        """Requests published by the client."""
        return self.client.posts + self.client.calls if self.client else self.received

    @property
    def received(self) -> int:
        """Requests the server has picked up."""
        return self.server.requests if self.server else 0

    @property
    def stacked_peak(self) -> int:
        """Most requests at once that the server had not given back."""
        return max((end.ring_peak for end in self._ends), default=0)

    @property
    def pmem(self) -> int:
        """Bytes of parameters and record heads held when the server looked last."""
        return self.server.pmem_now if self.server else 0

    @property
    def pmem_peak(self) -> int:
        """Most bytes at once."""
        return max((end.pmem_peak for end in self._ends), default=0)

    @property
    def full_events(self) -> int:
        """How often the client had to wait for room."""
        return self.client.full_events if self.client else 0

    @property
    def full_requests(self) -> int:
        """Of those, for want of a request (``vrpq-reqs``); the others of ``vrpq-pmem``."""
        return self.client.full_requests if self.client else 0

    @property
    def posts_per_notify(self) -> float:
        """Requests in a batch, on average."""
        batches = self.client.batches if self.client else 0
        return self.requests / batches if batches else 0.0

    @property
    def posts_per_notify_max(self) -> int:
        """The largest batch."""
        return self.client.batch_max if self.client else 0

    @property
    def xirqs(self) -> int:
        """XIRQs in both directions."""
        return sum(end.xirqs for end in self._ends)

    @property
    def recycle_passes(self) -> int:
        """How often the client looked for room that was given back."""
        return self.client.recycles if self.client else 0

    @property
    def requests_per_recycle(self) -> float:
        """How many requests a look was good for."""
        return self.requests / self.recycle_passes if self.recycle_passes else 0.0

    @property
    def callbacks(self) -> int:
        """Callbacks that the server sent, synchronous ones included."""
        return self.server.callbacks + self.server.callback_calls if self.server else 0

    @property
    def callback_calls(self) -> int:
        """Of those, the synchronous ones."""
        return self.server.callback_calls if self.server else 0

    @property
    def callbacks_handled(self) -> int:
        """Callbacks that a handler of the client has taken."""
        return self.client.callbacks if self.client else 0

    @property
    def callbacks_dropped(self) -> int:
        """Callbacks that the server left out for want of room, or the client for want of a handler."""
        return sum(end.callbacks_dropped for end in self._ends)

    @property
    def procedures(self) -> list[ProcedureStats]:
        """Counts of the server and latencies of the client, the busiest first."""
        return sum_procedures(row for end in self._ends for row in end.procedures)

    @property
    def _ends(self) -> list[ChannelStats]:
        return [end for end in (self.client, self.server) if end is not None]

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        names = [name for name, value in vars(RpqChannel).items() if isinstance(value, property)]
        data = {name: getattr(self, name) for name in names if name not in ("procedures", "_ends")}
        where: dict[str, Any] = {
            "link": self.link,
            "session": self.session,
            "channel": self.channel,
        }
        where["stacked"] = self.stacked
        return {**where, **data, "procedures": [row.to_json() for row in self.procedures]}


_COLUMNS: dict[str, Callable[[RpqChannel], str]] = {
    "link": lambda c: c.link,
    "ses.chn": lambda c: f"{c.session}.{c.channel}",
    "requests": lambda c: f"{c.requests:,}",
    "stacked": lambda c: f"{c.stacked:,}",
    "peak": lambda c: f"{c.stacked_peak:,}",
    "PMEM": lambda c: size(c.pmem),
    "PMEM peak": lambda c: size(c.pmem_peak),
    "full reqs/pmem": lambda c: f"{c.full_requests:,}/{c.full_events - c.full_requests:,}",
    "posts/notify": lambda c: f"{c.posts_per_notify:.1f}",
    "max": lambda c: f"{c.posts_per_notify_max:,}",
    "XIRQs": lambda c: f"{c.xirqs:,}",
    "recycles": lambda c: f"{c.recycle_passes:,}",
    "callbacks": lambda c: f"{c.callbacks:,}",
    "handled": lambda c: f"{c.callbacks_handled:,}",
    "dropped": lambda c: f"{c.callbacks_dropped:,}",
    "reqs/recycle": lambda c: f"{c.requests_per_recycle:.1f}" if c.recycle_passes else "-",
}
_PROCEDURES = ("procedure", "requests", "bytes", "timed", "mean", "max")
_HINT = "procedures are not counted: hyplink stat --count, or bench.count_procedures()"


class RpqStats(Rows[RpqChannel]):
    """Channels at one moment. ``names`` says what procedures are called (`procedure_names`)."""

    _columns = _COLUMNS

    def __init__(
        self, channels: Iterable[RpqChannel], names: Mapping[int, str] = MappingProxyType({})
    ) -> None:
        super().__init__(channels)
        self.names = names

    def _slice(self, rows: list[RpqChannel]) -> Self:
        return type(self)(rows, self.names)

    @property
    def procedures(self) -> list[ProcedureStats]:
        """Over all channels, the busiest first."""
        return sum_procedures(row for channel in self for row in channel.procedures)

    def to_json(self) -> dict[str, Any]:
        """Plain data: ``channels`` and ``procedures`` with their names."""
        procedures = [
            {"name": name_of(row.proc, self.names), **row.to_json()} for row in self.procedures
        ]
        return {
            "channels": [channel.to_json() for channel in self],
            "procedures": procedures,
        }

    def _procedure_rows(self) -> list[list[str]]:
        return [
            [
                name_of(row.proc, self.names),
                f"{row.requests:,}",
                size(row.bytes),
                f"{row.latency_count:,}",
                duration(row.latency_mean_ns) if row.latency_count else "-",
                duration(row.latency_max_ns) if row.latency_count else "-",
            ]
            for row in self.procedures
        ]

    def __str__(self) -> str:
        from hyplink.display.tables import text_table

        if not self:
            return "no channel was opened yet"
        text = text_table(list(self._columns), self._rows(), left=1)
        rows = self._procedure_rows()
        return f"{text}\n\n{text_table(list(_PROCEDURES), rows, left=1) if rows else _HINT}"

    def __repr__(self) -> str:
        return f"<RpqStats of {len(self)} channels, {len(self.procedures)} procedures>"

    def svg(self) -> str:
        """The procedures as bars: counts, and how long calls took."""
        from hyplink.stats.procedures_picture import procedures_svg

        return procedures_svg(self.procedures, self.names)

    def _repr_html_(self) -> str:
        from hyplink.display.tables import html_table

        tables = html_table(list(self._columns), self._rows(), f"{len(self)} channels")
        return tables + (self.svg() if self.procedures else f"<p>{_HINT}</p>")
