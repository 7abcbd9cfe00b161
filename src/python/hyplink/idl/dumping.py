"""A block with the names of its fields: where each byte belongs, what it says, what is wrong.

    hyplink.idl.dump(model, "gles2.shader_source", data).text()

Works on broken blocks: the first rule that breaks is reported at its place, and what can still be
understood is shown.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field

from hyplink.idl.dump_values import judge, read, shown
from hyplink.idl.evaluate import NoValue, value_of
from hyplink.idl.layout import Leaf, align_up, leaves, part_bytes
from hyplink.idl.model import SCALARS, Block, Model, Procedure, Slot, Type

__all__ = ["Dump", "Row", "dump", "find"]

_BYTES_SHOWN = 8
_ELEMENTS_SHOWN = 4


@dataclass(slots=True)
class Row:
    """Some bytes and what they are; ``rule`` is set where one is broken."""

    offset: int
    data: bytes
    type: str
    name: str
    value: str = ""
    meaning: str = ""
    rule: str = ""

    def text(self) -> str:
        if self.type == "text":
            return f"+0x{self.offset:02x}  {self.value}  {self.meaning}".rstrip() + self._mark()
        shown = self.data[:_BYTES_SHOWN].hex(" ")
        if len(self.data) > _BYTES_SHOWN:
            shown = self.data[: _BYTES_SHOWN - 1].hex(" ") + " …"
        value = f"= {self.value}" if self.value else ""
        line = f"+0x{self.offset:02x}  {shown:<23}  {self.type:<12} {self.name:<14} {value:<16}"
        return f"{line} {self.meaning}".rstrip() + self._mark()

    def _mark(self) -> str:
        return f"  <-- breaks {self.rule}" if self.rule else ""


@dataclass(slots=True)
class Dump:
    """The rows of a block in order; ``broken`` holds those that break a rule."""

    name: str
    rows: list[Row] = field(default_factory=list)

    @property
    def broken(self) -> list[Row]:
        return [row for row in self.rows if row.rule]

    def text(self) -> str:
        return "".join(f"{row.text()}\n" for row in self.rows)


def find(model: Model, name: str) -> Procedure:
    """A procedure or callback by ``interface.name``, or by ``name`` where that is enough.

    Raises:
        LookupError: no such procedure, or several of that name.
    """
    wanted = name.rpartition(".")
    found = [
        proc
        for interface in model.interfaces
        for proc in [*interface.procedures, *interface.callbacks]
        if proc.name == wanted[2] and wanted[0] in ("", interface.name)
    ]
    if len(found) != 1:
        names = [f"{i.name}.{p.name}" for i in model.interfaces for p in i.procedures]
        problem = "several" if found else "no"
        raise LookupError(f"{problem} procedures {name!r}; there are {', '.join(names)}")
    return found[0]


def dump(
    model: Model,
    name: str,
    data: bytes,
    *,
    reply: bool = False,
    state: dict[str, int] | None = None,
) -> Dump:
    """Describe the request (or with ``reply`` the answer) of procedure ``name``."""
    proc = find(model, name)
    shadow = {
        v.name: v.initial for i in model.interfaces for v in i.state if proc in i.procedures
    } | (state or {})
    return _Walk(model, proc, bytes(data), shadow, reply=reply).run()


class _Walk:
    def __init__(
        self, model: Model, proc: Procedure, data: bytes, state: dict[str, int], *, reply: bool
    ) -> None:
        self.model, self.proc, self.data, self.reply = model, proc, data, reply
        self.block: Block = proc.reply if reply else proc.request
        self.state = state
        self.values: dict[str, int] = {}
        self.out = Dump(proc.name)
        self.cursor = self.block.fixed

    def run(self) -> Dump:
        if len(self.data) < self.block.fixed:
            self.row(
                0,
                self.data,
                "block",
                "in_bytes",
                rule="D2",
                meaning=(f"{len(self.data)} bytes, the fixed part alone has {self.block.fixed}"),
            )
            return self.out
        pads = [(at, size) for at, size in self.block.pads]
        items: list[tuple[int, Slot | int]] = [(s.offset, s) for s in self.block.slots]
        items += pads
        for offset, item in sorted(items, key=lambda pair: pair[0]):
            if isinstance(item, int):
                self.pad(offset, item)
            elif item.is_part:
                self.place(item)
            else:
                self.value(item)
        for slot in sorted(self.block.parts, key=lambda s: s.offset):
            self.part(slot)
        if not self.reply:
            self.answers()
        if self.cursor < len(self.data):
            rest = self.data[self.cursor :]
            broken = "" if self.reply else "D2"
            self.row(
                self.cursor,
                rest,
                "rest",
                "",
                meaning=f"{len(rest)} bytes nobody names",
                rule=broken,
            )
        elif not self.reply and len(self.data) > self.block.max:
            self.row(0, b"", "block", "in_bytes", rule="D2", meaning=f"at most {self.block.max}")
        self.out.rows.sort(key=lambda row: row.offset)
        return self.out

    def row(
        self,
        offset: int,
        data: bytes,
        kind: str,
        name: str,
        value: str = "",
        meaning: str = "",
        rule: str = "",
    ) -> None:
        self.out.rows.append(Row(offset, data, kind, name, value, meaning, rule))

    def pad(self, offset: int, size: int) -> None:
        data = self.data[offset : offset + size]
        self.row(offset, data, "", "", meaning="padding", rule="D7" if any(data) else "")

    # -- the fixed part ----------------------------------------------------------------------------

    def value(self, slot: Slot) -> None:
        kind = slot.type
        if kind.kind == "umem":
            raw = self.data[slot.offset : slot.offset + 24]
            words = struct.unpack("<IIQQ", raw)
            meaning = "slot {} gen {} off {:#x} len {}".format(*words)
            self.row(slot.offset, raw, _short(kind), slot.name, meaning=meaning)
            return
        if kind.kind in ("handle", "callback", "cookie"):
            for index in range(max(1, slot.count)):
                at = slot.offset + 4 * index
                (number,) = struct.unpack_from("<I", self.data, at)
                name = f"{slot.name}[{index}]" if slot.count else slot.name
                self.number(slot, at, number, name)
            return
        for leaf in leaves(self.model, slot):
            self.leaf(leaf, leaf.offset)

    def leaf(self, leaf: Leaf, offset: int) -> None:
        """A row for one scalar (or gap) at an offset of the block."""
        if leaf.pad:
            self.pad(offset, leaf.pad)
            return
        found = read(leaf, self.data, offset)
        size = SCALARS[leaf.scalar].size * len(found)
        if not leaf.count:
            self.values[leaf.path] = int(found[0]) if SCALARS[leaf.scalar].integer else 0
        wrong, meaning = judge(leaf, found)
        self.row(
            offset,
            self.data[offset : offset + size],
            leaf.enum.name if leaf.enum else leaf.scalar,
            leaf.path,
            shown(leaf, found),
            meaning,
            "D7" if wrong else "",
        )

    def number(self, slot: Slot, at: int, number: int, name: str) -> None:
        raw = self.data[at : at + 4]
        bits = 20 if slot.type.kind == "handle" else 16
        meaning = f"slot {number & (1 << bits) - 1} gen {number >> bits}" if number else "none"
        rule = ""
        if not number and not slot.nullable and slot.type.kind in ("handle", "callback"):
            rule = "D13" if slot.type.kind == "handle" else "D7"
        self.row(at, raw, _short(slot.type), name, str(number), meaning, rule)

    def place(self, slot: Slot) -> None:
        raw = self.data[slot.offset : slot.offset + 8]
        off, length = struct.unpack("<II", raw)
        if slot.form == "nested":
            meaning = f"off {off:#x}, {length // 8} x {{off,len}}"
        else:
            meaning = f"off {off:#x} len {length}"
        if not off and not length:
            meaning = "absent"
        self.row(slot.offset, raw, "part", slot.name, meaning=meaning)
        if slot.large:
            raw = self.data[slot.offset + 8 : slot.offset + 32]
            words = struct.unpack("<IIQQ", raw)
            meaning = "slot {} gen {} off {:#x} len {}".format(*words) if any(words) else "unused"
            both = any(words) and (off or length)
            rule = "D3" if both else ""
            meaning += "; both here and in a buffer" if both else ""
            self.row(slot.offset + 8, raw, "umem", slot.name, meaning=meaning, rule=rule)

    # -- parts -------------------------------------------------------------------------------------

    def fail(self, slot: Slot, rule: str, meaning: str) -> None:
        for row in self.out.rows:
            if row.offset == slot.offset and not row.rule:
                row.rule = rule
                row.meaning = f"{row.meaning}; {meaning}".strip("; ")
                return

    def wanted(self, slot: Slot) -> int | None:
        """The number of elements that the rest of the block asks for, if that can be known."""
        if slot.length is None or slot.dim not in ("expr", "cap") or self.reply:
            return None
        try:
            return value_of(self.model, slot.length, self.values, self.state)
        except (NoValue, KeyError):
            self.fail(slot, "D5", "no length for these values")
            return None
        except ZeroDivisionError:  # a value outside its range, which its own row says
            return None

    def answers(self) -> None:
        """The lengths that the request asks of its answer."""
        for slot in self.proc.reply.parts:
            if slot.form in ("array", "bytes", "nested"):
                count = self.wanted(slot)
                most = slot.max if slot.form != "nested" else slot.count or slot.max
                if count is not None and not 0 <= count <= most:
                    meaning = f"the answer has {count} elements, at most {most}"
                    self.row(self.block.fixed, b"", "part", slot.name, meaning=meaning, rule="D4")

    def inner_wanted(self, slot: Slot, index: int) -> int | None:
        """The number of elements of an inner part that the rest of the block asks for."""
        if slot.inner is None or slot.inner_dim != "expr" or self.reply:
            return None
        try:
            return value_of(self.model, slot.inner, self.values | {slot.index: index}, self.state)
        except (NoValue, KeyError, ZeroDivisionError):
            return None

    def part(self, slot: Slot) -> None:
        off, length = struct.unpack_from("<II", self.data, slot.offset)
        reference = self.data[slot.offset + 8 : slot.offset + 32] if slot.large else b""
        width = 8 if slot.form == "nested" else 1 if slot.form == "string" else slot.type.size
        count = self.wanted(slot) if slot.form in ("array", "bytes", "nested") else None
        most = slot.max if slot.form != "nested" else slot.count or slot.max
        if count is not None and not 0 <= count <= most:
            self.fail(slot, "D4", f"{count} elements, at most {most}")
            count = None
        if not off and not length and any(reference):
            (there,) = struct.unpack_from("<Q", reference, 16)
            if count is not None and slot.dim == "expr" and there != count * width:
                self.fail(slot, "D5", f"the values ask for {count * width} bytes")
            return
        if not off and not length and slot.nullable:
            return
        if slot.form == "optional":
            count = 1
        if count is not None and slot.dim == "expr" and length != count * width:
            self.fail(slot, "D5", f"the values ask for {count * width} bytes")
        elif slot.dim in ("carried", "until") and width and length % width:
            self.fail(slot, "D5", f"half an element of {width} bytes")
        elif slot.form == "string" and length > slot.max:
            self.fail(slot, "D3", f"at most {slot.max}")
        elif slot.form != "nested" and length > max(slot.max, 1) * max(width, 1):
            self.fail(slot, "D3", f"at most {slot.max} elements")
        ending = 1 if slot.form == "string" else 0
        room = align_up(length + ending, 8)
        if off != self.cursor or room > len(self.data) - self.cursor:
            self.fail(slot, "D3", f"expected at {self.cursor:#x}, {len(self.data)} bytes in all")
            if off + length > len(self.data) or off < self.block.fixed:
                return
        if slot.form == "nested":
            self.nested(slot, off, length)
            return
        self.content(slot, slot.name, off, length, ending)
        self.cursor = off + (self.reserve(slot) if self.reply else room)

    def reserve(self, slot: Slot) -> int:
        """Answers keep the room of a part whatever of it is used."""
        if slot.form == "string" or slot.dim != "expr":
            return part_bytes(slot)
        _, length = struct.unpack_from("<II", self.data, slot.offset)
        return align_up(length, 8)

    def content(self, slot: Slot, name: str, off: int, length: int, ending: int) -> None:
        data = self.data[off : off + length]
        tail = self.data[off + length : align_up(off + length + ending, 8)]
        rule = "D7" if any(tail) and not self.reply else ""
        if slot.form == "string" or slot.text:
            text = data.decode("utf-8", "backslashreplace")
            shown = text if len(text) <= 48 else f"{text[:47]}…"
            meaning = "NUL, zero padding to 8" if ending else "zero padding to 8"
            if ending and (0 in data or (tail and tail[0])):
                rule = "D7"
            self.row(off, data, "text", name, f'"{shown}"  {tail.hex(" ")}', meaning, rule)
            return
        padding = ", zero padding to 8" if tail else ""
        if slot.form == "table":
            self.row(off, data, _short(slot.type), name, meaning=f"{length} bytes", rule=rule)
            self.table(slot, name, off, length)
            return
        if slot.form == "optional" or slot.type.kind == "struct":
            self.row(
                off, b"", _short(slot.type), name, meaning=f"{length} bytes{padding}", rule=rule
            )
            self.elements(slot, name, off, length)
            return
        value, fault = self.list(slot, data)
        self.row(
            off,
            data,
            _short(slot.type),
            name,
            value,
            f"{length} bytes{padding}" + (f"; {fault}" if fault else ""),
            rule or ("D7" if fault else ""),
        )
        if slot.dim == "until" and not self.reply:
            self.sentinel(slot, data)

    def element(self, slot: Slot, name: str) -> Slot:
        """One element of an array as a value of its own, at offset 0."""
        return Slot(name, "value", slot.type, low=slot.low, high=slot.high, choices=slot.choices)

    def elements(self, slot: Slot, name: str, off: int, length: int) -> None:
        """Rows for the scalars of structs: of the first ones all, of the others what is wrong."""
        size = max(1, slot.type.size)
        for index in range(length // size):
            here = name if slot.form == "optional" else f"{name}[{index}]"
            for leaf in leaves(self.model, self.element(slot, here)):
                at = off + index * size + leaf.offset
                if index >= _ELEMENTS_SHOWN and not self.wrong(leaf, at):
                    continue
                self.leaf(leaf, at)

    def wrong(self, leaf: Leaf, at: int) -> bool:
        if leaf.pad:
            return any(self.data[at : at + leaf.pad])
        return judge(leaf, read(leaf, self.data, at))[0]

    def table(self, slot: Slot, name: str, off: int, length: int) -> None:
        """The fields that are there. A table ends behind a field, and behind those without a default."""
        for member in self.model.tables[slot.type.name].slots:
            size = member.type.size * max(1, member.count)
            if member.offset + size <= length:
                for leaf in leaves(self.model, member, member.offset, f"{name}.{member.name}"):
                    self.leaf(leaf, off + leaf.offset)
            elif member.offset < length or member.default is None:
                where = "inside" if member.offset < length else "before"
                self.fail(slot, "D5", f"the table ends {where} {member.name}")
                return

    def sentinel(self, slot: Slot, data: bytes) -> None:
        """Groups of `step` elements; the last one is `until` alone, and none before begins with it."""
        base = self.model.enums[slot.type.name].base if slot.type.kind == "enum" else slot.type.name
        scalar = SCALARS[base]
        if len(data) % scalar.size:
            self.fail(slot, "D5", "half an element")
            return
        found = struct.unpack(f"<{len(data) // scalar.size}{scalar.letter}", data)
        if not found or found[-1] != slot.until or (len(found) - 1) % max(1, slot.step):
            self.fail(slot, "D5", f"does not end with {slot.until}")
        elif slot.until in found[: -1 : max(1, slot.step)]:
            self.fail(slot, "D5", f"ends earlier with {slot.until}")

    def list(self, slot: Slot, data: bytes) -> tuple[str, str]:
        """The first elements as text, and what is wrong with any."""
        if slot.form == "bytes" or slot.type.size == 0:
            return "", ""
        (leaf,) = leaves(self.model, self.element(slot, slot.name))
        size = SCALARS[leaf.scalar].size
        count = len(data) // size
        if not count:
            return "[]", ""
        leaf.count = count
        found = read(leaf, data, 0)
        for index, value in enumerate(found):
            wrong, meaning = judge(leaf, (value,))
            if wrong:
                return shown(leaf, found), f"element {index} is {value}: {meaning}"
        return shown(leaf, found), ""

    def nested(self, slot: Slot, off: int, length: int) -> None:
        count = length // 8
        ending = 1 if slot.text else 0
        cursor = off + length
        for index in range(count):
            at = off + 8 * index
            if at + 8 > len(self.data):
                break
            inner, size = struct.unpack_from("<II", self.data, at)
            name = f"{slot.name}[{index}]"
            room = align_up(size + ending, 8)
            fits = inner == cursor and room <= len(self.data) - cursor
            meaning = f"off {inner:#x} len {size}"
            rule = "" if fits else "D3"
            wanted = self.inner_wanted(slot, index)
            if wanted is not None and size != wanted * slot.type.size:
                rule = "D5"
                meaning += f"; the values ask for {wanted * slot.type.size} bytes"
            self.row(at, self.data[at : at + 8], "part", name, meaning=meaning, rule=rule)
            if rule:
                break
            self.content(slot, name, inner, size, ending)
            cursor += room
        self.cursor = cursor


def _short(kind: Type) -> str:
    return kind.name.rpartition(".")[2]
