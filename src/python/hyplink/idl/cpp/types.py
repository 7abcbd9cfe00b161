"""Constants, enums and structs in C++, with their checks and their layout proofs."""

from __future__ import annotations

import hashlib

from hyplink.idl.cpp.common import Names, comment
from hyplink.idl.model import SCALARS, Block, Constant, Enum, Interface, Slot, Struct, Table
from hyplink.idl.names import cpp_name, pascal, snake
from hyplink.idl.writer import Writer

__all__ = [
    "constants",
    "enum",
    "handles",
    "replies",
    "state",
    "struct",
    "tables",
    "wire_struct",
]


def constants(out: Writer, items: list[Constant]) -> None:
    for item in items:
        comment(out, item.doc)
        kind = SCALARS[item.type].cpp
        value = repr(item.value) if isinstance(item.value, float) else _literal(item)
        if item.type == "f32":
            value += "F"
        out(f"inline constexpr {kind} {cpp_name(item.name)} = {value};")
    if items:
        out("")


def _literal(item: Constant) -> str:
    value = int(item.value)
    if item.type == "bool":
        return "true" if value else "false"
    if value == -(1 << 63):
        return "INT64_MIN"
    suffix = "U" if SCALARS[item.type].low == 0 else ""
    return f"{value}{suffix}" if abs(value) < 1 << 31 else f"{value}{suffix}LL"


def enum(out: Writer, item: Enum) -> None:
    base = SCALARS[item.base]
    comment(out, item.doc)
    with out.block(f"enum class {cpp_name(item.name)} : {base.cpp} {{", "};"):
        for member in item.members:
            comment(out, member.doc)
            value = "INT64_MIN" if member.value == -(1 << 63) else str(member.value)
            suffix = "U" if base.low == 0 else ""
            out(f"{cpp_name(member.name)} = {value}{suffix},")
    name = cpp_name(item.name)
    if item.open:
        out(f"constexpr bool wire_valid({name}) {{ return true; }}", "")
        return
    with out.block(f"constexpr bool wire_valid({name} value) {{", "}"):
        with out.block("switch (value) {", "}"):
            for member in item.members:
                out(f"case {name}::{cpp_name(member.name)}:")
            with out.block():
                out("return true;")
        out("return false;")
    out("")


def struct(out: Writer, names: Names, item: Struct) -> None:
    name = cpp_name(item.name)
    comment(out, item.doc)
    with out.block(f"struct {name} {{", "};"):
        for slot in item.slots:
            comment(out, slot.doc)
            out(f"{_aligned(slot)}{names.value(slot)} {cpp_name(slot.name)}{{}};")
        out(f"bool operator==(const {name}&) const = default;")
    _proof(out, name, item.slots, item.size)
    checks = []
    for slot in item.slots:
        value = f"value.{cpp_name(slot.name)}"
        if names.outside(slot, "v"):
            if slot.form == "fixed":
                out("")
            checks.append((slot, value))
        elif slot.type.kind != "scalar":
            checks.append((slot, value))
    unused = "" if checks else "[[maybe_unused]] "
    with out.block(f"inline bool wire_valid({unused}const {name}& value) {{", "}"):
        for slot, value in checks:
            outside = names.outside(slot, "v")
            if outside and slot.form == "fixed":
                with out.block(f"for (const auto v : {value}) {{", "}"):
                    out(f"if ({outside}) return false;")
            elif outside:
                out(f"if ({names.outside(slot, value)}) return false;")
            else:
                out(f"if (!hyplink::rpq::valid({value})) return false;")
        out("return true;")
    with out.block(f"inline void wire_put(std::byte* p, const {name}& value) {{", "}"):
        for slot in item.slots:
            out(f"hyplink::rpq::put(p + {slot.offset}, value.{cpp_name(slot.name)});")
        for at, size in item.pads:
            out(f"hyplink::rpq::store_pad<{size}>(p + {at});")
    with out.block(f"inline bool wire_get(const std::byte* p, {name}& value) {{", "}"):
        for slot in item.slots:
            out(
                f"if (!hyplink::rpq::get(p + {slot.offset}, value.{cpp_name(slot.name)})) "
                "return false;"
            )
        for at, size in item.pads:
            out(f"if (hyplink::rpq::load_pad<{size}>(p + {at}) != 0) return false;")
        out("return wire_valid(value);")
    out("")


def handles(out: Writer, names: Names) -> None:
    """Each handle as a type of its own, with the number of that type in the server's table."""
    for full, item in names.model.handles.items():
        if item.module != names.model.module:
            continue
        name = cpp_name(item.name)
        number = int.from_bytes(hashlib.sha256(full.encode()).digest()[:4], "little") | 1
        comment(out, item.doc)
        if item.parent:
            out(f"/// Gone with its {item.parent.rpartition('.')[2]}.")
        with out.block(f"struct {name} {{", "};"):
            out(f"static constexpr std::uint32_t type = 0x{number:08x}U;")
            out("std::uint32_t value = 0;")
            out(f"bool operator==(const {name}&) const = default;")
            out("explicit operator bool() const { return value != 0; }")
        out(f"inline bool wire_valid({name}) {{ return true; }}")
        out(f"inline void wire_put(std::byte* p, {name} v) {{ hyplink::rpq::put(p, v.value); }}")
        with out.block(f"inline bool wire_get(const std::byte* p, {name}& v) {{", "}"):
            out("return hyplink::rpq::get(p, v.value);")
        out("")


