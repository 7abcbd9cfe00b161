"""Where every field lies: natural alignment, blocks of eight, parts in order of declaration."""

from __future__ import annotations

from hyplink.idl.model import SCALARS, Block, Enum, Model, Slot, Struct, Type
from hyplink.idl.records import dataclass

__all__ = [
    "LARGE_PLACE",
    "TABLE_SLACK",
    "Leaf",
    "align_up",
    "beside",
    "given",
    "is_plain",
    "lay_block",
    "lay_slots",
    "leaves",
    "part_bytes",
    "scratch_bytes",
    "slot_room",
]

#: A place with the umem reference behind it.
LARGE_PLACE = 32
#: How much longer than known here a table may be: what later versions add.
TABLE_SLACK = 1024


def align_up(value: int, to: int) -> int:
    return (value + to - 1) // to * to


def slot_room(slot: Slot) -> tuple[int, int]:
    """Bytes and alignment of a slot in the fixed part."""
    if slot.is_part:
        return (LARGE_PLACE, 8) if slot.large else (8, 4)
    return slot.type.size * max(1, slot.count), slot.type.align


def lay_slots(slots: list[Slot]) -> tuple[list[tuple[int, int]], int, int]:
    """Set the offsets of ``slots``; return the gaps between them, the end and the alignment."""
    pads: list[tuple[int, int]] = []
    at, widest = 0, 1
    for slot in slots:
        size, align = slot_room(slot)
        place = align_up(at, align)
        if place > at:
            pads.append((at, place - at))
        slot.offset = place
        at = place + size
        widest = max(widest, align)
    return pads, at, widest


def part_bytes(slot: Slot) -> int:
    """The most bytes a part takes in its block, inner parts included.

    A nested one: its table of places, then ``max`` elements in up to ``count`` parts, each with its
    NUL and rounded up. A table: what is known here and what a later version may add. A part that
    may travel as a vUmem buffer counts whole: without a buffer it travels here.
    """
    if slot.form == "nested":
        inner = slot.max * slot.type.size + slot.count * (7 + int(slot.text))
        return slot.count * 8 + align_up(inner, 8)
    if slot.form == "table":
        return align_up(slot.max, 8)
    size = slot.max + 1 if slot.form == "string" else slot.max * slot.type.size
    return align_up(size, 8)


def scratch_bytes(block: Block) -> int:
    """The most bytes a receiver copies or builds for one block (D10)."""
    total = block.fixed
    for slot in block.parts:
        if slot.form == "nested":
            # A span or a pointer and a length for each inner part.
            total += slot.count * 16
        if slot.copy or slot.form in ("optional", "table"):
            total += part_bytes(slot)
    return total


def lay_block(slots: list[Slot]) -> Block:
    """The block of a request or a reply."""
    pads, end, _ = lay_slots(slots)
    fixed = align_up(end, 8)
    if fixed > end:
        pads.append((end, fixed - end))
    largest = fixed + sum(part_bytes(s) for s in slots if s.is_part)
    return Block(slots, pads, fixed, largest)


@dataclass(slots=True)
class Leaf:
    """One scalar of a slot: ``path`` as written in both languages (``size.width``, ``p[1].x``)."""

    path: str
    offset: int
    scalar: str
    count: int = 0
    enum: Enum | None = None
    pad: int = 0
    low: int | None = None
    high: int | None = None
    choices: list[int] | None = None


def leaves(model: Model, slot: Slot, base: int | None = None, path: str = "") -> list[Leaf]:
    """The scalars of a fixed slot by offset; gaps inside structs are leaves with ``pad``."""
    offset = slot.offset if base is None else base
    path = path or slot.name
    if slot.type.kind == "struct":
        out: list[Leaf] = []
        inner = model.structs[slot.type.name]
        for index in range(max(1, slot.count)):
            here = f"{path}[{index}]" if slot.count else path
            out += struct_leaves(model, inner, offset + index * slot.type.size, here)
        return out
    if slot.type.kind == "umem":
        fields = (("slot", "u32"), ("generation", "u32"), ("offset", "u64"), ("length", "u64"))
        places = (0, 4, 8, 16)
        return [
            Leaf(f"{path}.{n}", offset + at, s) for (n, s), at in zip(fields, places, strict=True)
        ]
    enum = model.enums[slot.type.name] if slot.type.kind == "enum" else None
    scalar = enum.base if enum else slot.type.name if slot.type.kind == "scalar" else "u32"
    return [
        Leaf(path, offset, scalar, slot.count, enum, 0, slot.low, slot.high, slot.choices or None)
    ]


def struct_leaves(model: Model, struct: Struct, base: int, path: str) -> list[Leaf]:
    """The scalars and gaps of one struct value."""
    dot = f"{path}." if path else ""
    out: list[Leaf] = []
    for slot in struct.slots:
        out += leaves(model, slot, base + slot.offset, dot + slot.name)
    out += [Leaf(path, base + at, "u8", size, pad=size) for at, size in struct.pads]
    return sorted(out, key=lambda leaf: leaf.offset)


def is_plain(model: Model, kind: Type) -> bool:
    """Whether every bit pattern is a good value: elements need no check of their own."""
    if kind.kind == "scalar":
        return kind.name != "bool"
    if kind.kind != "struct":
        return False
    struct = model.structs[kind.name]
    plain = (s.low is None and not s.choices and is_plain(model, s.type) for s in struct.slots)
    return not struct.pads and all(plain)


def leaf_range(leaf: Leaf) -> tuple[int | None, int | None]:
    """The declared bounds that are narrower than the type's own."""
    info = SCALARS[leaf.scalar]
    low = leaf.low if leaf.low is not None and leaf.low > info.low else None
    high = leaf.high if leaf.high is not None and leaf.high < info.high else None
    return low, high


def given(block: Block) -> list[Slot]:
    """The buffers of a request that change hands."""
    return [s for s in block.slots if s.transfer == "gives"]


def beside(block: Block) -> int:
    """The largest block of a sender that has a buffer for `@large` parts: those below it still lie inside."""
    saved = 0
    for slot in block.parts:
        if slot.large:
            saved += part_bytes(slot) - min(part_bytes(slot), align_up(slot.large - 1, 8))
    return block.max - saved
