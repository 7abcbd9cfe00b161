"""What every side writes of a procedure: its signature, its result, its refusals, its change of state."""

from __future__ import annotations

from collections.abc import Callable

from hyplink.idl.model import Procedure
from hyplink.idl.names import snake
from hyplink.idl.python.common import CLIENT, Names, Side
from hyplink.idl.python.send import guarded, has_call, measure, reserve
from hyplink.idl.writer import Writer

__all__ = ["capacity", "refusal", "result", "sets", "signature"]

_Refuse = Callable[[str], str]


def result(names: Names, proc: Procedure, side: Side = CLIENT) -> str:
    """The annotation of what a call returns."""
    kinds = [names.value(s, side) for s in names.outputs(proc)]
    if not kinds:
        return "None"
    return kinds[0] if len(kinds) == 1 else f"tuple[{', '.join(kinds)}]"


def signature(names: Names, proc: Procedure, side: Side) -> list[str]:
    """The parameters of whoever sends; what may be absent at the end has a default."""
    found: list[str] = []
    optional = True
    slots = names.inputs(proc, side)
    if side.server:  # whoever holds the registration adds the cookie
        slots = sorted(slots, key=lambda s: s.type.kind == "cookie")
    for slot in reversed(slots):
        may = slot.nullable or (slot.type.kind == "cookie" and not side.server)
        optional = optional and may
        default = " = None" if optional else ""
        found.append(f"{names.var(slot.name)}: {names.given(slot, side)}{default}")
    return found[::-1]


def refusal(names: Names, proc: Procedure, full: str) -> str:
    """The exception for a status that is not 0."""
    if not proc.throws:
        return f"_rt.refused({full}, _status)"
    enum = names.model.enums[proc.throws]
    known = f"{names.module_of(enum.module)}_known_{enum.name}"
    return f"_rt.thrown({full}, _status, {names.failure(enum)}, {known})"


def sets(out: Writer, names: Names, proc: Procedure, side: Side, refuse: _Refuse) -> None:
    """Both sides change their state at the same request, whatever comes of it."""
    if not proc.sets:
        return
    # All of them see the state as it was before.
    for number, change in enumerate(proc.sets):
        value = names.expr(change.value, side)
        target = f"{side.me}._state_{snake(change.var)}"
        if change.when is not None:
            value = f"{value} if {names.test(change.when, side)} else {target}"
        risky = has_call(change.value) or has_call(change.when)
        guarded(out, f"_set_{number} = {value}", refuse(change.var), risky=risky)
    for number, change in enumerate(proc.sets):
        out(f"{side.me}._state_{snake(change.var)} = _set_{number}")


def capacity(out: Writer, names: Names, proc: Procedure, full: str, side: Side) -> str:
    """Room for the answer."""
    terms = [str(proc.reply.fixed)]
    for slot in proc.reply.parts:
        if slot.dim in ("expr", "cap") and slot.length is not None:
            measure(out, names, slot, full, "", side)
        terms.append(reserve(slot))
    if len(terms) == 1:
        return terms[0]
    out(f"_need = {' + '.join(terms)}")
    return "_need"
