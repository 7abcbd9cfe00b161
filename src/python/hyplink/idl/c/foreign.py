"""Structs under the header's own name (`@c(type: "struct point")`): same bytes, another type.

The generated code works with the generated struct. The parameter of the prototype has a suffix, and
the parameter's name is a local of our type, copied or cast from it.
"""

from __future__ import annotations

from hyplink.idl.c.common import Names
from hyplink.idl.model import Procedure, Slot
from hyplink.idl.support import Unsupported
from hyplink.idl.writer import Writer

__all__ = ["adopt", "given_back", "hand_over"]


def adopt(out: Writer, names: Names, slot: Slot, bad: str) -> None:
    """Where the prototype is ours to fill: from its parameter to our local."""
    kind = names.foreign(slot)
    if not kind:
        return
    var, own = names.var(slot.name), names.of(slot.type.name)
    theirs = names.parameter_name(slot)
    if slot.form == "value" and slot.direction == "in":
        place = theirs if "*" in kind else f"&{theirs}"
        if "*" in kind:
            out(f"if ({theirs} == NULL) {bad}")
        out(f"{own} {var};", f"memcpy(&{var}, {place}, sizeof {var});")
    elif slot.direction == "in":
        out(f"const {own}* const {var} = (const {own}*)(const void*){theirs};")
    else:
        out(f"{own}* const {var} = ({own}*)(void*){theirs};")
    if "void" not in kind:
        size = f"sizeof(*{theirs})" if "*" in kind else f"sizeof({theirs})"
        out(f"(void)sizeof(char[{size} == sizeof({own}) ? 1 : -1]);")


def hand_over(out: Writer, names: Names, slot: Slot, word: str) -> str:
    """Where the prototype is called: an argument of its type for our `word`."""
    kind = names.foreign(slot)
    if slot.form == "value" and slot.direction == "in" and "*" not in kind:
        theirs = names.parameter_name(slot)
        out(f"{kind} {theirs};", f"memcpy(&{theirs}, &{word}, sizeof {theirs});")
        return theirs
    if slot.form == "value" and slot.direction == "in":
        word = f"&{word}"
    return f"({kind})(void*)(uintptr_t){word}"


def given_back(names: Names, proc: Procedure) -> str:
    """The result's own type, if it is a struct of the header."""
    slot = names.result_slot(proc)
    if slot is None or slot.type.kind not in ("struct", "table"):
        return ""
    kind = names.result(proc)
    if "*" in kind:
        raise Unsupported(f"{proc.name} (line {proc.line}): a result of '{kind}' has no memory")
    return kind if kind != names.type(slot.type) else ""
