"""The parts of a request at the server: checked, copied where they are looked at, handed on."""

from __future__ import annotations

import dataclasses

from hyplink.idl.c.common import Names
from hyplink.idl.c.decode import Bad, get_element
from hyplink.idl.c.encode import clamp, length
from hyplink.idl.c.expr import Scope
from hyplink.idl.model import Expr, Procedure, Slot
from hyplink.idl.support import Unsupported
from hyplink.idl.writer import Writer

__all__ = ["ends_with_zero", "implied", "part", "scope"]

_NO_MEMORY = "return ENOMEM;"


def scope(names: Names, proc: Procedure) -> Scope:
    slots = names.slots(proc)

    def value(name: str) -> str:
        head, dot, rest = name.partition(".")
        if slots[head].form in ("optional", "table"):
            return f"{names.var(head)}->{rest}" if dot else f"*{names.var(head)}"
        return f"{names.var(head)}{dot}{rest}"

    return Scope(names, value, state="_s->state.")


def part(out: Writer, names: Names, proc: Procedure, slot: Slot, scope: Scope, bad: Bad) -> None:
    """Declare the parameter; its elements are `_n_slot`, for what is rebuilt from them."""
    var, name = names.var(slot.name), slot.name
    kind = names.pointer(_plain(slot), writable=slot.direction == "inout")
    out(f"{names.declare(kind, var)} = NULL;", f"uint64_t _n_{name} = 0;")
    if slot.form == "nested":
        out(f"const uint32_t* _l_{name} = NULL;")
    if slot.form == "table":
        out(f"{names.of(slot.type.name)} _table_{name};")
    head = "{"
    if slot.nullable or slot.form == "optional":
        there = f"!vidlAbsent(_part_{name})"
        there += f" || vidlHasBuffer(&_ref_{name})" if slot.large else ""
        head = f"if ({there}) {{"
    with out.block(head, "}"):
        _present(out, names, slot, scope, bad, kind)
        if slot.dim == "expr":
            clamp(out, names, proc, slot.length, f"_n_{name}")
    out(f"(void)_n_{name};")
    if slot.form == "nested":
        out(f"(void)_l_{name};")


def _plain(slot: Slot) -> Slot:
    """The slot with the generator's own spelling; the call converts to the header's."""
    if not slot.c_type:
        return slot
    return dataclasses.replace(slot, c_type="")


def _present(out: Writer, names: Names, slot: Slot, scope: Scope, bad: Bad, kind: str) -> None:
    var, name, at = names.var(slot.name), slot.name, slot.offset
    part, width = f"_part_{name}", slot.type.size
    if slot.form == "string":
        out(f"if ({part}.len > {slot.max}u) {bad('3', name, at)}")
        _take(out, slot, f"{part}.len", bad, nul=1)
        out("int _good = 0;")
        out(f"{var} = vidlCopyText(&_s->base.arena, _parts.data, {part}.len, &_good);")
        out(f"if ({var} == NULL) {_NO_MEMORY}", f"if (!_good) {bad('7', name, at)}")
        out(f"_n_{name} = {part}.len;")
        return
    if slot.form == "nested":
        _nested(out, names, slot, scope, bad)
        return
    if slot.form == "table":
        _table(out, names, slot, bad)
        return
    if slot.form == "optional":
        out(f"_n_{name} = 1;")
    elif slot.dim == "expr":
        assert slot.length is not None
        _length(out, slot, scope, bad, slot.length, slot.max, f"{name}_")
        out(f"_n_{name} = _n_{name}_;")
    else:
        have = f"{part}.len"
        if slot.large:
            have = f"_have_{name}"
            there = f"vidlHasBuffer(&_ref_{name})"
            out(f"const uint64_t {have} = {there} ? _ref_{name}.length : {part}.len;")
        out(f"if ({have} > {slot.max * width}u) {bad('3', name, at)}")
        if width > 1:
            out(f"if ({have} % {width} != 0) {bad('5', name, at)}")
        out(f"_n_{name} = {have} / {width};")
    size = f"_n_{name} * {width}" if width > 1 else f"_n_{name}"
    if slot.large:
        _large(out, slot, size, bad)
    else:
        _take(out, slot, size, bad)
    _elements(out, names, slot, bad, kind)
    if slot.dim == "until" and slot.form != "optional":
        _until(out, names, slot, bad)


def _table(out: Writer, names: Names, slot: Slot, bad: Bad) -> None:
    part, name, full = f"_part_{slot.name}", slot.name, names.of(slot.type.name)
    out(f"if ({part}.len > {slot.max}u) {bad('3', name, slot.offset)}")
    _take(out, slot, f"{part}.len", bad)
    out(f"const uint32_t _kind_{name} = {full}_read(_parts.data, {part}.len, &_table_{name});")
    out(f"if (_kind_{name} != 0) {bad(f'_kind_{name}', name, slot.offset)}")
    out(f"{names.var(slot.name)} = &_table_{name};", f"_n_{name} = 1;")


