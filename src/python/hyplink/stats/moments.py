"""One look at the counters of a bench."""

from __future__ import annotations

import dataclasses

__all__ = ["Moment"]


@dataclasses.dataclass(frozen=True, slots=True)
class Moment:
    """One look. Gauges are sums over the channels; rates are since the look before."""

    at: float
    stacked: int
    pmem: int
    requests: float = 0.0
    notifies: float = 0.0
    xirqs: float = 0.0
    full_events: float = 0.0
