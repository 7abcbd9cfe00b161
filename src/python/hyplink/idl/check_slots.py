"""Members and parameters: their type, form, range and place."""

from __future__ import annotations

from hyplink.idl import syntax
from hyplink.idl.check_dims import CHAR, DimChecker, bytes_text
from hyplink.idl.check_expr import ExprChecker
from hyplink.idl.findings import Findings, Place, nearest
from hyplink.idl.layout import TABLE_SLACK, align_up, is_plain
from hyplink.idl.lexer import int_value
from hyplink.idl.model import SCALARS, Model, Slot, Type
from hyplink.idl.scope import Scope

__all__ = ["SlotChecker"]

#: Larger constant arrays are parts: the fixed part is copied to the reader's stack.
_INLINE = 4096
#: Above this a part says whether the receiver copies it before use.
_SILENT_COPY = 4096
_NAMES = ("handle", "umem", "callback", "cookie")


class SlotChecker:
    """Turns one ``syntax.Member`` into a ``Slot``.

    ``implied`` are the parameters of the procedure that do not travel; ``callbacks`` the callbacks
    of the interface, by name; ``large`` what the procedure says.
    """

    def __init__(
        self,
        scope: Scope,
        exprs: ExprChecker,
        default_copy: bool | None,
        implied: frozenset[str] = frozenset(),
        callbacks: dict[str, str] | None = None,
        large: int = 0,
    ) -> None:
        self._scope = scope
        self._model: Model = scope.model
        self._findings: Findings = scope.findings
        self._exprs = exprs
        self._default_copy = default_copy
        self._callbacks = callbacks or {}
        self._large = large
        self._dims = DimChecker(exprs, self._error, implied)

    def _error(self, place: Place, code: int, message: str, hint: str = "") -> None:
        self._findings.add(self._scope.file, place, code, message, hint=hint)

    def parameter(self, node: syntax.Member) -> Slot | None:
        """A parameter; None after a finding that leaves nothing to lay out."""
        if node.inner is not None and node.dim is None:
            return None
        text = node.type.text
        if text == "void":
            self._error(node.type.place, 67, "'void' is only a result type")
            return None
        if text == "string" and not (node.has_dim and node.dim_kind == "nested"):
            slot = self._string(node)
        elif node.special in ("callback", "cookie"):
            slot = self._registration(node)
        else:
            slot = self._plain(node)
        if slot is None:
            return None
        self._range(node, slot)
        if not self._nullable(node, slot):
            return None
        self._copy(node, slot)
        return slot

    # -- by type ---------------------------------------------------------------------------------

    def _plain(self, node: syntax.Member) -> Slot | None:
        text = node.type.text
        if text in ("bytes", "char") and not node.has_dim:
            self._error(
                node.place,
                64,
                f"'{text} {node.name}' needs a length",
                f"write '{text} {node.name}[n] max 4K'",
            )
            return None
        kind = CHAR if text in ("bytes", "char") else self._scope.type_of(node.type)
        if kind is None or (text == "string" and node.dim_kind == "nested"):
            if kind is not None:
                self._error(node.place, 64, f"write 'char {node.name}[i < n][nul]'")
            elif node.dim is not None:
                self._exprs.check(node.dim)
            return None
        if (kind.kind == "umem") != (node.special in ("gives", "lends")):
            self._error(
                node.place,
                75,
                f"'{node.name}' must say 'gives' or 'lends'"
                if kind.kind == "umem"
                else f"'{node.special}' belongs to umem buffers, '{node.name}' is none",
                "a buffer is given away, or lent for the call" if kind.kind == "umem" else "",
            )
            return None
        if kind.kind in (*_NAMES, "table") and node.has_dim:
            self._error(node.place, 64, f"'{node.name}' cannot be an array", "pass them one by one")
            return None
        if kind.kind == "umem" and node.direction != "in":
            self._error(node.place, 65, f"'{node.name}' can only be an input")
            return None
        if not node.has_dim:
            slot = self._value(node, kind)
        else:
            found = self._array(node, kind)
            if found is None:
                return None
            slot = found
        slot.transfer = node.special
        return slot

    def _value(self, node: syntax.Member, kind: Type) -> Slot:
        if node.max_place:
            self._error(
                node.max_place,
                51,
                f"'max' says nothing about '{node.name}'",
                "only strings and arrays vary in size; for values write 'in LOW..HIGH'",
            )
        if kind.kind == "table":
            most = align_up(kind.size + TABLE_SLACK, 8)
            return Slot(node.name, "table", kind, node.direction, max=most, doc=node.doc)
        return Slot(node.name, "value", kind, node.direction, doc=node.doc)

    def _registration(self, node: syntax.Member) -> Slot | None:
        """``callback Proc p`` or ``cookie p``."""
        if node.has_dim or node.direction != "in":
            self._error(node.place, 65, f"'{node.name}' can only be a single input")
            return None
        if node.special == "cookie":
            return Slot(node.name, "value", Type("cookie", "cookie", 4, 4), doc=node.doc)
        full = self._callbacks.get(node.type.text)
        if full is None:
            guess = nearest(node.type.text, self._callbacks)
            hint = f"did you mean '{guess}'?" if guess else "declare it in the same interface"
            self._error(node.type.place, 20, f"unknown callback '{node.type.text}'", hint)
            return None
        return Slot(node.name, "value", Type("callback", full, 4, 4), doc=node.doc)

    def _string(self, node: syntax.Member) -> Slot | None:
        if node.has_dim and node.dim_kind != "cap":
            self._error(
                node.place,
                64,
                f"'string {node.name}' takes no length",
                "a string carries its own; 'max' bounds it",
            )
            return None
        slot = Slot(node.name, "string", CHAR, node.direction, doc=node.doc)
        if node.has_dim:
            return slot if self._dims.capacity(node, slot) else None
        return slot if self._dims.maximum(node, slot, None) else None

    # -- arrays ----------------------------------------------------------------------------------

    def _array(self, node: syntax.Member, kind: Type) -> Slot | None:
        form = "bytes" if kind.name == "u8" else "array"
        slot = Slot(node.name, form, kind, node.direction, doc=node.doc)
        slot.text = node.type.text == "char"
        if slot.text and node.dim_kind in ("reply", "cap"):
            slot.form, slot.text = "string", False
        if node.dim_kind == "nested":
            good = self._dims.nested(node, slot, client=node.direction == "in")
        elif node.dim_kind == "reply":
            good = self._dims.reply(node, slot)
        elif node.dim_kind == "cap":
            good = self._dims.capacity(node, slot)
        elif node.dim_kind == "until":
            enum = self._model.enums.get(kind.name) if kind.kind == "enum" else None
            good = self._dims.until(node, slot, enum)
        else:
            return self._sized(node, slot)
        return slot if good else None

    def _sized(self, node: syntax.Member, slot: Slot) -> Slot | None:
        assert node.dim is not None
        self._exprs.client = node.direction == "in"
        length = self._exprs.check(node.dim)
        self._exprs.client = False
        if length is None:
            return None
        if slot.text and length.op == "nul":
            slot.form, slot.text = "string", False
            return slot if self._dims.maximum(node, slot, None) else None
        # What may be absent is a part; an output is there whether the caller wants it or not.
        absent = node.nullable is not None and node.direction == "in"
        if length.op == "int" and node.max is None and not absent:
            slot.form, slot.count = "fixed", length.value
            if not 1 <= length.value * slot.type.size <= _INLINE:
                self._error(
                    node.dim.place,
                    59,
                    f"'{node.name}' has {length.value} elements in the fixed part",
                    f"at least 1, at most {_INLINE} bytes; add 'max' to let it travel as a part",
                )
                return None
            return slot
        return slot if self._dims.dynamic(node, slot, length) else None

    # -- what follows the name -------------------------------------------------------------------

    def _nullable(self, node: syntax.Member, slot: Slot) -> bool:
        if node.nullable is None:
            return True
        slot.nullable = True
        if node.direction == "inout":
            self._error(
                node.nullable,
                65,
                f"'{node.name}' cannot be 'inout' and null",
                "declare one 'in' and one 'out' parameter",
            )
            return False
        if node.direction == "in" and slot.form == "value" and slot.type.kind not in _NAMES:
            slot.form, slot.max = "optional", 1
        return True

    def _range(self, node: syntax.Member, slot: Slot) -> None:
        if node.range_place is None:
            return
        kind = slot.type
        integer = (
            kind.kind == "scalar"
            and SCALARS[kind.name].integer
            and kind.name not in ("bool", "address")
        )
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
        large = self._large
        for item in node.attributes:
            if item.name not in ("copy", "zero_copy", "large"):
                continue
            if not slot.is_part:
                self._error(
                    item.place,
                    62,
                    f"'@{item.name}' says nothing about '{node.name}'",
                    "it belongs to strings and arrays with 'max'",
                )
                return
            if item.name == "large":
                large = self.threshold(item)
            else:
                stated = item.name == "copy"
        if not slot.is_part or slot.direction == "out":
            return
        checked = (
            slot.form in ("string", "optional", "table")
            or (slot.form == "nested" and slot.text)
            or slot.dim == "until"
            or not is_plain(self._model, slot.type)
        )
        if stated is False and checked:
            self._error(
                node.place,
                57,
                f"'{node.name}' cannot be used in place",
                "its contents are checked, and the sender could change them afterwards",
            )
            return
        most = slot.max * slot.type.size
        bulk = slot.form in ("array", "bytes") and not checked and slot.direction == "in"
        if large and bulk and large < most:
            slot.large = large
            stated = False if stated is None and self._default_copy is None else stated
        if stated is None and self._default_copy is not None:
            stated = self._default_copy or checked
        # What is implied does not travel: nobody copies it.
        travels = getattr(node, "implied", None) is None
        if stated is None and most > _SILENT_COPY and not checked and travels:
            self._error(
                node.place,
                56,
                f"'{node.name}' can have {bytes_text(most)}: say whether the receiver copies it",
                "'@copy' if it is parsed or used as an index, '@zero_copy' for bulk data",
            )
        slot.copy = stated is not False

    def threshold(self, item: syntax.Attribute) -> int:
        """The bytes in ``@large(64K, umem)``; its form is checked with all attributes."""
        for _, value in item.args:
            if value[:1].isdigit():
                return int_value(value)
        return 0
