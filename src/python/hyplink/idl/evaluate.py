"""The length language, run directly on a model: for tools that have no generated code at hand."""

from __future__ import annotations

from collections.abc import Mapping

from hyplink.idl.bounds import evaluate
from hyplink.idl.model import Expr, Model

__all__ = ["NoValue", "value_of"]


class NoValue(Exception):
    """A ``match`` has no arm for its values, or the value is known to the sender only."""


def value_of(
    model: Model, node: Expr, arguments: Mapping[str, int], state: Mapping[str, int]
) -> int:
    """The number an expression stands for.

    Raises:
        NoValue: see there.
    """

    def of(child: Expr) -> int:
        return value_of(model, child, arguments, state)

    if node.op == "int":
        return node.value
    if node.op == "state":
        return state[node.name]
    if node.op == "arg":
        if node.name not in arguments:
            raise NoValue(node.name)
        return arguments[node.name]
    if node.op == "call":
        function = model.functions[node.name]
        values = dict(zip(function.params, map(of, node.args), strict=True))
        return value_of(model, function.body, values, state)
    if node.op == "match":
        wanted = [of(child) for child in node.args[: node.value]]
        for arm in node.args[node.value :]:
            if all(not p or v in p for v, p in zip(wanted, arm.patterns, strict=True)):
                return of(arm.args[0])
        raise NoValue("match")
    if node.op in ("nul", "isnull", "index"):
        raise NoValue(node.op)
    # Only the branch that is taken: the other one may divide by zero.
    if node.op == "?:":
        return of(node.args[1] if of(node.args[0]) else node.args[2])
    if node.op in ("&&", "||"):
        first = of(node.args[0])
        decided = bool(first) == (node.op == "||")
        return int(bool(first)) if decided else int(bool(of(node.args[1])))
    return evaluate(node.op, [of(child) for child in node.args])
