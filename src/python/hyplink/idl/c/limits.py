"""What the C generator cannot write, said before anything is written."""

from __future__ import annotations

from collections.abc import Iterator

from hyplink.idl.model import Model, Slot
from hyplink.idl.support import Unsupported, require

__all__ = ["require_possible"]

_MISSING = frozenset(
    [
        "table",
        "umem",
    ]
)


def require_possible(model: Model) -> None:
    """Raise `Unsupported` with every place that has no form in C."""
    require(model, "C", _MISSING)
    found = [
        f"  {interface.name}.{proc.name} (line {proc.line}): {text}"
        for interface in model.interfaces
        for proc in interface.procedures
        for slot in [*proc.request.slots, *proc.reply.slots]
        for text in _slot(slot)
    ]
    found += [
        f"  {interface.name}.{proc.name} (line {proc.line}): '@drop_oldest' is not written in C yet"
        for interface in model.interfaces
        for proc in interface.callbacks
        if proc.drop == "oldest"
    ]
    if found:
        raise Unsupported(f"{model.stem}.vidl, for C:\n" + "\n".join(found))


def _slot(slot: Slot) -> Iterator[str]:
    if slot.direction != "in" and slot.form in ("nested", "optional"):
        yield f"'{slot.name}': an output of form {slot.form} is not written in C yet"
    if slot.c_type and slot.type.kind == "struct":
        yield f"'{slot.name}': a struct keeps its own name, it has no '@c(type: …)'"
