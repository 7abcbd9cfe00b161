"""Values of fixed parts: from what the user has to what ``struct`` takes, and back, checked."""

from __future__ import annotations

from collections.abc import Callable

from hyplink.idl.model import Slot
from hyplink.idl.python.common import CLIENT, Names, Side
from hyplink.idl.writer import Writer

__all__ = ["Fail", "flatten", "handles", "lookup", "rebuild"]

#: The statement that refuses, given the number of the rule.
Fail = Callable[[str], str]
_Refuse = Callable[[str], None]


def flatten(
    out: Writer, names: Names, slot: Slot, value: str, name: str, field: str, side: Side = CLIENT
) -> str:
    """Check ``value`` and return the expression(s) that ``struct`` takes for it.

    Members of structs are the same on both sides: handles in them are numbers.
    """

    def refuse(condition: str, expected: str = "") -> None:
        with out.block(f"if {condition}:"):
            out(f'raise _rt.bad_argument({name}, {field}, {value}, "{expected}")')

    kind = slot.type
    if kind.kind == "umem":
        return _flatten_umem(out, names, slot, value, side)
    if kind.kind == "handle" and slot.form != "fixed":
        if side.server:
            number = f'{side.me}._handles.number("{kind.name}", {value})'
            return f"0 if {value} is None else {number}" if slot.nullable else number
        if slot.nullable:
            return f"{value} or 0"
        refuse(f"not {value}", f"a {kind.name}")
        return value
    if kind.kind == "handle" and side.server:
        refuse(f"len({value}) != {slot.count}", f"{slot.count} elements")
        return f'*[{side.me}._handles.number("{kind.name}", _e) for _e in {value}]'
    if slot.form == "fixed":
        refuse(f"len({value}) != {slot.count}", f"{slot.count} elements")
        if kind.name == "u8":
            return f"bytes({value})"
        if kind.kind == "struct":
            flat = names.ref(kind, "_flat_")
            return f"*(_x for _e in {value} for _x in {flat}(_e, {name}, {field}))"
        enum = names.enum_of(kind)
        if enum and not enum.open:
            refuse(
                f"any(_e not in {names.ref(kind, '_known_')} for _e in {value})",
                f"members of {kind.name}",
            )
        elif test := names.outside(slot, "_e"):
            refuse(f"any({test} for _e in {value})", f"each {names.expected(slot)}")
        return f"*{value}"
    if kind.kind == "struct":
        return f"*{names.ref(kind, '_flat_')}({value}, {name}, {field})"
    enum = names.enum_of(kind)
    if enum and not enum.open:
        refuse(f"{value} not in {names.ref(kind, '_known_')}", f"a member of {kind.name}")
    elif test := names.outside(slot, value):
        refuse(test, names.expected(slot))
    return value


def _flatten_umem(out: Writer, names: Names, slot: Slot, value: str, side: Side) -> str:
    kind = names.model.umems[slot.type.name]
    rights = kind.client if side.server else kind.server
    found = f'_rt.send_umem({side.me}._buffers, {value}, "{rights}", "{slot.transfer}", {kind.max})'
    if slot.transfer != "gives":
        return f"*{found}"
    out(f"_ref_{slot.name} = {found}")
    return f"*_ref_{slot.name}"


