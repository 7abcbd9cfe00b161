"""The table of what was found, as text, HTML, JSON and pictures."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

from hyplink.compare import picture
from hyplink.compare.claims import CLAIMS
from hyplink.compare.picture import Picture
from hyplink.compare.rows import Baseline, Row
from hyplink.display.tables import html_table, text_table

__all__ = ["Table"]


_HEAD = (
    "mechanism",
    "ends",
    "copies",
    "depends on",
    "sender",
    "awake +µs",
    "asleep +µs",
    "death ms",
    "worst",
    "MB/s",
)

#: Processors that must be free for the awake latencies, less what a quiet machine does.
_FREE = 1.5
_CROWDED = (
    " Awake latencies need two free processors; with this load they are partly the scheduler's."
)


@dataclasses.dataclass(frozen=True)
class Table:
    """The measured table."""

    rows: tuple[Row, ...]
    baseline: Baseline
    machine: dict[str, Any]

    def __getitem__(self, name: str) -> Row:
        return next(row for row in self.rows if row.name == name)

    def __iter__(self) -> Iterator[Row]:
        return iter(self.rows)

    def __len__(self) -> int:
        return len(self.rows)

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "machine": self.machine | {"crowded": self.is_crowded},
            "baseline": dataclasses.asdict(self.baseline),
            "rows": [row.to_dict() for row in self.rows],
        }

    @property
    def is_crowded(self) -> bool:
        """Whether two sides that both look all the time had to share a processor with something else."""
        return bool(self.machine["cores"] - self.machine["load"] < _FREE)

    def _measured(self, row: Row) -> list[str]:
        deaths = sorted(row.deaths_ns)
        return [
            row.name,
            row.ends,
            "" if row.copies is None else f"{row.copies:.2g}",
            ", ".join(row.depends),
            row.sync,
            _above(row.awake_ns, self.baseline.awake_ns),
            _above(row.asleep_ns, self.baseline.asleep_ns),
            f"{deaths[len(deaths) // 2] / 1e6:.2f}" if deaths else "",
            f"{deaths[-1] / 1e6:.2f}" if deaths else "",
            f"{row.bytes_per_s / 1e6:.0f}" if row.bytes_per_s else "",
        ]

    def _claimed(self, row: Row) -> list[str]:
        claim = CLAIMS[row.name]
        said = [claim.ends, claim.copies, claim.depends, claim.sync, claim.latency]
        return ["  the document", *said, *[""] * (len(_HEAD) - 1 - len(said))]

    def _lines(self) -> Iterator[list[str]]:
        for row in self.rows:
            if row.missing:
                yield [row.name, row.missing, *[""] * (len(_HEAD) - 2)]
            else:
                yield self._measured(row)
            yield self._claimed(row)

    def _note(self) -> str:
        return (
            f"Two processes, through Python. Bare: {self.baseline.awake_ns / 1e3:.2f} µs one way awake, "
            f"{self.baseline.asleep_ns / 1e3:.1f} µs asleep; the latencies are what comes on top. "
            f"{self.machine['model']}, {self.machine['cores']} processors, load {self.machine['load']:.1f}."
            + (_CROWDED if self.is_crowded else "")
        )

    def latencies(self) -> Picture:
        """A picture: what each adds to the latency of two bare processes."""
        return picture.latencies(self.rows, self.baseline)

    def deaths(self) -> Picture:
        """A picture: how soon the death of the peer is noticed, every kill."""
        return picture.deaths(self.rows)

    def throughput(self) -> Picture:
        """A picture: bytes per second, and the copies behind them."""
        return picture.throughput(self.rows)

    def __str__(self) -> str:
        return text_table(_HEAD, list(self._lines()), left=5) + "\n" + self._note()

    def _repr_html_(self) -> str:
        return html_table(_HEAD, list(self._lines()), self._note())


def _above(value: float | None, base: float) -> str:
    return "" if value is None else f"{(value - base) / 1e3:.1f}"
