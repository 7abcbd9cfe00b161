"""Length expressions in C++: 64-bit arithmetic that the checker has proven to stay inside."""

from __future__ import annotations

from collections.abc import Callable

from hyplink.idl.check_expr import wide
from hyplink.idl.model import Expr, Function
from hyplink.idl.names import cpp_name
from hyplink.idl.writer import Writer

__all__ = ["Expressions", "functions", "misses", "number"]


def number(value: int, kind: str = "i64") -> str:
    """A literal of exactly that type."""
    if value == -(1 << 63):
        return "INT64_MIN"
    return f"std::uint64_t{{{value}U}}" if kind == "u64" else f"std::int64_t{{{value}}}"


def _cast(kind: str) -> str:
    return "std::int64_t" if kind == "i64" else "std::uint64_t"


def misses(node: Expr) -> bool:
    """Whether evaluating this may find that no arm matches."""
    return node.op in ("call", "match") or any(misses(a) for a in node.args)


class Expressions:
    """Spells expressions over local variables.

    A call that misses sets ``_miss`` and goes on with a value that the proof covers, so the
    arithmetic stays defined; whoever evaluates looks at ``_miss`` afterwards.
    """

    def __init__(self, var: Callable[[str], str], function: Callable[[str], str]) -> None:
        self._var = var
        self._function = function
        #: Inside a function everything is i64: ranges are proven where it is called.
        self._only_i64 = False

    def expr(self, node: Expr, kind: str) -> str:
        """``node`` with every value in ``kind`` (``i64`` or ``u64``)."""
        if node.op == "int":
            return number(node.value, kind)
        if node.op in ("arg", "state"):
            first, *rest = node.name.split(".")
            if node.op == "state":
                path = "_state." + ".".join(map(cpp_name, [first, *rest]))
            else:
                path = ".".join([self._var(first), *map(cpp_name, rest)])
            return f"static_cast<{_cast(kind)}>({path})"
        own = self.width(node)
        text = self._operator(node, own)
        return text if own == kind else f"static_cast<{_cast(kind)}>({text})"

    def width(self, node: Expr) -> str:
        """The type an expression is computed in."""
        if self._only_i64 or node.op in ("&&", "||", "!", "call", "match"):
            return "i64"
        if node.op in ("int", "arg", "state"):
            involved = [node]
        else:
            involved = [node, *(node.args[1:] if node.op == "?:" else node.args)]
        kind = wide(involved)
        assert kind is not None, "the checker lets no other expression pass"
        return kind

    def _operator(self, node: Expr, kind: str) -> str:
        cast = _cast(kind)
        if node.op == "call":
            given = [self.expr(a, "i64") for a in node.args]
            return f"{self._function(node.name)}({', '.join([*given, '_miss'])})"
        if node.op == "match":
            return self._match(node)
        if node.op in ("&&", "||", "!"):
            tests = [self.test(a) for a in node.args]
            inner = f"!{tests[0]}" if node.op == "!" else f"({tests[0]} {node.op} {tests[1]})"
            return f"static_cast<{cast}>({inner} ? 1 : 0)"
        if node.op == "?:":
            then, other = (self.expr(a, kind) for a in node.args[1:])
            return f"({self.test(node.args[0])} ? {then} : {other})"
        args = [self.expr(a, kind) for a in node.args]
        if node.op in ("min", "max"):
            return f"std::{node.op}<{cast}>({args[0]}, {args[1]})"
        if node.op == "roundup":
            return f"(({args[0]} + {args[1]} - 1) / {args[1]} * {args[1]})"
        if node.op == "neg":
            return f"(-{args[0]})"
        if node.op in ("==", "!=", "<", "<=", ">", ">="):
            return f"static_cast<{cast}>(({args[0]} {node.op} {args[1]}) ? 1 : 0)"
        return f"({args[0]} {node.op} {args[1]})"

    def _match(self, node: Expr) -> str:
        looked = [self.expr(a, "i64") for a in node.args[: node.value]]
        arms = node.args[node.value :]
        text = f"(static_cast<void>(_miss = true), {self.expr(arms[0].args[0], 'i64')})"
        for arm in reversed(arms):
            tests = []
            for value, wanted in zip(looked, arm.patterns, strict=True):
                one = " || ".join(f"{value} == {number(w)}" for w in wanted)
                if one:
                    tests.append(f"({one})" if len(wanted) > 1 else one)
            result = self.expr(arm.args[0], "i64")
            text = f"({' && '.join(tests)} ? {result} : {text})" if tests else result
        return text

    def test(self, node: Expr) -> str:
        """``node`` as a condition."""
        if node.op in ("==", "!=", "<", "<=", ">", ">="):
            kind = "i64" if self._only_i64 else wide(node.args)
            assert kind is not None
            left, right = (self.expr(a, kind) for a in node.args)
            return f"({left} {node.op} {right})"
        kind = self.width(node)
        return f"({self.expr(node, kind)} != 0)"


def functions(out: Writer, items: list[Function], function: Callable[[str], str]) -> None:
    """Each ``sizefn`` as an inline function."""
    for item in items:
        spell = Expressions(cpp_name, function)
        spell._only_i64 = True
        for line in item.doc.splitlines():
            out(f"/// {line}".rstrip().rstrip("\\"))
        params = ", ".join(f"[[maybe_unused]] std::int64_t {cpp_name(p)}" for p in item.params)
        comma = ", " if params else ""
        head = f"{cpp_name(item.name)}({params}{comma}[[maybe_unused]] bool& _miss)"
        with out.block(f"inline std::int64_t {head} {{", "}"):
            out(f"return {spell.expr(item.body, 'i64')};")
        out("")
