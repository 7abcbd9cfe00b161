"""Neighbouring lines share columns: the ``=`` of each, and the comments behind them."""

from __future__ import annotations

from dataclasses import dataclass, field

__all__ = ["Row", "align"]

#: More blanks than this are no help to the eye.
_SPREAD = 20


@dataclass(slots=True)
class Row:
    """A statement's lines. ``column`` is where a single line may be widened (0: nowhere)."""

    lines: list[str]
    above: list[str] = field(default_factory=list)
    comment: str = ""
    column: int = 0
    group: str = ""


def align(rows: list[Row], width: int) -> list[str]:
    """The lines of all rows."""
    _align_equals(rows, width)
    _align_comments(rows)
    lines: list[str] = []
    for row in rows:
        lines += [*row.above, *row.lines]
    return lines


def _align_equals(rows: list[Row], width: int) -> None:
    group: list[Row] = []

    def flush() -> None:
        target = max((row.column for row in group), default=0)
        for row in group:
            line = row.lines[0]
            blanks = " " * (target - row.column)
            row.lines[0] = line[: row.column] + blanks + line[row.column :]
        group.clear()

    for row in rows:
        if group and (row.above or not row.column or row.group != group[0].group):
            flush()
        if row.column and not _fits([*group, row], width):
            flush()
        if row.column:
            group.append(row)
    flush()


def _fits(group: list[Row], width: int) -> bool:
    columns = [row.column for row in group]
    longest = max(columns)
    return longest - min(columns) <= _SPREAD and all(
        len(row.lines[0]) + longest - row.column <= width for row in group
    )


def _align_comments(rows: list[Row]) -> None:
    group: list[Row] = []

    def flush() -> None:
        ends = [len(row.lines[0]) for row in group]
        for row in group:
            blanks = " " * (max(ends) - len(row.lines[0]))
            row.lines[0] += f"{blanks}  {row.comment}"
        group.clear()

    for row in rows:
        single = len(row.lines) == 1 and bool(row.comment)
        ends = [len(r.lines[0]) for r in [*group, row]]
        if group and (not single or row.above or max(ends) - min(ends) > _SPREAD):
            flush()
        if single:
            group.append(row)
        elif row.comment:
            row.lines[-1] += "  " + row.comment
    flush()
