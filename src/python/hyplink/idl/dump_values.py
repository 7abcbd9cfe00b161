"""Scalars of a dump: how they are shown, and whether they may be what they are."""

from __future__ import annotations

import struct

from hyplink.idl.layout import Leaf, leaf_range
from hyplink.idl.model import SCALARS, Enum

__all__ = ["enumerator", "judge", "read", "shown"]

_MOST_SHOWN = 8


def read(leaf: Leaf, data: bytes, offset: int) -> tuple[float, ...]:
    """The values of a leaf at an offset of the block; struct.error when they do not lie in it."""
    return struct.unpack_from(f"<{max(1, leaf.count)}{SCALARS[leaf.scalar].letter}", data, offset)


def enumerator(enum: Enum | None, value: float) -> str:
    for member in enum.members if enum else []:
        if member.value == value:
            return member.name
    return f"{int(value):#x}" if value >= 0 else str(value)


def shown(leaf: Leaf, found: tuple[float, ...]) -> str:
    """The values as text; of an array the first ones."""
    integer = SCALARS[leaf.scalar].integer
    texts = [
        enumerator(leaf.enum, v) if leaf.enum else str(v) if integer else f"{v:g}" for v in found
    ]
    if not leaf.count:
        return texts[0]
    more = ", …" if len(texts) > _MOST_SHOWN else ""
    return f"[{', '.join(texts[:_MOST_SHOWN])}{more}]"


def judge(leaf: Leaf, found: tuple[float, ...]) -> tuple[bool, str]:
    """Whether the values break rule D7, and what they may be ("" when nothing limits them)."""
    if leaf.enum:
        known = {m.value for m in leaf.enum.members}
        if not leaf.enum.open and any(v not in known for v in found):
            return True, f"no member of {leaf.enum.name}"
        return False, ""
    if leaf.scalar == "bool":
        wrong = any(v > 1 for v in found)
        return wrong, "0 or 1" if wrong else ""
    if leaf.choices:
        return (
            any(v not in leaf.choices for v in found),
            f"in {{{', '.join(map(str, leaf.choices))}}}",
        )
    low, high = leaf_range(leaf)
    if low is None and high is None:
        return False, ""
    scalar = SCALARS[leaf.scalar]
    low = scalar.low if low is None else low
    high = scalar.high if high is None else high
    return any(not low <= v <= high for v in found), f"in {low}..{high}"