def rebuild(
    out: Writer,
    names: Names,
    slot: Slot,
    target: str,
    index: int,
    fail: Fail,
    side: Side = CLIENT,
) -> None:
    """Assign ``target`` from the unpacked values ``_v``, checked."""
    kind, width = slot.type, names.width(slot)

    def refuse(condition: str) -> None:
        with out.block(f"if {condition}:"):
            out(fail("7"))

    if kind.kind == "handle":
        _rebuild_handle(out, names, slot, target, index, fail, side)
        return
    if kind.kind == "umem":
        _rebuild_umem(out, names, slot, target, index, fail, side)
        return

    if slot.form == "fixed":
        source = f"_v[{index}:{index + width}]"
        if kind.name == "u8":
            out(f"{target} = _v[{index}]")
        elif kind.kind == "struct":
            step = width // slot.count
            make = names.ref(kind, "_make_")
            out(
                f"{target}: _t.Any = [{make}(_v[_i : _i + {step}]) "
                f"for _i in range({index}, {index + width}, {step})]"
            )
            refuse(f"None in {target}")
        elif kind.name == "bool":
            refuse(f"max({source}) > 1")
            out(f"{target} = tuple(_e == 1 for _e in {source})")
        else:
            lookup(out, names, slot, target, source, refuse)
        return
    source = f"_v[{index}]"
    if kind.kind == "struct":
        out(f"{target} = {names.ref(kind, '_make_')}(_v[{index}:{index + width}])")
        refuse(f"{target} is None")
        return
    enum = names.enum_of(kind)
    if enum and enum.open:
        out(f"{target} = {names.ref(kind, '_known_')}.get({source}, {source})")
    elif enum:
        out(f"{target} = {names.ref(kind, '_known_')}.get({source})")
        refuse(f"{target} is None")
    elif kind.name == "bool":
        refuse(f"{source} > 1")
        out(f"{target} = {source} == 1")
    else:
        out(f"{target} = {source}")
        if test := names.outside(slot, target):
            refuse(test)


def _rebuild_handle(
    out: Writer, names: Names, slot: Slot, target: str, index: int, fail: Fail, side: Side
) -> None:
    source, kind = f"_v[{index}]", slot.type
    if slot.form == "fixed":
        handles(out, names, slot, target, f"_v[{index}:{index + slot.count}]", fail, side)
        return
    empty = f" if {source} else None" if slot.nullable else ""
    if not side.server:
        if not slot.nullable:
            with out.block(f"if not {source}:"):
                out(fail("13"))
        out(f"{target} = {names.ref(kind)}({source}){empty}")
        return
    with out.block("try:"):
        out(f'{target} = {side.me}._handles.get("{kind.name}", {source}){empty}')
    with out.block("except LookupError:"):
        out(fail("13") + " from None")


def handles(
    out: Writer, names: Names, slot: Slot, target: str, source: str, fail: Fail, side: Side
) -> None:
    """Several handles."""
    if not side.server:
        out(f"{target}: _t.Any = [{names.ref(slot.type)}(_e) for _e in {source}]")
        return
    with out.block("try:"):
        get = f'{side.me}._handles.get("{slot.type.name}", _e)'
        out(f"{target}: _t.Any = [{get} for _e in {source}]")
    with out.block("except LookupError:"):
        out(fail("13") + " from None")


def _rebuild_umem(
    out: Writer, names: Names, slot: Slot, target: str, index: int, fail: Fail, side: Side
) -> None:
    kind = names.model.umems[slot.type.name]
    rights = kind.server if side.server else kind.client
    words = f"_v[{index} : {index + 4}]"
    out(f"{target}: _t.Any = None")
    with out.block(f"if any({words}):"):
        with out.block("try:"):
            out(
                f"{target} = _rt.receive_umem({side.me}._buffers, {words}, "
                f'"{rights}", "{slot.transfer}", {kind.max})'
            )
        with out.block("except LookupError:"):
            out(fail("13") + " from None")
    if not slot.nullable:
        with out.block("else:"):
            out(fail("13"))


def lookup(
    out: Writer, names: Names, slot: Slot, target: str, source: str, refuse: _Refuse
) -> None:
    """Sequences of enums and ranged integers."""
    enum = names.enum_of(slot.type)
    known = names.ref(slot.type, "_known_") if enum else ""
    if enum and enum.open:
        out(f"{target} = [{known}.get(_e, _e) for _e in {source}]")
    elif enum:
        out(f"{target}: _t.Any = [{known}.get(_e) for _e in {source}]")
        refuse(f"None in {target}")
    else:
        out(f"{target} = {source}")
        if test := names.outside(slot, "_e"):
            refuse(f"any({test} for _e in {target})")
