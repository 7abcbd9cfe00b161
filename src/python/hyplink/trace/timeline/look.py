"""Colours and shapes of the timeline."""

from __future__ import annotations

from collections.abc import Callable

__all__ = ["ARROWS", "HEIGHTS", "MARKS", "STATES"]

#: Pixels of a lane.
HEIGHTS = {"vm": 26.0, "end": 20.0, "app": 34.0}

_OFF, _WAIT, _GOOD, _DEAD = "#cbd5e1", "#fcd34d", "#86efac", "#f87171"
#: State -> (bar, its text).
STATES = {
    "OFF": (_OFF, "#334155"),
    "BOOTING": (_WAIT, "#713f12"),
    "STOPPING": (_WAIT, "#713f12"),
    "RESET": (_WAIT, "#713f12"),
    "RUNNING": (_GOOD, "#14532d"),
    "ON": (_GOOD, "#14532d"),
    "DEAD": (_DEAD, "#450a0a"),
    "ALIVE": ("#e0e7ff", "#1e1b4b"),
    "": ("#e2e8f0", "#334155"),
}
#: In the order they are drawn.
ARROWS = {
    "awake": "#7dd3fc",
    "sent": "#0ea5e9",
    "xirq": "#f97316",
    "answer": "#8b5cf6",
    "woke": "#1d4ed8",
}


def _cross(x: float, y: float) -> str:
    a, b = 2.2, 6.5
    corners = [(0, -a), (b - a, -b), (b, -b + a), (a, 0), (b, b - a), (b - a, b), (0, a)]
    corners += [(-dx, dy) for dx, dy in reversed(corners[1:6])]
    return "M" + "L".join(f"{x + dx:.1f} {y + dy:.1f}" for dx, dy in corners) + "z"


def _diamond(x: float, y: float) -> str:
    return f"M{x:.1f} {y - 4.5:.1f}l3.5 4.5l-3.5 4.5l-3.5 -4.5z"


def _square(x: float, y: float) -> str:
    return f"M{x - 4:.1f} {y - 4:.1f}h8v8h-8z"


def _triangle(x: float, y: float) -> str:
    return f"M{x:.1f} {y - 5:.1f}l5 9h-10z"


#: Mark -> (shape at a place, colour).
MARKS: dict[str, tuple[Callable[[float, float], str], str]] = {
    "death": (_cross, "#b91c1c"),
    "epipe": (_square, "#b91c1c"),
    "corrupt": (_triangle, "#b91c1c"),
    "forced": (_triangle, "#c2410c"),
    "abort": (_diamond, "#b91c1c"),
    "kernel": (_diamond, "#475569"),
    "mark": (_triangle, "#0f766e"),
}
