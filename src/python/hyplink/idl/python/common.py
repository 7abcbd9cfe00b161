"""Spellings that all parts of the Python generator share."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TypeVar

from hyplink.idl.model import (
    SCALARS,
    Block,
    Enum,
    Expr,
    Function,
    Handle,
    Interface,
    Model,
    Procedure,
    Slot,
    Struct,
    Table,
    Type,
    Umem,
)
from hyplink.idl.names import pascal, python_name, snake
from hyplink.idl.writer import Writer

__all__ = ["CLIENT", "EMITTER", "HOOK", "SERVER", "Names", "Side", "docstring"]


@dataclass(frozen=True)
class Side:
    """Where a piece of generated code runs.

    The same code packs requests at the client and callbacks at the server; what differs is what a
    handle, a cookie or a buffer is there, and where the state is kept.
    """

    #: Whether handles are objects of the session here (or numbers).
    server: bool
    #: What holds the state, the handles and the registrations.
    me: str


CLIENT = Side(False, "self._me")
#: A client that performs a callback.
HOOK = Side(False, "_me")
SERVER = Side(True, "_me")
#: A server that sends a callback.
EMITTER = Side(True, "self")

_TESTS = {"==", "!=", "<", "<=", ">", ">="}


def docstring(out: Writer, *paragraphs: str) -> None:
    text = "\n\n".join(p for p in paragraphs if p)
    if not text:
        return
    text = text.replace("\\", "\\\\").replace('"""', '\\"\\"\\"')
    if text.endswith('"'):
        text += " "
    lines = text.split("\n")
    if len(lines) == 1:
        out(f'"""{lines[0]}"""')
        return
    out(f'"""{lines[0]}', *lines[1:], '"""')


_Declared = TypeVar("_Declared", Enum, Struct, Table, Handle, Umem, Function)


