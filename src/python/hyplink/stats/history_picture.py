"""Counters over time as panels of lines, all on one time axis."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from hyplink.display.canvas import INK, SOFT, Canvas
from hyplink.units import size

if TYPE_CHECKING:
    from hyplink.stats.moments import Moment

__all__ = ["history_svg"]

_PANEL, _GAP, _LEFT, _RIGHT = 64.0, 26.0, 12.0, 72.0


def _count(value: float) -> str:
    return f"{value:,.0f}"


def _rate(value: float) -> str:
    return f"{value:,.0f}/s" if value >= 10 or value == 0 else f"{value:.1f}/s"


#: Title, colour, value of a look, how it is written.
_PANELS: list[tuple[str, str, Callable[[Moment], float], Callable[[float], str]]] = [
    ("requests stacked", "#0ea5e9", lambda m: m.stacked, _count),
    ("PMEM in use", "#8b5cf6", lambda m: m.pmem, lambda v: size(int(v))),
    ("requests", "#16a34a", lambda m: m.requests, _rate),
    ("XIRQs", "#f97316", lambda m: m.xirqs, _rate),
    ("waits for room", "#dc2626", lambda m: m.full_events, _rate),
]


def history_svg(moments: Sequence[Moment], *, width: float = 720) -> str:
    """A panel for each figure; the number at its right is the largest there was."""
    canvas = Canvas(width)
    right = width - _RIGHT
    start = moments[0].at if moments else 0.0
    span = (moments[-1].at - start if moments else 0.0) or 1.0
    y = 22.0
    for title, colour, value, written in _PANELS:
        values = [value(moment) for moment in moments]
        top = max(values, default=0.0)
        canvas.text(_LEFT, y - 6, title, size=11, fill=INK)
        bottom = y + _PANEL
        canvas.path(f"M{_LEFT:.1f} {bottom:.1f}H{right:.1f}", "#cbd5e1")
        points = [
            (
                _LEFT + (right - _LEFT) * (moment.at - start) / span,
                bottom - (_PANEL - 4) * (figure / top if top else 0.0),
            )
            for moment, figure in zip(moments, values, strict=True)
        ]
        if points:
            line = "L".join(f"{x:.1f} {at:.1f}" for x, at in points)
            area = f"M{points[0][0]:.1f} {bottom:.1f}L{line}L{points[-1][0]:.1f} {bottom:.1f}z"
            canvas.path(area, fill=colour, more='fill-opacity="0.15"')
            canvas.path(f"M{line}", colour, width=1.5, title=title)
        canvas.text(right + 6, y + 10, written(top), size=10, fill=SOFT, title="the most there was")
        y = bottom + _GAP
    canvas.text(_LEFT, y - 8, "0 s", size=10, fill=SOFT)
    canvas.text(right, y - 8, f"{span:.3g} s", size=10, fill=SOFT, anchor="end")
    return canvas.finish(y, f"{len(moments)} looks")
