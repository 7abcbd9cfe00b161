"""Tables as text and as HTML."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

__all__ = ["html_of", "html_table", "text_table"]


def text_table(head: Sequence[str], rows: Sequence[Sequence[str]], left: int = 1) -> str:
    """Columns of equal width; the first ``left`` columns are aligned left, numbers right."""
    widths = [max(len(row[i]) for row in (head, *rows)) for i in range(len(head))]

    def line(row: Sequence[str]) -> str:
        cells = [
            f"{cell:<{width}}" if i < left else f"{cell:>{width}}"
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        return "  ".join(cells).rstrip()

    return "\n".join([line(head), *(line(row) for row in rows)])


def html_table(head: Sequence[str], rows: Sequence[Sequence[str]], note: str = "") -> str:
    """A small table for Jupyter."""
    top = "".join(f"<th>{escape(cell)}</th>" for cell in head)
    body = "".join(
        "<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows
    )
    below = f"<caption>{escape(note)}</caption>" if note else ""
    return (
        '<div style="max-width:100%;overflow-x:auto"><table>'
        f"{below}<thead><tr>{top}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def html_of(what: str, facts: Mapping[str, str]) -> str:
    """One thing for Jupyter: what it is, and what is to be said of it side by side."""
    return html_table(list(facts), [list(facts.values())], what)
