"""A block with the names of its fields: where each byte belongs, what it says, what is wrong.

    hyplink.idl.dump(model, "gles2.shader_source", data).text()

Works on broken blocks: the first rule that breaks is reported at its place, and what can still be
understood is shown.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field

from hyplink.idl.evaluate import NoValue, value_of
from hyplink.idl.layout import align_up, leaf_range, leaves, part_bytes
from hyplink.idl.model import SCALARS, Block, Enum, Model, Procedure, Slot, Type

__all__ = ["Dump", "Row", "dump", "find"]

_BYTES_SHOWN = 8


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
            if leaf.pad:
                self.pad(leaf.offset, leaf.pad)
                continue
            scalar = SCALARS[leaf.scalar]
            count = max(1, leaf.count)
            size = scalar.size * count
            raw = self.data[leaf.offset : leaf.offset + size]
            found = struct.unpack(f"<{count}{scalar.letter}", raw)
            if not leaf.count:
                self.values[leaf.path] = int(found[0]) if scalar.integer else 0
            word = leaf.enum.name if leaf.enum else leaf.scalar
            texts = [
                _enumerator(leaf.enum, v)
                if leaf.enum
                else f"{v:g}"
                if not scalar.integer
                else str(v)
                for v in found
            ]
            rule, meaning = "", ""
            low, high = leaf_range(leaf)
            if leaf.enum:
                known = {m.value for m in leaf.enum.members}
                if not leaf.enum.open and any(v not in known for v in found):
                    rule, meaning = "D7", f"no member of {leaf.enum.name}"
            elif leaf.scalar == "bool" and any(v > 1 for v in found):
                rule, meaning = "D7", "0 or 1"
            elif leaf.choices:
                meaning = f"in {{{', '.join(map(str, leaf.choices))}}}"
                rule = "D7" if any(v not in leaf.choices for v in found) else ""
            elif low is not None or high is not None:
                low = scalar.low if low is None else low
                high = scalar.high if high is None else high
                meaning = f"in {low}..{high}"
                rule = "D7" if any(not low <= v <= high for v in found) else ""
            value = texts[0] if not leaf.count else f"[{', '.join(texts[:8])}]"
            self.row(leaf.offset, raw, word, leaf.path, value, meaning, rule)

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
            self.row(slot.offset + 8, raw, "umem", slot.name, meaning=meaning)

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

    def part(self, slot: Slot) -> None:
        off, length = struct.unpack_from("<II", self.data, slot.offset)
        reference = self.data[slot.offset + 8 : slot.offset + 32] if slot.large else b""
        if not off and not length and (slot.nullable or any(reference)):
            return
        width = 8 if slot.form == "nested" else 1 if slot.form == "string" else slot.type.size
        count = self.wanted(slot) if slot.form in ("array", "bytes", "nested") else None
        if slot.form == "optional":
            count = 1
        most = slot.max if slot.form != "nested" else slot.count or slot.max
        if count is not None and not 0 <= count <= most and slot.form != "optional":
            self.fail(slot, "D4", f"{count} elements, at most {most}")
        elif count is not None and slot.dim == "expr" and length != count * width:
            self.fail(slot, "D5", f"the values ask for {count * width} bytes")
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
        if slot.type.kind == "struct" or slot.form == "table":
            self.row(off, data, _short(slot.type), name, meaning=f"{length} bytes", rule=rule)
            return
        self.row(
            off,
            data,
            _short(slot.type),
            name,
            self.list(slot, data),
            f"{length} bytes" + (", zero padding to 8" if tail else ""),
            rule,
        )

    def list(self, slot: Slot, data: bytes) -> str:
        if slot.form == "bytes" or slot.type.size == 0:
            return ""
        enum = self.model.enums.get(slot.type.name)
        base = enum.base if enum else slot.type.name if slot.type.kind == "scalar" else "u32"
        scalar = SCALARS[base]
        count = min(len(data) // scalar.size, 8)
        found = struct.unpack_from(f"<{count}{scalar.letter}", data)
        more = ", …" if len(data) // scalar.size > 8 else ""
        return f"[{', '.join(_enumerator(enum, v) if enum else str(v) for v in found)}{more}]"

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
            self.row(
                at,
                self.data[at : at + 8],
                "part",
                name,
                meaning=f"off {inner:#x} len {size}",
                rule="" if fits else "D3",
            )
            if not fits:
                break
            self.content(slot, name, inner, size, ending)
            cursor += room
        self.cursor = cursor


def _short(kind: Type) -> str:
    return kind.name.rpartition(".")[2]


def _enumerator(enum: Enum | None, value: int) -> str:
    for member in enum.members if enum else []:
        if member.value == value:
            return member.name
    return f"{value:#x}" if value >= 0 else str(value)