def _large(out: Writer, slot: Slot, size: str, bad: Bad) -> None:
    """Either here or in a buffer, never both."""
    name, at = slot.name, slot.offset
    with out.block(f"if (vidlHasBuffer(&_ref_{name})) {{"):
        out(f"if (!vidlAbsent(_part_{name})) {bad('3', name, at)}")
        out(f"if (_ref_{name}.length != {size}) {bad('5', name, at)}")
        most = f"UINT64_C({slot.max * slot.type.size})"
        resolve = f"vidlResolve(_s->base.buffers, &_ref_{name}, VIDL_READ, {most})"
        out(f"if (!{resolve}) {bad('13', name, at)}")
        out(f"_parts.data = (const unsigned char*)_ref_{name}.data;")
    with out.block("} else {", "}"):
        _take(out, slot, size, bad)


def _length(
    out: Writer, slot: Slot, scope: Scope, bad: Bad, node: Expr, most: int, name: str
) -> None:
    fail = bad("4", slot.name, slot.offset)
    length(out, scope, slot, node, most, fail, name, bad("5", slot.name, slot.offset))


def _take(out: Writer, slot: Slot, want: str, bad: Bad, nul: int = 0) -> None:
    name = slot.name
    reserve = f"{want} + UINT64_C({nul})" if nul else want
    out(f"const uint32_t _rule_{name} = vidlTake(&_parts, _part_{name}, {want}, {nul}, {reserve});")
    out(f"if (_rule_{name} != 0) {bad(f'_rule_{name}', name, slot.offset)}")


def _elements(out: Writer, names: Names, slot: Slot, bad: Bad, kind: str) -> None:
    var, name = names.var(slot.name), slot.name
    width = slot.type.size
    element = names.element(slot)
    size = f"_n_{name} * {width}"
    as_it_lies = slot.form == "bytes" or names.same_bytes(slot.type)
    checked = names.bad_value(slot, f"{var}[_k]") or not as_it_lies
    # A buffer's memory may begin anywhere.
    aligned = not slot.large or width == 1
    ends = int(ends_with_zero(slot.length))
    in_place = as_it_lies and not checked and not slot.copy and aligned and not ends
    if in_place and slot.direction == "in":
        out(f"{var} = ({kind})(const void*)_parts.data;")
        return
    if as_it_lies:
        if ends:
            get = f"vidlCopyZero(&_s->base.arena, _parts.data, {size}, {width})"
        else:
            get = f"vidlCopy(&_s->base.arena, _parts.data, {size})"
        out(f"{var} = ({kind}){get};")
        out(f"if ({var} == NULL) {_NO_MEMORY}")
        test = names.bad_value(slot, f"{var}[_k]")
        if test:
            with out.block("{", "}"):
                out("uint64_t _k;")
                with out.block(f"for (_k = 0; _k < _n_{name}; ++_k) {{", "}"):
                    out(f"if ({test}) {bad('7', name, slot.offset)}")
        return
    with out.block("{", "}"):
        target = f"{element}*"
        out(
            f"{target} const _to = ({target})vidlGet(&_s->base.arena, "
            f"(_n_{name} + {ends}) * sizeof({element}));"
        )
        out("uint64_t _k;", "int _good = 1;", f"if (_to == NULL) {_NO_MEMORY}")
        if ends:
            out(f"memset(_to + _n_{name}, 0, sizeof *_to);")
        with out.block(f"for (_k = 0; _k < _n_{name}; ++_k) {{", "}"):
            out(*get_element(names, slot, f"_parts.data + _k * {width}", "_to[_k]", "_good"))
        out(f"if (!_good) {bad('7', name, slot.offset)}", f"{var} = _to;")


def ends_with_zero(node: Expr | None) -> bool:
    """Whether the client looks for a zero; it does not travel, but the function looks, too."""
    return node is not None and (node.op == "nul" or any(map(ends_with_zero, node.args)))


def _until(out: Writer, names: Names, slot: Slot, bad: Bad) -> None:
    """The last element is the sentinel, and no earlier one where it is looked for."""
    var, name = names.var(slot.name), slot.name
    fail = bad("5", name, slot.offset)
    cast = "(int64_t)(intptr_t)" if names.is_pointer(slot) else "(int64_t)"
    out(f"if (_n_{name} == 0 || (_n_{name} - 1) % {slot.step} != 0) {fail}")
    with out.block("{", "}"):
        out("uint64_t _k = 0;")
        out(
            f"while (_k < _n_{name} && {cast}{var}[_k] != INT64_C({slot.until})) _k += {slot.step};"
        )
        out(f"if (_k != _n_{name} - 1) {fail}")


