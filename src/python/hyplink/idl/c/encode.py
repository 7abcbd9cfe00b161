"""Writing a request: checks, sizes, then fields and parts straight into the block."""

from __future__ import annotations

from itertools import combinations

from hyplink.idl.c import foreign
from hyplink.idl.c.common import Names, literal
from hyplink.idl.c.expr import Scope, calls, clamped, kind_of
from hyplink.idl.layout import given
from hyplink.idl.model import Expr, Procedure, Slot
from hyplink.idl.writer import Writer

__all__ = ["Encoder", "clamp", "length"]


def clamp(out: Writer, names: Names, proc: Procedure, node: Expr | None, count: str) -> None:
    """The server's function must not be told of more room, or more elements, than there are."""
    name = clamped(node)
    slot = next((s for s in proc.request.slots if s.name == name), None)
    if slot is None or slot.form != "value" or slot.direction != "in":
        return
    var = names.var(name)
    kind = names.type(slot.type)
    # A comparison in 64 bits: a negative value stays, the function answers for it.
    out(f"if (vidlMore((int64_t){var}, {count})) {var} = ({kind}){count};")


def length(
    out: Writer,
    scope: Scope,
    slot: Slot,
    node: Expr,
    most: int,
    fail: str,
    name: str = "",
    missed: str = "",
) -> None:
    """Declare `_n_name`, checked: not refused, not negative, not above `most`."""
    name = name or slot.name
    kind = kind_of(node)
    tests = []
    if calls(node):
        out(f"int _miss_{name} = 0;")
        scope.miss = f"&_miss_{name}"
    host = "int64_t" if kind == "i64" else "uint64_t"
    out(f"const {host} _v_{name} = {scope.text(node, kind)};")
    if calls(node):
        out(f"if (_miss_{name}) {missed or fail}")
    if node.low < 0:
        tests.append(f"_v_{name} < 0")
    if node.high > most:
        tests.append(f"_v_{name} > {literal(most, kind)}")
    if tests:
        out(f"if ({' || '.join(tests)}) {fail}")
    out(f"const uint64_t _n_{name} = (uint64_t)_v_{name};")


