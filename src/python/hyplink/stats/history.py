"""Counters over time: several looks, and a drawing of what happened between them."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from hyplink.stats.moments import Moment

if TYPE_CHECKING:
    from hyplink.stats.channels import Stats

__all__ = ["History"]


class History:
    """Looks at a source of counters (``lambda: bench.stats``) and keeps the last ``most`` looks.

    Example:
        history = History(lambda: bench.stats)
        for _ in range(50):
            …
            history.look()
        history                      # draws itself in a notebook
    """

    def __init__(
        self,
        source: Callable[[], Stats],
        *,
        most: int = 600,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._source = source
        self._most = most
        self._clock = clock
        self._last: Stats | None = None
        self.moments: list[Moment] = []

    def look(self) -> Stats:
        """Read the counters and remember them."""
        stats = self._source()
        now = self._clock()
        channels = stats.rpq()
        stacked = sum(channel.stacked for channel in channels)
        pmem = sum(channel.pmem for channel in channels)
        rates: dict[str, float] = {}
        if self._last is not None and now > self.moments[-1].at:
            fresh = stats.since(self._last).totals
            span = now - self.moments[-1].at
            rates = {
                "requests": (fresh["posts"] + fresh["calls"]) / span,
                "notifies": fresh["batches"] / span,
                "xirqs": fresh["xirqs"] / span,
                "full_events": fresh["full_events"] / span,
            }
        self.moments.append(Moment(now, stacked, pmem, **rates))
        del self.moments[: -self._most]
        self._last = stats
        return stats

    def to_json(self) -> list[dict[str, Any]]:
        """Plain data, a look each."""
        return [dataclasses.asdict(moment) for moment in self.moments]

    def svg(self) -> str:
        """The looks as lines over time."""
        from hyplink.stats.history_picture import history_svg

        return history_svg(self.moments)

    def __len__(self) -> int:
        return len(self.moments)

    def __repr__(self) -> str:
        span = self.moments[-1].at - self.moments[0].at if self.moments else 0.0
        return f"<History of {len(self)} looks in {span:.1f} s>"

    def _repr_html_(self) -> str:
        return self.svg()
