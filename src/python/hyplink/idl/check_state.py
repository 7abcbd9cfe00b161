"""``state``: variables that both sides keep, and between which values they stay."""

from __future__ import annotations

from hyplink.idl import syntax
from hyplink.idl.check_arguments import Arguments, interval
from hyplink.idl.check_dims import mentions
from hyplink.idl.findings import Findings, Place
from hyplink.idl.model import Expr, Sets, StateVar
from hyplink.idl.scope import Scope

__all__ = ["check_sets", "check_state"]

#: Rounds in which the values that assignments give may still widen.
_ROUNDS = 6


def check_state(node: syntax.Interface, scope: Scope) -> dict[str, StateVar | None]:
    """The variables by name; None for those that are declared, but wrong."""
    found: dict[str, StateVar | None] = {}
    places: dict[str, Place] = {}
    declared: set[str] = set()
    for item in node.state:
        if item.name in found:
            scope.twice(item.name, item.place, places[item.name])
            continue
        places[item.name] = item.place
        found[item.name] = _variable(item, scope)
        if item.low is not None:
            declared.add(item.name)
    _widen(node, scope, found, declared)
    return found


def _variable(node: syntax.StateVar, scope: Scope) -> StateVar | None:
    exprs = scope.exprs()
    kind = None
    if node.type.text not in ("string", "bytes", "char", "void"):
        kind = scope.type_of(node.type)
        if kind is None:
            return None
    limits = interval(scope.model, kind, None, None) if kind is not None else None
    if kind is None or limits is None:
        scope.findings.add(
            scope.file, node.type.place, 85, f"'{node.type.text}' cannot stand here: integers can"
        )
        return None
    low, high, enum = limits
    initial = exprs.constant(node.initial, "the value at the beginning", enum)
    bounds = [exprs.constant(b, "a bound") for b in (node.low, node.high) if b is not None]
    if initial is None or None in bounds:
        return None
    known = [b for b in bounds if b is not None]
    if known:
        if not low <= known[0] <= known[1] <= high:
            scope.findings.add(
                scope.file, node.place, 54, f"the range {known[0]}..{known[1]} is not usable"
            )
            return None
        low, high = known
    if not low <= initial <= high:
        scope.findings.add(scope.file, node.initial.place, 79, f"{initial} is not in {low}..{high}")
        return None
    var = StateVar(node.name, kind, initial, initial, initial, node.doc)
    if known:
        var.low, var.high = low, high
    return var


def _widen(
    node: syntax.Interface,
    scope: Scope,
    found: dict[str, StateVar | None],
    declared: set[str],
) -> None:
    """Without a declared range a variable has the values that it is ever set to.

    They may depend on each other. What still grows after some rounds could become anything, and
    then gets what follows from that: ``(state.n + 1) % 8`` is 0 to 7 all the same.
    """
    free = [v for n, v in found.items() if v is not None and n not in declared]
    if not any(proc.sets for proc in node.procedures):
        return
    for _ in range(_ROUNDS):
        before = [(v.low, v.high) for v in free]
        _assign(node, scope, found, free)
        if before == [(v.low, v.high) for v in free]:
            return
    for var in free:
        limits = interval(scope.model, var.type, None, None)
        assert limits is not None
        var.low, var.high = limits[0], limits[1]
    _assign(node, scope, found, free)


def _assign(
    node: syntax.Interface,
    scope: Scope,
    found: dict[str, StateVar | None],
    free: list[StateVar],
) -> None:
    """One round: every variable of ``free`` gets its first value and those that it is set to."""
    values = {v.name: [(v.initial, v.initial)] for v in free}
    for proc in node.procedures:
        for item in proc.sets:
            if item.name not in values:
                continue
            whole = _joined(item, proc, scope, found, Findings())
            if whole is not None:
                values[item.name].append((whole.args[1].low, whole.args[1].high))
    for var in free:
        limits = interval(scope.model, var.type, None, None)
        assert limits is not None
        var.low = max(limits[0], min(low for low, _ in values[var.name]))
        var.high = min(limits[1], max(high for _, high in values[var.name]))


def _joined(
    item: syntax.Sets,
    proc: syntax.Procedure,
    scope: Scope,
    state: dict[str, StateVar | None],
    findings: Findings,
) -> Expr | None:
    """``test ? value : 0`` with its intervals: the value is looked at where the test holds."""
    exprs = scope.exprs(Arguments(proc, scope, state), findings)
    var = state.get(item.name)
    enum = scope.model.enums.get(var.type.name) if var is not None else None
    value = exprs.operand(item.value, enum)
    test = exprs.resolve(item.test) if item.test is not None else Expr("int", 1, 1, 1)
    if value is None or test is None:
        return None
    whole = exprs.noted(Expr("?:", 0, 0, 0, "", [test, value, Expr("int", 0, 0)]), item.value)
    return whole if exprs.finish(whole) else None


def check_sets(
    proc: syntax.Procedure,
    scope: Scope,
    state: dict[str, StateVar | None],
    implied: frozenset[str],
) -> list[Sets]:
    """The assignments of one procedure."""
    found: list[Sets] = []
    for item in proc.sets:
        if proc.is_callback:
            scope.findings.add(
                scope.file, item.place, 74, "a callback cannot set 'state': requests do"
            )
            continue
        if item.name not in state:
            scope.findings.add(scope.file, item.place, 40, f"no 'state.{item.name}' is declared")
            continue
        whole = _joined(item, proc, scope, state, scope.findings)
        var = state[item.name]
        if whole is None or var is None:
            continue
        test, value = whole.args[0], whole.args[1]
        if name := mentions(whole, implied, "arg"):
            scope.findings.add(
                scope.file, item.place, 77, f"'{name}' is implied: both sides must know it here"
            )
            continue
        limits = interval(scope.model, var.type, None, None)
        assert limits is not None
        low, high = max(var.low, limits[0]), min(var.high, limits[1])
        if value.low < low or value.high > high:
            scope.findings.add(
                scope.file,
                item.value.place,
                79,
                f"'state.{item.name}' can become {value.low} to {value.high}, "
                f"and it holds {low} to {high}",
                hint="declare a range for the parameters in it",
            )
            continue
        found.append(Sets(item.name, value, None if item.test is None else test))
    return found