class Encoder:
    """Emits the client's half of one procedure's request."""

    def __init__(self, out: Writer, names: Names, proc: Procedure, lost: str) -> None:
        self.out = out
        self.names = names
        self.proc = proc
        self.lost = lost
        #: Whether the client's arena is in use already.
        self.scratch = any(s.form == "nested" for s in proc.request.parts)
        self._slots = names.slots(proc)

    def bad(self, field: str) -> str:
        return f'{{ vidlBadArgument(&_c->base, "{self.proc.name}", "{field}"); {self.lost} }}'

    def value(self, name: str) -> str:
        """A parameter's value, dotted into structs."""
        head, dot, rest = name.partition(".")
        slot, var = self._slots[head], self.names.var(head)
        if self.names.by_pointer(slot):
            return f"{var}->{rest}" if dot else f"*{var}"
        return f"{var}{dot}{rest}"

    def scope(self, state: str) -> Scope:
        return Scope(
            self.names,
            self.value,
            state=state,
            isnull=lambda n: f"({self.names.var(n.name)} == NULL)",
            index=lambda n: f"{self.names.var(n.name)}[_i]",
        )

    # -- checks and lengths ----------------------------------------------------------------------

    def prepare(self, scope: Scope) -> None:
        """Refuse here what the server would refuse; declare the lengths of all parts."""
        out, names = self.out, self.names
        if self.scratch:
            out("vidlArenaReset(&_c->base.arena);")
        for slot in self._slots.values():
            if slot.name in self.proc.params:
                foreign.adopt(out, names, slot, self.bad(slot.name))
        for slot in names.outputs(self.proc):
            if slot.direction == "out" and not slot.nullable and not slot.is_part:
                out(f"if ({names.var(slot.name)} == NULL) {self.bad(slot.name)}")
        for slot in self.proc.request.slots:
            var = names.var(slot.name)
            if slot.direction == "inout" and not slot.is_part:
                out(f"if ({var} == NULL) {self.bad(slot.name)}")
            if slot.type.kind in ("callback", "cookie"):
                continue
            if slot.type.kind == "umem":
                if not slot.nullable:
                    out(f"if (!vidlHasBuffer({var})) {self.bad(slot.name)}")
                continue
            if slot.form == "value":
                test = names.bad_value(slot, f"(*{var})" if slot.direction == "inout" else var)
                if test:
                    out(f"if ({test}) {self.bad(slot.name)}")
                if slot.type.kind == "handle" and not slot.nullable:
                    out(f"if ({var} == 0) {self.bad(slot.name)}")
            elif slot.form == "fixed":
                out(f"if ({var} == NULL) {self.bad(slot.name)}")
                self._each(slot, str(slot.count))
        for slot, other in combinations(given(self.proc.request), 2):  # nobody gives a buffer twice
            one, two = self.names.var(slot.name), self.names.var(other.name)
            both = f"vidlHasBuffer({one}) && vidlHasBuffer({two})"
            out(f"if ({both} && {one}->slot == {two}->slot) {self.bad(other.name)}")
        for slot in self.proc.request.slots:
            if slot.type.kind == "umem":
                ask = f"vidlAdmit(_c->base.buffers, {self.names.var(slot.name)})"
                out(f"if ({ask} != 0) {self.bad(slot.name)}")
        for slot in self.proc.request.parts:
            self._prepare_part(slot, scope)

    def _each(self, slot: Slot, count: str) -> None:
        """Check the elements of an array."""
        var = self.names.var(slot.name)
        test = self.names.bad_value(slot, f"{var}[_k]")
        if test:
            with self.out.block("{", "}"):
                self.out("uint64_t _k;")
                with self.out.block(f"for (_k = 0; _k < {count}; ++_k) {{", "}"):
                    self.out(f"if ({test}) {self.bad(slot.name)}")

    def _prepare_part(self, slot: Slot, scope: Scope) -> None:
        out, var, bad = self.out, self.names.var(slot.name), self.bad(slot.name)
        name = slot.name
        if slot.form == "string":
            if not slot.nullable:
                out(f"if ({var} == NULL) {bad}")
            have = f"{var} == NULL ? 0 : " if slot.nullable else ""
            out(f"const uint64_t _n_{name} = {have}vidlText({var}, {slot.max + 1});")
            out(f"if (_n_{name} > {slot.max}) {bad}")
            return
        if slot.form in ("optional", "table"):
            if slot.form == "table" and not slot.nullable:
                out(f"if ({var} == NULL) {bad}")
            test = self.names.bad_value(slot, f"(*{var})")
            if test:
                out(f"if ({var} != NULL && ({test})) {bad}")
            return
        if slot.dim == "until":
            self._until(slot, bad)
        else:
            assert slot.length is not None
            most = slot.count if slot.form == "nested" else slot.max
            step = f"sizeof *{var}" if slot.form == "array" else "1"
            scope.nul = f"vidlCount({var}, {step}, {slot.max + 1})"
            node = slot.length
            if slot.nullable:
                # An expression may look into the array; there is nothing to look into.
                out(f"uint64_t _n_{name} = 0;")
                with out.block(f"if ({var} != NULL) {{", "}"):
                    length(out, scope, slot, node, most, bad, name=f"{name}_")
                    out(f"_n_{name} = _n_{name}_;")
                    self._whole(slot, bad)
            else:
                length(out, scope, slot, node, most, bad)
                self._whole(slot, bad)
                if node.high > 0:
                    out(f"if ({var} == NULL && _n_{name} != 0) {bad}")
        if slot.form == "nested":
            self._prepare_nested(slot, scope, bad)
        elif slot.form == "array":
            self._each(slot, f"_n_{name}")
        if slot.large:
            # Where it is, if it travels in a buffer: filled in by `place`.
            out(f"VidlBuffer _ref_{name};", f"memset(&_ref_{name}, 0, sizeof _ref_{name});")

    def _whole(self, slot: Slot, bad: str) -> None:
        """An array that would be cut to its bound would be cut in silence."""
        if limit := clamped(slot.length):
            self.out(f"if (vidlMore((int64_t){self.value(limit)}, _n_{slot.name})) {bad}")

    def _until(self, slot: Slot, bad: str) -> None:
        out, var, name = self.out, self.names.var(slot.name), slot.name
        if not slot.nullable:
            out(f"if ({var} == NULL) {bad}")
        out(f"uint64_t _n_{name} = 0;")
        with out.block(f"if ({var} != NULL) {{" if slot.nullable else "{", "}"):
            value = self._element_number(slot, f"{var}[_n_{name}]")
            test = f"_n_{name} < {slot.max} && {value} != {self._sentinel(slot)}"
            out(f"while ({test}) _n_{name} += {slot.step};")
            out(f"if (_n_{name} >= {slot.max}) {bad}")
            out(f"++_n_{name};")

    def _element_number(self, slot: Slot, value: str) -> str:
        return f"(int64_t)(intptr_t){value}" if self.names.is_pointer(slot) else f"(int64_t){value}"

    def _sentinel(self, slot: Slot) -> str:
        return f"INT64_C({slot.until})" if slot.until >= -(1 << 63) + 1 else "INT64_MIN"

    def _prepare_nested(self, slot: Slot, scope: Scope, bad: str) -> None:
        out, names, var, name = self.out, self.names, self.names.var(slot.name), slot.name
        element = names.element(slot)
        assert slot.inner is not None
        out(f"uint64_t* _l_{name};", f"uint64_t _b_{name} = 0;", f"uint64_t _t_{name} = 0;")
        out(f"_l_{name} = (uint64_t*)vidlGet(&_c->base.arena, _n_{name} * 8);")
        out(f"if (_l_{name} == NULL) {bad}")
        with out.block("{", "}"):
            out("uint64_t _i;")
            with out.block(f"for (_i = 0; _i < _n_{name}; ++_i) {{", "}"):
                out(f"const {element}* const _e = {var}[_i];")
                size = 1 if slot.text else slot.type.size
                scope.nul = f"(_e == NULL ? {slot.max + 1} : vidlCount(_e, {size}, {slot.max + 1}))"
                outer = scope.args
                if slot.index:
                    scope.args = lambda n: "_i" if n == slot.index else outer(n)
                length(out, scope, slot, slot.inner, slot.max, bad, name=f"{name}_i")
                scope.args = outer
                out(f"if (_e == NULL && _n_{name}_i != 0) {bad}")
                if slot.text:
                    # The end is the NUL's place; one inside would end the text for the server.
                    out(f"if (vidlText(_e, _n_{name}_i) != _n_{name}_i) {bad}")
                out(f"_l_{name}[_i] = _n_{name}_i;", f"_t_{name} += _n_{name}_i;")
                out(f"if (_t_{name} > {slot.max}) {bad}")
                nul = " + 1" if slot.text else ""
                times = "" if size == 1 else f" * {slot.type.size}"
                out(f"_b_{name} += 8 + vidlRound8(_n_{name}_i{times}{nul});")

    def place(self) -> None:
        """Copy large parts into a buffer, when nothing else can be wrong with the arguments."""
        before: list[str] = []
        for slot in (s for s in self.proc.request.slots if s.large):
            out, var, name = self.out, self.names.var(slot.name), slot.name
            size = self._bytes(slot)
            enough = f"if ({var} != NULL && _c->base.buffers != NULL && {size} >= {slot.large}u) {{"
            with out.block(enough, "}"):
                data: str = var
                if slot.form != "bytes" and not self.names.same_bytes(slot.type):
                    data = "_image"  # as it travels
                    out(
                        f"unsigned char* const _image = (unsigned char*)vidlGet(&_c->base.arena, {size});"
                    )
                    with out.block("if (_image != NULL) {", "}"):
                        self._put_each(slot, "_image", f"_n_{name}")
                first = " && ".join(before) or "1"
                place = f"vidlPlace(_c->base.buffers, {data}, {size}, {first}, &_ref_{name})"
                out(f"if (!{place}) memset(&_ref_{name}, 0, sizeof _ref_{name});")
            before.append(f"!vidlHasBuffer(&_ref_{name})")

    # -- size ------------------------------------------------------------------------------------

    def size(self) -> str:
        terms = [str(self.proc.request.fixed)]
        for slot in self.proc.request.parts:
            terms.append(self._part_size(slot))
        return " + ".join(terms)

    def _bytes(self, slot: Slot) -> str:
        return f"_n_{slot.name}" if slot.type.size == 1 else f"_n_{slot.name} * {slot.type.size}"

    def _part_size(self, slot: Slot) -> str:
        if slot.form == "nested":
            return f"_b_{slot.name}"
        var = self.names.var(slot.name)
        if slot.form in ("optional", "table"):
            return f"({var} != NULL ? {(slot.type.size + 7) // 8 * 8}u : 0u)"
        nul = " + 1" if slot.form == "string" else ""
        size = f"vidlRound8({self._bytes(slot)}{nul})"
        if slot.form == "string" and slot.nullable:
            return f"({var} != NULL ? {size} : 0)"
        if slot.large:
            return f"(vidlHasBuffer(&_ref_{slot.name}) ? 0 : {size})"
        return size

    # -- bytes -----------------------------------------------------------------------------------

    def encode(self) -> None:
        """Every byte of the block that `_p` points to."""
        out, names, block = self.out, self.names, self.proc.request
        if not block.slots:
            return
        if block.parts:
            out(f"uint64_t _cur = {block.fixed};")
        for slot in block.slots:
            if slot.is_part:
                self._part(slot)
                continue
            var = names.var(slot.name)
            if slot.type.kind in ("callback", "cookie"):
                out(f"vidlPut32(_p + {slot.offset}, _r_{slot.name});")
                continue
            pointer = "*" in slot.c_type and slot.direction == "in" and slot.form == "value"
            if slot.form == "value":
                value = f"(*{var})" if slot.direction == "inout" else var
                out(names.put(f"_p + {slot.offset}", slot.type, value, pointer=pointer))
            elif names.same_bytes(slot.type):
                out(f"memcpy(_p + {slot.offset}, {var}, {slot.count * slot.type.size});")
            else:
                self._put_each(slot, f"_p + {slot.offset}", str(slot.count))
        if block.parts:
            out("(void)_cur;")
        for at, size in block.pads:
            out(f"memset(_p + {at}, 0, {size});")

    def give(self) -> None:
        """Buffers change hands before the other side can know of it."""
        for slot in self.proc.request.slots:
            if slot.transfer == "gives":
                var = self.names.var(slot.name)
                self.out(f"vidlTransferred(_c->base.buffers, {var}, 1);")

    def _put_each(self, slot: Slot, place: str, count: str) -> None:
        var = self.names.var(slot.name)
        with self.out.block("{", "}"):
            self.out("uint64_t _k;")
            with self.out.block(f"for (_k = 0; _k < {count}; ++_k) {{", "}"):
                at = f"{place} + _k * {slot.type.size}"
                self.out(self.names.put(at, slot.type, f"{var}[_k]"))

    def _part(self, slot: Slot) -> None:
        out, var = self.out, self.names.var(slot.name)
        place = f"_p + {slot.offset}"
        absent = [f"{var} == NULL"] if slot.nullable or slot.form == "optional" else []
        if slot.large:
            out(f"vidlPutBuffer({place} + 8, &_ref_{slot.name});")
            absent.append(f"vidlHasBuffer(&_ref_{slot.name})")
        if absent:
            with out.block(f"if ({' || '.join(absent)}) {{"):
                out(f"vidlPutPart({place}, 0, 0);")
            with out.block("} else {", "}"):
                self._present(slot, place)
        else:
            self._present(slot, place)

    def _present(self, slot: Slot, place: str) -> None:
        out, names, var, name = self.out, self.names, self.names.var(slot.name), slot.name
        if slot.form in ("optional", "table"):
            out(f"vidlPutPart({place}, _cur, {slot.type.size});")
            at = "_cur"
            with out.block("{", "}"):
                out("const uint64_t _at = _cur;", f"_cur = vidlRoom(_p, {at}, {slot.type.size});")
                if slot.form == "table":
                    out(f"{names.of(slot.type.name)}_put(_p + _at, {var});")
                else:
                    out(names.put("_p + _at", slot.type, f"(*{var})"))
        elif slot.form == "nested":
            self._nested(slot, place)
        elif slot.form == "string":
            out(f"vidlPutPart({place}, _cur, _n_{name});")
            out(f"_cur = vidlPutBytes(_p, _cur, {var}, _n_{name}, 1);")
        else:
            size = self._bytes(slot)
            out(f"vidlPutPart({place}, _cur, {size});")
            if slot.form == "bytes" or names.same_bytes(slot.type):
                out(f"_cur = vidlPutBytes(_p, _cur, {var}, {size}, 0);")
            else:
                with out.block("{", "}"):
                    out("const uint64_t _at = _cur;", f"_cur = vidlRoom(_p, _cur, {size});")
                    self._put_each(slot, "_p + _at", f"_n_{name}")

    def _nested(self, slot: Slot, place: str) -> None:
        out, names, var, name = self.out, self.names, self.names.var(slot.name), slot.name
        out(f"vidlPutPart({place}, _cur, _n_{name} * 8);")
        with out.block("{", "}"):
            out(
                "const uint64_t _places = _cur;",
                "uint64_t _i;",
                f"_cur += _n_{name} * 8;",
            )
            with out.block(f"for (_i = 0; _i < _n_{name}; ++_i) {{", "}"):
                size = 1 if slot.text else slot.type.size
                have = f"_l_{name}[_i]" if size == 1 else f"_l_{name}[_i] * {size}"
                out(f"vidlPutPart(_p + _places + _i * 8, _cur, {have});")
                if slot.text or names.same_bytes(slot.type):
                    out(f"_cur = vidlPutBytes(_p, _cur, {var}[_i], {have}, {int(slot.text)});")
                else:
                    out("const uint64_t _at = _cur;", f"_cur = vidlRoom(_p, _cur, {have});")
                    out("uint64_t _k;")
                    with out.block(f"for (_k = 0; _k < _l_{name}[_i]; ++_k) {{", "}"):
                        at = f"_p + _at + _k * {size}"
                        out(names.put(at, slot.type, f"{var}[_i][_k]"))
