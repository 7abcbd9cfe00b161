"""What a function returns that has no answer to give."""

from __future__ import annotations

from hyplink.idl.c.common import Names
from hyplink.idl.model import Procedure

__all__ = ["cast", "lost_statement"]


def lost_statement(names: Names, proc: Procedure) -> str:
    """The statement that leaves without an answer."""
    slot = names.result_slot(proc)
    if slot is None:
        return "return;"
    if slot.form == "string":
        return "return NULL;"
    if slot.type.kind in ("struct", "table"):
        return "return _none;"
    return f"return {cast(names, proc)}{proc.on_lost or 0};"


def cast(names: Names, proc: Procedure) -> str:
    """The cast of a number to the type of the result."""
    slot = names.result_slot(proc)
    assert slot is not None
    kind = names.result(proc)
    if names.is_pointer(slot) or "*" in kind:
        return f"({kind})(uintptr_t)"
    return f"({kind})"