def _nested(out: Writer, names: Names, slot: Slot, scope: Scope, bad: Bad) -> None:
    var, name, at = names.var(slot.name), slot.name, slot.offset
    part, width = f"_part_{name}", slot.type.size
    element = names.element(slot)
    assert slot.length is not None
    assert slot.inner is not None
    if slot.dim == "expr":
        _length(out, slot, scope, bad, slot.length, slot.count, f"{name}_")
        out(f"_n_{name} = _n_{name}_;")
    else:
        out(f"if ({part}.len / 8 > {slot.count}) {bad('3', name, at)}")
        out(f"_n_{name} = {part}.len / 8;")
    _take(out, slot, f"_n_{name} * 8", bad)
    out(
        "const unsigned char* const _places = _parts.data;",
        f"const {element}** const _to = "
        f"(const {element}**)vidlGet(&_s->base.arena, _n_{name} * sizeof(void*));",
        f"uint32_t* const _len = (uint32_t*)vidlGet(&_s->base.arena, _n_{name} * 4);",
        "uint64_t _i;",
        "uint64_t _total = 0;",
        f"if (_to == NULL || _len == NULL) {_NO_MEMORY}",
    )
    with out.block(f"for (_i = 0; _i < _n_{name}; ++_i) {{", "}"):
        out("const VidlPart _inner = vidlLoadPart(_places + _i * 8);")
        if slot.inner_dim == "expr":
            outer = scope.args
            scope.args = lambda n: "_i" if n == slot.index else outer(n)
            _length(out, slot, scope, bad, slot.inner, slot.max, f"{name}_i")
            scope.args = outer
            out(f"const uint64_t _have = _n_{name}_i;")
        else:
            if width > 1:
                out(f"if (_inner.len % {width} != 0) {bad('5', name, at)}")
            out(f"const uint64_t _have = _inner.len / {width};")
        out("_total += _have;", f"if (_total > {slot.max}) {bad('3', name, at)}")
        nul = int(slot.text)
        out(
            f"const uint32_t _rule = vidlTake(&_parts, _inner, _have * {width}, {nul}, "
            f"_have * {width} + {nul});"
        )
        out(f"if (_rule != 0) {bad('_rule', name, at)}")
        if slot.text:
            out("int _good = 0;")
            out("_to[_i] = vidlCopyText(&_s->base.arena, _parts.data, _have, &_good);")
            out(f"if (_to[_i] == NULL) {_NO_MEMORY}", f"if (!_good) {bad('7', name, at)}")
        elif names.is_image(slot.type):
            zero = f", {width}" if ends_with_zero(slot.inner) else ""
            copy = f"vidlCopy{'Zero' if zero else ''}(&_s->base.arena, _parts.data, _have * {width}"
            out(f"_to[_i] = (const {element}*){copy}{zero});")
            out(f"if (_to[_i] == NULL) {_NO_MEMORY}")
        else:
            ends = int(ends_with_zero(slot.inner))
            get = f"vidlGet(&_s->base.arena, (_have + {ends}) * sizeof({element}))"
            out(f"{element}* const _each = ({element}*){get};", "int _good = 1;", "uint64_t _k;")
            out(f"if (_each == NULL) {_NO_MEMORY}")
            if ends:
                out("memset(_each + _have, 0, sizeof *_each);")
            with out.block("for (_k = 0; _k < _have; ++_k) {", "}"):
                out(*get_element(names, slot, f"_parts.data + _k * {width}", "_each[_k]", "_good"))
            out(f"if (!_good) {bad('7', name, at)}", "_to[_i] = _each;")
        out("_len[_i] = (uint32_t)_have;")
    out(f"{var} = _to;", f"_l_{name} = _len;")


def implied(out: Writer, names: Names, proc: Procedure) -> None:
    """Parameters that did not travel, rebuilt from the parts that carry what they say."""
    parts = {s.name: s for s in proc.request.parts}
    for slot in proc.implied:
        source = parts.get(slot.implied)
        if source is None:
            raise Unsupported(f"{proc.name}: '{slot.name}' cannot be rebuilt from '{slot.implied}'")
        var, kind = names.var(slot.name), names.type(slot.type)
        if slot.form == "value":
            out(f"const {kind} {var} = ({kind})_n_{source.name};")
            continue
        if source.form != "nested" or not names.is_number(slot.type):
            raise Unsupported(f"{proc.name}: '{slot.name}' cannot be rebuilt from '{source.name}'")
        out(
            f"{kind}* const {var} = ({kind}*)vidlGet(&_s->base.arena, "
            f"_n_{source.name} * sizeof({kind}));"
        )
        out(f"if ({var} == NULL) {_NO_MEMORY}")
        with out.block("{", "}"):
            out("uint64_t _k;")
            out(
                f"for (_k = 0; _k < _n_{source.name}; ++_k) "
                f"{var}[_k] = ({kind})_l_{source.name}[_k];"
            )
