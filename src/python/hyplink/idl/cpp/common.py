"""Spellings that all parts of the C++ generator share."""

from __future__ import annotations

from hyplink.idl.check_expr import wide
from hyplink.idl.model import SCALARS, Expr, Interface, Model, Procedure, Slot, Type
from hyplink.idl.names import cpp_name, pascal, snake
from hyplink.idl.writer import Writer

__all__ = ["Names", "comment", "number"]


def comment(out: Writer, doc: str) -> None:
    for line in doc.splitlines():
        # A backslash at the end would swallow the next line of code.
        out(f"/// {line}".rstrip().rstrip("\\"))


def number(value: int, kind: str = "i64") -> str:
    """A literal of exactly that type."""
    if value == -(1 << 63):
        return "INT64_MIN"
    return f"std::uint64_t{{{value}U}}" if kind == "u64" else f"std::int64_t{{{value}}}"


class Names:
    """Spells the things of one model."""

    def __init__(self, model: Model) -> None:
        self.model = model
        self.namespace = "::".join(cpp_name(p) for p in model.module.split("."))
        self._types = {e.name for e in model.own_enums()} | {s.name for s in model.own_structs()}
        self._types |= {c.name for c in model.constants} | {i.name for i in model.interfaces}

    def type(self, kind: Type) -> str:
        if kind.kind == "scalar":
            return SCALARS[kind.name].cpp
        module, _, name = kind.name.rpartition(".")
        if module == self.model.module:
            return cpp_name(name)
        return "::" + "::".join(cpp_name(p) for p in module.split(".")) + "::" + cpp_name(name)

    def var(self, name: str) -> str:
        """A parameter or member."""
        return name + "_" if name in self._types else cpp_name(name)

    def proc(self, proc: Procedure) -> str:
        return cpp_name(snake(proc.name))

    def prefix(self, interface: Interface) -> str:
        return pascal(interface.name)

    def value(self, slot: Slot) -> str:
        """The type of a value or fixed array."""
        kind = self.type(slot.type)
        return f"std::array<{kind}, {slot.count}>" if slot.form == "fixed" else kind

    def element(self, slot: Slot) -> str:
        return "std::byte" if slot.form == "bytes" else self.type(slot.type)

    def argument(self, slot: Slot) -> str:
        """An input as a parameter."""
        if slot.form == "string":
            return "std::string_view"
        if slot.is_part:
            return f"std::span<const {self.element(slot)}>"
        plain = slot.form == "value" and slot.type.kind != "struct"
        return self.value(slot) if plain else f"const {self.value(slot)}&"

    def is_span(self, slot: Slot) -> bool:
        """Outputs that the caller brings the room for."""
        return slot.form in ("array", "bytes")

    def returned(self, proc: Procedure) -> list[Slot]:
        return [s for s in proc.reply.slots if not self.is_span(s)]

    def result(self, interface: Interface, proc: Procedure) -> str:
        slots = self.returned(proc)
        if not slots:
            return "void"
        if len(slots) == 1:
            return self.output(slots[0])
        return f"{self.prefix(interface)}{pascal(snake(proc.name))}Reply"

    def output(self, slot: Slot) -> str:
        return "std::string" if slot.form == "string" else self.value(slot)

    def arguments(self, proc: Procedure, *, types: bool = True) -> str:
        """The parameter list of a procedure, or the names only."""
        slots = {s.name: s for s in [*proc.request.slots, *proc.reply.slots]}
        words = []
        for name in proc.params:
            slot = slots[name]
            if slot.direction == "out":
                if not self.is_span(slot):
                    continue
                kind = f"std::span<{self.element(slot)}>"
            else:
                kind = self.argument(slot)
            words.append(f"{kind} {self.var(name)}" if types else self.var(name))
        return ", ".join(words)

    # -- expressions -----------------------------------------------------------------------------

    def expr(self, node: Expr, kind: str) -> str:
        """``node`` with every value in ``kind`` (``i64`` or ``u64``)."""
        cast = "std::int64_t" if kind == "i64" else "std::uint64_t"
        if node.op == "int":
            return number(node.value, kind)
        if node.op == "arg":
            parts = node.name.split(".")
            return (
                f"static_cast<{cast}>({'.'.join([self.var(parts[0]), *map(cpp_name, parts[1:])])})"
            )
        own = self.width(node)
        text = self._operator(node, own)
        return text if own == kind else f"static_cast<{cast}>({text})"

    def width(self, node: Expr) -> str:
        """The type an expression is computed in."""
        if node.op in ("int", "arg"):
            involved = [node]
        elif node.op in ("&&", "||", "!"):
            return "i64"
        else:
            involved = [node, *(node.args[1:] if node.op == "?:" else node.args)]
        kind = wide(involved)
        assert kind is not None, "the checker lets no other expression pass"
        return kind

    def _operator(self, node: Expr, kind: str) -> str:
        cast = "std::int64_t" if kind == "i64" else "std::uint64_t"
        if node.op in ("&&", "||", "!"):
            tests = [self._test(a) for a in node.args]
            inner = f"!{tests[0]}" if node.op == "!" else f"({tests[0]} {node.op} {tests[1]})"
            return f"static_cast<{cast}>({inner} ? 1 : 0)"
        if node.op == "?:":
            then, other = (self.expr(a, kind) for a in node.args[1:])
            return f"({self._test(node.args[0])} ? {then} : {other})"
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

    def _test(self, node: Expr) -> str:
        if node.op in ("==", "!=", "<", "<=", ">", ">="):
            kind = wide(node.args)
            assert kind is not None
            left, right = (self.expr(a, kind) for a in node.args)
            return f"({left} {node.op} {right})"
        kind = self.width(node)
        return f"({self.expr(node, kind)} != 0)"

    def outside(self, slot: Slot, value: str) -> str:
        """A condition: ``value`` is out of the declared range; empty if there is none."""
        info = SCALARS[slot.type.name] if slot.type.kind == "scalar" else None
        if info is None or not info.integer:
            return ""
        suffix = "U" if info.low == 0 else ""

        def literal(number: int) -> str:
            if number == -(1 << 63):
                return "INT64_MIN"
            return f"{number}{suffix}" if abs(number) < 1 << 31 else f"{number}{suffix}LL"

        if slot.choices:
            return " && ".join(f"{value} != {literal(v)}" for v in slot.choices)
        tests = []
        if slot.low is not None and slot.low > info.low:
            tests.append(f"{value} < {literal(slot.low)}")
        if slot.high is not None and slot.high < info.high:
            tests.append(f"{value} > {literal(slot.high)}")
        return " || ".join(tests)

    def range_check(self, slot: Slot, var: str, fail: str) -> list[str]:
        """Statements that fail when a value, or an element, is out of the declared range."""
        if slot.form == "fixed":
            test = self.outside(slot, "_v")
            return (
                [f"for (const auto _v : {var}) {{", f"    if ({test}) {fail}", "}"] if test else []
            )
        test = self.outside(slot, var)
        return [f"if ({test}) {fail}"] if test else []
