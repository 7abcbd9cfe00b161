"""The measured figures as pictures: a line a mechanism, all on one logarithmic scale."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterable, Sequence

from hyplink.compare.rows import Baseline, Row
from hyplink.display.canvas import INK, SOFT, Canvas, text_width

__all__ = ["Figure", "Mark", "Picture", "deaths", "latencies", "throughput"]

_LINE, _TOP, _WIDTH = 26.0, 58.0, 720.0
_AWAKE, _ASLEEP, _DEATH, _SPEED = "#0ea5e9", "#f97316", "#dc2626", "#16a34a"


@dataclasses.dataclass(frozen=True)
class Mark:
    """One figure of a mechanism: a dot, or of several the middle one."""

    value: float
    colour: str
    title: str
    small: bool = False


@dataclasses.dataclass(frozen=True)
class Figure:
    """A line: a mechanism, its marks, and what is written behind them."""

    name: str
    marks: Sequence[Mark]
    said: str


@dataclasses.dataclass(frozen=True)
class Picture:
    """Draws itself in a notebook; ``svg`` is the text."""

    svg: str

    def _repr_svg_(self) -> str:
        return self.svg


def _unit(value: float, unit: str) -> str:
    return f"{value:g} {unit}"


def draw(title: str, unit: str, legend: Sequence[tuple[str, str]], lines: Sequence[Figure]) -> str:
    """The picture. A mechanism without a figure has its line all the same, and says why."""
    canvas = Canvas(_WIDTH)
    left = max((text_width(line.name, 11) for line in lines), default=0.0) + 24
    right = _WIDTH - max((text_width(line.said, 10) for line in lines), default=0.0) - 16
    values = [mark.value for line in lines for mark in line.marks] or [1.0]
    low, high = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))
    high = max(high, low + 1)

    def at(value: float) -> float:
        return left + (right - left) * (math.log10(value) - low) / (high - low)

    canvas.text(12, 18, title, size=13, bold=True)
    x = 12.0
    for colour, word in legend:
        canvas.rect(x, 28, x + 10, 10, colour)
        canvas.text(x + 15, 37, word, size=10, fill=SOFT)
        x += 30 + text_width(word, 10)
    bottom = _TOP + _LINE * len(lines)
    for decade in range(low, high + 1):
        x = at(10.0**decade)
        canvas.path(f"M{x:.1f} {_TOP - 6:.1f}V{bottom:.1f}", "#e2e8f0")
        canvas.text(x, bottom + 14, _unit(10.0**decade, unit), size=10, fill=SOFT, anchor="middle")
    for number, line in enumerate(lines):
        y = _TOP + _LINE * number + _LINE / 2
        canvas.text(12, y + 4, line.name, size=11, fill=INK)
        canvas.text(_WIDTH - 8, y + 4, line.said, size=10, fill=SOFT, anchor="end")
        for mark in line.marks:
            x, r = at(mark.value), 2.2 if mark.small else 5.0
            canvas.path(
                f"M{x - r:.1f} {y:.1f}a{r} {r} 0 1 0 {2 * r} 0a{r} {r} 0 1 0 {-2 * r} 0",
                fill=mark.colour,
                title=mark.title,
                more='fill-opacity="0.35"' if mark.small else "",
            )
    return canvas.finish(bottom + 24, title)


def _lines(rows: Iterable[Row], of: Callable[[Row], tuple[list[Mark], str]]) -> list[Figure]:
    return [Figure(row.name, *(([], row.missing) if row.missing else of(row))) for row in rows]


def latencies(rows: Iterable[Row], baseline: Baseline) -> Picture:
    """What each mechanism adds to the latency between two bare processes."""

    def of(row: Row) -> tuple[list[Mark], str]:
        marks, said = [], []
        for name, colour, value, bare in (
            ("awake", _AWAKE, row.awake_ns, baseline.awake_ns),
            ("asleep", _ASLEEP, row.asleep_ns, baseline.asleep_ns),
        ):
            if value is None:
                said.append("wakes nobody")
            elif value <= bare:
                said.append("nothing")
            else:
                added = (value - bare) / 1e3
                marks.append(Mark(added, colour, f"{row.name} {name}: {added:.2f} µs"))
                said.append(f"{added:.1f}")
        return marks, " / ".join(said) + " µs"

    legend = [(_AWAKE, "both sides awake"), (_ASLEEP, "both asleep")]
    return Picture(
        draw("Latency above two bare processes, one way", "µs", legend, _lines(rows, of))
    )


def deaths(rows: Iterable[Row]) -> Picture:
    """From SIGKILL of the peer's VM to the return of who waits for it."""

    def of(row: Row) -> tuple[list[Mark], str]:
        found = sorted(taken / 1e6 for taken in row.deaths_ns)
        if not found:
            return [], "nobody was killed"
        middle = found[len(found) // 2]
        marks = [Mark(taken, _DEATH, f"{taken:.2f} ms", small=True) for taken in found]
        marks.append(Mark(middle, _DEATH, f"{row.name}: median of {len(found)}: {middle:.2f} ms"))
        return marks, f"{middle:.2f} ms, worst {found[-1]:.2f}"

    legend = [(_DEATH, "each kill, and the median")]
    return Picture(draw("Death of the peer to notification", "ms", legend, _lines(rows, of)))


def throughput(rows: Iterable[Row]) -> Picture:
    """Bytes per second, beside the copies that each of them is moved with."""

    def of(row: Row) -> tuple[list[Mark], str]:
        if not row.bytes_per_s:
            return [], ""
        speed = row.bytes_per_s / 1e6
        said = f"{speed:,.0f} MB/s, copies: {row.copies:.2g}, {row.sync}"
        return [Mark(speed, _SPEED, f"{row.name}: {speed:,.0f} MB/s")], said

    legend = [(_SPEED, "pieces of 64 KiB where it has such")]
    return Picture(draw("Throughput", "MB/s", legend, _lines(rows, of)))
