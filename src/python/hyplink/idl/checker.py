"""From the syntax tree to the model: declarations of the file level."""

from __future__ import annotations

from hyplink.idl import syntax
from hyplink.idl.check_expr import ExprChecker
from hyplink.idl.check_interface import InterfaceChecker
from hyplink.idl.check_slots import SlotChecker
from hyplink.idl.findings import Findings, Place
from hyplink.idl.layout import align_up, lay_slots, struct_leaves
from hyplink.idl.model import SCALARS, Constant, Enum, Enumerator, Model, Struct
from hyplink.idl.names import enumerator_name, python_name
from hyplink.idl.scope import Scope

__all__ = ["check_file"]

#: Module-level names of the generated code.
_TAKEN = frozenset(
    ["Client", "Handler", "Request", "Channel", "PROCEDURES", "SCHEMA_HASH", "GROUP"]
)
_MOST_LEAVES = 256


def check_file(
    tree: syntax.File, stem: str, imports: dict[str, Model | None], findings: Findings
) -> Model:
    """Resolve ``tree``. The model is only complete when ``findings`` stayed empty."""
    module = tree.module or stem
    model = Model(module, stem, tree.version, doc=tree.doc)
    scope = Scope(tree.file, model, findings)
    scope.imports = imports
    return _Checker(tree, scope).check()


