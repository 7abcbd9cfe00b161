"""Broken blocks for every rule and every procedure, derived from the model.

``good_request`` builds one block that a receiver must accept; ``negative_cases`` breaks it in one
place at a time and says which rule, field and offset the receiver must name. A third opinion beside
the generators: it knows the model and nothing of their code.

What a receiver needs to have: for each handle type of the model, in order of ``model.handles``,
one live handle with the number ``live_handle`` says (and nothing else live); a buffer {slot 1,
generation 1} of ``BUFFER`` bytes, readable and writable. State variables have their initial values.
"""

from __future__ import annotations

import itertools
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from hyplink.idl.bounds import evaluate
from hyplink.idl.layout import Leaf, align_up, leaves, part_bytes
from hyplink.idl.model import SCALARS, Expr, Interface, Model, Procedure, Slot

__all__ = ["BUFFER", "Case", "Request", "good_request", "live_handle", "negative_cases"]

BUFFER = 4096
_Values = dict[str, int]


class _Miss(Exception):
    """No arm of a match fits: the request is refused."""


@dataclass
class Request:
    """A block and what its transport says about it."""

    proc: Procedure
    ident: int
    block: bytes
    is_call: bool
    out_bytes: int


@dataclass
class Case:
    """A request that breaks one rule."""

    name: str
    request: Request
    rule: int
    field: str
    offset: int


@dataclass
class _Part:
    """One part before it has a place: its bytes, or its inner parts."""

    slot: Slot
    data: bytes = b""
    inner: list[bytes] | None = None
    tail: int = 0
    at: int = 0
    inner_at: list[int] = field(default_factory=list)

    @property
    def length(self) -> int:
        return len(self.inner) * 8 if self.inner is not None else len(self.data)


def live_handle(model: Model, name: str) -> int:
    """The number of the one live handle of that type: slots from 1, generation 1."""
    return list(model.handles).index(name) + 1 | 1 << 20


def _run(model: Model, node: Expr, values: _Values, state: _Values) -> int:
    """The value of an expression, as lazy as the languages are."""

    def run(inner: Expr) -> int:
        return _run(model, inner, values, state)

    if node.op == "int":
        return node.value
    if node.op == "arg":
        return values[node.name]
    if node.op == "state":
        return state[node.name]
    if node.op == "call":
        function = model.functions[node.name]
        given = dict(zip(function.params, map(run, node.args), strict=True))
        return _run(model, function.body, given, state)
    if node.op == "match":
        looked = [run(a) for a in node.args[: node.value]]
        for arm in node.args[node.value :]:
            if all(not p or v in p for v, p in zip(looked, arm.patterns, strict=True)):
                return run(arm.args[0])
        raise _Miss
    if node.op == "?:":
        return run(node.args[1] if run(node.args[0]) else node.args[2])
    if node.op == "&&":
        return int(all(run(a) for a in node.args))
    if node.op == "||":
        return int(any(run(a) for a in node.args))
    return evaluate(node.op, [run(a) for a in node.args])


