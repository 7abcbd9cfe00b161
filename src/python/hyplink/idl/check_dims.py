"""Lengths: how many elements an array has, who knows it, and the most it can be."""

from __future__ import annotations

from collections.abc import Callable

from hyplink.idl import syntax
from hyplink.idl.check_expr import ExprChecker
from hyplink.idl.findings import Place
from hyplink.idl.model import SCALARS, Enum, Expr, Slot, Type

__all__ = ["DimChecker", "bytes_text", "is_carried", "mentions", "results"]

_LARGEST_PART = 1 << 31
#: A part whose length cannot exceed this needs no 'max': the declared ranges are one.
_SILENT_MAX = 64 << 10
_MOST_PLACES = 1 << 16
_MOST_STEP = 64

Error = Callable[[Place, int, str, str], None]


def bytes_text(count: int) -> str:
    """A number of bytes for people."""
    for unit, size in (("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)):
        if count >= size:
            number = f"{count / size:.1f}".removesuffix(".0")
            return f"{number} {unit}"
    return f"{count} bytes"


def mentions(expr: Expr | None, names: frozenset[str] | set[str], *ops: str) -> str:
    """The first of ``names`` that nodes of kind ``ops`` in ``expr`` speak of, or ""."""
    if expr is None:
        return ""
    if expr.op in ops and expr.name in names:
        return expr.name
    return next((n for a in expr.args if (n := mentions(a, names, *ops))), "")


def is_carried(expr: Expr, implied: frozenset[str]) -> bool:
    """Whether only the sender can compute ``expr``."""
    if expr.op in ("nul", "isnull", "index") or (expr.op == "arg" and expr.name in implied):
        return True
    return any(is_carried(a, implied) for a in expr.args)


def results(expr: Expr) -> list[Expr]:
    """What ``expr`` can be: the branches of its conditionals."""
    if expr.op == "?:":
        return [*results(expr.args[1]), *results(expr.args[2])]
    return [expr]


class DimChecker:
    """Fills in the sizes of array slots."""

    def __init__(self, exprs: ExprChecker, error: Error, implied: frozenset[str]) -> None:
        self._exprs = exprs
        self._error = error
        self._implied = implied

    def maximum(self, node: syntax.Member, slot: Slot, worst: int | None) -> bool:
        """Set ``slot.max`` (elements) from 'max', or from ``worst`` when that is little."""
        size = slot.type.size
        if node.max is None:
            if worst is not None and 1 <= worst * size <= _SILENT_MAX:
                slot.max = worst
                return True
            if worst is not None and 0 < worst < _LARGEST_PART:
                text = f"'{node.name}' can have {bytes_text(worst * size)} and has no 'max'"
            else:
                text = f"'{node.name}' varies in size and has no 'max'"
            self._error(node.place, 50, text, "for example 'max 4K'; the receiver refuses more")
            return False
        value = self._exprs.constant(node.max, "the maximum")
        if value is None:
            return False
        if not 1 <= value * size <= _LARGEST_PART:
            self._error(
                node.max.place,
                52,
                f"a maximum of {value} is not usable",
                "between one element and 2 GiB",
            )
            return False
        slot.max = value
        return True

    def dynamic(self, node: syntax.Member, slot: Slot, length: Expr) -> bool:
        """``[expr]``: both sides know it, or the sender does."""
        slot.length = length
        carried = is_carried(length, self._implied)
        slot.dim = "carried" if carried else "expr"
        if carried and node.direction != "in":
            assert node.dim is not None
            message = f"'{node.name}' is an output: both sides must know its length"
            self._error(node.dim.place, 77, message, "use parameters that travel, or '[reply]'")
            return False
        if not self.maximum(node, slot, length.high):
            return False
        if length.high < 0 or (length.low > slot.max and not carried):
            assert node.dim is not None
            self._error(
                node.dim.place,
                48,
                f"this length is always refused: {length.low} to {length.high}, "
                f"and the maximum is {slot.max}",
                "",
            )
            return False
        return True

    def reply(self, node: syntax.Member, slot: Slot) -> bool:
        slot.dim = "reply"
        return self._only(node, "out", "reply") and self.maximum(node, slot, None)

    def capacity(self, node: syntax.Member, slot: Slot) -> bool:
        """``[cap c, len n]``; whether ``n`` is an output is seen with all parameters known."""
        assert node.dim is not None
        length = self._exprs.check(node.dim)
        if length is None or not self._only(node, "out", "cap"):
            return False
        slot.dim, slot.length, slot.used = "cap", length, node.used
        return self.maximum(node, slot, length.high)

    def until(self, node: syntax.Member, slot: Slot, enum: Enum | None) -> bool:
        assert node.dim is not None
        kind = slot.type
        info = SCALARS.get(enum.base if enum else kind.name)
        if info is None or not info.integer or kind.name in ("bool", "address"):
            self._error(
                node.place, 76, f"'{node.name}' cannot end with a value", "integers and enums can"
            )
            return False
        value = self._exprs.constant(node.dim, "the last element", enum)
        step = self._exprs.constant(node.step, "the step") if node.step is not None else 1
        if value is None or step is None or not self._only(node, "in", "until"):
            return False
        if not info.low <= value <= info.high:
            self._error(node.dim.place, 54, f"{value} is outside {kind.name}", "")
            return False
        if not 1 <= step <= _MOST_STEP:
            assert node.step is not None
            self._error(node.step.place, 76, f"a step of {step} is not in 1..{_MOST_STEP}", "")
            return False
        slot.dim, slot.until, slot.step = "until", value, step
        return self.maximum(node, slot, None)

    def nested(self, node: syntax.Member, slot: Slot, *, client: bool) -> bool:
        assert node.dim is not None
        assert node.inner is not None
        count = self._exprs.check(node.dim)
        self._exprs.client, self._exprs.index = client, node.index
        inner = self._exprs.check(node.inner)
        self._exprs.client, self._exprs.index = False, ""
        if count is None or inner is None or not self._only(node, "in", "nested"):
            return False
        if is_carried(count, self._implied):
            self._error(node.dim.place, 77, "how many arrays there are, both sides must know", "")
            return False
        if not 1 <= count.high <= _MOST_PLACES:
            self._error(
                node.dim.place,
                77,
                f"'{node.name}' can have {count.high} arrays: 1 to {_MOST_PLACES} are possible",
                "declare a range ('in 0..1024') for their number",
            )
            return False
        slot.form = "nested"
        slot.length, slot.count, slot.inner, slot.index = count, count.high, inner, node.index
        slot.inner_dim = "carried" if is_carried(inner, self._implied) else "expr"
        slot.text = slot.text or (slot.type.name == "u8" and _has_nul(inner))
        return self.maximum(node, slot, count.high * inner.high)

    def _only(self, node: syntax.Member, direction: str, what: str) -> bool:
        if node.direction == direction:
            return True
        side = "an output" if direction == "out" else "an input"
        self._error(node.place, 78, f"'{node.name}' must be {side}: '{what}' says so", "")
        return False


def _has_nul(expr: Expr) -> bool:
    return expr.op == "nul" or any(_has_nul(a) for a in expr.args)


#: A character is a byte on the wire.
CHAR = Type("scalar", "u8", 1, 1)
