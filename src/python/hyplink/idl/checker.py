"""From the syntax tree to the model: declarations of the file level."""

from __future__ import annotations

from hyplink.idl import syntax
from hyplink.idl.check_functions import check_functions
from hyplink.idl.check_interface import InterfaceChecker
from hyplink.idl.check_structs import StructChecker
from hyplink.idl.findings import Findings, Place
from hyplink.idl.model import SCALARS, Constant, Enum, Enumerator, Handle, Model, Umem
from hyplink.idl.names import enumerator_name
from hyplink.idl.scope import Scope

__all__ = ["check_file"]

#: Module-level names of the generated code.
_TAKEN = frozenset(
    ["Client", "Handler", "Request", "Channel", "PROCEDURES", "SCHEMA_HASH", "GROUP"]
)
_LARGEST_BUFFER = 1 << 40


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
        self.types = {e.name for e in tree.enums} | {s.name for s in (*tree.structs, *tree.tables)}
        self.types |= {h.name for h in tree.handles} | {u.name for u in tree.umems}
        self.exprs = scope.exprs()

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
        for handle in tree.handles:
            self._declare(handle.name, handle.place, type_like=True)
            self._handle(handle)
        self._parents()
        for umem in tree.umems:
            self._declare(umem.name, umem.place, type_like=True)
            self._umem(umem)
        for struct in (*tree.structs, *tree.tables):
            self._declare(struct.name, struct.place, type_like=True)
        structs = StructChecker(self.scope, self.exprs)
        structs.structs(tree.structs, tree.tables)
        structs.tables(tree.tables)
        for function in tree.sizefns:
            self._declare(function.name, function.place, type_like=False)
        check_functions(tree.sizefns, self.scope)
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
                self.scope.twice(item.name, item.place, by_name[key].place)
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

    # -- names the server gives out, and buffers -------------------------------------------------

    def _handle(self, node: syntax.Handle) -> None:
        if node.base.text != "u32":
            self._error(node.base.place, 80, f"handle '{node.name}' must be ': u32'")
        full = f"{self.model.module}.{node.name}"
        self.model.handles.setdefault(full, Handle(node.name, self.model.module, "", node.doc))

    def _parents(self) -> None:
        own = {h.name: h for h in reversed(self.tree.handles)}
        for node in own.values():
            if node.parent is None:
                continue
            other = node.parent.text in self.types and node.parent.text not in own
            kind = None if other else self.scope.type_of(node.parent)
            if kind is None and not other:
                continue
            if kind is None or kind.kind != "handle":
                self._error(node.parent.place, 80, f"'{node.parent.text}' is no handle")
                continue
            seen = {node.name}
            at: syntax.Handle | None = node
            while at is not None and at.parent is not None:
                name = at.parent.text
                if name in seen:
                    self._error(node.place, 80, f"handle '{node.name}' is its own parent")
                    return
                seen.add(name)
                at = own.get(name)
            self.model.handles[f"{self.model.module}.{node.name}"].parent = kind.name

    def _umem(self, node: syntax.Umem) -> None:
        most = self.exprs.constant(node.max, "the maximum") if node.max is not None else None
        if node.max is None:
            self._error(node.place, 50, f"'{node.name}' varies in size and has no 'max'")
        elif most is not None and not 1 <= most <= _LARGEST_BUFFER:
            self._error(node.max.place, 52, f"a maximum of {most} is not usable", "1 byte to 1 TiB")
        if not node.client and not node.server:
            self._error(
                node.place,
                81,
                f"nobody may use '{node.name}'",
                "write 'client(read) server(write)', or the other way round",
            )
        full = f"{self.model.module}.{node.name}"
        umem = Umem(node.name, self.model.module, node.client, node.server, most or 0, node.doc)
        self.model.umems.setdefault(full, umem)