class Names:
    """Spells the things of one model."""

    def __init__(self, model: Model) -> None:
        self.model = model
        self._aliases = {i.module: i.alias for i in model.imports}
        taken = {e.name for e in model.own_enums()} | {s.name for s in model.own_structs()}
        taken |= {c.name for c in model.constants} | set(self._aliases.values())
        taken |= {x.name for x in self.own(model.tables)} | {
            x.name for x in self.own(model.handles)
        }
        self._taken = taken | {"Client", "Handler", "dispatch", "serve", "session", "hello"}
        #: Modules that are used though this file does not import them itself.
        self.foreign: dict[str, str] = {}
        found: list[Enum | Struct | Table | Handle | Umem | Function] = [
            *model.enums.values(),
            *model.structs.values(),
            *model.tables.values(),
            *model.handles.values(),
            *model.functions.values(),
        ]
        for item in found:
            if item.module != model.module and item.module not in self._aliases:
                self.foreign[item.module] = "_" + re.sub(r"\W", "_", item.module)

    def own(self, items: dict[str, _Declared]) -> list[_Declared]:
        return [item for item in items.values() if item.module == self.model.module]

    def module_of(self, module: str) -> str:
        if module == self.model.module:
            return ""
        return (self._aliases.get(module) or self.foreign[module]) + "."

    def enum_of(self, kind: Type) -> Enum | None:
        return self.model.enums[kind.name] if kind.kind == "enum" else None

    def struct_of(self, kind: Type) -> Struct | None:
        return self.model.structs[kind.name] if kind.kind == "struct" else None

    def ref(self, kind: Type, prefix: str = "") -> str:
        """A declared type, or the helper of that type with ``prefix``."""
        module, _, name = kind.name.rpartition(".")
        return f"{self.module_of(module)}{prefix}{name}"

    def var(self, name: str) -> str:
        name = python_name(name)
        return name + "_" if name in self._taken else name

    def failure(self, enum: Enum) -> str:
        """The exception that carries a value of ``enum``."""
        return enum.name + ("Raised" if enum.name.endswith("Error") else "Error")

    def proc(self, proc: Procedure) -> str:
        return python_name(proc.name)

    def prefix(self, interface: Interface) -> str:
        return pascal(interface.name)

    def key(self, interface: Interface, proc: Procedure) -> str:
        return f"{snake(interface.name)}_{snake(proc.name)}"

    def has_cookie(self, proc: Procedure) -> bool:
        return any(s.type.kind == "cookie" for s in proc.request.slots)

    def callback(self, interface: Interface, slot: Slot) -> Procedure:
        """The callback that a parameter registers."""
        name = slot.type.name.rpartition(".")[2]
        return next(p for p in interface.callbacks if p.name == name)

    def rich(self, interface: Interface) -> bool:
        """Whether both sides keep something for the channel besides its memory."""
        if interface.state or interface.callbacks:
            return True
        for proc in interface.procedures:
            if proc.cacheable:
                return True
            for slot in [*proc.request.slots, *proc.reply.slots]:
                if slot.large or slot.type.kind in ("handle", "umem", "callback", "cookie"):
                    return True
        return False

    # -- annotations -----------------------------------------------------------------------------

    def one(self, kind: Type, side: Side = CLIENT) -> str:
        """The annotation of a single value."""
        if kind.kind == "scalar":
            if kind.name == "bool":
                return "bool"
            return "int" if SCALARS[kind.name].integer else "float"
        if kind.kind == "handle":
            return "_t.Any" if side.server else self.ref(kind)
        if kind.kind == "callback":
            return "_rt.CallbackRef" if side.server else "_abc.Callable[..., _t.Any]"
        if kind.kind == "cookie":
            return "int" if side.server else "object"
        if kind.kind == "umem":
            return "_t.Any"
        enum = self.enum_of(kind)
        return f"{self.ref(kind)} | int" if enum and enum.open else self.ref(kind)

    def value(self, slot: Slot, side: Side = CLIENT) -> str:
        """The annotation of a value that is received."""
        text = self._value(slot, side)
        if slot.nullable and slot.direction != "out" and text not in ("_t.Any", "object"):
            return f"{text} | None"
        if slot.nullable and slot.form == "string":
            return f"{text} | None"
        return text

    def _value(self, slot: Slot, side: Side) -> str:
        if slot.form == "string" or self.is_text(slot):
            return "str"
        if slot.form == "nested":
            return f"_abc.Sequence[{'str' if slot.text else self._row(slot)}]"
        if slot.form == "bytes" and not slot.copy:
            return "memoryview"
        if slot.form == "bytes" or (slot.form == "fixed" and slot.type.name == "u8"):
            return "bytes"
        if slot.form in ("array", "fixed"):
            return f"_abc.Sequence[{self.one(slot.type, side)}]"
        return self.one(slot.type, side)

    def _row(self, slot: Slot) -> str:
        if slot.type.name == "u8":
            return "bytes"
        return f"_abc.Sequence[{self.one(slot.type)}]"

    def given(self, slot: Slot, side: Side = CLIENT) -> str:
        """The annotation of a value that is sent."""
        if self.is_text(slot):
            return "str | bytes | None" if slot.nullable else "str | bytes"
        if slot.form == "bytes" or (slot.form == "fixed" and slot.type.name == "u8"):
            return "_rt.Buffer | None" if slot.nullable else "_rt.Buffer"
        if slot.form == "nested" and slot.text:
            return "_abc.Sequence[str | bytes]" + (" | None" if slot.nullable else "")
        if slot.type.kind == "cookie" and side.server:
            return "_rt.CallbackRef | int"
        return self.value(slot, side)

    # -- parameters ------------------------------------------------------------------------------

    def derived(self, proc: Procedure) -> dict[str, Slot]:
        """Counts that Python does not ask for: the texts or the rows that are given say them."""
        found: dict[str, Slot] = {}
        for slot in proc.request.parts:
            length = slot.length
            counted = slot.form == "nested" or self.is_text(slot)
            if counted and not slot.nullable and length and length.op == "arg":
                found.setdefault(length.name, slot)
        named = {s.name for s in proc.request.slots if s.form == "value"}
        return {name: slot for name, slot in found.items() if name in named}

    def is_text(self, slot: Slot) -> bool:
        """``char a[n]`` that somebody gives: text in Python, which knows its own length."""
        return slot.form == "bytes" and slot.text and slot.direction != "out"

    def inputs(self, proc: Procedure, side: Side = CLIENT) -> list[Slot]:
        """What a caller gives, in the order of the prototype."""
        slots = {s.name: s for s in proc.request.slots}
        hidden = set(self.derived(proc))
        if side.server:  # of a callback and its cookie the server gets one object
            hidden |= {s.cookie for s in proc.request.slots if s.type.kind == "callback"}
        return [slots[n] for n in proc.params if n in slots and n not in hidden]

    def outputs(self, proc: Procedure) -> list[Slot]:
        """What a caller gets; how much of an output is used shows in its length."""
        used = {s.used for s in proc.reply.slots}
        return [s for s in proc.reply.slots if s.name not in used]

    # -- expressions -----------------------------------------------------------------------------

    def expr(self, node: Expr, side: Side = CLIENT) -> str:
        """A number. ``side`` says where state variables are kept."""
        if node.op == "state":
            return f"{side.me}._state_{snake(node.name)}"
        if node.op == "call":
            module, _, name = node.name.rpartition(".")
            arguments = ", ".join(self.expr(a, side) for a in node.args)
            return f"{self.module_of(module)}_fn_{name}({arguments})"
        if node.op == "match":
            return self._match(node, side)
        if node.op == "int":
            return str(node.value) if node.value >= 0 else f"({node.value})"
        if node.op == "arg":
            parts = node.name.split(".")
            return ".".join([self.var(parts[0]), *map(python_name, parts[1:])])
        if node.op == "?:":
            test, then, other = node.args
            return f"({self.expr(then, side)} if {self.test(test, side)} else {self.expr(other, side)})"
        if node.op in _TESTS or node.op in ("&&", "||", "!"):
            return f"(1 if {self.test(node, side)} else 0)"
        args = [self.expr(a, side) for a in node.args]
        if node.op in ("min", "max"):
            sign = "<" if node.op == "min" else ">"
            return f"({args[0]} if {args[0]} {sign} {args[1]} else {args[1]})"
        if node.op == "roundup":
            return f"(-(-{args[0]} // {args[1]}) * {args[1]})"
        if node.op == "neg":
            return f"(-{args[0]})"
        return f"({args[0]} {'//' if node.op == '/' else node.op} {args[1]})"

    def _match(self, node: Expr, side: Side) -> str:
        values = [self.expr(a, side) for a in node.args[: node.value]]
        text = '_rt.missing("match")'
        for arm in reversed(node.args[node.value :]):
            tests = [
                f"{value} == {wanted[0]}" if len(wanted) == 1 else f"{value} in {tuple(wanted)}"
                for value, wanted in zip(values, arm.patterns, strict=True)
                if wanted
            ]
            result = self.expr(arm.args[0], side)
            text = f"{result} if {' and '.join(tests)} else {text}" if tests else result
        return f"({text})"

    def test(self, node: Expr, side: Side = CLIENT) -> str:
        """A condition."""
        if node.op in _TESTS:
            return f"{self.expr(node.args[0], side)} {node.op} {self.expr(node.args[1], side)}"
        if node.op in ("&&", "||"):
            word = "and" if node.op == "&&" else "or"
            return f"({self.test(node.args[0], side)} {word} {self.test(node.args[1], side)})"
        if node.op == "!":
            return f"not {self.test(node.args[0], side)}"
        return f"{self.expr(node, side)} != 0"

    # -- formats ---------------------------------------------------------------------------------

    def letters(self, slot: Slot, *, packing: bool) -> str:
        """``struct`` letters of a slot in its fixed part."""
        if slot.is_part:
            return "IIIIQQ" if slot.large else "II"
        if slot.type.kind == "umem":
            return "IIQQ"
        struct = self.struct_of(slot.type)
        if struct is not None:
            return self.body(struct.slots, struct.pads, packing=packing) * max(1, slot.count)
        enum = self.enum_of(slot.type)
        name = self.base(slot.type)
        if slot.form == "fixed" and name == "u8" and not enum:
            return f"{slot.count}s"
        letter = "?" if packing and name == "bool" else SCALARS[name].letter
        return f"{slot.count}{letter}" if slot.form == "fixed" else letter

    def base(self, kind: Type) -> str:
        """The scalar that travels for an element; handles, callbacks and cookies are numbers."""
        enum = self.enum_of(kind)
        if enum:
            return enum.base
        return kind.name if kind.kind == "scalar" else "u32"

    def body(self, slots: list[Slot], pads: list[tuple[int, int]], *, packing: bool) -> str:
        """The letters of a whole layout. Gaps are written as zeros and read back as bytes."""
        pieces = [(s.offset, self.letters(s, packing=packing)) for s in slots]
        pieces += [(at, f"{size}{'x' if packing else 's'}") for at, size in pads]
        return "".join(text for _, text in sorted(pieces))

    def width(self, slot: Slot) -> int:
        """How many values a slot is for ``struct``."""
        if slot.is_part:
            return 6 if slot.large else 2
        if slot.type.kind == "umem":
            return 4
        struct = self.struct_of(slot.type)
        if struct is not None:
            return self.widths(struct.slots, struct.pads) * max(1, slot.count)
        if slot.form == "fixed" and slot.type.name == "u8":
            return 1
        return max(1, slot.count)

    def widths(self, slots: list[Slot], pads: list[tuple[int, int]]) -> int:
        return sum(self.width(s) for s in slots) + len(pads)

    def order(self, block: Block | Struct | Table) -> list[tuple[int, Slot | None, int]]:
        """Slots and gaps by offset: index of the first value, slot or None, offset."""
        slots: list[tuple[int, Slot | None]] = [(s.offset, s) for s in block.slots]
        items = sorted([*slots, *((at, None) for at, _ in block.pads)], key=lambda i: i[0])
        out, index = [], 0
        for offset, slot in items:
            out.append((index, slot, offset))
            index += self.width(slot) if slot else 1
        return out

    def outside(self, slot: Slot, value: str) -> str:
        """A condition: ``value`` is out of the declared range; empty if there is none."""
        info = SCALARS[slot.type.name] if slot.type.kind == "scalar" else None
        if info is None or not info.integer:
            return ""
        if slot.choices:
            return f"{value} not in {tuple(slot.choices)}"
        low = slot.low if slot.low is not None and slot.low > info.low else None
        high = slot.high if slot.high is not None and slot.high < info.high else None
        if low is not None and high is not None:
            return f"not {low} <= {value} <= {high}"
        if low is not None:
            return f"{value} < {low}"
        return f"{value} > {high}" if high is not None else ""

    def expected(self, slot: Slot) -> str:
        """The declared range in words, for messages."""
        info = SCALARS[slot.type.name] if slot.type.kind == "scalar" else None
        if slot.choices:
            return "one of " + ", ".join(str(choice) for choice in slot.choices)
        if info is None or not info.integer:
            return ""
        low = info.low if slot.low is None else slot.low
        high = info.high if slot.high is None else slot.high
        return f"{low}..{high}"
