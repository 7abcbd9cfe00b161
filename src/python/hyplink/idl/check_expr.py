"""Expressions: names to values, functions and enumerators to what they mean."""

from __future__ import annotations

from hyplink.idl import syntax
from hyplink.idl.bounds import I64, U64, Bounds, evaluate, wide
from hyplink.idl.findings import Findings, nearest
from hyplink.idl.model import Enum, Expr, Function
from hyplink.idl.records import dataclass

__all__ = ["ExprChecker", "Known", "Names", "evaluate", "wide"]

_FUNCTIONS = {"min": 2, "max": 2, "roundup": 2}
_COMPARISONS = ("==", "!=", "<", "<=", ">", ">=")
#: ``nul`` before a maximum is known.
_SCAN = 1 << 31


@dataclass(slots=True)
class Known:
    """What a name means: an integer (``low == high`` for constants), or why it is none."""

    low: int = 0
    high: int = 0
    constant: bool = False
    problem: int = 0
    why: str = ""
    enum: Enum | None = None
    op: str = "arg"


class Names:
    """What the expressions of one place may name. This one knows nothing."""

    def find(self, parts: list[str]) -> Known | None:
        """A dotted name, or None."""
        return None

    def names(self) -> list[str]:
        """For a guess at what was meant."""
        return []

    def function(self, name: str) -> Function | None:
        return None

    def function_names(self) -> list[str]:
        return []

    def is_broken(self, name: str) -> bool:
        """Declared, but not usable: no complaint follows from it."""
        return False

    def element(self, name: str) -> Known | None:
        """One element of an array parameter."""
        return None

    def is_nullable(self, name: str) -> bool:
        return False

    def enum_named(self, full: str) -> Enum | None:
        return None


