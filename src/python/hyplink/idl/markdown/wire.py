"""Where each byte of a block lies, as a table."""

from __future__ import annotations

from hyplink.idl.expr_text import size_text
from hyplink.idl.layout import part_bytes
from hyplink.idl.markdown.signature import limits, type_text
from hyplink.idl.model import Block, Model, Slot

__all__ = ["table", "wire_table"]

_CELLS = {"|": "\\|", "\n": " "}


def table(head: list[str], rows: list[list[str]]) -> list[str]:
    """A Markdown table."""
    if not rows:
        return []

    def line(cells: list[str]) -> str:
        for old, new in _CELLS.items():
            cells = [cell.replace(old, new) for cell in cells]
        return f"| {' | '.join(cells)} |"

    return [line(head), line(["---"] * len(head)), *(line(row) for row in rows), ""]


def wire_table(model: Model, block: Block) -> list[str]:
    """Fixed part by offset, then the parts in their order."""
    rows: list[tuple[int, list[str]]] = []
    for slot in block.slots:
        size = (32 if slot.large else 8) if slot.is_part else slot.type.size * max(1, slot.count)
        rows.append(
            (slot.offset, [f"{slot.offset}", f"{size}", f"`{slot.name}`", _what(model, slot)])
        )
    for at, size in block.pads:
        rows.append((at, [f"{at}", f"{size}", "", "zero"]))
    lines = [cells for _, cells in sorted(rows, key=lambda row: row[0])]
    for number, slot in enumerate(block.parts, start=1):
        most = f"≤ {part_bytes(slot):,}"
        lines.append([f"part {number}", most, f"`{slot.name}`", _part(model, slot)])
    return table(["offset", "bytes", "name", "what"], lines)


def _what(model: Model, slot: Slot) -> str:
    if slot.is_part:
        large = f", buffer reference from {size_text(slot.large)} on" if slot.large else ""
        return f"place of its part: u32 offset, u32 length{large}"
    kind = type_text(model, slot)
    if slot.count:
        kind = f"{slot.count} × {kind}"
    return f"{kind} {limits(slot)}".rstrip()


def _part(model: Model, slot: Slot) -> str:
    kind = type_text(model, slot)
    texts = {
        "string": "text, NUL behind it",
        "bytes": "bytes",
        "optional": f"one {kind}, or absent",
        "table": f"table {kind}: u32 size, then its fields",
        "nested": f"places, then an inner part of {kind} for each",
    }
    text = texts.get(slot.form, f"{kind} × length")
    return f"{text}; padded with zeros to 8" + (" (absent: 0, 0)" if slot.nullable else "")
