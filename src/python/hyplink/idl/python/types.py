"""Constants, enums and structs in Python, and how their values are flattened and checked."""

from __future__ import annotations

from collections.abc import Callable

from hyplink.idl.model import Constant, Enum, Slot, Struct
from hyplink.idl.names import enumerator_name, python_name
from hyplink.idl.python.common import Names, docstring
from hyplink.idl.writer import Writer

__all__ = ["Fail", "constants", "enum", "flatten", "rebuild", "struct"]

#: A statement that refuses, given the field's name and its offset.
Fail = str
_Refuse = Callable[[str], None]


def constants(out: Writer, items: list[Constant]) -> None:
    for item in items:
        for line in item.doc.splitlines():
            out(f"# {line}".rstrip())
        value = bool(item.value) if item.type == "bool" else item.value
        out(f"{item.name}: _t.Final = {value!r}")
    if items:
        out("")


def enum(out: Writer, item: Enum) -> None:
    out("")
    with out.block(f"class {item.name}(_enum.IntEnum):"):
        docstring(out, item.doc or item.name)
        out("")
        for member in item.members:
            for line in member.doc.splitlines():
                out(f"# {line}".rstrip())
            out(f"{enumerator_name(member.name)} = {member.value:#x}")
    out("", "")
    # A dictionary is several times faster than calling the enum.
    out(f"_known_{item.name}: dict[int, {item.name}] = {{int(_m): _m for _m in {item.name}}}", "")


def struct(out: Writer, names: Names, item: Struct) -> None:
    out("")
    out("@_dataclasses.dataclass(slots=True)")
    with out.block(f"class {item.name}:"):
        docstring(out, item.doc or item.name)
        out("")
        for slot in item.slots:
            for line in slot.doc.splitlines():
                out(f"# {line}".rstrip())
            out(f"{python_name(slot.name)}: {names.value(slot)}")
    out("", "")
    packing = names.body(item.slots, item.pads, packing=True)
    reading = names.body(item.slots, item.pads, packing=False)
    out(f'_pack_{item.name} = _struct.Struct("<{packing}").pack')
    out(f'_each_{item.name} = _struct.Struct("<{reading}").iter_unpack', "", "")
    with out.block(
        f"def _flat_{item.name}(_value: {item.name}, _name: str, _field: str)"
        " -> tuple[_t.Any, ...]:"
    ):
        parts = []
        for slot in item.slots:
            value = f"_value.{python_name(slot.name)}"
            parts.append(flatten(out, names, slot, value, "_name", "_field"))
        comma = "," if len(parts) == 1 else ""
        out(f"return ({', '.join(parts)}{comma})")
    out("", "")
    with out.block(f"def _make_{item.name}(_v: tuple[_t.Any, ...]) -> {item.name} | None:"):
        values: dict[str, str] = {}
        for index, inner, _ in names.order(item):
            if inner is None:
                out(f"if any(_v[{index}]):")
                with out.block():
                    out("return None")
                continue
            name = f"_{inner.name}"
            rebuild(out, names, inner, name, index, "return None")
            values[inner.name] = name
        arguments = ", ".join(values[s.name] for s in item.slots)
        out(f"return {item.name}({arguments})")
    out("")


def flatten(out: Writer, names: Names, slot: Slot, value: str, name: str, field: str) -> str:
    """Check ``value`` and return the expression(s) that ``struct`` takes for it."""

    def refuse(condition: str, expected: str = "") -> None:
        with out.block(f"if {condition}:"):
            out(f'raise _rt.bad_argument({name}, {field}, {value}, "{expected}")')

    kind = slot.type
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


def rebuild(out: Writer, names: Names, slot: Slot, target: str, index: int, fail: Fail) -> None:
    """Assign ``target`` from the unpacked values ``_v``, checked."""
    kind, width = slot.type, names.width(slot)

    def refuse(condition: str) -> None:
        with out.block(f"if {condition}:"):
            out(fail)

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