class ExprChecker:
    """Checks the expressions of one scope.

    ``client`` allows ``nul``, ``null`` and elements: what only the sender can see. ``index`` is the
    running index of a nested array.
    """

    def __init__(
        self, file: str, findings: Findings, names: Names, bounds: Bounds | None = None
    ) -> None:
        self._file = file
        self._findings = findings
        self._names = names
        self._bounds = bounds or Bounds({})
        self._nodes: dict[int, tuple[Expr, syntax.Expr]] = {}
        self._enums: dict[int, Enum] = {}
        self.client = False
        self.index = ""

    def _error(self, node: syntax.Expr, code: int, message: str, hint: str = "") -> None:
        self._findings.add(self._file, node.place, code, message, hint=hint)

    def constant(self, node: syntax.Expr, what: str, enum: Enum | None = None) -> int | None:
        """The value of an expression that must be known now; enumerators of ``enum`` go alone."""
        found = self._enumerator(node, enum) or self.check(node)
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
        """The resolved expression with its intervals, or None after a finding."""
        found = self.resolve(node)
        if found is None or not self._bounds.of(found, self._report):
            return None
        return found

    def operand(self, node: syntax.Expr, enum: Enum | None) -> Expr | None:
        """Resolved; enumerators of ``enum`` may stand alone."""
        return self._enumerator(node, enum) or self.resolve(node)

    def noted(self, expr: Expr, node: syntax.Expr) -> Expr:
        """``expr``, made of what was resolved here; findings about it go to ``node``."""
        return self._note(expr, node)

    def finish(self, expr: Expr) -> bool:
        """Set the intervals of what ``resolve`` gave; False after a finding."""
        return self._bounds.of(expr, self._report)

    def _report(self, expr: Expr, code: int, message: str, hint: str) -> None:
        self._error(self._nodes[id(expr)][1], code, message, hint)

    def _note(self, expr: Expr, node: syntax.Expr) -> Expr:
        """Remember where ``expr`` was written; keeping it keeps its id its own."""
        self._nodes.setdefault(id(expr), (expr, node))
        return expr

    def resolve(self, node: syntax.Expr) -> Expr | None:
        """The resolved expression; its intervals are still those of the names in it."""
        if isinstance(node, syntax.Literal):
            if isinstance(node.value, float):
                self._error(node, 41, "expected an integer, found a fraction")
                return None
            return self._int(node, node.value)
        if isinstance(node, syntax.Ref):
            return self._ref(node)
        if isinstance(node, syntax.Call):
            return self._call(node)
        if isinstance(node, syntax.Index):
            return self._element(node)
        if isinstance(node, syntax.Match):
            return self._match(node)
        if isinstance(node, syntax.Unary):
            return self._apply("neg" if node.op == "-" else "!", [node.arg], node)
        if isinstance(node, syntax.Binary):
            if node.op in _COMPARISONS:
                return self._compare(node)
            return self._apply(node.op, [node.left, node.right], node)
        return self._apply("?:", [node.test, node.then, node.other], node)

    def _int(self, node: syntax.Expr, value: int) -> Expr | None:
        if not I64[0] <= value <= U64[1]:
            self._error(node, 42, f"{value} does not fit in 64 bits")
            return None
        return self._note(Expr("int", value, value, value), node)

    def _ref(self, node: syntax.Ref) -> Expr | None:
        name = ".".join(node.parts)
        known = self._names.find(node.parts)
        if known is None:
            if name in ("nul", "null"):
                return self._nul(node, name)
            guess = nearest(name, self._names.names())
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
            found = Expr("int", known.low, known.low, known.low)
        else:
            name = node.parts[-1] if known.op == "state" else name
            found = Expr(known.op, known.low, known.high, 0, name)
        if known.enum is not None:
            self._enums[id(found)] = known.enum
        return self._note(found, node)

    def _nul(self, node: syntax.Ref, name: str) -> Expr | None:
        if name == "null":
            self._error(node, 70, "'null' can only be compared", "write 'lens == null ? … : …'")
            return None
        if not self.client:
            self._error(
                node,
                70,
                "'nul' cannot stand here",
                "it is the length of an 'in' array that ends with a zero",
            )
            return None
        return self._note(Expr("nul", 0, _SCAN), node)

    def _compare(self, node: syntax.Binary) -> Expr | None:
        for side, other in ((node.left, node.right), (node.right, node.left)):
            if (
                isinstance(side, syntax.Ref)
                and side.parts == ["null"]
                and self._names.find(["null"]) is None
            ):
                return self._null(node, other)
        nodes = [node.left, node.right]
        for at in (0, 1):
            side = nodes[at]
            known = self._names.find(side.parts) if isinstance(side, syntax.Ref) else None
            if known is not None and known.enum is not None and not known.constant:
                member = self._enumerator(nodes[1 - at], known.enum)
                if member is not None:
                    left = self.resolve(side)
                    pair = [left, member] if at == 0 else [member, left]
                    return self._join(node.op, pair, node)
        return self._apply(node.op, nodes, node)

    def _null(self, node: syntax.Binary, other: syntax.Expr) -> Expr | None:
        name = ".".join(other.parts) if isinstance(other, syntax.Ref) else ""
        if node.op not in ("==", "!=") or not name or not self.client:
            self._error(
                node,
                70,
                "'null' cannot stand here",
                "the length of an 'in' array may ask 'parameter == null'",
            )
            return None
        if not self._names.is_nullable(name):
            self._error(other, 70, f"'{name}' is never null", "declare it with '?'")
            return None
        found = self._note(Expr("isnull", 0, 1, 0, name), node)
        if node.op == "==":
            return found
        return self._note(Expr("!", 0, 1, 0, "", [found]), node)

    def _enumerator(self, node: syntax.Expr, enum: Enum | None) -> Expr | None:
        """``LOW`` where a value of its enum is expected; parameters of that name go first."""
        if enum is None or not isinstance(node, syntax.Ref) or len(node.parts) != 1:
            return None
        if self._names.find(node.parts) is not None:
            return None
        member = next((m for m in enum.members if m.name == node.parts[0]), None)
        if member is None:
            guess = nearest(node.parts[0], [m.name for m in enum.members])
            if guess and node.parts[0] not in ("nul", "null"):
                message = f"unknown name '{node.parts[0]}' in an expression"
                self._error(node, 40, message, f"did you mean '{guess}'?")
            return None
        found = Expr("int", member.value, member.value, member.value)
        self._enums[id(found)] = enum
        return self._note(found, node)

    def _element(self, node: syntax.Index) -> Expr | None:
        if not self.client or node.index.parts[0] != self.index or not self.index:
            self._error(
                node,
                71,
                f"'{node.name}[{node.index.parts[0]}]' cannot be read here",
                "elements go into the second length of an array of arrays, at its own index",
            )
            return None
        known = self._names.element(node.name)
        if known is None:
            guess = nearest(node.name, self._names.names())
            hint = f"did you mean '{guess}'?" if guess else ""
            self._error(node, 40, f"unknown array '{node.name}' in an expression", hint)
            return None
        if known.problem:
            if known.problem > 0:
                self._error(node, known.problem, known.why)
            return None
        return self._note(Expr("index", known.low, known.high, 0, node.name), node)

    def _call(self, node: syntax.Call) -> Expr | None:
        function = self._names.function(node.name)
        if function is None:
            if self._names.is_broken(node.name):
                for arg in node.args:
                    self.resolve(arg)
                return None
            count = _FUNCTIONS.get(node.name)
            if count is None:
                known = [*_FUNCTIONS, *self._names.function_names()]
                guess = nearest(node.name, known)
                self._error(
                    node,
                    46,
                    f"unknown function '{node.name}'",
                    f"did you mean '{guess}'?"
                    if guess
                    else "there are min, max, roundup and those declared with 'sizefn'",
                )
                return None
        else:
            count = len(function.params)
        if len(node.args) != count:
            self._error(node, 47, f"'{node.name}' takes {count} values, found {len(node.args)}")
            return None
        if function is None:
            return self._apply(node.name, node.args, node)
        return self._call_function(node, function)

    def _call_function(self, node: syntax.Call, function: Function) -> Expr | None:
        args: list[Expr] = []
        for arg, kind, name in zip(node.args, function.types, function.params, strict=True):
            enum = self._names.enum_named(kind.name) if kind.kind == "enum" else None
            found = self.operand(arg, enum)
            if found is None:
                continue
            mine = self._enums.get(id(found))
            if enum is not None and found.op != "int" and mine is not enum:
                have = f"'{mine.name}'" if mine is not None else "a plain number"
                self._error(
                    arg, 72, f"'{name}' of '{node.name}' is a '{enum.name}', this is {have}"
                )
                continue
            args.append(found)
        if len(args) != len(node.args):
            return None
        name = f"{function.module}.{function.name}"
        return self._note(Expr("call", *I64, 0, name, args), node)

    def _match(self, node: syntax.Match) -> Expr | None:
        resolved = [self.resolve(v) for v in node.values]
        subjects = [s for s in resolved if s is not None]
        whole = len(subjects) == len(resolved)
        arms: list[Expr] = []
        for arm in node.arms:
            if len(arm.patterns) != len(resolved):
                self._findings.add(
                    self._file,
                    arm.place,
                    73,
                    f"this arm has {len(arm.patterns)} patterns for {len(resolved)} values",
                )
                whole = False
                continue
            patterns = []
            for wanted, subject in zip(arm.patterns, resolved, strict=True):
                enum = self._enums.get(id(subject)) if subject is not None else None
                values = [self.constant(p, "a pattern", enum) for p in wanted]
                whole = whole and None not in values
                patterns.append(sorted({v for v in values if v is not None}))
            value = self.resolve(arm.value)
            if value is None:
                whole = False
                continue
            arms.append(Expr("arm", value.low, value.high, 0, "", [value], patterns))
        if not node.arms:
            self._error(node, 73, "a match needs at least one arm")
            return None
        if not whole:
            return None
        return self._note(Expr("match", *I64, len(subjects), "", [*subjects, *arms]), node)

    def _apply(self, op: str, nodes: list[syntax.Expr], node: syntax.Expr) -> Expr | None:
        return self._join(op, [self.resolve(n) for n in nodes], node)

    def _join(self, op: str, found: list[Expr | None], node: syntax.Expr) -> Expr | None:
        args = [a for a in found if a is not None]
        if len(args) != len(found):
            return None
        if all(a.op == "int" for a in args):
            values = [a.value for a in args]
            if op not in ("/", "%", "roundup") or (values[1] > 0 and values[0] >= 0):
                return self._int(node, evaluate(op, values))
        if op == "?:" and args[0].op == "int":
            return args[1] if args[0].value else args[2]
        return self._note(Expr(op, 0, 1, 0, "", args), node)
