"""Types in Python: constants, enums, structs, tables, handles, functions of lengths."""

from __future__ import annotations

import struct as binary

from hyplink.idl.model import Constant, Enum, Function, Handle, Slot, Struct, Table
from hyplink.idl.names import enumerator_name, python_name
from hyplink.idl.python.common import Names, docstring
from hyplink.idl.python.values import flatten, rebuild
from hyplink.idl.writer import Writer

__all__ = ["constants", "enum", "failure", "function", "handle", "struct", "table"]


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
    _conversions(out, names, item)


def table(out: Writer, names: Names, item: Table) -> None:
    """Like a struct, with keywords and defaults; shorter and longer ones can be read."""
    out("")
    out("@_dataclasses.dataclass(slots=True, kw_only=True)")
    with out.block(f"class {item.name}:"):
        docstring(out, item.doc or item.name)
        out("")
        for slot in item.slots:
            for line in slot.doc.splitlines():
                out(f"# {line}".rstrip())
            default = _default(names, slot)
            out(
                f"{python_name(slot.name)}: {names.value(slot)}{f' = {default}' if default else ''}"
            )
    _conversions(out, names, item)
    fields = tuple(
        (s.offset, s.offset + s.type.size * max(1, s.count), s.default is not None)
        for s in item.slots
    )
    out("", f"_image_{item.name} = {_image(names, item)!r}", f"_fields_{item.name} = {fields}", "")


def _default(names: Names, slot: Slot) -> str:
    if slot.default is None:
        return ""
    if slot.type.name == "bool":
        return repr(bool(slot.default))
    enum = names.enum_of(slot.type)
    for member in enum.members if enum else []:
        if member.value == slot.default:
            return f"{names.ref(slot.type)}.{enumerator_name(member.name)}"
    return repr(slot.default)


def _image(names: Names, item: Table) -> bytes:
    """What a reader takes for fields that did not come: their defaults, else zeros."""
    image = bytearray(item.size)
    for slot in item.slots:
        if slot.default is not None:
            letters = names.letters(slot, packing=True)
            binary.pack_into(f"<{letters}", image, slot.offset, slot.default)
    return bytes(image)


def handle(out: Writer, item: Handle) -> None:
    out("")
    with out.block(f"class {item.name}(_rt.Handle):"):
        above = f"Goes with its {item.parent.rpartition('.')[2]}." if item.parent else ""
        docstring(out, item.doc or f"A {item.name} at the server.", above)
        out("", "__slots__ = ()")
    out("")


def failure(out: Writer, names: Names, item: Enum) -> None:
    """The exception of a ``throws``."""
    name = names.failure(item)
    kind = f"{names.module_of(item.module)}{item.name}"
    out("")
    with out.block(f"class {name}(_rt.Thrown):"):
        docstring(out, f"A call failed with a {item.name}; ``status`` says which.")
        out("", f"status: {kind}")
    out("")


def function(out: Writer, names: Names, item: Function) -> None:
    out("")
    words = ", ".join(f"{names.var(p)}: int" for p in item.params)
    with out.block(f"def _fn_{item.name}({words}) -> int:"):
        docstring(out, item.doc)
        out(f"return {names.expr(item.body)}")
    out("")


def _conversions(out: Writer, names: Names, item: Struct | Table) -> None:
    """To and from the values that ``struct`` takes."""
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
            rebuild(out, names, inner, name, index, lambda _rule: "return None")
            values[inner.name] = name
        word = "{0}={1}" if isinstance(item, Table) else "{1}"
        arguments = ", ".join(word.format(python_name(s.name), values[s.name]) for s in item.slots)
        out(f"return {item.name}({arguments})")
    out("")
