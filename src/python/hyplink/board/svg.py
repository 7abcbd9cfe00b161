"""The picture of ``draw.draw_svg``: columns for VMs, rows for what joins them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

from hyplink.board.model import BoardModel
from hyplink.board.rows import Row

__all__ = ["picture"]

_FONT = "font-family=\"'DejaVu Sans', Verdana, 'Segoe UI', Helvetica, Arial, sans-serif\""
_INK, _SOFT, _PAPER = "#1f2933", "#64748b", "#ffffff"
#: State of an end or a VM -> colour. Unknown states are drawn like no state at all.
_COLOURS = {
    "ON": "#15803d",
    "RUNNING": "#15803d",
    "RESET": "#b45309",
    "BOOTING": "#b45309",
    "STOPPING": "#b45309",
    "MIXED": "#b45309",
    "OFF": "#94a3b8",
    "DEAD": "#b91c1c",
}
_STYLE = {"link": "#334155", "memory": "#7c3aed", "grant": "#0369a1"}
_MARGIN, _BOX, _HEAD, _ROW = 24, 96, 52, 40
_LEGEND = (("S", "server"), ("C", "client"), ("M", "maps"), ("X", "exports"), ("I", "imports"))


def _width(text: str, size: float = 12) -> float:
    """A generous guess; browsers differ, and too much room is better than an overlap."""
    return sum(1.0 if ord(ch) > 0x2000 else 0.64 for ch in text) * size


def _columns(board: BoardModel, rows: Sequence[Row]) -> dict[int, float]:
    """The middle of each VM's column: far enough apart for every label that must fit between."""
    places: dict[int, float] = {}
    extra: dict[int, float] = {}
    ids = [vm.id for vm in board.vms]
    boxes = {vm.id: max(_BOX, _width(vm.name, 12) + 24) for vm in board.vms}
    spans: dict[int, list[tuple[int, float]]] = {}
    order = {vm: i for i, vm in enumerate(ids)}
    for row in rows:
        ends = sorted({vm for vm, _, _ in row.marks}, key=order.__getitem__)
        if len(ends) == 1:
            extra[ends[0]] = max(extra.get(ends[0], 0), _width(row.text) + 56)
        else:
            # A label stands in the first gap, so that it never lies on another VM's line.
            spans.setdefault(ends[1], []).append((ends[0], _width(row.text) + 44))
            after = ids[order[ends[0]] + 1]
            spans.setdefault(after, []).append((ends[0], _width(row.text) + 44))
    last: int | None = None
    for vm in ids:
        x = _MARGIN + boxes[vm] / 2
        if last is not None:
            x = places[last] + max(
                boxes[last] / 2 + 24 + boxes[vm] / 2, extra.get(last, 0) + boxes[vm] / 4
            )
        for other, room in spans.get(vm, ()):
            x = max(x, places[other] + room)
        places[vm] = x
        last = vm
    return places


def _text(x: float, y: float, text: str, size: float, fill: str, more: str = "") -> str:
    return (
        f'<text x="{x:.0f}" y="{y:.0f}" font-size="{size:g}" fill="{fill}" {more}>'
        f"{escape(text)}</text>"
    )


def _mark(x: float, y: float, letter: str, colour: str) -> str:
    hollow = letter in "CI"
    fill, ink = (_PAPER, colour) if hollow else (colour, _PAPER)
    shape = (
        f'<rect x="{x - 8:.0f}" y="{y - 8:.0f}" width="16" height="16" rx="3"'
        if letter == "M"
        else f'<circle cx="{x:.0f}" cy="{y:.0f}" r="9"'
    )
    return f'{shape} fill="{fill}" stroke="{colour}" stroke-width="2"/>' + _text(
        x, y + 3.6, letter, 10, ink, 'text-anchor="middle" font-weight="bold"'
    )


