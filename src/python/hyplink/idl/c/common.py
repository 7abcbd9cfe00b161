"""Spellings that all parts of the C generator share."""

from __future__ import annotations

import zlib

from hyplink.idl.layout import is_plain
from hyplink.idl.model import SCALARS, Interface, Model, Procedure, Slot, Type
from hyplink.idl.names import snake
from hyplink.idl.writer import Writer

__all__ = ["Names", "argument_of", "comment", "literal"]


#: Names of C, and of C++, which reads our headers, too.
_WORDS = frozenset(
    (  # noqa: SIM905 - a list would be as long as the words are many
        "auto break case char const continue default do double else enum extern float for goto if "
        "inline int long register restrict return short signed sizeof static struct switch typedef "
        "union unsigned void volatile while bool true false asm typeof errno linux unix NULL EOF "
        "stdin stdout stderr offsetof assert major minor class catch delete explicit export friend "
        "mutable namespace new operator private protected public template this throw try typeid "
        "typename using virtual and or not xor"
    ).split()
)

#: scalar: bytes on the wire, put and load functions, type they take.
_WIRE = {
    "u8": ("8", "uint8_t"),
    "u16": ("16", "uint16_t"),
    "u32": ("32", "uint32_t"),
    "u64": ("64", "uint64_t"),
    "i8": ("8", "uint8_t"),
    "i16": ("16", "uint16_t"),
    "i32": ("32", "uint32_t"),
    "i64": ("64", "uint64_t"),
    "size": ("64", "uint64_t"),
    "ssize": ("64", "uint64_t"),
    "bool": ("8", "uint8_t"),
    "f32": ("F32", "float"),
    "f64": ("F64", "double"),
    "address": ("64", "uint64_t"),
}
_HOST = {
    "u8": "uint8_t",
    "u16": "uint16_t",
    "u32": "uint32_t",
    "u64": "uint64_t",
    "i8": "int8_t",
    "i16": "int16_t",
    "i32": "int32_t",
    "i64": "int64_t",
    "size": "size_t",
    # Not ssize_t or ptrdiff_t: the C APIs that have one (GLsizeiptr) say long on 32 bits, too.
    "ssize": "long",
    # One byte everywhere, as GLboolean; any value but 0 is sent as 1.
    "bool": "uint8_t",
    "f32": "float",
    "f64": "double",
    "address": "const void*",
}
_NUMBERS = ("scalar", "enum", "handle")


def comment(out: Writer, doc: str) -> None:
    lines = [line.replace("*/", "* /").rstrip().rstrip("\\") for line in doc.splitlines()]
    if len(lines) == 1:
        out(f"/** {lines[0]} */")
    elif lines:
        out("/**", *[f" * {line}".rstrip() for line in lines], " */")


def literal(value: int, kind: str = "i64") -> str:
    """A literal of exactly that type."""
    if value == -(1 << 63):
        return "INT64_MIN"
    return f"UINT64_C({value})" if kind == "u64" else f"INT64_C({value})"


def argument_of(proc: Procedure, attribute: str) -> str | None:
    """The one value of `@attribute(value)`; "" for one without; None: it is not there."""
    values = proc.attributes.get(attribute)
    if values is None:
        return None
    return next(iter(values.values()), "")