def state(out: Writer, names: Names, interface: Interface) -> None:
    """The shadow variables of a channel, kept alike on both sides."""
    if not interface.state:
        return
    with out.block(f"struct {names.prefix(interface)}State {{", "};"):
        for item in interface.state:
            comment(out, item.doc)
            kind = names.type(item.type)
            out(f"{kind} {cpp_name(item.name)} = static_cast<{kind}>({item.initial});")
    out("")


def tables(out: Writer, names: Names) -> None:
    """Tables: structs that know what a shorter block means."""
    for item in names.model.tables.values():
        if item.module == names.model.module:
            _table(out, names, item)


def _table(out: Writer, names: Names, item: Table) -> None:
    name, end = cpp_name(item.name), item.size
    comment(out, item.doc)
    with out.block(f"struct {name} {{", "};"):
        for slot in item.slots:
            comment(out, slot.doc)
            given = "{}"
            if slot.default is not None:
                kind = names.type(slot.type)
                given = f" = static_cast<{kind}>({slot.default})"
            out(f"{names.value(slot)} {cpp_name(slot.name)}{given};")
        out(f"bool operator==(const {name}&) const = default;")
    with out.block(f"inline bool wire_valid([[maybe_unused]] const {name}& value) {{", "}"):
        for slot in item.slots:
            value = f"value.{cpp_name(slot.name)}"
            if outside := names.outside(slot, "v" if slot.form == "fixed" else value):
                each = f"for (const auto v : {value}) " if slot.form == "fixed" else ""
                out(f"{each}if ({outside}) return false;")
            elif slot.type.kind != "scalar":
                out(f"if (!hyplink::rpq::valid({value})) return false;")
        out("return true;")
    gaps = [(at, size) for at, size in item.pads if at < end]
    with out.block(f"inline void wire_put(std::byte* p, const {name}& value) {{", "}"):
        for slot in item.slots:
            out(f"hyplink::rpq::put(p + {slot.offset}, value.{cpp_name(slot.name)});")
        for at, size in gaps:
            out(f"hyplink::rpq::store_pad<{size}>(p + {at});")
    out(
        "/// From a block of any version: the broken rule, 0 if none. A field is there whole or not."
    )
    head = f"inline std::uint32_t wire_get(const std::byte* p, std::uint64_t len, {name}& value) {{"
    with out.block(head, "}"):
        for slot in item.slots:
            last = slot.offset + slot.type.size * max(1, slot.count)
            if slot.default is None:
                out(f"if (len < {last}) return 5;")
            elif last - slot.offset > 1:
                out(f"if (len > {slot.offset} && len < {last}) return 5;")
            got = f"hyplink::rpq::get(p + {slot.offset}, value.{cpp_name(slot.name)})"
            out(f"if (len >= {last} && !{got}) return 7;")
        for at, size in gaps:
            if size > 1:
                out(f"if (len > {at} && len < {at + size}) return 5;")
            out(f"if (len > {at} && hyplink::rpq::load_pad<{size}>(p + {at}) != 0) return 7;")
        out("return wire_valid(value) ? 0 : 7;")
    out("")


def _aligned(slot: Slot) -> str:
    # i386 aligns 64-bit members of structs to four bytes unless told.
    scalar = slot.type.kind in ("scalar", "enum")
    return "alignas(8) " if slot.type.align == 8 and scalar else ""


def _proof(out: Writer, name: str, slots: list[Slot], size: int) -> None:
    terms = [f"sizeof({name}) == {size}"]
    terms += [f"offsetof({name}, {cpp_name(s.name)}) == {s.offset}" for s in slots]
    if len(terms) == 1:
        out(f"static_assert({terms[0]});")
        return
    out(f"static_assert({terms[0]} && {terms[1]}" + (" &&" if len(terms) > 2 else ");"))
    for index, term in enumerate(terms[2:], start=2):
        out(f"              {term}" + (");" if index == len(terms) - 1 else " &&"))


def wire_struct(out: Writer, names: Names, name: str, block: Block) -> None:
    """The image of a block's fixed part: only its offsets are used."""
    if not block.slots:
        return
    for slot in block.parts:
        what = f"{slot.name}: at most {slot.max} x {slot.type.size} bytes"
        out(f"// then {what}, to a multiple of 8")
    pads = dict(block.pads)
    with out.block(f"struct {name} {{", "};"):
        end = 0
        for index, slot in enumerate(block.slots):
            if end in pads:
                out(f"std::uint8_t _pad{index}[{pads[end]}];")
            if slot.is_part:
                aligned = "alignas(8) " if slot.large else ""
                out(f"{aligned}hyplink::rpq::Part {cpp_name(slot.name)};")
                if slot.large:
                    out(f"hyplink::rpq::BufferRef _ref_{slot.name};")
                end = slot.offset + (32 if slot.large else 8)
            else:
                array = f"[{slot.count}]" if slot.count else ""
                out(f"{_aligned(slot)}{names.type(slot.type)} {cpp_name(slot.name)}{array};")
                end = slot.offset + slot.type.size * max(1, slot.count)
        if end in pads:
            out(f"std::uint8_t _pad[{pads[end]}];")
    _proof(out, name, block.slots, block.fixed)


def replies(out: Writer, names: Names, interface: Interface) -> None:
    """Structs for procedures with several results."""
    for proc in [*interface.procedures, *interface.callbacks]:
        slots = names.returned(proc)
        if len(slots) < 2:
            continue
        out(f"/// What `{pascal(snake(proc.name))}` answers.")
        with out.block(f"struct {names.result(interface, proc)} {{", "};"):
            for slot in slots:
                comment(out, slot.doc)
                out(f"{names.output(slot)} {names.var(slot.name)}{{}};")
        out("")