class _Checker:
    def __init__(self, tree: syntax.File, scope: Scope) -> None:
        self.tree = tree
        self.scope = scope
        self.model = scope.model
        self.types = {e.name for e in tree.enums} | {s.name for s in tree.structs}
        self.exprs = ExprChecker(tree.file, scope.findings, scope.constant, scope.constant_names)

    def _error(self, place: Place, code: int, message: str, hint: str = "") -> None:
        self.scope.findings.add(self.tree.file, place, code, message, hint=hint)

    def check(self) -> Model:
        tree = self.tree
        for alias in tree.imports:
            self.scope.declare(alias.alias, alias.place)
        for const in tree.consts:
            self._declare(const.name, const.place, type_like=False)
            self._const(const)
        for enum in tree.enums:
            self._declare(enum.name, enum.place, type_like=True)
            self._enum(enum)
        for struct in tree.structs:
            self._declare(struct.name, struct.place, type_like=True)
        self._structs()
        groups: dict[int, syntax.Interface] = {}
        for interface in tree.interfaces:
            self._declare(interface.name, interface.place, type_like=False)
            checker = InterfaceChecker(self.scope)
            self.model.interfaces.append(checker.check(interface, groups))
        return self.model

    def _declare(self, name: str, place: Place, *, type_like: bool) -> None:
        if type_like and not name[0].isupper():
            self._error(
                place,
                66,
                f"a type's name begins with a capital: '{name}'",
                f"write '{name[0].upper()}{name[1:]}'",
            )
        if name in _TAKEN:
            self._error(
                place, 39, f"the generated code has a '{name}' of its own", "choose another name"
            )
        self.scope.declare(name, place)

    def _const(self, node: syntax.Const) -> None:
        info = SCALARS.get(node.type.text)
        if info is None:
            if (
                node.type.text in ("string", "bytes", "void")
                or node.type.text in self.types
                or self.scope.type_of(node.type) is not None
            ):
                self._error(
                    node.type.place,
                    37,
                    f"a constant cannot be '{node.type.text}'",
                    "integers, f32, f64 and bool can be constants",
                )
            self.scope.broken.add(node.name)
            return
        value: int | float | None
        if not info.integer and isinstance(node.value, syntax.Literal):
            value = float(node.value.value)
        elif (
            not info.integer
            and isinstance(node.value, syntax.Unary)
            and isinstance(node.value.arg, syntax.Literal)
        ):
            value = -float(node.value.arg.value)
        else:
            assert node.value is not None
            value = self.exprs.constant(node.value, "the value")
            if value is not None and info.integer and not info.low <= value <= info.high:
                self._error(
                    node.value.place,
                    38,
                    f"{value} does not fit {node.type.text}",
                    f"{node.type.text} holds {info.low} to {info.high}",
                )
                value = None
            if value is not None and not info.integer:
                value = float(value)
        if value is None:
            self.scope.broken.add(node.name)
            return
        constant = Constant(node.name, node.type.text, value, node.doc)
        self.scope.constants.setdefault(node.name, constant)
        self.model.constants.append(constant)

    def _enum(self, node: syntax.Enum) -> None:
        base = node.base.text if node.base else ""
        info = SCALARS.get(base)
        if info is None or not info.integer or base in ("bool", "size", "ssize"):
            if node.base is not None:
                self._error(
                    node.base.place,
                    33,
                    f"'{base}' cannot be the base of an enum",
                    "use one of u8 u16 u32 u64 i8 i16 i32 i64",
                )
            self.scope.broken.add(node.name)
            return
        if not node.members and not node.broken:
            self._error(node.place, 32, f"enum '{node.name}' has no values")
        members: list[Enumerator] = []
        by_value: dict[int, syntax.Enumerator] = {}
        by_name: dict[str, syntax.Enumerator] = {}
        for item in node.members:
            value = self.exprs.constant(item.value, "an enumerator's value")
            key = enumerator_name(item.name)
            if key in by_name:
                self.scope.findings.add(
                    self.tree.file,
                    item.place,
                    21,
                    f"'{item.name}' is declared twice",
                    note=(by_name[key].place, "the first one is here"),
                )
                continue
            by_name[key] = item
            if value is None:
                node.broken = True
                continue
            if not info.low <= value <= info.high:
                self._error(
                    item.value.place,
                    30,
                    f"{value} does not fit {base}",
                    f"{base} holds {info.low} to {info.high}",
                )
                continue
            if value in by_value:
                self.scope.findings.add(
                    self.tree.file,
                    item.place,
                    31,
                    f"'{item.name}' has the same value as '{by_value[value].name}': {value}",
                    note=(by_value[value].place, "the first one is here"),
                )
                continue
            by_value[value] = item
            members.append(Enumerator(item.name, value, item.doc))
        if node.broken:
            self.scope.broken.add(node.name)
        full = f"{self.model.module}.{node.name}"
        self.model.enums.setdefault(
            full, Enum(node.name, self.model.module, base, node.open, members, node.doc)
        )

    # -- structs ---------------------------------------------------------------------------------

    def _structs(self) -> None:
        waiting = {s.name: s for s in self.tree.structs}
        active: list[str] = []

        def visit(node: syntax.Struct) -> None:
            if node.name not in waiting:
                return
            if node.name in active:
                chain = " → ".join([*active[active.index(node.name) :], node.name])
                self._error(node.place, 34, f"struct '{node.name}' contains itself: {chain}")
                self.scope.broken.add(node.name)
                return
            active.append(node.name)
            for member in node.members:
                inner = waiting.get(member.type.text)
                if inner is not None:
                    visit(inner)
            active.pop()
            waiting.pop(node.name, None)
            self._struct(node)

        for struct in self.tree.structs:
            visit(struct)

    def _struct(self, node: syntax.Struct) -> None:
        if not node.members and not node.broken:
            self._error(node.place, 35, f"struct '{node.name}' has no members")
        checker = SlotChecker(self.scope, self.exprs, None)
        slots = []
        seen: dict[str, Place] = {}
        for member in node.members:
            name = python_name(member.name)
            if name in seen:
                self.scope.findings.add(
                    self.tree.file,
                    member.place,
                    21,
                    f"'{member.name}' is declared twice",
                    note=(seen[name], "the first one is here"),
                )
                continue
            seen[name] = member.place
            if (
                member.type.text == "string"
                or member.max is not None
                or (member.type.text == "bytes" and not member.has_dim)
            ):
                self._error(
                    member.place,
                    36,
                    f"'{member.name}' has no fixed size",
                    "a struct's layout is frozen; pass strings and arrays as parameters",
                )
                node.broken = True
                continue
            for item in member.attributes:
                self._error(item.place, 62, f"'@{item.name}' cannot stand at a member")
            slot = checker.parameter(member)
            if slot is None:
                node.broken = True
                continue
            slots.append(slot)
        if node.broken or not slots:
            self.scope.broken.add(node.name)
            return
        pads, end, align = lay_slots(slots)
        size = align_up(end, align)
        if size > end:
            pads.append((end, size - end))
        full = f"{self.model.module}.{node.name}"
        struct = Struct(node.name, self.model.module, slots, pads, size, align, node.doc)
        if size > 4096 or len(struct_leaves(self.model, struct, 0, "")) > _MOST_LEAVES:
            self._error(
                node.place,
                59,
                f"struct '{node.name}' is too large ({size} bytes)",
                f"at most 4096 bytes and {_MOST_LEAVES} members, nested ones counted",
            )
            self.scope.broken.add(node.name)
            return
        self.model.structs.setdefault(full, struct)