class Names:
    """Spells the things of one model."""

    def __init__(self, model: Model) -> None:
        self.model = model
        self.stem = model.stem
        self.upper = model.stem.upper()

    # -- files and interfaces --------------------------------------------------------------------

    def prefix(self, interface: Interface) -> str:
        return interface.attributes.get("c", {}).get("prefix", "") or snake(interface.name)

    def headers(self) -> list[str]:
        """The original headers, in order, once."""
        found: dict[str, None] = {}
        for interface in self.model.interfaces:
            header = interface.attributes.get("c", {}).get("header")
            if header:
                found[header] = None
        return list(found)

    def public(self, interface: Interface, proc: Procedure) -> str:
        """The original C name."""
        own = proc.attributes.get("c", {}).get("name")
        if own:
            return own
        if "header" in interface.attributes.get("c", {}):
            return proc.name
        return f"{self.prefix(interface)}_{snake(proc.name)}"

    def function(self, interface: Interface, proc: Procedure) -> str:
        """What the generator writes: the public name, or the sender behind a hand-written one."""
        if argument_of(proc, "custom") is not None or argument_of(proc, "hidden") is not None:
            return f"{self.prefix(interface)}_send_{proc.name}"
        return self.public(interface, proc)

    def ident(self, interface: Interface, proc: Procedure) -> str:
        """The macro of its procedure number."""
        word = "CALLBACK" if proc in interface.callbacks else "PROC"
        return f"{self.prefix(interface).upper()}_{word}_{snake(proc.name).upper()}"

    # -- types -----------------------------------------------------------------------------------

    def of(self, kind: str) -> str:
        """`module.Name` as a C name."""
        module, _, name = kind.rpartition(".")
        stem = self.stem if module == self.model.module else self.model.modules[module]
        return f"{stem}_{name}"

    def handle_type(self, kind: str) -> str:
        """The number of a handle's type in the server's table."""
        return f"0x{zlib.crc32(kind.encode()) | 1:08x}u"

    def type(self, kind: Type) -> str:
        if kind.kind == "cookie":
            return "void*"
        if kind.kind == "callback":
            _, interface, name = kind.name.rsplit(".", 2)
            found = next(i for i in self.model.interfaces if i.name == interface)
            return f"{self.prefix(found)}_{name}"
        if kind.kind == "umem":
            return f"const {self.of(kind.name)}*"
        return _HOST[kind.name] if kind.kind == "scalar" else self.of(kind.name)

    def scalar(self, kind: Type) -> str:
        """The scalar that a number travels as."""
        if kind.kind == "enum":
            return self.model.enums[kind.name].base
        return kind.name if kind.kind == "scalar" else "u32"

    def is_number(self, kind: Type) -> bool:
        return kind.kind in _NUMBERS

    def element(self, slot: Slot) -> str:
        """What a pointer to the contents points to."""
        if slot.form == "string" or (slot.text and slot.type.name == "u8"):
            return "char"
        return "void" if slot.form == "bytes" else self.type(slot.type)

    def is_image(self, kind: Type) -> bool:
        """Memory holds what travels, on 32 and 64 bits, and every bit pattern is good."""
        if kind.kind == "scalar":
            return kind.name not in ("bool", "size", "ssize", "address")
        if kind.kind == "struct":
            return is_plain(self.model, kind)
        return kind.kind == "handle"

    def same_bytes(self, kind: Type) -> bool:
        """Memory holds what travels, if it is good at all."""
        return kind.kind == "enum" or self.is_image(kind)

    def is_closed(self, kind: Type) -> bool:
        return kind.kind == "enum" and not self.model.enums[kind.name].open

    # -- declarations ----------------------------------------------------------------------------

    def var(self, name: str) -> str:
        return name + "_" if name in _WORDS else name

    def pointer(self, slot: Slot, *, writable: bool) -> str:
        """The type of a pointer parameter."""
        if slot.c_type and not self.foreign(slot):
            return slot.c_type
        element = self.element(slot)
        if slot.form == "nested":
            return f"{element}* const*" if writable else f"const {element}* const*"
        if writable or element == "const void*":
            return f"{element}*" if writable else f"{element} const*"
        return f"const {element}*"

    def parameter(self, slot: Slot) -> str:
        """Its type in the prototype."""
        if self.foreign(slot):
            return self.foreign(slot)
        if slot.direction == "in" and slot.form == "value":
            return slot.c_type or self.type(slot.type)
        return self.pointer(slot, writable=slot.direction != "in")

    def declare(self, kind: str, name: str) -> str:
        return f"{kind} {name}"

    def foreign(self, slot: Slot) -> str:
        """The header's own type of a struct, or ""."""
        return slot.c_type if slot.type.kind in ("struct", "table") else ""

    def parameter_name(self, slot: Slot) -> str:
        """A parameter of a type that is not ours leaves its name to a local that is."""
        return self.var(slot.name) + ("_c" if self.foreign(slot) else "")

    def parameter_names(self, proc: Procedure) -> list[str]:
        slots = self.slots(proc)
        return [self.parameter_name(slots[name]) for name in proc.params]

    def by_pointer(self, slot: Slot) -> bool:
        """Whether the value of an input lies behind a pointer."""
        return slot.direction != "in" or slot.form in ("optional", "table")

    def slots(self, proc: Procedure) -> dict[str, Slot]:
        """By name; an inout parameter is its request's slot."""
        found = {s.name: s for s in proc.reply.slots}
        found.update({s.name: s for s in [*proc.implied, *proc.request.slots]})
        return found

    def result_slot(self, proc: Procedure) -> Slot | None:
        return proc.reply.slots[0] if proc.has_result else None

    def result(self, proc: Procedure) -> str:
        slot = self.result_slot(proc)
        if slot is None:
            return "void"
        own = slot.c_type or proc.attributes.get("c", {}).get("type", "")
        if own:
            return own
        return "const char*" if slot.form == "string" else self.type(slot.type)

    def outputs(self, proc: Procedure) -> list[Slot]:
        """Reply slots that go through a pointer."""
        return proc.reply.slots[1:] if proc.has_result else list(proc.reply.slots)

    def arguments(self, proc: Procedure, extra: dict[str, str] | None = None) -> str:
        """The parameter list; `extra` adds a parameter behind the one of that name."""
        slots, words = self.slots(proc), []
        for name in proc.params:
            slot = slots[name]
            words.append(self.declare(self.parameter(slot), self.parameter_name(slot)))
            if extra and name in extra:
                words.append(extra[name])
        return ", ".join(words) or "void"

    # -- numbers on the wire ---------------------------------------------------------------------

    def is_pointer(self, slot: Slot) -> bool:
        return self.scalar(slot.type) == "address"

    def put(self, place: str, kind: Type, value: str, *, pointer: bool = False) -> str:
        """A statement that stores one value."""
        if kind.kind == "struct":
            return f"{self.of(kind.name)}_put({place}, &{value});"
        if kind.kind == "umem":
            return f"vidlPutBuffer({place}, {value});"
        scalar = self.scalar(kind)
        letters, wide = _WIRE[scalar]
        if scalar == "bool":
            return f"vidlPut8({place}, {value} ? 1 : 0);"
        if scalar in ("f32", "f64"):
            return f"vidlPut{letters}({place}, {value});"
        if scalar == "address" or pointer:
            return f"vidlPut{letters}({place}, ({wide})(uintptr_t){value});"
        return f"vidlPut{letters}({place}, ({wide}){value});"

    def load(self, place: str, scalar: str) -> str:
        """An expression: the raw number."""
        return f"vidlLoad{_WIRE[scalar][0]}({place})"

    def raw(self, scalar: str) -> str:
        return _WIRE[scalar][1]

    def host(self, scalar: str, raw: str) -> str:
        """A raw number in the host's type."""
        if scalar == "address":
            return f"(const void*)(uintptr_t){raw}"
        return raw if _HOST[scalar] == _WIRE[scalar][1] else f"({_HOST[scalar]}){raw}"

    def misfit(self, scalar: str, raw: str) -> str:
        """A condition: the raw number is none of its type's, or has no place here."""
        if scalar == "bool":
            return f"{raw} > 1"
        if scalar in ("size", "address"):
            return f"!vidlFitsSize({raw})"
        if scalar == "ssize":
            return f"!vidlFitsLong((int64_t){raw})"
        return ""

    def outside(self, slot: Slot, value: str) -> str:
        """A condition: `value` is out of the declared range; empty if there is none."""
        if not self.is_number(slot.type):
            return ""
        info = SCALARS[self.scalar(slot.type)]
        if not info.integer:
            return ""
        kind = "u64" if info.high > SCALARS["i64"].high else "i64"
        cast = "uint64_t" if kind == "u64" else "int64_t"
        if slot.choices:
            return " && ".join(f"({cast}){value} != {literal(v, kind)}" for v in slot.choices)
        tests = []
        if slot.low is not None and slot.low > info.low:
            tests.append(f"({cast}){value} < {literal(slot.low, kind)}")
        if slot.high is not None and slot.high < info.high:
            tests.append(f"({cast}){value} > {literal(slot.high, kind)}")
        return " || ".join(tests)

    def bad_value(self, slot: Slot, value: str) -> str:
        """A condition: a value in the host's type is none the slot allows."""
        tests = []
        if slot.type.kind in ("struct", "table"):
            tests.append(f"!{self.of(slot.type.name)}_valid(&{value})")
        elif self.is_closed(slot.type):
            tests.append(f"!{self.of(slot.type.name)}_valid({value})")
        test = self.outside(slot, value)
        return " || ".join([*tests, *([test] if test else [])])
