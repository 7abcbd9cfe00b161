"""Intervals: between which values every expression lies, and what could go wrong on the way.

This is what makes lengths safe: an expression that could leave 64 bits, divide by zero or divide a
negative number is refused, so the generated arithmetic is total and equal in every language. A
function is looked at anew for each call, with the intervals it is called with. Tests narrow:
behind ``h == 0 ? 0 :`` an ``h`` of 0 to 9 is 1 to 9.
"""

from __future__ import annotations

from collections.abc import Callable

from hyplink.idl.model import Expr, Function

__all__ = ["I64", "U64", "Bounds", "Env", "Interval", "evaluate", "expr_text", "fits", "wide"]

Interval = tuple[int, int]
#: Intervals narrower than declared, by the names of ``arg`` and (with ``state.``) of ``state``.
Env = dict[str, Interval]
#: Told of a problem: the expression, the code, the message, the hint.
Report = Callable[[Expr, int, str, str], None]

I64 = (-(1 << 63), (1 << 63) - 1)
U64 = (0, (1 << 64) - 1)
_STEPS = 50_000
_COMPARISONS = ("==", "!=", "<", "<=", ">", ">=")
_NEGATED = {"==": "!=", "!=": "==", "<": ">=", ">=": "<", ">": "<=", "<=": ">"}
_MIRRORED = {"==": "==", "!=": "!=", "<": ">", ">": "<", "<=": ">=", ">=": "<="}


def fits(intervals: list[Interval]) -> bool:
    """Whether one type of 64 bits, signed or unsigned, holds all of these."""
    low = min(i[0] for i in intervals)
    high = max(i[1] for i in intervals)
    return (I64[0] <= low and high <= I64[1]) or (U64[0] <= low and high <= U64[1])


def wide(exprs: list[Expr]) -> str | None:
    """``i64`` or ``u64``, whichever holds every value of every expression."""
    low = min(e.low for e in exprs)
    high = max(e.high for e in exprs)
    if I64[0] <= low and high <= I64[1]:
        return "i64"
    return "u64" if U64[0] <= low and high <= U64[1] else None


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


def _interval(op: str, a: list[Interval]) -> Interval:
    match op:
        case "+":
            return a[0][0] + a[1][0], a[0][1] + a[1][1]
        case "-":
            return a[0][0] - a[1][1], a[0][1] - a[1][0]
        case "*":
            corners = [x * y for x in a[0] for y in a[1]]
            return min(corners), max(corners)
        case "/":
            return a[0][0] // a[1][1], a[0][1] // a[1][0]
        case "%":
            return 0, min(a[0][1], a[1][1] - 1)
        case "neg":
            return -a[0][1], -a[0][0]
        case "min":
            return min(a[0][0], a[1][0]), min(a[0][1], a[1][1])
        case "max":
            return max(a[0][0], a[1][0]), max(a[0][1], a[1][1])
        case "roundup":
            return a[0][0], a[0][1] + a[1][1] - 1
    return 0, 1


def _key(expr: Expr) -> str:
    if expr.op == "arg":
        return expr.name
    return f"state.{expr.name}" if expr.op == "state" else ""


def _leaf(expr: Expr, env: Env) -> Interval | None:
    if expr.op == "int":
        return expr.value, expr.value
    key = _key(expr)
    return env.get(key, (expr.low, expr.high)) if key else None


def refine(test: Expr, truth: bool, env: Env) -> Env | None:
    """What is known where ``test`` is ``truth``; None when that cannot be."""
    if test.op == "!":
        return refine(test.args[0], not truth, env)
    if (test.op == "&&" and truth) or (test.op == "||" and not truth):
        first = refine(test.args[0], truth, env)
        return None if first is None else refine(test.args[1], truth, first)
    if test.op not in _COMPARISONS:
        return env
    op = test.op if truth else _NEGATED[test.op]
    left, right = _leaf(test.args[0], env), _leaf(test.args[1], env)
    if left is None or right is None:
        return env
    narrow = [_narrow(op, left, right), _narrow(_MIRRORED[op], right, left)]
    result = dict(env)
    for side, found in zip(test.args, narrow, strict=True):
        if found[0] > found[1]:
            return None
        if key := _key(side):
            result[key] = found
    return result


