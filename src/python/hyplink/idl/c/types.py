"""Constants, enums and structs in C, with their checks and their layout proofs."""

from __future__ import annotations

from collections.abc import Callable

from hyplink.idl.c.common import Names, comment
from hyplink.idl.model import SCALARS, Constant, Enum, Handle, Slot, Struct, Table, Umem
from hyplink.idl.names import snake
from hyplink.idl.writer import Writer

__all__ = [
    "constants",
    "enum",
    "enum_check",
    "handle",
    "struct",
    "struct_wire",
    "table",
    "table_wire",
    "umem",
]


def _number(value: int, scalar: str) -> str:
    info = SCALARS[scalar]
    host = {"size": "uint64", "ssize": "int64", "address": "uint64", "bool": "uint8"}.get(
        scalar, ("u" if info.low == 0 else "") + f"int{8 * info.size}"
    )
    if value == -(1 << 63):
        return "INT64_MIN"
    literal = f"{host.upper()}_C({abs(value)})"
    return f"(({host}_t){'-' if value < 0 else ''}{literal})"


def constants(out: Writer, names: Names, items: list[Constant]) -> None:
    for item in items:
        comment(out, item.doc)
        if isinstance(item.value, float):
            value = repr(item.value) + ("F" if item.type == "f32" else "")
        else:
            value = _number(int(item.value), item.type)
        out(f"#define {names.upper}_{item.name} {value}")
    if items:
        out("")


def enum(out: Writer, names: Names, item: Enum) -> None:
    comment(out, item.doc)
    base = {"size": "uint64_t", "ssize": "int64_t"}.get(item.base)
    base = base or SCALARS[item.base].cpp.removeprefix("std::")
    out(f"typedef {base} {names.stem}_{item.name};")
    for member in item.members:
        comment(out, member.doc)
        name = f"{names.upper}_{snake(item.name).upper()}_{member.name}"
        out(f"#define {name} {_number(member.value, item.base)}")
    out("")


def enum_check(out: Writer, names: Names, item: Enum) -> None:
    if item.open:
        return
    full = f"{names.stem}_{item.name}"
    with (
        out.block(f"static inline int {full}_valid({full} value) {{", "}"),
        out.block("switch (value) {", "}"),
    ):
        for member in item.members:
            out(f"case {names.upper}_{snake(item.name).upper()}_{member.name}:")
        with out.block():
            out("return 1;")
        out("default:")
        with out.block():
            out("return 0;")
    out("")


def handle(out: Writer, names: Names, item: Handle) -> None:
    comment(out, item.doc)
    out(f"typedef uint32_t {names.stem}_{item.name};", "")


def struct(out: Writer, names: Names, item: Struct) -> None:
    """The image of what travels: members have the wire's widths, whatever the machine."""
    comment(out, item.doc)
    full = f"{names.stem}_{item.name}"
    with out.block(f"typedef struct {full} {{", f"}} {full};"):
        for slot in item.slots:
            comment(out, slot.doc)
            array = f"[{slot.count}]" if slot.count else ""
            out(f"{member_type(names, slot)} {names.var(slot.name)}{array}{aligned(slot)};")
    terms = [f"sizeof({full}) == {item.size}"]
    terms += [f"offsetof({full}, {names.var(s.name)}) == {s.offset}" for s in item.slots]
    proof(out, full, terms)


def proof(out: Writer, name: str, terms: list[str]) -> None:
    """C99 has no static_assert; a negative array size says the same."""
    out(f"typedef char {name}_layout_proof[(")
    for index, term in enumerate(terms):
        out(f"    {term}{' &&' if index + 1 < len(terms) else ''}")
    out(") ? 1 : -1];", "")


def aligned(slot: Slot) -> str:
    # i386 aligns 64-bit members of structs to four bytes unless told.
    wide = slot.type.align == 8 and slot.type.kind != "struct"
    return " __attribute__((aligned(8)))" if wide else ""


def member_type(names: Names, slot: Slot) -> str:
    wire = {"size": "uint64_t", "ssize": "int64_t", "address": "uint64_t"}
    if slot.type.kind == "scalar" and slot.type.name in wire:
        return wire[slot.type.name]
    return names.type(slot.type)


def struct_wire(out: Writer, names: Names, item: Struct) -> None:
    full = f"{names.stem}_{item.name}"
    _valid_and_put(out, names, item, full, item.pads)
    out("/** Load and check; 0 when it is none. */")
    with out.block(f"static inline int {full}_get(const unsigned char* p, {full}* value) {{", "}"):
        for slot in item.slots:

            def get(value: str, at: str, slot: Slot = slot) -> list[str]:
                return _get(names, slot, value, at, "0")

            _each(out, names, slot, get)
        for at, size in item.pads:
            out(f"if (vidlLoadPad(p + {at}, {size}) != 0) return 0;")
        out(f"return {full}_valid(value);")
    out("")


