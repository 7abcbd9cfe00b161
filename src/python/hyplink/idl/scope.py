"""The names of one file, and what they mean."""

from __future__ import annotations

from hyplink.idl import syntax
from hyplink.idl.bounds import Bounds
from hyplink.idl.check_expr import ExprChecker, Known, Names
from hyplink.idl.findings import Findings, Place, nearest
from hyplink.idl.model import SCALARS, Constant, Enum, Expr, Function, Model, Type

__all__ = ["FileNames", "Scope"]

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
        self.bounds = Bounds(model.functions)

    def exprs(self, names: Names | None = None, findings: Findings | None = None) -> ExprChecker:
        """A checker for expressions over ``names``, or constants only."""
        return ExprChecker(
            self.file,
            self.findings if findings is None else findings,
            names or FileNames(self),
            self.bounds,
        )

    def twice(self, name: str, place: Place, first: Place) -> None:
        """A second thing of one name, wherever it may stand once only."""
        self.findings.add(
            self.file,
            place,
            21,
            f"'{name}' is declared twice",
            note=(first, "the first one is here"),
        )

    def declare(self, name: str, place: Place) -> None:
        """Note a name of the file level; a second one is a finding."""
        first = self.places.get(name)
        if first is not None:
            self.twice(name, place, first)
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
        table = model.tables.get(full)
        if table is not None:
            return Type("table", full, table.size, table.align)
        if full in model.handles:
            return Type("handle", full, 4, 4)
        if full in model.umems:
            return Type("umem", full, 24, 8)
        return None

    def _adopt(self, other: Model, kind: Type) -> None:
        """Copy an imported definition, and what it is made of, into this model."""
        name = kind.name
        if kind.kind == "enum":
            self.model.enums[name] = other.enums[name]
        elif kind.kind == "umem":
            self.model.umems[name] = other.umems[name]
        elif kind.kind == "handle":
            while name and name not in self.model.handles:
                self.model.handles[name] = other.handles[name]
                name = other.handles[name].parent
        elif kind.kind == "struct":
            self.model.structs[name] = other.structs[name]
            for slot in other.structs[name].slots:
                self._adopt(other, slot.type)
        elif kind.kind == "table":
            self.model.tables[name] = other.tables[name]
            for slot in other.tables[name].slots:
                self._adopt(other, slot.type)

    def function(self, name: str) -> Function | None:
        """The function called ``name``, own or imported."""
        alias, dot, rest = name.rpartition(".")
        if not dot:
            return self.model.functions.get(self._own(name))
        other = self.imports.get(alias)
        found = other.functions.get(f"{other.module}.{rest}") if other is not None else None
        if other is not None and found is not None:
            self._adopt_function(other, found)
        return found

    def _adopt_function(self, other: Model, function: Function) -> None:
        full = f"{function.module}.{function.name}"
        if full in self.model.functions:
            return
        for kind in function.types:
            self._adopt(other, kind)
        for name in _called(function.body):
            self._adopt_function(other, other.functions[name])
        self.model.functions[full] = function

    def function_names(self) -> list[str]:
        own = f"{self.model.module}."
        names = [f.name for n, f in self.model.functions.items() if n == own + f.name]
        for alias, other in self.imports.items():
            if other is not None:
                names += [
                    f"{alias}.{f.name}"
                    for f in other.functions.values()
                    if f.module == other.module
                ]
        return names

    @staticmethod
    def _type_names(model: Model) -> list[str]:
        return [*model.enums, *model.structs, *model.tables, *model.handles, *model.umems]

    def _unknown(self, node: syntax.TypeName) -> None:
        name = node.text
        own = len(self.model.module) + 1
        known = [*SCALARS, "string", "bytes"]
        known += [
            n[own:] for n in self._type_names(self.model) if n.startswith(self.model.module + ".")
        ]
        for alias, other in self.imports.items():
            if other is not None:
                cut = len(other.module)
                known += [
                    alias + n[cut:]
                    for n in self._type_names(other)
                    if n.startswith(other.module + ".")
                ]
        hint = ""
        if name in _C_TYPES:
            hint = f"the size is part of the name: use {_C_TYPES[name]}"
        elif guess := nearest(name, known):
            hint = f"did you mean '{guess}'?"
        self.findings.add(self.file, node.place, 20, f"unknown type '{name}'", hint=hint)


def _called(expr: Expr) -> list[str]:
    """The functions that ``expr`` calls."""
    found = [expr.name] if expr.op == "call" else []
    for arg in expr.args:
        found += _called(arg)
    return found


class FileNames(Names):
    """The constants and functions of a file."""

    def __init__(self, scope: Scope) -> None:
        self.scope = scope

    def find(self, parts: list[str]) -> Known | None:
        return self.scope.constant(parts)

    def names(self) -> list[str]:
        return self.scope.constant_names()

    def function(self, name: str) -> Function | None:
        return self.scope.function(name)

    def function_names(self) -> list[str]:
        return self.scope.function_names()

    def is_broken(self, name: str) -> bool:
        alias, dot, _ = name.rpartition(".")
        if dot:
            return alias in self.scope.imports and self.scope.imports[alias] is None
        return name in self.scope.broken

    def enum_named(self, full: str) -> Enum | None:
        return self.scope.model.enums.get(full)
