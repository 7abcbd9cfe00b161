"""Structs, which are frozen, and tables, which grow at the end."""

from __future__ import annotations

from hyplink.idl import syntax
from hyplink.idl.check_expr import ExprChecker
from hyplink.idl.check_slots import SlotChecker
from hyplink.idl.findings import Place
from hyplink.idl.layout import align_up, lay_slots, struct_leaves
from hyplink.idl.model import SCALARS, Slot, Struct, Table, Type
from hyplink.idl.names import python_name
from hyplink.idl.scope import Scope

__all__ = ["StructChecker"]

_LARGEST = 4096
_MOST_LEAVES = 256


class StructChecker:
    """Lays out the structs and tables of one file."""

    def __init__(self, scope: Scope, exprs: ExprChecker) -> None:
        self.scope = scope
        self.model = scope.model
        self.exprs = exprs
        self.slots = SlotChecker(scope, exprs, None)
        self._growing: set[str] = set()

    def _error(
        self,
        place: Place,
        code: int,
        message: str,
        hint: str = "",
        note: tuple[Place, str] | None = None,
    ) -> None:
        self.scope.findings.add(self.scope.file, place, code, message, hint=hint, note=note)

    def structs(self, nodes: list[syntax.Struct], tables: list[syntax.Struct]) -> None:
        """All of them, members first; ``tables`` follow, but their names are known."""
        self._growing = {t.name for t in tables}
        waiting = {s.name: s for s in nodes}
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

        for struct in nodes:
            visit(struct)

    def tables(self, nodes: list[syntax.Struct]) -> None:
        for node in nodes:
            self._table(node)

    def _members(self, node: syntax.Struct, what: str) -> list[tuple[syntax.Member, Slot]]:
        """The good ones; ``node`` is broken when there are others."""
        if not node.members and not node.broken:
            self._error(node.place, 35, f"{what} '{node.name}' has no members")
        found = []
        seen: dict[str, Place] = {}
        for member in node.members:
            name = python_name(member.name)
            if name in seen:
                self.scope.twice(member.name, member.place, seen[name])
                continue
            seen[name] = member.place
            slot = self._member(member, what)
            if slot is None:
                node.broken = True
            else:
                found.append((member, slot))
        return found

    def _member(self, member: syntax.Member, what: str) -> Slot | None:
        special = member.nullable or member.implied
        if (
            member.type.text == "string"
            or member.max is not None
            or member.dim_kind != "expr"
            or (member.type.text == "bytes" and not member.has_dim)
        ):
            self._error(
                member.place,
                36,
                f"'{member.name}' has no fixed size",
                f"a {what}'s layout is fixed; pass strings and arrays as parameters",
            )
            return None
        if special is not None:
            self._error(special, 82, f"'{member.name}' is always there, as every member")
            return None
        for item in member.attributes:
            self._error(item.place, 62, f"'@{item.name}' cannot stand at a member")
        kind = None
        if member.type.text in self._growing:
            kind = Type("table", member.type.text, 1, 1)
        elif member.type.text not in (*SCALARS, "bytes", "char", "void"):
            kind = self.scope.type_of(member.type)
            if kind is None:
                return None
        if kind is not None and kind.kind not in ("enum", "struct"):
            self._error(
                member.place,
                82,
                f"'{member.name}' cannot be in a {what}: '{member.type.text}' is a {kind.kind}",
                "scalars, enums, structs and arrays of them can; the others are parameters",
            )
            return None
        return self.slots.parameter(member)

    def _struct(self, node: syntax.Struct) -> None:
        slots = [slot for _, slot in self._members(node, "struct")]
        if node.broken or not slots:
            self.scope.broken.add(node.name)
            return
        pads, end, align = lay_slots(slots)
        size = align_up(end, align)
        if size > end:
            pads.append((end, size - end))
        struct = Struct(node.name, self.model.module, slots, pads, size, align, node.doc)
        if self._fits(node, struct, "struct"):
            self.model.structs.setdefault(f"{self.model.module}.{node.name}", struct)

    def _fits(self, node: syntax.Struct, struct: Struct, what: str) -> bool:
        leaves = len(struct_leaves(self.model, struct, 0, ""))
        if struct.size <= _LARGEST and leaves <= _MOST_LEAVES:
            return True
        self._error(
            node.place,
            59,
            f"{what} '{node.name}' is too large ({struct.size} bytes)",
            f"at most {_LARGEST} bytes and {_MOST_LEAVES} members, nested ones counted",
        )
        self.scope.broken.add(node.name)
        return False

    def _table(self, node: syntax.Struct) -> None:
        for at, member in enumerate(node.members, 1):
            if member.number != at:
                self._error(
                    member.number_place,
                    83,
                    f"the fields of a table are numbered in order: this is number {at}",
                    "new fields go to the end, old ones stay",
                )
                break
        members = self._members(node, "table")
        first_default = ""
        for member, slot in members:
            if member.default is not None:
                self._default(member, slot)
                first_default = first_default or member.name
            elif first_default:
                self._error(
                    member.place,
                    83,
                    f"'{member.name}' has no default, but '{first_default}' in front of it does",
                    "a sender of an earlier version leaves the last fields out",
                )
        slots = [slot for _, slot in members]
        if node.broken or not slots:
            self.scope.broken.add(node.name)
            return
        pads, end, align = lay_slots(slots)
        struct = Struct(node.name, self.model.module, slots, pads, end, align)
        if not self._fits(node, struct, "table"):
            return
        numbers = [member.number for member, _ in members]
        table = Table(node.name, self.model.module, slots, numbers, pads, end, align, node.doc)
        self.model.tables.setdefault(f"{self.model.module}.{node.name}", table)

    def _default(self, member: syntax.Member, slot: Slot) -> None:
        node = member.default
        assert node is not None
        kind = slot.type
        enum = self.model.enums[kind.name] if kind.kind == "enum" else None
        if slot.form != "value" or kind.kind not in ("scalar", "enum"):
            self._error(node.place, 83, f"'{member.name}' cannot have a default", "numbers can")
            return
        info = SCALARS[enum.base if enum else kind.name]
        if not info.integer:
            slot.default = self._fraction(node)
            return
        value = self.exprs.constant(node, "the default", enum)
        if value is None:
            return
        low = info.low if slot.low is None else slot.low
        high = info.high if slot.high is None else slot.high
        known = {m.value for m in enum.members} if enum and not enum.open else None
        if (
            not low <= value <= high
            or (slot.choices and value not in slot.choices)
            or (known is not None and value not in known)
        ):
            self._error(node.place, 83, f"{value} is no value of '{member.name}'")
            return
        slot.default = value

    def _fraction(self, node: syntax.Expr) -> float | None:
        sign = 1.0
        if isinstance(node, syntax.Unary) and node.op == "-":
            sign, node = -1.0, node.arg
        if isinstance(node, syntax.Literal):
            return sign * float(node.value)
        value = self.exprs.constant(node, "the default")
        return None if value is None else sign * float(value)
