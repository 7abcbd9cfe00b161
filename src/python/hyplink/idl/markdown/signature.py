"""Slots and procedures as they would be written in VIDL."""

from __future__ import annotations

from hyplink.idl.expr_text import dim_text, size_text
from hyplink.idl.model import Model, Procedure, Slot

__all__ = ["limits", "short", "signature", "slot_text", "type_text"]


def short(model: Model, name: str) -> str:
    """A type's name without this module's own."""
    return name.removeprefix(f"{model.module}.")


def type_text(model: Model, slot: Slot) -> str:
    """The type's word."""
    if slot.form in ("bytes", "string"):
        return slot.form
    if slot.text:
        return "char"
    if slot.type.kind in ("callback", "cookie"):
        last = slot.type.name.rpartition(".")[2]
        return f"callback {last}" if slot.type.kind == "callback" else "cookie"
    return short(model, slot.type.name)


def limits(slot: Slot) -> str:
    """Range, set, maximum and default, as written behind the name."""
    words = []
    if slot.default is not None:
        words.append(f"= {slot.default}")
    if slot.choices:
        words.append(f"in {{{', '.join(map(str, slot.choices))}}}")
    elif slot.low is not None and slot.high is not None:
        words.append(f"in {slot.low}..{slot.high}")
    if slot.is_part and slot.form not in ("optional", "table"):
        words.append(f"max {size_text(slot.max)}")
    if slot.large:
        words.append(f"@large({size_text(slot.large)}, umem)")
    return " ".join(words)


def slot_text(model: Model, slot: Slot) -> str:
    """A parameter without its direction."""
    words = [slot.transfer, type_text(model, slot), f"{slot.name}{dim_text(slot)}"]
    text = " ".join(word for word in words if word) + ("?" if slot.nullable else "")
    return f"{text} {limits(slot)}".rstrip() + (" implied" if slot.implied else "")


def signature(model: Model, proc: Procedure, *, callback: bool = False) -> str:
    """The prototype, on one line."""
    asks = {slot.name: slot for slot in proc.request.slots}
    answers = {slot.name: slot for slot in proc.reply.slots}
    implied = {slot.name: slot for slot in proc.implied}
    params = []
    for name in proc.params:
        slot = asks.get(name) or answers.get(name) or implied.get(name)
        if slot is None:
            continue
        way = "inout " if name in asks and name in answers else "out " if name in answers else ""
        params.append(way + slot_text(model, slot))
    result = next((s for n, s in answers.items() if n not in proc.params), None)
    kind = ("callback " if callback else "") + proc.kind
    word = type_text(model, result) if result is not None and proc.has_result else "void"
    return f"{kind} {word} {proc.name}({', '.join(params)}) = {proc.ordinal}"
