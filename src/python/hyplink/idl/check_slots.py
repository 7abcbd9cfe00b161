"""Members and parameters: their type, length, range and place."""

from __future__ import annotations

from hyplink.idl import syntax
from hyplink.idl.check_expr import ExprChecker
from hyplink.idl.findings import Findings, Place
from hyplink.idl.layout import is_plain
from hyplink.idl.model import SCALARS, Model, Slot, Type
from hyplink.idl.scope import Scope

__all__ = ["SlotChecker"]

#: Larger constant arrays are parts: the fixed part is copied to the reader's stack.
_INLINE = 4096
#: Above this a part says whether the receiver copies it before use.
_SILENT_COPY = 4096
_LARGEST_PART = 1 << 31
_U8 = Type("scalar", "u8", 1, 1)


class SlotChecker:
    """Turns one ``syntax.Member`` into a ``Slot``."""

    def __init__(self, scope: Scope, exprs: ExprChecker, default_copy: bool | None) -> None:
        self._scope = scope
        self._model: Model = scope.model
        self._findings: Findings = scope.findings
        self._exprs = exprs
        self._default_copy = default_copy

    def _error(self, place: Place, code: int, message: str, hint: str = "") -> None:
        self._findings.add(self._scope.file, place, code, message, hint=hint)

    def parameter(self, node: syntax.Member) -> Slot | None:
        """A parameter; None after a finding that leaves nothing to lay out."""
        if node.direction == "inout":
            self._error(
                node.place,
                65,
                f"'{node.name}' cannot be 'inout' in version 1",
                "declare one 'in' and one 'out' parameter",
            )
            return None
        if node.type.text == "string":
            return self._string(node)
        if node.type.text == "void":
            self._error(node.type.place, 67, "'void' is only a result type")
            return None
        kind = _U8 if node.type.text == "bytes" else self._scope.type_of(node.type)
        if node.type.text == "bytes" and not node.has_dim:
            self._error(
                node.place,
                64,
                f"'bytes {node.name}' needs a length",
                f"write 'bytes {node.name}[n] max 4K'",
            )
            return None
        if kind is None:
            if node.dim is not None:
                self._exprs.check(node.dim)
            return None
        if not node.has_dim:
            if node.max_place:
                self._error(
                    node.max_place,
                    51,
                    f"'max' says nothing about '{node.name}'",
                    "only strings and arrays vary in size; for values write 'in LOW..HIGH'",
                )
            slot = Slot(node.name, "value", kind, node.direction, doc=node.doc)
        else:
            found = self._array(node, kind)
            if found is None:
                return None
            slot = found
        self._range(node, slot)
        self._copy(node, slot)
        return slot

    def _string(self, node: syntax.Member) -> Slot | None:
        if node.has_dim:
            self._error(
                node.place,
                64,
                f"'string {node.name}' takes no length",
                "a string carries its own; 'max' bounds it",
            )
            return None
        slot = Slot(node.name, "string", _U8, node.direction, doc=node.doc)
        self._range(node, slot)
        if not self._max(node, slot):
            return None
        self._copy(node, slot)
        return slot

    def _max(self, node: syntax.Member, slot: Slot) -> bool:
        if node.max is None:
            self._error(
                node.place,
                50,
                f"'{node.name}' varies in size and has no 'max'",
                "for example 'max 4K'; the receiver refuses more",
            )
            return False
        value = self._exprs.constant(node.max, "the maximum")
        if value is None:
            return False
        if not 1 <= value * slot.type.size <= _LARGEST_PART:
            self._error(
                node.max.place,
                52,
                f"a maximum of {value} is not usable",
                "between one element and 2 GiB",
            )
            return False
        slot.max = value
        return True

    def _array(self, node: syntax.Member, kind: Type) -> Slot | None:
        assert node.dim is not None
        length = self._exprs.check(node.dim)
        if length is None:
            return None
        if length.op == "int" and node.max is None:
            slot = Slot(node.name, "fixed", kind, node.direction, count=length.value, doc=node.doc)
            if not 1 <= length.value * kind.size <= _INLINE:
                self._error(
                    node.dim.place,
                    59,
                    f"'{node.name}' has {length.value} elements in the fixed part",
                    f"at least 1, at most {_INLINE} bytes; add 'max' to let it travel as a part",
                )
                return None
            return slot
        form = "bytes" if kind.name == "u8" else "array"
        slot = Slot(node.name, form, kind, node.direction, length=length, doc=node.doc)
        if not self._max(node, slot):
            return None
        if length.high < 0 or length.low > slot.max:
            self._error(
                node.dim.place,
                48,
                f"this length is always refused: {length.low} to {length.high}, "
                f"and the maximum is {slot.max}",
            )
            return None
        return slot

    def _range(self, node: syntax.Member, slot: Slot) -> None:
        if node.range_place is None:
            return
        kind = slot.type
        integer = kind.kind == "scalar" and SCALARS[kind.name].integer and kind.name != "bool"
        if not integer or slot.is_part:
            self._error(
                node.range_place,
                53,
                f"'{node.name}' cannot have a range",
                "ranges are for single integers",
            )
            return
        info = SCALARS[kind.name]
        nodes = node.choices or [n for n in (node.low, node.high) if n is not None]
        values = [self._exprs.constant(n, "a bound") for n in nodes]
        for value, expr in zip(values, nodes, strict=True):
            if value is not None and not info.low <= value <= info.high:
                self._error(
                    expr.place,
                    54,
                    f"{value} is outside {kind.name}",
                    f"{kind.name} holds {info.low} to {info.high}",
                )
                return
        known = [v for v in values if v is not None]
        if len(known) != len(values) or not known:
            return
        if node.choices:
            slot.choices = sorted(set(known))
        elif known[0] > known[1]:
            self._error(node.range_place, 54, f"the range {known[0]}..{known[1]} is empty")
            return
        slot.low, slot.high = min(known), max(known)

    def _copy(self, node: syntax.Member, slot: Slot) -> None:
        stated: bool | None = None
        for item in node.attributes:
            if item.name not in ("copy", "zero_copy"):
                continue
            if not slot.is_part:
                self._error(
                    item.place,
                    62,
                    f"'@{item.name}' says nothing about '{node.name}'",
                    "it belongs to strings and arrays with 'max'",
                )
                return
            stated = item.name == "copy"
        if not slot.is_part or slot.direction == "out":
            return
        checked = slot.form == "string" or not is_plain(self._model, slot.type)
        if stated is False and checked:
            self._error(
                node.place,
                57,
                f"'{node.name}' cannot be used in place",
                "its contents are checked, and the sender could change them afterwards",
            )
            return
        if stated is None and self._default_copy is not None:
            stated = self._default_copy or checked
        most = slot.max * slot.type.size
        if stated is None and most > _SILENT_COPY and not checked:
            self._error(
                node.place,
                56,
                f"'{node.name}' can have {most} bytes: say whether the receiver copies it",
                "'@copy' if it is parsed or used as an index, '@zero_copy' for bulk data",
            )
        slot.copy = stated is not False
