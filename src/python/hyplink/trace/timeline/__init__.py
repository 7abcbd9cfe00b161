"""The timeline of a trace as a picture: lanes per VM, link end and application."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from pathlib import Path

from hyplink.display.canvas import INK, PAPER, SOFT, Canvas, text_width
from hyplink.display.scale import Scale
from hyplink.trace.events import Event, EventKind, Names
from hyplink.trace.timeline.lanes import TRAFFIC, Arrow, Lane, Lanes
from hyplink.trace.timeline.legend import draw_legend
from hyplink.trace.timeline.look import ARROWS, HEIGHTS, MARKS, STATES
from hyplink.units import count, duration

__all__ = ["Timeline"]

_MARGIN, _TOP, _GROUP_GAP = 16.0, 74.0, 12.0
#: Arrows that start within so many pixels are drawn as one.
_BIN = 6.0


class Timeline:
    """A picture that Jupyter shows and `save` writes.

    Args:
        events: What to draw, in the order of time.
        names: Of the board, its VMs and vlinks.
        width: Of the picture, in pixels; at least 640.
    """

    def __init__(self, events: Sequence[Event], names: Names, width: int = 1200) -> None:
        self._events, self._names = events, names
        self.width = max(640, width)

    def to_svg(self) -> str:
        """The picture as SVG."""
        return _Drawing(self._events, self._names, self.width).draw()

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write an SVG file."""
        Path(path).write_text(self.to_svg(), encoding="utf-8")

    def _repr_svg_(self) -> str:
        return self.to_svg()

    def __repr__(self) -> str:
        return f"<Timeline of {count(len(self._events), 'event')}>"