class _Builder:
    """Blocks of one procedure."""

    def __init__(self, model: Model, interface: Interface, proc: Procedure) -> None:
        self.model, self.interface, self.proc = model, interface, proc
        self.callback = proc in interface.callbacks
        self.state = {v.name: v.initial for v in interface.state}
        self.ident = interface.group << 16 | proc.ordinal
        self.leaves = {
            leaf.path: leaf
            for slot in proc.request.slots
            if not slot.is_part
            for leaf in leaves(model, slot)
            if not leaf.pad
        }

    # -- values ----------------------------------------------------------------------------------

    def legal(self, leaf: Leaf) -> list[int]:
        """A few values that this scalar may have, small ones first."""
        if leaf.enum is not None:
            return [m.value for m in leaf.enum.members]
        if leaf.choices:
            return list(leaf.choices)
        info = SCALARS[leaf.scalar]
        if leaf.scalar == "bool":
            return [0, 1]
        low = info.low if leaf.low is None else leaf.low
        high = info.high if leaf.high is None else leaf.high
        tried = [0, 1, 2, 3, 4, low, low + 1, high, 17, 1000, 100_000, high - 1, -1]
        return list(dict.fromkeys(v for v in tried if low <= v <= high))

    def _sized(self) -> list[tuple[Slot, Expr]]:
        """Lengths that the receiver evaluates, in its order."""
        slots = [*self.proc.request.parts, *self.proc.reply.parts]
        return [(s, s.length) for s in slots if s.length is not None and s.dim in ("expr", "cap")]

    def _names(self) -> list[str]:
        found: dict[str, None] = {}

        def walk(node: Expr, index: str) -> None:
            if node.op == "arg" and node.name != index:
                found[node.name] = None
            for arg in node.args:
                walk(arg, index)

        for slot, length in self._sized():
            walk(length, "")
            if slot.inner is not None and slot.inner_dim == "expr":
                walk(slot.inner, slot.index)
        return [n for n in found if n in self.leaves]

    def assignments(self) -> Iterator[_Values]:
        base = {path: self.legal(leaf)[0] for path, leaf in self.leaves.items()}
        for path, leaf in self.leaves.items():
            if leaf.scalar in ("f32", "f64"):
                base[path] = 0
        names = self._names()
        choices = [self.legal(self.leaves[n]) for n in names]
        for values in itertools.islice(itertools.product(*choices), 30_000):
            yield base | dict(zip(names, values, strict=True))

    def most(self, slot: Slot) -> int:
        if slot.form == "nested":
            return slot.count
        return slot.max + 1 if slot.form == "string" else slot.max

    def lengths(self, values: _Values) -> list[tuple[Slot, int | None]]:
        """Each evaluated length; None where no arm fits."""
        found: list[tuple[Slot, int | None]] = []
        for slot, length in self._sized():
            try:
                found.append((slot, _run(self.model, length, values, self.state)))
            except _Miss:
                found.append((slot, None))
        return found

    def inner_length(self, slot: Slot, values: _Values, index: int) -> int | None:
        assert slot.inner is not None
        try:
            return _run(self.model, slot.inner, values | {slot.index: index}, self.state)
        except _Miss:
            return None

    def _inner_good(self, values: _Values) -> bool:
        counts = {s.name: n for s, n in self.lengths(values)}
        for slot in self.proc.request.parts:
            if slot.form != "nested" or slot.inner_dim != "expr":
                continue
            each = [self.inner_length(slot, values, i) for i in range(counts[slot.name] or 0)]
            if any(n is None or n < 0 for n in each) or sum(n or 0 for n in each) > slot.max:
                return False
        return True

    def choose(self) -> _Values:
        """Values with which every length is legal, small, and not 0 where it can be."""
        best: tuple[int, int, _Values] | None = None
        for values in self.assignments():
            found = self.lengths(values)
            if any(n is None or not 0 <= n <= self.most(s) for s, n in found):
                continue
            if not self._inner_good(values):
                continue
            empty = sum(1 for _, n in found if n == 0)
            total = sum((n or 0) * s.type.size for s, n in found)
            if best is None or (empty, total) < best[:2]:
                best = (empty, total, values)
        assert best is not None, f"no legal request of {self.proc.name} found"
        return best[2]

    # -- bytes -----------------------------------------------------------------------------------

    def scalar(self, leaf: Leaf, value: int) -> bytes:
        letter = SCALARS[leaf.scalar].letter
        return struct.pack(f"<{letter}", value)

    def given(self) -> list[Slot]:
        """The buffers that change hands."""
        return [s for s in self.proc.request.slots if s.transfer == "gives"]

    def _fill(self, into: bytearray, slot: Slot, values: _Values, base: int) -> None:
        kind = slot.type.kind
        if kind == "handle":
            for i in range(max(1, slot.count)):
                number = live_handle(self.model, slot.type.name)
                into[base + 4 * i : base + 4 * i + 4] = number.to_bytes(4, "little")
            return
        if kind == "umem":
            if slot not in self.given()[1:]:  # there is one buffer, and nobody gives it twice
                struct.pack_into("<IIQQ", into, base, 1, 1, 0, 16)
            return
        if kind in ("callback", "cookie"):
            struct.pack_into("<I", into, base, 1 | 1 << 16)
            return
        for leaf in leaves(self.model, slot, base):
            if leaf.pad:
                continue
            value = values.get(leaf.path, self.legal(leaf)[0])
            if leaf.scalar in ("f32", "f64"):
                value = 0
            for i in range(max(1, leaf.count)):
                data = self.scalar(leaf, value)
                at = leaf.offset + i * len(data)
                into[at : at + len(data)] = data

    def element(self, slot: Slot) -> bytes:
        """One legal element, or a whole table."""
        if slot.form == "table":
            table = self.model.tables[slot.type.name]
            data = bytearray(table.size)
            for member in table.slots:
                given = {} if member.default is None else {member.name: int(member.default)}
                self._fill(data, member, given, member.offset)
            return bytes(data)
        data = bytearray(slot.type.size)
        self._fill(
            data,
            Slot(slot.name, "value", slot.type, low=slot.low, high=slot.high, choices=slot.choices),
            {},
            0,
        )
        return bytes(data)

    def part(self, slot: Slot, values: _Values, counts: dict[str, int]) -> _Part:
        size = max(1, slot.type.size)
        if slot.form == "string":
            return _Part(slot, b"ab"[: slot.max], tail=1)
        if slot.form == "nested":
            count = counts.get(slot.name, min(2, slot.count))
            inner = []
            for i in range(count):
                length = min(2, slot.max // max(1, count))
                if slot.inner_dim == "expr":
                    length = self.inner_length(slot, values, i) or 0
                inner.append(b"a" * length if slot.text else self.element(slot) * length)
            return _Part(slot, inner=inner, tail=int(slot.text))
        if slot.form in ("optional", "table"):
            return _Part(slot, self.element(slot))
        if slot.dim == "until":
            last = self._number(slot, slot.until)
            other = self._number(slot, 1 if slot.until != 1 else 2)
            return _Part(slot, other * slot.step + last if slot.step < slot.max else last)
        count = counts.get(slot.name, min(2, slot.max))
        element = b"x" if slot.form == "bytes" else self.element(slot)
        return _Part(slot, element * count) if size else _Part(slot)

    def _number(self, slot: Slot, value: int) -> bytes:
        scalar = slot.type.name
        if slot.type.kind == "enum":
            scalar = self.model.enums[slot.type.name].base
        return struct.pack(f"<{SCALARS[scalar].letter}", value)

    def fixed(self, values: _Values) -> bytearray:
        block = bytearray(self.proc.request.fixed)
        for slot in self.proc.request.slots:
            if not slot.is_part:
                self._fill(block, slot, values, slot.offset)
        return block

    def parts(self, values: _Values) -> list[_Part]:
        counts = {s.name: n for s, n in self.lengths(values) if n is not None}
        return [self.part(s, values, counts) for s in self.proc.request.parts]

    def join(self, values: _Values, parts: list[_Part]) -> bytes:
        """The canonical block; notes in ``parts`` where each lies."""
        block = self.fixed(values)
        for part in parts:
            part.at = len(block)
            struct.pack_into("<II", block, part.slot.offset, part.at, part.length)
            if part.inner is None:
                block += (part.data + bytes(part.tail)).ljust(
                    align_up(len(part.data) + part.tail, 8), b"\0"
                )
                continue
            block += bytes(part.length)
            part.inner_at = []
            for i, data in enumerate(part.inner):
                part.inner_at.append(len(block))
                count = len(data)
                struct.pack_into("<II", block, part.at + 8 * i, len(block), count)
                block += (data + bytes(part.tail)).ljust(align_up(count + part.tail, 8), b"\0")
        return bytes(block)

    def out_bytes(self, values: _Values) -> int:
        counts = {s.name: n for s, n in self.lengths(values)}
        total = self.proc.reply.fixed
        for slot in self.proc.reply.parts:
            if slot.name in counts and slot.dim in ("expr", "cap"):
                total += align_up((counts[slot.name] or 0) * slot.type.size, 8)
            else:
                total += part_bytes(slot)
        return total

    def request(self, values: _Values, block: bytes) -> Request:
        call = self.proc.kind == "sync"
        return Request(self.proc, self.ident, block, call, self.out_bytes(values) if call else 0)


def good_request(model: Model, interface: Interface, proc: Procedure) -> Request:
    """A block that the receiver must accept."""
    builder = _Builder(model, interface, proc)
    values = builder.choose()
    return builder.request(values, builder.join(values, builder.parts(values)))


def negative_cases(model: Model, interface: Interface, proc: Procedure) -> list[Case]:
    """Every way to break one rule in one place that the procedure's shape allows."""
    return list(_Cases(_Builder(model, interface, proc)).all())


class _Cases:
    """Breaks one good block in turn."""

    def __init__(self, builder: _Builder) -> None:
        self.builder = builder
        self.proc, self.model = builder.proc, builder.model
        self.values = builder.choose()
        self.parts = builder.parts(self.values)
        self.block = builder.join(self.values, self.parts)
        self.good = builder.request(self.values, self.block)

    def case(self, name: str, rule: int, slot: Slot | None, block: bytes) -> Case:
        field_name, offset = (slot.name, slot.offset) if slot else ("in_bytes", 0)
        request = replace(self.good, block=block)
        return Case(f"D{rule} {field_name}: {name}", request, rule, field_name, offset)

    def patched(self, at: int, data: bytes) -> bytes:
        return self.block[:at] + data + self.block[at + len(data) :]

    def all(self) -> Iterator[Case]:
        yield from self._sizes()
        for part in self.parts:
            yield from self._places(part)
            yield from self._contents(part)
        yield from self._lengths()
        yield from self._fixed()
        yield from self._references()

    # -- D2, D6 ----------------------------------------------------------------------------------

    def _sizes(self) -> Iterator[Case]:
        good, block = self.good, self.block
        flipped = replace(good, is_call=not good.is_call)
        yield Case("D2 is_call: post for call or call for post", flipped, 2, "is_call", 0)
        yield self.case("eight bytes more", 2, None, block + bytes(8))
        yield self.case("not a multiple of eight", 2, None, block + bytes(4))
        if block:
            last = [p for p in self.parts if p.length or p.tail]
            if not last or len(block) - 8 < self.proc.request.fixed:
                yield self.case("eight bytes less", 2, None, block[:-8])
            else:
                yield self.case("eight bytes less", 3, last[-1].slot, block[:-8])
            yield self.case("no block at all", 2, None, b"")
        if good.is_call and self.proc.reply.slots:
            small = replace(good, out_bytes=good.out_bytes - 8)
            yield Case("D6 out_bytes: no room for the answer", small, 6, "out_bytes", 0)

    # -- D3, D5 ----------------------------------------------------------------------------------

    def _places(self, part: _Part) -> Iterator[Case]:
        slot, size = part.slot, part.slot.type.size

        def at(off: int, length: int) -> bytes:
            return self.patched(slot.offset, struct.pack("<II", off, length))

        yield self.case("behind its place", 3, slot, at(part.at + 8, part.length))
        yield self.case("in front of its place", 3, slot, at(part.at - 8, part.length))
        yield self.case("an offset that wraps", 3, slot, at(0xFFFFFFF8, part.length))
        if slot.form in ("string", "table"):
            yield self.case("longer than its maximum", 3, slot, at(part.at, slot.max + 1))
            yield self.case("a length of 4 GiB", 3, slot, at(part.at, 0xFFFFFFFF))
        elif slot.dim in ("carried", "until"):
            unit, most = (8, slot.count) if slot.form == "nested" else (size, slot.max)
            yield self.case("longer than its maximum", 3, slot, at(part.at, (most + 1) * unit))
        elif slot.form == "optional":
            yield self.case("another size", 5, slot, at(part.at, part.length + 1))
        else:
            unit = 8 if slot.form == "nested" else size
            yield self.case("carried length differs", 5, slot, at(part.at, part.length + unit))
            yield self.case("a length of 4 GiB", 5, slot, at(part.at, 0xFFFFFFF8))
        if slot.dim in ("carried", "until") and slot.form != "nested" and size > 1:
            yield self.case("half an element", 5, slot, at(part.at, part.length - 1))
        for i, where in enumerate(part.inner_at[:2]):
            assert part.inner is not None
            place = part.at + 8 * i
            wrong = struct.pack("<I", where + 8)
            yield self.case(f"inner part {i} behind its place", 3, slot, self.patched(place, wrong))
            if slot.inner_dim == "expr":
                wrong = struct.pack("<I", len(part.inner[i]) + size)
                text = f"carried length of inner part {i} differs"
                yield self.case(text, 5, slot, self.patched(place + 4, wrong))
            else:
                wrong = struct.pack("<I", (slot.max + 1) * size)
                text = f"inner part {i} longer than all may be"
                yield self.case(text, 3, slot, self.patched(place + 4, wrong))

    # -- D7 in parts -----------------------------------------------------------------------------

    def _contents(self, part: _Part) -> Iterator[Case]:
        slot = part.slot
        places = [(part.at, part.length)]
        if part.inner is not None:
            places = [(w, len(d)) for w, d in zip(part.inner_at, part.inner, strict=True)]
        for at, length in places[:1]:
            if part.tail:
                yield self.case("no NUL", 7, slot, self.patched(at + length, b"!"))
                if length:
                    yield self.case("a NUL inside", 7, slot, self.patched(at, b"\0"))
            if (length + part.tail) % 8:
                end = align_up(length + part.tail, 8)
                yield self.case("padding", 7, slot, self.patched(at + end - 1, b"\1"))
        if slot.dim == "until":
            yield from self._until(part)
        elif slot.form == "table":
            yield from self._table(part)
        elif slot.form in ("array", "optional") and part.length:
            inner = Slot(
                slot.name, "value", slot.type, low=slot.low, high=slot.high, choices=slot.choices
            )
            for name, at, data in self._illegal(inner, part.at):
                yield self.case(f"{name} of an element", 7, slot, self.patched(at, data))

    def _until(self, part: _Part) -> Iterator[Case]:
        slot, size = part.slot, part.slot.type.size
        last = self.builder._number(slot, slot.until)
        other = self.builder._number(slot, slot.until + 1 if slot.until < 100 else slot.until - 1)
        yield self.case("does not end", 5, slot, self.patched(part.at + part.length - size, other))
        if part.length > size:
            yield self.case("ends earlier", 5, slot, self.patched(part.at, last))

    def _table(self, part: _Part) -> Iterator[Case]:
        table = self.model.tables[part.slot.type.name]
        for member in table.slots:
            member_size = member.type.size * max(1, member.count)
            if member_size > 1:
                data = part.data[: member.offset + member_size - 1]
                yield self._shorter(part, data, f"ends inside {member.name}")
            if member.default is None:
                yield self._shorter(part, part.data[: member.offset], f"ends before {member.name}")
            for name, at, wrong in self._illegal(member, part.at + member.offset):
                text = f"{name} of {member.name}"
                yield self.case(text, 7, part.slot, self.patched(at, wrong))

    def _shorter(self, part: _Part, data: bytes, name: str) -> Case:
        parts = [replace(p, data=data) if p is part else replace(p) for p in self.parts]
        block = self.builder.join(self.values, parts)
        return self.case(name, 5, part.slot, block)

    # -- D4, D5 by value -------------------------------------------------------------------------

    def _lengths(self) -> Iterator[Case]:
        """Values that are legal one by one and give a length that is not."""
        before = {s.name: n for s, n in self.builder.lengths(self.values)}
        done: set[tuple[str, str]] = set()
        for values in self.builder.assignments():
            for slot, count in self.builder.lengths(values):
                most = self.builder.most(slot)
                wrong = "miss" if count is None else "range" if not 0 <= count <= most else ""
                if wrong and (slot.name, wrong) not in done:
                    done.add((slot.name, wrong))
                    rule = 5 if wrong == "miss" else 4
                    text = "no arm matches" if wrong == "miss" else "out of bounds"
                    yield self.case(text, rule, slot, self._with(values))
                if wrong or count != before[slot.name]:
                    break  # a later one is not reached

    def _with(self, values: _Values) -> bytes:
        changed = self.builder.fixed(values)
        for slot in self.proc.request.parts:
            room = 32 if slot.large else 8
            changed[slot.offset : slot.offset + room] = self.block[slot.offset : slot.offset + room]
        return bytes(changed) + self.block[len(changed) :]

    # -- D7 in the fixed part --------------------------------------------------------------------

    def _fixed(self) -> Iterator[Case]:
        for at, size in self.proc.request.pads:
            block = self.patched(at + size - 1, b"\1")
            request = replace(self.good, block=block)
            yield Case(f"D7 padding at {at}", request, 7, "padding", at)
        for slot in self.proc.request.slots:
            if slot.is_part or slot.type.kind in ("handle", "umem", "cookie", "callback"):
                continue
            for name, at, data in self._illegal(slot, slot.offset):
                yield self.case(name, 7, slot, self.patched(at, data))

    def _illegal(self, slot: Slot, base: int) -> Iterator[tuple[str, int, bytes]]:
        """(what, where, bytes) for every scalar and gap of a value that can be wrong."""
        if slot.type.kind in ("handle", "umem", "cookie", "callback", "table"):
            return
        for leaf in leaves(self.model, slot, base):
            if leaf.pad:
                yield f"gap in {leaf.path or slot.name}", leaf.offset, b"\1"
                continue
            info = SCALARS[leaf.scalar]
            wrong: list[int] = []
            if leaf.scalar == "bool":
                wrong = [2, 255]
            elif leaf.enum is not None:
                known = {m.value for m in leaf.enum.members}
                free = (
                    v
                    for v in range(info.low if info.size == 1 else 0, 1 << 20)
                    if v not in known and v <= info.high
                )
                wrong = [] if leaf.enum.open else [next(free)]
            elif info.integer and leaf.choices:
                wrong = [max(leaf.choices) + 1, min(leaf.choices) - 1]
            elif info.integer:
                wrong = [] if leaf.low is None else [leaf.low - 1]
                wrong += [] if leaf.high is None else [leaf.high + 1]
            for value in wrong:
                if info.low <= value <= info.high:
                    data = struct.pack(f"<{info.letter}", value)
                    # The last of several: every element is looked at.
                    at = leaf.offset + (max(1, leaf.count) - 1) * info.size
                    yield f"{leaf.path or slot.name} = {value}", at, data

    # -- D13 -------------------------------------------------------------------------------------

    def _references(self) -> Iterator[Case]:
        for slot in self.proc.request.slots:
            if slot.type.kind == "handle" and not slot.is_part and not self.builder.callback:
                yield from self._handle(slot)
            elif slot.type.kind == "callback" and not slot.nullable:
                yield self.case("no callback", 7, slot, self.patched(slot.offset, bytes(4)))
            elif slot.type.kind == "umem":
                wrong = struct.pack("<I", 99)
                yield self.case("no such buffer", 13, slot, self.patched(slot.offset, wrong))
                wrong = struct.pack("<QQ", BUFFER - 8, 16)
                text = "beyond the buffer's end"
                yield self.case(text, 13, slot, self.patched(slot.offset + 8, wrong))
                if slot in self.builder.given()[1:]:
                    wrong = struct.pack("<IIQQ", 1, 1, 0, 16)
                    yield self.case("given twice", 13, slot, self.patched(slot.offset, wrong))
            elif slot.large:
                yield from self._large(slot)

    def _handle(self, slot: Slot) -> Iterator[Case]:
        good = live_handle(self.model, slot.type.name)
        wrong = {"an old generation": good + (1 << 20), "never given out": 1 << 20 | 77}
        if not slot.nullable:
            wrong["null"] = 0
        others = [n for n in self.model.handles if n != slot.type.name]
        if others:
            wrong["of another type"] = live_handle(self.model, others[0])
        for name, value in wrong.items():
            block = self.patched(slot.offset, value.to_bytes(4, "little"))
            yield self.case(f"a handle {name}", 13, slot, block)

    def _large(self, slot: Slot) -> Iterator[Case]:
        """The reference of a part that travels as a buffer: not beside the part, of its size."""
        part = next(p for p in self.parts if p.slot is slot)
        ref = struct.pack("<IIQQ", 1, 1, 0, part.length)
        yield self.case("both here and in a buffer", 3, slot, self.patched(slot.offset + 8, ref))
        if part is not self.parts[-1] or len(self.parts) > 1:
            return
        bare = self.block[: self.proc.request.fixed]

        def referring(text: str, rule: int, *numbers: int) -> Case:
            place = bytes(8) + struct.pack("<IIQQ", *numbers)
            block = bare[: slot.offset] + place + bare[slot.offset + 32 :]
            return self.case(text, rule, slot, block)

        yield referring("a buffer of another length", 5, 1, 1, 0, part.length + 1)
        yield referring("no such buffer", 13, 99, 1, 0, part.length)
        yield referring("beyond the buffer's end", 13, 1, 1, BUFFER, part.length)
