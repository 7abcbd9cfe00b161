"""The names of one file, and what they mean."""

from __future__ import annotations

from hyplink.idl import syntax
from hyplink.idl.check_expr import Known
from hyplink.idl.findings import Findings, Place, nearest
from hyplink.idl.model import SCALARS, Constant, Enum, Model, Type

__all__ = ["Scope"]

_C_TYPES = {
    "int": "i32",
    "unsigned": "u32",
    "uint": "u32",
    "long": "i32 or i64",
    "short": "i16",
    "char": "u8, or string for text",
    "float": "f32",
    "double": "f64",
    "size_t": "size",
    "ssize_t": "ssize",
    "wchar_t": "string",
    "str": "string",
    **{f"int{n}_t": f"i{n}" for n in (8, 16, 32, 64)},
    **{f"uint{n}_t": f"u{n}" for n in (8, 16, 32, 64)},
}


class Scope:
    """Own declarations and imports of a file under check."""

    def __init__(self, file: str, model: Model, findings: Findings) -> None:
        self.file = file
        self.model = model
        self.findings = findings
        self.places: dict[str, Place] = {}
        self.constants: dict[str, Constant] = {}
        self.imports: dict[str, Model | None] = {}
        #: Declared, but too broken to be used: no complaint follows from them.
        self.broken: set[str] = set()

    def declare(self, name: str, place: Place) -> None:
        """Note a name of the file level; a second one is a finding."""
        first = self.places.get(name)
        if first is not None:
            self.findings.add(
                self.file,
                place,
                21,
                f"'{name}' is declared twice",
                note=(first, "the first one is here"),
            )
            return
        self.places[name] = place

    def _own(self, name: str) -> str:
        return f"{self.model.module}.{name}"

    def _enum(self, parts: list[str]) -> Enum | None:
        if len(parts) == 1:
            return self.model.enums.get(self._own(parts[0]))
        other = self.imports.get(parts[0]) if len(parts) == 2 else None
        return other.enums.get(f"{other.module}.{parts[1]}") if other else None

    def constant(self, parts: list[str]) -> Known | None:
        """A constant or ``Enum.MEMBER``, own or imported."""
        found: Constant | None = None
        if len(parts) == 1:
            found = self.constants.get(parts[0])
        elif len(parts) == 2 and parts[0] in self.imports:
            other = self.imports[parts[0]]
            if other is None:
                return Known(problem=-1)
            found = next((c for c in other.constants if c.name == parts[1]), None)
        if found is not None:
            if isinstance(found.value, float):
                return Known(problem=41, why=f"'{found.name}' is a fraction, not an integer")
            return Known(found.value, found.value, True)
        if parts[0] in self.broken:
            return Known(problem=-1)
        enum = self._enum(parts[:-1]) if len(parts) > 1 else None
        if enum is not None:
            member = next((m for m in enum.members if m.name == parts[-1]), None)
            if member is not None:
                return Known(member.value, member.value, True)
        return None

    def constant_names(self) -> list[str]:
        names = list(self.constants)
        for alias, other in self.imports.items():
            names += [f"{alias}.{c.name}" for c in other.constants] if other else []
        for enum in self.model.own_enums():
            names += [f"{enum.name}.{m.name}" for m in enum.members]
        return names

    def type_of(self, node: syntax.TypeName) -> Type | None:
        """The scalar, enum or struct named; None after a finding."""
        name = node.text
        if name in SCALARS:
            size = SCALARS[name].size
            return Type("scalar", name, size, size)
        if len(node.parts) == 1:
            found = self._declared(self.model, self._own(name))
            if found or name in self.broken:
                return found
            self._unknown(node)
            return None
        if node.parts[0] not in self.imports or len(node.parts) > 2:
            guess = nearest(node.parts[0], self.imports)
            self.findings.add(
                self.file,
                node.place,
                29,
                f"unknown import '{node.parts[0]}'",
                hint=f"did you mean '{guess}'?" if guess else "",
            )
            return None
        other = self.imports[node.parts[0]]
        if other is None:
            return None
        found = self._declared(other, f"{other.module}.{node.parts[1]}")
        if found is None:
            self._unknown(node)
            return None
        self._adopt(other, found)
        return found

    def _declared(self, model: Model, full: str) -> Type | None:
        enum = model.enums.get(full)
        if enum is not None:
            size = SCALARS[enum.base].size
            return Type("enum", full, size, size)
        struct = model.structs.get(full)
        if struct is not None:
            return Type("struct", full, struct.size, struct.align)
        return None

    def _adopt(self, other: Model, kind: Type) -> None:
        """Copy an imported definition, and what it is made of, into this model."""
        if kind.kind == "enum":
            self.model.enums[kind.name] = other.enums[kind.name]
        elif kind.kind == "struct":
            struct = other.structs[kind.name]
            self.model.structs[kind.name] = struct
            for slot in struct.slots:
                self._adopt(other, slot.type)

    def _unknown(self, node: syntax.TypeName) -> None:
        name = node.text
        own = len(self.model.module) + 1
        known = [*SCALARS, "string", "bytes"]
        known += [
            n[own:]
            for n in [*self.model.enums, *self.model.structs]
            if n.startswith(self.model.module + ".")
        ]
        for alias, other in self.imports.items():
            if other is not None:
                known += [f"{alias}.{e.name}" for e in other.own_enums()]
                known += [f"{alias}.{s.name}" for s in other.own_structs()]
        hint = ""
        if name in _C_TYPES:
            hint = f"the size is part of the name: use {_C_TYPES[name]}"
        elif guess := nearest(name, known):
            hint = f"did you mean '{guess}'?"
        self.findings.add(self.file, node.place, 20, f"unknown type '{name}'", hint=hint)
