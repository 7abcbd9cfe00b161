"""Spellings that all parts of the Python generator share."""

from __future__ import annotations

import re

from hyplink.idl.model import (
    SCALARS,
    Block,
    Enum,
    Expr,
    Interface,
    Model,
    Procedure,
    Slot,
    Struct,
    Type,
)
from hyplink.idl.names import pascal, python_name, snake
from hyplink.idl.writer import Writer

__all__ = ["Names", "docstring"]

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


class Names:
    """Spells the things of one model."""

    def __init__(self, model: Model) -> None:
        self.model = model
        self._aliases = {i.module: i.alias for i in model.imports}
        taken = {e.name for e in model.own_enums()} | {s.name for s in model.own_structs()}
        taken |= {c.name for c in model.constants} | set(self._aliases.values())
        self._taken = taken | {"Client", "Handler", "dispatch", "serve"}
        #: Modules that are used though this file does not import them itself.
        self.foreign: dict[str, str] = {}
        found: list[Enum | Struct] = [*model.enums.values(), *model.structs.values()]
        for item in found:
            if item.module != model.module and item.module not in self._aliases:
                self.foreign[item.module] = "_" + re.sub(r"\W", "_", item.module)

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

    def proc(self, proc: Procedure) -> str:
        return python_name(proc.name)

    def prefix(self, interface: Interface) -> str:
        return pascal(interface.name)

    def key(self, interface: Interface, proc: Procedure) -> str:
        return f"{snake(interface.name)}_{snake(proc.name)}"

    # -- annotations -----------------------------------------------------------------------------

    def one(self, kind: Type) -> str:
        """The annotation of a single value."""
        if kind.kind == "scalar":
            if kind.name == "bool":
                return "bool"
            return "int" if SCALARS[kind.name].integer else "float"
        enum = self.enum_of(kind)
        return f"{self.ref(kind)} | int" if enum and enum.open else self.ref(kind)

    def value(self, slot: Slot) -> str:
        """The annotation of a value that is received."""
        if slot.form == "string":
            return "str"
        if slot.form == "bytes" and not slot.copy:
            return "memoryview"
        if slot.form == "bytes" or (slot.form == "fixed" and slot.type.name == "u8"):
            return "bytes"
        if slot.form in ("array", "fixed"):
            return f"_abc.Sequence[{self.one(slot.type)}]"
        return self.one(slot.type)

    def given(self, slot: Slot) -> str:
        """The annotation of a value that is sent."""
        if slot.form == "bytes" or (slot.form == "fixed" and slot.type.name == "u8"):
            return "_rt.Buffer"
        return self.value(slot)

    # -- expressions -----------------------------------------------------------------------------

    def expr(self, node: Expr) -> str:
        if node.op == "int":
            return str(node.value) if node.value >= 0 else f"({node.value})"
        if node.op == "arg":
            parts = node.name.split(".")
            return ".".join([self.var(parts[0]), *map(python_name, parts[1:])])
        if node.op == "?:":
            test, then, other = node.args
            return f"({self.expr(then)} if {self._test(test)} else {self.expr(other)})"
        if node.op in _TESTS or node.op in ("&&", "||", "!"):
            return f"(1 if {self._test(node)} else 0)"
        args = [self.expr(a) for a in node.args]
        if node.op in ("min", "max"):
            sign = "<" if node.op == "min" else ">"
            return f"({args[0]} if {args[0]} {sign} {args[1]} else {args[1]})"
        if node.op == "roundup":
            return f"(-(-{args[0]} // {args[1]}) * {args[1]})"
        if node.op == "neg":
            return f"(-{args[0]})"
        return f"({args[0]} {'//' if node.op == '/' else node.op} {args[1]})"

    def _test(self, node: Expr) -> str:
        if node.op in _TESTS:
            return f"{self.expr(node.args[0])} {node.op} {self.expr(node.args[1])}"
        if node.op in ("&&", "||"):
            word = "and" if node.op == "&&" else "or"
            return f"({self._test(node.args[0])} {word} {self._test(node.args[1])})"
        if node.op == "!":
            return f"not {self._test(node.args[0])}"
        return f"{self.expr(node)} != 0"

    # -- formats ---------------------------------------------------------------------------------

    def letters(self, slot: Slot, *, packing: bool) -> str:
        """``struct`` letters of a slot in its fixed part."""
        if slot.is_part:
            return "II"
        struct = self.struct_of(slot.type)
        if struct is not None:
            return self.body(struct.slots, struct.pads, packing=packing) * max(1, slot.count)
        enum = self.enum_of(slot.type)
        name = enum.base if enum else slot.type.name
        if slot.form == "fixed" and name == "u8" and not enum:
            return f"{slot.count}s"
        letter = "?" if packing and name == "bool" else SCALARS[name].letter
        return f"{slot.count}{letter}" if slot.form == "fixed" else letter

    def body(self, slots: list[Slot], pads: list[tuple[int, int]], *, packing: bool) -> str:
        """The letters of a whole layout. Gaps are written as zeros and read back as bytes."""
        pieces = [(s.offset, self.letters(s, packing=packing)) for s in slots]
        pieces += [(at, f"{size}{'x' if packing else 's'}") for at, size in pads]
        return "".join(text for _, text in sorted(pieces))

    def width(self, slot: Slot) -> int:
        """How many values a slot is for ``struct``."""
        if slot.is_part:
            return 2
        struct = self.struct_of(slot.type)
        if struct is not None:
            return self.widths(struct.slots, struct.pads) * max(1, slot.count)
        if slot.form == "fixed" and slot.type.name == "u8":
            return 1
        return max(1, slot.count)

    def widths(self, slots: list[Slot], pads: list[tuple[int, int]]) -> int:
        return sum(self.width(s) for s in slots) + len(pads)

    def order(self, block: Block | Struct) -> list[tuple[int, Slot | None, int]]:
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
