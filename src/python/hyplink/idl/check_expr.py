"""Expressions: names to values, and the interval of every node.

The interval is what makes lengths safe: an expression that could leave 64 bits, divide by zero or
divide a negative number is refused here, so the generated arithmetic is total and equal in every
language.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from hyplink.idl import syntax
from hyplink.idl.findings import Findings, nearest
from hyplink.idl.model import Expr

__all__ = ["ExprChecker", "Known", "evaluate", "fits", "wide"]

_I64 = (-(1 << 63), (1 << 63) - 1)
_U64 = (0, (1 << 64) - 1)
_FUNCTIONS = {"min": 2, "max": 2, "roundup": 2}


@dataclass(slots=True)
class Known:
    """What a name means: an integer (``low == high`` for constants), or why it is none."""

    low: int = 0
    high: int = 0
    constant: bool = False
    problem: int = 0
    why: str = ""


#: Finds a dotted name; None when it is unknown. The second function lists names for a guess.
Lookup = Callable[[list[str]], Known | None]


def fits(exprs: list[Expr]) -> bool:
    """Whether one C++ type (64 bits, signed or unsigned) holds all of these."""
    return wide(exprs) is not None


def wide(exprs: list[Expr]) -> str | None:
    """``i64`` or ``u64``, whichever holds every value of every expression."""
    low = min(e.low for e in exprs)
    high = max(e.high for e in exprs)
    if _I64[0] <= low and high <= _I64[1]:
        return "i64"
    return "u64" if _U64[0] <= low and high <= _U64[1] else None


def evaluate(op: str, v: list[int]) -> int:
    """One operator on known values, with the meaning it has on the wire."""
    match op:
        case "+":
            return v[0] + v[1]
        case "-":
            return v[0] - v[1]
        case "*":
            return v[0] * v[1]
        case "/":
            return v[0] // v[1]
        case "%":
            return v[0] % v[1]
        case "==":
            return int(v[0] == v[1])
        case "!=":
            return int(v[0] != v[1])
        case "<":
            return int(v[0] < v[1])
        case "<=":
            return int(v[0] <= v[1])
        case ">":
            return int(v[0] > v[1])
        case ">=":
            return int(v[0] >= v[1])
        case "&&":
            return int(bool(v[0] and v[1]))
        case "||":
            return int(bool(v[0] or v[1]))
        case "!":
            return int(not v[0])
        case "neg":
            return -v[0]
        case "?:":
            return v[1] if v[0] else v[2]
        case "min":
            return min(v)
        case "max":
            return max(v)
    return -(-v[0] // v[1]) * v[1]


def _interval(op: str, a: list[Expr]) -> tuple[int, int]:
    match op:
        case "+":
            return a[0].low + a[1].low, a[0].high + a[1].high
        case "-":
            return a[0].low - a[1].high, a[0].high - a[1].low
        case "*":
            corners = [x * y for x in (a[0].low, a[0].high) for y in (a[1].low, a[1].high)]
            return min(corners), max(corners)
        case "/":
            return a[0].low // a[1].high, a[0].high // a[1].low
        case "%":
            return 0, min(a[0].high, a[1].high - 1)
        case "neg":
            return -a[0].high, -a[0].low
        case "?:":
            return min(a[1].low, a[2].low), max(a[1].high, a[2].high)
        case "min":
            return min(a[0].low, a[1].low), min(a[0].high, a[1].high)
        case "max":
            return max(a[0].low, a[1].low), max(a[0].high, a[1].high)
        case "roundup":
            return a[0].low, a[0].high + a[1].high - 1
    return 0, 1


class ExprChecker:
    """Checks the expressions of one scope."""

    def __init__(
        self, file: str, findings: Findings, lookup: Lookup, names: Callable[[], list[str]]
    ) -> None:
        self._file = file
        self._findings = findings
        self._lookup = lookup
        self._names = names

    def _error(self, node: syntax.Expr, code: int, message: str, hint: str = "") -> None:
        self._findings.add(self._file, node.place, code, message, hint=hint)

    def constant(self, node: syntax.Expr, what: str) -> int | None:
        """The value of an expression that must be known now."""
        found = self.check(node)
        if found is None:
            return None
        if found.op != "int":
            self._error(
                node,
                45,
                f"expected a constant as {what}",
                "parameters have no value before the call",
            )
            return None
        return found.value

    def check(self, node: syntax.Expr) -> Expr | None:
        """The resolved expression, or None after a finding."""
        if isinstance(node, syntax.Literal):
            if isinstance(node.value, float):
                self._error(node, 41, "expected an integer, found a fraction")
                return None
            return self._int(node, node.value)
        if isinstance(node, syntax.Ref):
            return self._ref(node)
        if isinstance(node, syntax.Call):
            return self._call(node)
        if isinstance(node, syntax.Unary):
            return self._apply("neg" if node.op == "-" else "!", [node.arg], node)
        if isinstance(node, syntax.Binary):
            return self._apply(node.op, [node.left, node.right], node)
        return self._apply("?:", [node.test, node.then, node.other], node)

    def _int(self, node: syntax.Expr, value: int) -> Expr | None:
        if not _I64[0] <= value <= _U64[1]:
            self._error(node, 42, f"{value} does not fit in 64 bits")
            return None
        return Expr("int", value, value, value)

    def _ref(self, node: syntax.Ref) -> Expr | None:
        name = ".".join(node.parts)
        known = self._lookup(node.parts)
        if known is None:
            guess = nearest(name, self._names())
            self._error(
                node,
                40,
                f"unknown name '{name}' in an expression",
                f"did you mean '{guess}'?" if guess else "",
            )
            return None
        if known.problem:
            if known.problem > 0:
                self._error(node, known.problem, known.why)
            return None
        if known.constant:
            return Expr("int", known.low, known.low, known.low)
        return Expr("arg", known.low, known.high, 0, name)

    def _call(self, node: syntax.Call) -> Expr | None:
        count = _FUNCTIONS.get(node.name)
        if count is None:
            guess = nearest(node.name, _FUNCTIONS)
            self._error(
                node,
                46,
                f"unknown function '{node.name}'",
                f"did you mean '{guess}'?" if guess else "there are min, max and roundup",
            )
            return None
        if len(node.args) != count:
            self._error(node, 47, f"'{node.name}' takes {count} values, found {len(node.args)}")
            return None
        return self._apply(node.name, node.args, node)

    def _apply(self, op: str, nodes: list[syntax.Expr], node: syntax.Expr) -> Expr | None:
        found = [self.check(n) for n in nodes]
        args = [a for a in found if a is not None]
        if len(args) != len(nodes):
            return None
        if op in ("/", "%", "roundup"):
            if args[1].low <= 0:
                self._error(
                    nodes[1],
                    43,
                    f"the right side of '{op}' can be {min(args[1].low, 0)}",
                    "declare a range that begins at 1 or more",
                )
                return None
            if args[0].low < 0:
                self._error(
                    nodes[0],
                    44,
                    f"the left side of '{op}' can be negative",
                    "declare a range that begins at 0 or more",
                )
                return None
        if all(a.op == "int" for a in args):
            return self._int(node, evaluate(op, [a.value for a in args]))
        if op == "?:" and args[0].op == "int":
            return args[1] if args[0].value else args[2]
        low, high = _interval(op, args)
        result = Expr(op, low, high, 0, "", args)
        involved = args[1:] if op == "?:" else args
        logic = op in ("&&", "||", "!")
        if not logic and not fits([result, *involved]):
            self._error(
                node,
                42,
                f"this can leave 64 bits: from {low} to {high}",
                "declare ranges ('in 0..4096') for the parameters in it",
            )
            return None
        return result
