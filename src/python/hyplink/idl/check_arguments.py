"""What the expressions of a procedure may name."""

from __future__ import annotations

from hyplink.idl import syntax
from hyplink.idl.check_expr import Known
from hyplink.idl.findings import Findings
from hyplink.idl.model import SCALARS, Enum, Model, StateVar, Type
from hyplink.idl.scope import FileNames, Scope

__all__ = ["Arguments", "bounds_of"]


def bounds_of(node: syntax.Member, scope: Scope) -> tuple[int | None, int | None]:
    """The declared range, quietly: its own findings come with the parameter itself."""
    exprs = scope.exprs(findings=Findings())
    nodes = node.choices or [n for n in (node.low, node.high) if n is not None]
    values = [exprs.constant(n, "") for n in nodes]
    known = [v for v in values if v is not None]
    if not known or len(known) != len(values):
        return None, None
    return min(known), max(known)


def interval(
    model: Model, kind: Type, low: int | None, high: int | None
) -> tuple[int, int, Enum | None] | None:
    """The values of a scalar or an enum; None when it is no integer."""
    if kind.kind == "enum":
        enum = model.enums[kind.name]
        values = [m.value for m in enum.members]
        info = SCALARS[enum.base]
        if enum.open or not values:
            return info.low, info.high, enum
        return min(values), max(values), enum
    if kind.kind != "scalar" or not SCALARS[kind.name].integer or kind.name == "address":
        return None
    info = SCALARS[kind.name]
    return info.low if low is None else low, info.high if high is None else high, None


class Arguments(FileNames):
    """Input parameters, then state, then constants."""

    def __init__(
        self, node: syntax.Procedure, scope: Scope, state: dict[str, StateVar | None]
    ) -> None:
        super().__init__(scope)
        self._members = {m.name: m for m in node.members}
        self._model: Model = scope.model
        self._state = state
        self._callback = node.is_callback
        self._known: dict[str, Known | None] = {}

    def names(self) -> list[str]:
        inputs = [m.name for m in self._members.values() if m.direction != "out"]
        state = [f"state.{name}" for name in self._state]
        return inputs + state + self.scope.constant_names()

    def find(self, parts: list[str]) -> Known | None:
        name = ".".join(parts)
        if name not in self._known:
            self._known[name] = self._find(parts)
        return self._known[name]

    def _find(self, parts: list[str]) -> Known | None:
        member = self._members.get(parts[0])
        if member is None:
            if parts[0] == "state" and len(parts) == 2:
                return self._variable(parts[1])
            return self.scope.constant(parts)
        if member.direction == "out":
            why = f"'{member.name}' is an output; a length depends on inputs only"
            return Known(problem=49, why=why)
        if member.has_dim or member.special or member.type.text in ("string", "bytes", "char"):
            return Known(problem=41, why=f"'{member.name}' is not an integer")
        if member.nullable is not None:
            why = f"'{member.name}' may be absent; a length needs a value"
            return Known(problem=41, why=why)
        kind = self._quiet_type(member.type)
        if kind is None:
            return Known(problem=-1)
        low, high = bounds_of(member, self.scope)
        for field in parts[1:]:
            struct = self._model.structs.get(kind.name) if kind.kind == "struct" else None
            slot = next((s for s in struct.slots if s.name == field), None) if struct else None
            if slot is None:
                return None
            if slot.form != "value":
                return Known(problem=41, why=f"'{field}' is not an integer")
            kind, low, high = slot.type, slot.low, slot.high
        found = interval(self._model, kind, low, high)
        if found is None:
            return Known(problem=41, why=f"'{'.'.join(parts)}' is not an integer")
        return Known(found[0], found[1], enum=found[2])

    def _quiet_type(self, node: syntax.TypeName) -> Type | None:
        """The type; an unknown one is reported with its parameter."""
        loud = self.scope.findings
        self.scope.findings = Findings()
        try:
            return self.scope.type_of(node)
        finally:
            self.scope.findings = loud

    def _variable(self, name: str) -> Known | None:
        if name not in self._state:
            return None
        if self._callback:
            why = "callbacks travel beside the requests: 'state' may differ on the two sides"
            return Known(problem=74, why=why)
        var = self._state[name]
        if var is None:
            return Known(problem=-1)
        enum = self._model.enums[var.type.name] if var.type.kind == "enum" else None
        return Known(var.low, var.high, enum=enum, op="state")

    def element(self, name: str) -> Known | None:
        member = self._members.get(name)
        if member is None:
            return None
        kind = self._quiet_type(member.type) if member.type.text != "string" else None
        found = interval(self._model, kind, None, None) if kind is not None else None
        if found is None or member.direction != "in" or member.dim_kind != "expr":
            return Known(problem=41, why=f"'{name}' is no input array of integers")
        if not member.has_dim:
            return Known(problem=41, why=f"'{name}' is no array")
        return Known(found[0], found[1])

    def is_nullable(self, name: str) -> bool:
        member = self._members.get(name)
        return member is not None and member.nullable is not None and member.direction == "in"