class _Drawing:
    """One drawing of one timeline."""

    def __init__(self, events: Sequence[Event], names: Names, width: float) -> None:
        self._events, self._names = events, names
        self._lanes = Lanes(events, names)
        self._canvas = Canvas(width)
        labels = [text_width(lane.label, 12) for lane in self._lanes]
        self._left = _MARGIN + max([80.0, *labels]) + 26
        self._right = width - _MARGIN
        moments = [(event.time_ns, event.kind in TRAFFIC) for event in events]
        self._scale = Scale(sorted(moments), self._left, self._right)
        self._used: set[str] = set()
        self._tops: dict[object, float] = {}
        y = _TOP
        for lane in self._lanes:
            y += _GROUP_GAP if lane.kind == "vm" and y > _TOP else 0
            self._tops[lane.key] = y
            y += HEIGHTS[lane.kind]
        self._bottom = y

    def draw(self) -> str:
        self._heading()
        self._grid()
        for lane in self._lanes:
            middle = self._tops[lane.key] + HEIGHTS[lane.kind] / 2
            for mark in lane.marks:
                x = self._scale.x(mark.time)
                self._canvas.reserve(x - 6, middle - 6, x + 6, middle + 6)
        for lane in self._lanes:
            self._lane(lane)
        self._cuts()
        self._arrows()
        for lane in self._lanes:
            self._marks(lane)
        y = draw_legend(self._canvas, self._used, self._left, self._right, self._bottom + 46)
        for words in self._lanes.left_out:
            self._canvas.text(self._left, y + 14, f"not shown: {words}", fill=SOFT)
            y += 16
        return self._canvas.finish(y + 14, self._title())

    # --- around the lanes ----------------------------------------------------------------------

    def _title(self) -> str:
        board = self._names.board
        return f"Timeline of {board or 'a bench'}"

    def _heading(self) -> None:
        events, lanes = self._events, self._lanes
        self._canvas.text(_MARGIN, 26, self._title(), size=16, bold=True)
        notifies = [event for event in events if event.kind is EventKind.NOTIFY]
        facts = [count(len(events), "event"), duration(lanes.end - lanes.start)]
        if notifies:
            facts.append(count(sum(event.b for event in notifies), "request"))
            sent = sum(event.c & 1 for event in notifies)
            woke = sum(bool(event.c & 2) for event in notifies)
            batches = count(len(notifies), "batch")
            facts.append(f"{batches}, {sent:,} with an XIRQ, {woke:,} woke the server")
        self._canvas.text(_MARGIN, 44, " · ".join(facts), size=11, fill=SOFT)

    def _grid(self) -> None:
        """Ticks below, cuts through everything; each block shaded by turns."""
        canvas, top, bottom = self._canvas, _TOP - 4, self._bottom + 4
        for index, block in enumerate(self._scale.blocks):
            if index % 2 == 0:
                canvas.rect(block.x0, top, block.x1, bottom - top, "#f8fafc")
        unit, factor = _unit(self._lanes.end - self._lanes.start)
        for x, time in self._scale.ticks(58, self._lanes.start):
            text = _number(time / factor)
            written = canvas.text(x, bottom + 16, text, size=10, fill=INK, anchor="middle")
            canvas.path(f"M{x:.1f} {top:.1f}V{bottom + (5 if written else 2):.1f}", "#e2e8f0")
        canvas.path(f"M{self._left:.1f} {bottom:.1f}H{self._right:.1f}", SOFT)
        canvas.text(self._left - 10, bottom + 16, f"time, {unit}", size=10, fill=SOFT, anchor="end")

    def _cuts(self) -> None:
        """Idle time that is left out: a torn gap, its length above."""
        canvas, top, bottom = self._canvas, _TOP - 4, self._bottom + 4
        blocks = self._scale.blocks
        for before, block in zip([blocks[0], *blocks], blocks, strict=False):
            if not block.cut:
                continue
            self._used.add("cut")
            x0, x1 = before.x1 + 3, block.x0 - 3
            canvas.reserve(x0, top, x1, bottom)
            canvas.rect(x0, top, x1, bottom - top, PAPER, title=f"{duration(block.cut)} of nothing")
            for x in (x0, x1):
                step = (bottom - top) / max(2, round((bottom - top) / 8))
                way = [f"M{x:.1f} {top:.1f}"]
                for i in range(round((bottom - top) / step)):
                    way.append(f"l{2.5 if i % 2 == 0 else -2.5} {step:.2f}")
                canvas.path("".join(way), "#94a3b8")
            middle = (x0 + x1) / 2
            canvas.text(middle, top - 5, duration(block.cut), size=9, fill=SOFT, anchor="middle")

    # --- lanes ---------------------------------------------------------------------------------

    def _lane(self, lane: Lane) -> None:
        canvas, y, height = self._canvas, self._tops[lane.key], HEIGHTS[lane.kind]
        vm = lane.kind == "vm"
        canvas.text(
            _MARGIN + (0 if vm else 14),
            y + height / 2 + 4,
            lane.label,
            size=12 if vm else 11,
            bold=vm,
            fill=INK if vm else SOFT,
        )
        canvas.path(f"M{self._left:.1f} {y + height / 2:.1f}H{self._right:.1f}", "#e2e8f0")
        pad = {"vm": 3.0, "end": 4.0, "app": 8.0}[lane.kind]
        for bar in lane.bars:
            x0, x1 = self._scale.x(bar.start), self._scale.x(bar.end)
            fill, ink = STATES.get(bar.state, STATES[""])
            title = f"{lane.label}: {bar.state} for {duration(bar.end - bar.start)}"
            canvas.rect(x0, y + pad, x1, height - 2 * pad, fill, title=title)
            self._used.add(bar.state)
            self._bar_text(x0, x1, y + height / 2, bar.state, ink)
        self._busy(lane, y, height)

    def _bar_text(self, x0: float, x1: float, y: float, state: str, ink: str) -> None:
        """The state's name once in every block that has room for it, where no cut covers it."""
        if state in ("ALIVE", ""):
            return
        need = text_width(state, 9) + 8
        for block in self._scale.blocks:
            left, right = max(x0, block.x0), min(x1, block.x1)
            room = right - left - need
            for part in (0.5, 0.0, 1.0, 0.25, 0.75) if room >= 0 else ():
                x = left + need / 2 + room * part
                if self._canvas.text(x, y + 3.2, state, size=9, fill=ink, anchor="middle"):
                    return

    def _busy(self, lane: Lane, y: float, height: float) -> None:
        """Ticks and calls, one a pixel: thousands become a band."""
        for kind, spans in (("call", lane.calls), ("tick", [(t, t) for t in lane.ticks])):
            done: set[tuple[int, int]] = set()
            way = []
            for since, until in spans:
                x0, x1 = round(self._scale.x(since)), round(self._scale.x(until))
                if (x0, x1) in done:
                    continue
                done.add((x0, x1))
                if kind == "tick":
                    way.append(f"M{x0} {y + 8:.0f}v{height - 16:.0f}")
                else:
                    way.append(
                        f"M{x0} {y + height / 2 - 3:.0f}h{max(1, x1 - x0)}v6h-{max(1, x1 - x0)}z"
                    )
            if way and kind == "tick":
                self._used.add("tick")
                title = f"{lane.label}: {count(len(lane.ticks), 'event')} of its channels"
                self._canvas.path("".join(way), "#334155", title=title, more='stroke-opacity="0.7"')
            elif way:
                self._used.add("call")
                title = count(len(lane.calls), "call")
                self._canvas.path("".join(way), fill="#c4b5fd", title=title)

    def _marks(self, lane: Lane) -> None:
        y, height = self._tops[lane.key], HEIGHTS[lane.kind]
        drawn: set[tuple[int, str]] = set()
        for mark in lane.marks:
            x = self._scale.x(mark.time)
            if (round(x / 3), mark.kind) in drawn:
                continue
            drawn.add((round(x / 3), mark.kind))
            self._used.add(mark.kind)
            shape, fill = MARKS[mark.kind]
            middle = y + height / 2
            self._canvas.path(shape(x, middle), PAPER, width=0.8, fill=fill, title=mark.title)
            if mark.label:
                self._beside(x, middle, mark.label, fill)

    def _beside(self, x: float, y: float, text: str, fill: str) -> None:
        canvas, wide = self._canvas, text_width(text, 10) * 1.06
        for dx, anchor in ((8.0, "start"), (-8.0, "end"), (0.0, "middle")):
            for dy in (3.5, -9.5, 17.0):
                left = x + dx - {"start": 0, "end": wide, "middle": wide / 2}[anchor]
                if left < self._left or left + wide > self._right:
                    continue
                if canvas.is_free((left, y + dy - 10, left + wide, y + dy + 3)):
                    # The width is a generous guess: keep the paper close to the fixed side.
                    air = {"start": (0.0, 0.07), "end": (0.07, 0.0), "middle": (0.035, 0.035)}[
                        anchor
                    ]
                    x0, x1 = left - 2 + air[0] * wide, left + wide + 2 - air[1] * wide
                    canvas.rect(x0, y + dy - 9, x1, 12, PAPER, more='opacity="0.85"')
                    if canvas.text(
                        x + dx, y + dy, text, size=10, fill=fill, anchor=anchor, bold=True
                    ):
                        return

    # --- arrows --------------------------------------------------------------------------------

    def _arrows(self) -> None:
        bins: dict[tuple[object, ...], list[Arrow]] = {}
        for arrow in self._lanes.arrows:
            place = int(self._scale.x(arrow.left) / _BIN)
            bins.setdefault((arrow.kind, arrow.source, arrow.target, place), []).append(arrow)
        order = list(ARROWS)
        for group in sorted(bins.values(), key=lambda group: order.index(group[0].kind)):
            self._arrow(group)

    def _arrow(self, group: Sequence[Arrow]) -> None:
        first = group[0]
        self._used.add(first.kind)
        colour = ARROWS[first.kind]
        down = self._tops[first.target] > self._tops[first.source]
        y0 = self._tops[first.source] + HEIGHTS[str(first.source[0])] * (0.72 if down else 0.28)
        y1 = self._tops[first.target] + HEIGHTS[str(first.target[0])] * (0.28 if down else 0.72)
        x0, x1 = self._scale.x(first.left), self._scale.x(first.arrived)
        requests = sum(arrow.requests for arrow in group)
        title = f"{len(group):,} × {first.kind}" if len(group) > 1 else first.kind
        title += f", {count(requests, 'request')}" if requests else ""
        width = 1.0 + 0.5 * math.log10(len(group))
        length = math.hypot(x1 - x0, y1 - y0) or 1.0
        ux, uy = (x1 - x0) / length, (y1 - y0) / length
        bx, by = x1 - 6 * ux, y1 - 6 * uy
        self._canvas.path(
            f"M{x0:.1f} {y0:.1f}L{bx:.1f} {by:.1f}",
            colour,
            width=width,
            title=title,
            more='stroke-opacity="0.75"',
        )
        self._canvas.path(
            f"M{x1:.1f} {y1:.1f}L{bx - 2.6 * uy:.1f} {by + 2.6 * ux:.1f}"
            f"L{bx + 2.6 * uy:.1f} {by - 2.6 * ux:.1f}z",
            fill=colour,
        )


def _unit(nanoseconds: int) -> tuple[str, float]:
    if nanoseconds >= 10_000_000_000:
        return "s", 1e9
    if nanoseconds >= 1_000_000:
        return "ms", 1e6
    return ("µs", 1e3) if nanoseconds >= 10_000 else ("ns", 1)


def _number(value: float) -> str:
    return f"{value:.3f}".rstrip("0").rstrip(".")