def _narrow(op: str, a: Interval, b: Interval) -> Interval:
    match op:
        case "==":
            return max(a[0], b[0]), min(a[1], b[1])
        case "!=" if b[0] == b[1]:
            return a[0] + (a[0] == b[0]), a[1] - (a[1] == b[0])
        case "<":
            return a[0], min(a[1], b[1] - 1)
        case "<=":
            return a[0], min(a[1], b[1])
        case ">":
            return max(a[0], b[0] + 1), a[1]
        case ">=":
            return max(a[0], b[0]), a[1]
    return a


class _Stop(Exception):
    """A problem is reported; the rest of this expression makes no sense."""


class Bounds:
    """Computes the intervals of one file's expressions."""

    def __init__(self, functions: dict[str, Function]) -> None:
        self._functions = functions
        self._known: dict[tuple[str, tuple[Interval, ...]], Interval] = {}
        self._steps = 0

    def of(self, expr: Expr, report: Report) -> bool:
        """Set ``low`` and ``high`` of ``expr`` and all in it; False after a report."""
        self._steps = 0
        try:
            self._walk(expr, {}, report, store=True)
        except _Stop:
            return False
        return True

    def of_body(self, expr: Expr) -> None:
        """The same for a function, whose problems show at its calls: what leaves 64 bits is cut."""
        self._walk(expr, {}, None, store=True)

    def _fail(self, report: Report, expr: Expr, code: int, message: str, hint: str) -> None:
        report(expr, code, message, hint)
        raise _Stop

    def _walk(self, expr: Expr, env: Env, report: Report | None, *, store: bool) -> Interval:
        self._steps += 1
        if self._steps > _STEPS and report is not None:
            self._fail(report, expr, 19, "these functions call each other too often", "")
        op = expr.op
        found = _leaf(expr, env)
        if found is None:
            if op in ("nul", "isnull", "index"):
                found = (expr.low, expr.high)
            elif op == "?:":
                found = self._conditional(expr, env, report, store)
            elif op in ("&&", "||"):
                self._walk(expr.args[0], env, report, store=store)
                narrow = refine(expr.args[0], op == "&&", env)
                if narrow is not None:
                    self._walk(expr.args[1], narrow, report, store=store)
                elif store:
                    self._walk(expr.args[1], env, None, store=True)
                found = (0, 1)
            elif op == "match":
                found = self._match(expr, env, report, store)
            elif op == "call":
                found = self._call(expr, env, report, store)
            else:
                found = self._apply(expr, env, report, store)
        if store:
            expr.low, expr.high = found
        return found

    def _conditional(self, expr: Expr, env: Env, report: Report | None, store: bool) -> Interval:
        test = self._walk(expr.args[0], env, report, store=store)
        found: list[Interval] = []
        for branch, truth in ((expr.args[1], True), (expr.args[2], False)):
            narrow = refine(expr.args[0], truth, env)
            if narrow is None or (truth and test == (0, 0)) or (not truth and test[0] > 0):
                if store:
                    # Never computed, but generated: its types are chosen by its intervals.
                    self._walk(branch, env, None, store=True)
                continue
            found.append(self._walk(branch, narrow, report, store=store))
        if not found:
            return 0, 0
        result = min(f[0] for f in found), max(f[1] for f in found)
        return self._sound(expr, [*found, result], result, report)

    def _apply(self, expr: Expr, env: Env, report: Report | None, store: bool) -> Interval:
        op = expr.op
        args = [self._walk(a, env, report, store=store) for a in expr.args]
        if op in ("/", "%", "roundup"):
            if args[1][0] <= 0:
                if report is not None:
                    message = f"the right side of '{op}' can be {min(args[1][0], 0)}"
                    hint = "declare a range that begins at 1 or more"
                    self._fail(report, expr.args[1], 43, message, hint)
                args[1] = (1, max(1, args[1][1]))
            if args[0][0] < 0:
                if report is not None:
                    message = f"the left side of '{op}' can be negative"
                    hint = "declare a range that begins at 0 or more"
                    self._fail(report, expr.args[0], 44, message, hint)
                args[0] = (0, max(0, args[0][1]))
        result = _interval(op, args)
        if op == "!":
            return result
        return self._sound(expr, [*args, result], result, report)

    def _sound(
        self, expr: Expr, involved: list[Interval], result: Interval, report: Report | None
    ) -> Interval:
        if fits(involved):
            return result
        if report is None:
            return max(I64[0], min(result[0], I64[1])), max(I64[0], min(result[1], I64[1]))
        message = f"this can leave 64 bits: from {result[0]} to {result[1]}"
        self._fail(
            report, expr, 42, message, "declare ranges ('in 0..4096') for the parameters in it"
        )
        return result

    def _match(self, expr: Expr, env: Env, report: Report | None, store: bool) -> Interval:
        subjects = expr.args[: expr.value]
        values = [self._walk(a, env, report, store=store) for a in subjects]
        found: list[Interval] = []
        for arm in expr.args[expr.value :]:
            narrow = dict(env)
            possible = True
            for subject, interval, wanted in zip(subjects, values, arm.patterns, strict=True):
                inside = [p for p in wanted if interval[0] <= p <= interval[1]]
                possible = possible and (not wanted or bool(inside))
                if inside and _key(subject):
                    narrow[_key(subject)] = (min(inside), max(inside))
            if not possible:
                continue
            found.append(self._walk(arm.args[0], narrow, report, store=store))
            if store:
                arm.low, arm.high = found[-1]
            if not any(arm.patterns):
                break
        if not found:
            if report is not None:
                self._fail(report, expr, 48, "no arm of the match is ever taken", "")
            return 0, 0
        return min(f[0] for f in found), max(f[1] for f in found)

    def _call(self, expr: Expr, env: Env, report: Report | None, store: bool) -> Interval:
        args = [self._walk(a, env, report, store=store) for a in expr.args]
        function = self._functions[expr.name]
        if report is None:
            return function.body.low, function.body.high
        for arg, node in zip(args, expr.args, strict=True):
            if not (I64[0] <= arg[0] and arg[1] <= I64[1]):
                message = f"this can leave the 63 bits of a function's value: up to {arg[1]}"
                self._fail(report, node, 42, message, "declare a range ('in 0..4096')")
        key = (expr.name, tuple(args))
        if key not in self._known:

            def inside(where: Expr, code: int, message: str, hint: str) -> None:
                if not message.startswith("in '"):
                    message = f"in '{function.name}', '{expr_text(where)}': {message}"
                report(expr, code, message, hint)

            inner = dict(zip(function.params, args, strict=True))
            result = self._walk(function.body, inner, inside, store=False)
            if not (I64[0] <= result[0] and result[1] <= I64[1]):
                inside(function.body, 42, f"this can reach {result[1]}", "declare ranges")
                raise _Stop
            self._known[key] = result
        return self._known[key]


def expr_text(expr: Expr) -> str:
    """The expression as it would be written; inner ones in parentheses."""
    op, args = expr.op, expr.args

    def inner(node: Expr) -> str:
        text = expr_text(node)
        return f"({text})" if node.op in ("?:", *_COMPARISONS, *"+-*/%", "&&", "||") else text

    if op == "int":
        return str(expr.value)
    if op in ("arg", "state"):
        return _key(expr)
    if op == "nul":
        return "nul"
    if op == "isnull":
        return f"{expr.name} == null"
    if op == "index":
        return f"{expr.name}[…]"
    if op == "match":
        return f"match ({', '.join(expr_text(a) for a in args[: expr.value])})"
    if op in ("call", "min", "max", "roundup"):
        name = expr.name.rpartition(".")[2] if op == "call" else op
        return f"{name}({', '.join(expr_text(a) for a in args)})"
    if op == "?:":
        return f"{inner(args[0])} ? {inner(args[1])} : {inner(args[2])}"
    if len(args) == 1:
        return f"{'-' if op == 'neg' else '!'}{inner(args[0])}"
    return f"{inner(args[0])} {op} {inner(args[1])}" if len(args) == 2 else op
