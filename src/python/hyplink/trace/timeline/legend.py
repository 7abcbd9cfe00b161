"""The legend of the timeline: only what was drawn."""

from __future__ import annotations

from hyplink.display.canvas import INK, PAPER, Canvas, text_width
from hyplink.trace.timeline.look import ARROWS, MARKS, STATES

__all__ = ["draw_legend"]

_BARS = (
    ("VM running, vlink ON", ("RUNNING", "ON")),
    ("booting, stopping, RESET", ("BOOTING", "STOPPING", "RESET")),
    ("off", ("OFF",)),
    ("dead", ("DEAD",)),
    ("application alive", ("ALIVE",)),
)
_WORDS = {
    "woke": "batch: its XIRQ woke the server",
    "sent": "batch: XIRQ sent, nobody slept",
    "awake": "batch: no XIRQ, the server was awake",
    "answer": "answer to a call",
    "xirq": "XIRQ between kernels",
    "death": "death",
    "epipe": "EPIPE",
    "corrupt": "corrupt",
    "forced": "taken OFF by the hypervisor",
    "abort": "session aborted",
    "kernel": "session or channel opened, closed",
    "mark": "mark",
    "call": "call waiting",
    "tick": "notify, receive, reply",
    "cut": "idle time cut out, its length above",
}
_ROW = 18.0


def draw_legend(canvas: Canvas, used: set[str], left: float, right: float, y: float) -> float:
    """Draw it in rows from ``y``; returns where it ends."""
    x = left
    for words, states in _BARS:
        if used & set(states):
            x, y = _step(x, y, words, left, right)
            canvas.rect(x, y - 9, x + 20, 10, STATES[states[0]][0])
            x = _write(canvas, x, y, words)
    for name in (*reversed(ARROWS), "call", "tick", *MARKS, "cut"):
        if name not in used:
            continue
        words = _WORDS[name]
        x, y = _step(x, y, words, left, right)
        _sample(canvas, name, x, y)
        x = _write(canvas, x, y, words)
    return y


def _step(x: float, y: float, words: str, left: float, right: float) -> tuple[float, float]:
    fits = x + 26 + text_width(words, 10) <= right
    return (x, y) if fits else (left, y + _ROW)


def _write(canvas: Canvas, x: float, y: float, words: str) -> float:
    canvas.text(x + 26, y, words, size=10, fill=INK)
    return x + 26 + text_width(words, 10) + 16


def _sample(canvas: Canvas, name: str, x: float, y: float) -> None:
    if name in ARROWS:
        canvas.path(f"M{x:.1f} {y - 4:.1f}h15", ARROWS[name], width=1.4)
        canvas.path(f"M{x + 20:.1f} {y - 4:.1f}l-6 -2.8v5.6z", fill=ARROWS[name])
    elif name in MARKS:
        shape, fill = MARKS[name]
        canvas.path(shape(x + 10, y - 4), PAPER, width=0.8, fill=fill)
    elif name == "call":
        canvas.rect(x, y - 7, x + 20, 6, "#c4b5fd")
    elif name == "tick":
        canvas.path(f"M{x + 5:.1f} {y - 9:.1f}v10m5 -10v10m5 -10v10", "#334155")
    else:
        for dx in (4.0, 16.0):
            canvas.path(f"M{x + dx:.1f} {y - 10:.1f}l2.5 3l-2.5 3l2.5 3l-2.5 3", "#94a3b8")