def _valid_and_put(
    out: Writer, names: Names, item: Struct | Table, full: str, pads: list[tuple[int, int]]
) -> None:
    head = f"static inline int {full}_valid(const {full}* value) {{"
    with out.block(head, "}"):
        out("(void)value;")
        for slot in item.slots:

            def check(value: str, _: str, slot: Slot = slot) -> list[str]:
                test = names.bad_value(slot, value)
                return [f"if ({test}) return 0;"] if test else []

            _each(out, names, slot, check)
        out("return 1;")
    with out.block(f"static inline void {full}_put(unsigned char* p, const {full}* value) {{", "}"):
        for slot in item.slots:

            def put(value: str, at: str, slot: Slot = slot) -> list[str]:
                return [names.put(f"p + {at}", slot.type, value)]

            _each(out, names, slot, put)
        for at, size in pads:
            out(f"memset(p + {at}, 0, {size});")


def _get(names: Names, slot: Slot, value: str, at: str, fail: str) -> list[str]:
    """Load a member once; what is none of its type returns `fail`."""
    if slot.type.kind == "struct":
        return [f"if (!{names.of(slot.type.name)}_get(p + {at}, &{value})) return {fail};"]
    scalar = names.scalar(slot.type)
    raw = names.load(f"p + {at}", scalar)
    kind = member_type(names, slot)
    cast = "" if kind == names.raw(scalar) else f"({kind})"
    lines = [f"{value} = {cast}{raw};"]
    if scalar == "bool":
        lines.append(f"if ({value} > 1) return {fail};")
    return lines


def umem(out: Writer, names: Names, item: Umem) -> None:
    comment(out, item.doc)
    out(f"typedef VidlBuffer {names.stem}_{item.name};", "")


def table(out: Writer, names: Names, item: Table) -> None:
    """A struct of this machine's own, and its defaults."""
    comment(out, item.doc)
    full = f"{names.stem}_{item.name}"
    with out.block(f"typedef struct {full} {{", f"}} {full};"):
        for slot in item.slots:
            comment(out, slot.doc)
            array = f"[{slot.count}]" if slot.count else ""
            out(f"{member_type(names, slot)} {names.var(slot.name)}{array};")
    out("/** Zero and defaults: where to begin, and what a shorter one of an older peer has. */")
    with out.block(f"static inline void {full}_init({full}* value) {{", "}"):
        out("memset(value, 0, sizeof *value);")
        for slot in item.slots:
            if slot.default is None:
                continue
            given = str(slot.default)
            if names.scalar(slot.type) not in ("f32", "f64"):
                given = _number(int(slot.default), names.scalar(slot.type))
            out(f"value->{names.var(slot.name)} = ({member_type(names, slot)}){given};")
    out("")


def table_wire(out: Writer, names: Names, item: Table) -> None:
    full = f"{names.stem}_{item.name}"
    gaps = [(at, size) for at, size in item.pads if at < item.size]
    _valid_and_put(out, names, item, full, gaps)
    out(
        "/** From a block of any version: the broken rule, 0 if none. A field is whole or absent. */"
    )
    head = (
        f"static inline uint32_t {full}_read(const unsigned char* p, uint64_t len, {full}* value)"
    )
    with out.block(f"{head} {{", "}"):
        out(f"{full}_init(value);")
        for slot in item.slots:
            last = slot.offset + slot.type.size * max(1, slot.count)
            if slot.default is None:
                out(f"if (len < {last}) return 5;")
            elif last - slot.offset > 1:
                out(f"if (len > {slot.offset} && len < {last}) return 5;")

            def get(value: str, at: str, slot: Slot = slot) -> list[str]:
                lines = _get(names, slot, value, at, "7")
                if names.is_closed(slot.type):
                    lines.append(f"if (!{names.of(slot.type.name)}_valid({value})) return 7;")
                return lines

            with out.block(f"if (len >= {last}) {{", "}"):
                _each(out, names, slot, get)
        for at, size in gaps:
            if size > 1:
                out(f"if (len > {at} && len < {at + size}) return 5;")
            out(f"if (len > {at} && vidlLoadPad(p + {at}, {size}) != 0) return 7;")
        out(f"return {full}_valid(value) ? 0 : 7;")
    out("")


def _each(out: Writer, names: Names, slot: Slot, make: Callable[[str, str], list[str]]) -> None:
    """The lines for a member's value at its offset, in a loop if it is an array."""
    value = f"value->{names.var(slot.name)}"
    if slot.count:
        _loop(out, slot, make(f"{value}[i]", f"{slot.offset} + i * {slot.type.size}"))
    else:
        _loop(out, slot, make(value, str(slot.offset)))


def _loop(out: Writer, slot: Slot, lines: list[str]) -> None:
    if not slot.count or not lines:
        out(*lines)
        return
    with out.block("{", "}"):
        out("uint32_t i;")
        with out.block(f"for (i = 0; i < {slot.count}; ++i) {{", "}"):
            out(*lines)
