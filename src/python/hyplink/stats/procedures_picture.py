"""Procedures as bars: how often each was asked for, and how long its calls took."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from hyplink.display.canvas import INK, SOFT, Canvas, text_width
from hyplink.units import duration

if TYPE_CHECKING:
    from hyplink.stats.procedures import ProcedureStats

__all__ = ["procedures_svg"]

_MOST = 24
_ROW, _BAR, _PAD = 20.0, 12.0, 12.0
_COUNT, _MEAN = "#0ea5e9", "#f59e0b"


def procedures_svg(
    rows: Sequence[ProcedureStats], names: Mapping[int, str], *, width: float = 720
) -> str:
    """The busiest procedures, one line each: a bar for its requests, another for a call's time."""
    canvas = Canvas(width)
    shown = list(rows[:_MOST])
    labels = [names.get(row.proc, f"{row.group}.{row.ordinal}") for row in shown]
    left = min(width * 0.4, max([text_width(label, 11) for label in labels] or [0]) + 2 * _PAD)
    numbers = 96.0
    room = (width - left - _PAD - 2 * numbers) / 2
    time_at = left + room + numbers
    canvas.text(left, 16, "requests", size=10, fill=SOFT)
    canvas.text(time_at, 16, "a call takes (mean)", size=10, fill=SOFT)
    most = max((row.requests for row in shown), default=0)
    slowest = max((row.latency_mean_ns for row in shown), default=0.0)
    y = 26.0
    for row, label in zip(shown, labels, strict=True):
        base = y + _BAR - 2
        canvas.text(left - 6, base, label, anchor="end", fill=INK)
        tip = f"{label}: {row.requests:,} requests, {row.bytes:,} bytes"
        end = left + (room * row.requests / most if most else 0)
        canvas.rect(left, y, max(end, left + 1), _BAR, _COUNT, title=tip)
        canvas.text(end + 4, base, f"{row.requests:,}", size=10, fill=SOFT)
        if row.latency_count:
            mean = row.latency_mean_ns
            end = time_at + (room * mean / slowest if slowest else 0)
            tip = f"{label}: {row.latency_count:,} timed, at most {duration(row.latency_max_ns)}"
            canvas.rect(time_at, y, max(end, time_at + 1), _BAR, _MEAN, title=tip)
            canvas.text(end + 4, base, duration(mean), size=10, fill=SOFT)
        y += _ROW
    if len(rows) > _MOST:
        canvas.text(left, y + 10, f"and {len(rows) - _MOST} more", size=10, fill=SOFT)
        y += _ROW
    return canvas.finish(y + _PAD / 2, f"{len(rows)} procedures")
