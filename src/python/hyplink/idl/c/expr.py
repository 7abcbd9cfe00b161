"""Integer expressions and `sizefn` in C."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from hyplink.idl.c.common import Names, literal
from hyplink.idl.model import Expr, Function
from hyplink.idl.writer import Writer

__all__ = ["Scope", "calls", "clamped", "function", "kind_of"]

_INT64 = (-(1 << 63), (1 << 63) - 1)
_COMPARE = ("==", "!=", "<", "<=", ">", ">=")


def calls(node: Expr) -> bool:
    """Whether it can be refused: a `match` somewhere behind it may have no arm."""
    return node.op in ("call", "match") or any(calls(a) for a in node.args)


def _fits(node: Expr) -> bool:
    return node.low >= _INT64[0] and node.high <= _INT64[1]


def kind_of(node: Expr) -> str:
    """The type a node is computed in: signed unless a value needs the unsigned one."""
    if node.op in ("&&", "||", "!", "call", "match", *_COMPARE):
        return "i64"
    involved = [node] if node.op in ("int", "arg", "state") else [node, *node.args]
    if node.op == "?:":
        involved = [node, *node.args[1:]]
    return "i64" if all(_fits(n) for n in involved) else "u64"


def clamped(node: Expr | None) -> str:
    """The one parameter that an expression cuts to a bound (`min(max(n, 0), 4K)`), or ""."""
    if node is None:
        return ""
    names: set[str] = set()
    ops: set[str] = set()
    todo = [node]
    while todo:
        item = todo.pop()
        ops.add(item.op)
        todo += item.args
        if item.op == "arg":
            names.add(item.name)
    only = ops <= {"int", "arg", "min", "max"} and "min" in ops and len(names) == 1
    return names.pop() if only else ""


def _no(what: str) -> Callable[[Expr], str]:
    def fail(node: Expr) -> str:
        raise AssertionError(f"the server never evaluates {what} {node.name}")

    return fail


@dataclass(slots=True)
class Scope:
    """How names are spelled where an expression stands."""

    names: Names
    args: Callable[[str], str]
    state: str = ""
    miss: str = "&_miss"
    nul: str = ""
    isnull: Callable[[Expr], str] = field(default_factory=lambda: _no("isnull"))
    index: Callable[[Expr], str] = field(default_factory=lambda: _no("index"))
    match: Callable[[Expr], str] = field(default_factory=lambda: _no("match"))

    def text(self, node: Expr, kind: str = "i64") -> str:
        """`node` in `kind` (`i64` or `u64`)."""
        cast = "int64_t" if kind == "i64" else "uint64_t"
        if node.op == "int":
            return literal(node.value, kind)
        leaf = {
            "arg": lambda n: self.args(n.name),
            "state": lambda n: f"{self.state}{n.name}",
            "nul": lambda _: self.nul,
            "isnull": self.isnull,
            "index": self.index,
        }.get(node.op)
        if leaf is not None:
            return f"({cast}){leaf(node)}"
        if node.op == "call":
            own = "i64"
            args = [*(self.text(a) for a in node.args), self.miss]
            text = f"{self.names.of(node.name)}({', '.join(args)})"
        elif node.op == "match":
            own, text = "i64", self.match(node)
        else:
            own = kind_of(node)
            text = self._operator(node, own)
        return text if own == kind else f"({cast}){text}"

    def _operator(self, node: Expr, kind: str) -> str:
        if node.op in ("&&", "||", "!", *_COMPARE):
            return f"(int64_t){self.test(node)}"
        if node.op == "?:":
            then, other = (self.text(a, kind) for a in node.args[1:])
            return f"({self.test(node.args[0])} ? {then} : {other})"
        args = [self.text(a, kind) for a in node.args]
        suffix = "U" if kind == "u64" else ""
        if node.op in ("min", "max"):
            return f"vidl{node.op.capitalize()}{suffix}({args[0]}, {args[1]})"
        if node.op == "roundup":
            return f"(({args[0]} + {args[1]} - 1) / {args[1]} * {args[1]})"
        if node.op == "neg":
            return f"(-{args[0]})"
        return f"({args[0]} {node.op} {args[1]})"

    def test(self, node: Expr) -> str:
        """As a condition."""
        if node.op in _COMPARE:
            kinds = set(map(self._side, node.args))
            kind = "u64" if "u64" in kinds else "i64"
            left, right = (self.text(a, kind) for a in node.args)
            return f"({left} {node.op} {right})"
        if node.op == "!":
            return f"(!{self.test(node.args[0])})"
        if node.op in ("&&", "||"):
            left, right = (self.test(a) for a in node.args)
            return f"({left} {node.op} {right})"
        return f"({self.text(node, kind_of(node))} != 0)"

    @staticmethod
    def _side(node: Expr) -> str:
        return "i64" if _fits(node) else "u64"


def function(out: Writer, names: Names, item: Function) -> None:
    """A `sizefn`, and one function for each `match` in it; `*_miss` when no arm matches."""
    own = names.of(f"{item.module}.{item.name}")
    made: list[tuple[str, Expr]] = []
    params = ", ".join([*(f"int64_t {names.var(p)}" for p in item.params), "int* _miss"])
    given = ", ".join([*map(names.var, item.params), "_miss"])

    def match(node: Expr) -> str:
        made.append((f"{own}_match{len(made) + 1}", node))
        return f"{made[-1][0]}({given})"

    scope = Scope(names, names.var, miss="_miss", match=match)
    result = scope.text(item.body)
    bodies: list[str] = []
    for name, node in made:  # grows while arms have matches of their own
        body = Writer()
        with body.block(f"static inline int64_t {name}({params}) {{", "}"):
            _unused(body, names, item)
            _arms(body, scope, node)
        bodies.append(body.text().rstrip("\n"))
    for text in reversed(bodies):
        out(*text.split("\n"))
    with out.block(f"static inline int64_t {own}({params}) {{", "}"):
        _unused(out, names, item)
        out(f"return {result};")
    out("")


def _unused(out: Writer, names: Names, item: Function) -> None:
    for param in item.params:
        out(f"(void){names.var(param)};")
    out("(void)_miss;")


def _arms(out: Writer, scope: Scope, node: Expr) -> None:
    scrutinees = [scope.text(a) for a in node.args[: node.value]]
    for arm in node.args[node.value :]:
        tests = []
        for subject, patterns in zip(scrutinees, arm.patterns, strict=True):
            if patterns:
                each = " || ".join(f"{subject} == {literal(v)}" for v in patterns)
                tests.append(f"({each})" if len(patterns) > 1 else each)
        value = scope.text(arm.args[0])
        if tests:
            out(f"if ({' && '.join(tests)}) return {value};")
        else:
            out(f"return {value};")
            return
    low = node.low if _INT64[0] <= node.low <= _INT64[1] else 0
    out("*_miss = 1;", f"return {literal(low)};")