def _row(row: Row, y: float, places: Mapping[int, float]) -> str:
    colour = _STYLE[row.style]
    states = [state for _, _, state in row.marks]
    line = colour
    if row.style == "link" and any(states):
        line = _COLOURS["ON"] if all(s == "ON" for s in states) else _COLOURS["OFF"]
    dash = ' stroke-dasharray="6 4"' if row.style == "grant" else ""
    xs = [places[vm] for vm, _, _ in row.marks]
    out = [f"<g><title>{escape(row.tooltip)}</title>"]
    if len(set(xs)) == 1 and len(xs) > 1:
        # Both ends in one VM: a loop to the right of its line.
        x = xs[0]
        out.append(
            f'<path d="M{x:.0f} {y - 9:.0f} h18 a9 9 0 0 1 0 18 h-18" fill="none" stroke="{line}" '
            f'stroke-width="2"{dash}/>'
        )
        out.append(_text(x + 34, y + 4, row.text, 12, _INK))
        for (_, letter, state), at in zip(row.marks, (y - 9, y + 9), strict=False):
            out.append(_mark(x, at, letter, _COLOURS.get(state, colour)).replace('r="9"', 'r="8"'))
    else:
        left, right = min(xs), max(xs)
        if left == right:
            out.append(_text(left + 16, y + 4, row.text, 12, _INK))
        else:
            out.append(
                f'<line x1="{left:.0f}" y1="{y:.0f}" x2="{right:.0f}" y2="{y:.0f}" '
                f'stroke="{line}" stroke-width="2"{dash}/>'
            )
            later = sorted(x for x in places.values() if x > left)
            middle = (left + later[0]) / 2
            out.append(_text(middle, y - 6, row.text, 12, _INK, 'text-anchor="middle"'))
        for x, (_, letter, state) in zip(xs, row.marks, strict=True):
            out.append(_mark(x, y, letter, _COLOURS.get(state, colour)))
    return "".join([*out, "</g>"])


def _legend(rows: Sequence[Row], y: float) -> tuple[str, float]:
    letters = {letter for row in rows for _, letter, _ in row.marks}
    style = {"S": "link", "C": "link", "M": "memory", "X": "grant", "I": "grant"}
    x, out = _MARGIN + 9.0, []
    for letter, word in _LEGEND:
        if letter in letters:
            out.append(_mark(x, y, letter, _STYLE[style[letter]]))
            out.append(_text(x + 14, y + 4, word, 11, _SOFT))
            x += 14 + _width(word, 11) + 26
    return "".join(out), x


def picture(board: BoardModel, rows: Sequence[Row], states: Mapping[int, str]) -> str:
    """The whole picture."""
    places = _columns(board, rows)
    bottom = _MARGIN + _HEAD + 14 + _ROW * len(rows)
    legend, reach = _legend(rows, bottom + 28)
    loops = [
        places[row.marks[0][0]] + _width(row.text) + 40
        for row in rows
        if len({vm for vm, _, _ in row.marks}) == 1
    ]
    right = [places[vm.id] + max(_BOX, _width(vm.name) + 24) / 2 for vm in board.vms]
    width = max([*right, *loops, reach, 160]) + _MARGIN
    height = bottom + (48 if rows else 16)
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height:.0f}" '
        f'width="{width:.0f}" height="{height:.0f}" role="img" {_FONT}>',
        f"<title>{escape(board.name)}</title>",
        f'<rect width="100%" height="100%" rx="8" fill="{_PAPER}"/>',
    ]
    for vm in board.vms:
        x, box = places[vm.id], max(_BOX, _width(vm.name) + 24)
        state = states.get(vm.id, "")
        colour = _COLOURS.get(state, "#475569")
        out.append(
            f'<line x1="{x:.0f}" y1="{_MARGIN + _HEAD}" x2="{x:.0f}" y2="{bottom:.0f}" '
            f'stroke="#cbd5e1" stroke-width="2"/>'
            f'<rect x="{x - box / 2:.0f}" y="{_MARGIN}" width="{box:.0f}" height="{_HEAD}" rx="8" '
            f'fill="#f1f5f9" stroke="{colour}" stroke-width="2"/>'
        )
        middle = 'text-anchor="middle"'
        out.append(_text(x, _MARGIN + 22, f"VM {vm.id}", 15, _INK, middle + ' font-weight="bold"'))
        below = state.lower() if state and vm.name == f"vm{vm.id}" else vm.name
        if state and below == vm.name:
            below = vm.name
            out.append(
                f'<circle cx="{x + box / 2 - 10:.0f}" cy="{_MARGIN + 10}" r="4" fill="{colour}"/>'
            )
        out.append(_text(x, _MARGIN + 41, below, 12, colour if below != vm.name else _SOFT, middle))
    for index, row in enumerate(rows):
        out.append(_row(row, _MARGIN + _HEAD + 32 + _ROW * index, places))
    return "".join([*out, legend, "</svg>"])
