"""``sizefn``: total functions for lengths. Their arithmetic is looked at where they are called."""

from __future__ import annotations

from hyplink.idl import syntax
from hyplink.idl.check_expr import Known
from hyplink.idl.model import SCALARS, Function, Type
from hyplink.idl.scope import FileNames, Scope

__all__ = ["check_functions"]

_MOST_PARAMETERS = 16


class _Parameters(FileNames):
    """The parameters of one function, then what the file has."""

    def __init__(self, scope: Scope, params: dict[str, Type]) -> None:
        super().__init__(scope)
        self._params = params

    def find(self, parts: list[str]) -> Known | None:
        kind = self._params.get(parts[0]) if len(parts) == 1 else None
        if kind is None:
            return super().find(parts)
        if kind.kind == "enum":
            enum = self.scope.model.enums[kind.name]
            info = SCALARS[enum.base]
            values = [m.value for m in enum.members]
            if enum.open or not values:
                return Known(info.low, info.high, enum=enum)
            return Known(min(values), max(values), enum=enum)
        info = SCALARS[kind.name]
        return Known(info.low, info.high)

    def names(self) -> list[str]:
        return [*self._params, *super().names()]


def check_functions(nodes: list[syntax.Sizefn], scope: Scope) -> None:
    """Add the functions to the model, those that others call first."""
    waiting = {n.name: n for n in nodes}
    active: list[str] = []

    def visit(node: syntax.Sizefn) -> None:
        if node.name not in waiting or waiting[node.name] is not node:
            return
        if node.name in active:
            chain = " → ".join([*active[active.index(node.name) :], node.name])
            message = f"function '{node.name}' calls itself: {chain}"
            scope.findings.add(scope.file, node.place, 84, message)
            scope.broken.add(node.name)
            return
        active.append(node.name)
        for name in _calls(node.body):
            if name in waiting:
                visit(waiting[name])
        active.pop()
        if waiting.pop(node.name, None) is not None:
            function = _function(node, scope)
            if function is not None:
                scope.model.functions.setdefault(f"{function.module}.{function.name}", function)
            else:
                scope.broken.add(node.name)

    for node in nodes:
        visit(node)


def _calls(node: syntax.Expr | None) -> list[str]:
    if isinstance(node, syntax.Call):
        return [node.name, *(n for a in node.args for n in _calls(a))]
    if isinstance(node, syntax.Unary):
        return _calls(node.arg)
    if isinstance(node, syntax.Binary):
        return _calls(node.left) + _calls(node.right)
    if isinstance(node, syntax.Conditional):
        return _calls(node.test) + _calls(node.then) + _calls(node.other)
    if isinstance(node, syntax.Match):
        values = [n for v in node.values for n in _calls(v)]
        return values + [n for arm in node.arms for n in _calls(arm.value)]
    return []


def _function(node: syntax.Sizefn, scope: Scope) -> Function | None:
    def error(place: tuple[int, int, int], code: int, message: str, hint: str = "") -> None:
        scope.findings.add(scope.file, place, code, message, hint=hint)

    def integer(named: syntax.TypeName, *, enum: bool) -> Type | None:
        if named.text in ("string", "bytes", "char", "void"):
            kind = None
        else:
            kind = scope.type_of(named)
            if kind is None:
                return None
        good = kind is not None and kind.kind == "scalar" and SCALARS[kind.name].integer
        if kind is not None and (
            (good and kind.name != "address") or (enum and kind.kind == "enum")
        ):
            return kind
        what = "integers and enums" if enum else "integers"
        error(named.place, 85, f"'{named.text}' cannot stand here: {what} can")
        return None

    result = integer(node.result, enum=False)
    params: dict[str, Type] = {}
    whole = result is not None
    for named, name, place in node.params:
        kind = integer(named, enum=True)
        if name in params:
            error(place, 21, f"'{name}' is declared twice")
        if kind is None:
            whole = False
        else:
            params[name] = kind
    if len(node.params) > _MOST_PARAMETERS:
        error(node.place, 85, f"'{node.name}' has more than {_MOST_PARAMETERS} parameters")
        whole = False
    if node.body is None or not whole or len(params) != len(node.params):
        return None
    body = scope.exprs(_Parameters(scope, params)).resolve(node.body)
    if body is None or result is None:
        return None
    scope.bounds.of_body(body)
    module = scope.model.module
    return Function(node.name, module, result, list(params), list(params.values()), body, node.doc)
