"""Accepting what the other side wrote: values, parts, answers. Both sides are hostile until read."""

from __future__ import annotations

from collections.abc import Callable
from itertools import combinations

from hyplink.idl.c import foreign
from hyplink.idl.c.common import Names
from hyplink.idl.c.encode import length
from hyplink.idl.c.expr import Scope
from hyplink.idl.layout import given
from hyplink.idl.model import Block, Procedure, Slot
from hyplink.idl.writer import Writer

__all__ = ["Bad", "load_fixed", "read_reply", "reserve", "room", "text_room"]

#: Spells a refusal from rule, field and offset.
Bad = Callable[[str, str, int], str]


def load_fixed(
    out: Writer,
    names: Names,
    block: Block,
    base: str,
    prefix: str,
    bad: Bad,
    handles: str = "",
    called: bool = False,
) -> None:
    """All loads of the fixed part first, then all checks in order of the offsets."""
    checks: list[tuple[int, list[str]]] = []
    for slot in block.slots:
        place, var = f"{base} + {slot.offset}", prefix + names.var(slot.name)
        fail = bad("7", slot.name, slot.offset)
        if slot.is_part:
            out(f"const VidlPart _part_{slot.name} = vidlLoadPart({place});")
            if slot.large:
                out(f"VidlBuffer _ref_{slot.name} = vidlLoadBuffer({place} + 8);")
        elif slot.type.kind in ("callback", "cookie"):
            out(f"const uint32_t _w_{slot.name} = vidlLoad32({place});")
            if slot.type.kind == "callback" and not slot.nullable:
                checks.append((slot.offset, [f"if (_w_{slot.name} == 0) {fail}"]))
            else:
                out(f"(void)_w_{slot.name};")
        elif slot.type.kind == "umem":
            kind = names.model.umems[slot.type.name]
            # The receiver is the server, except for callbacks.
            rights = (kind.client if called else kind.server).upper().split()
            may = " | ".join(f"VIDL_{word}" for word in rights) or "0"
            out(f"VidlBuffer _ref_{slot.name} = vidlLoadBuffer({place});")
            test = f"!vidlResolve(_s->base.buffers, &_ref_{slot.name}, {may}, UINT64_C({kind.max}))"
            null = f"vidlHasBuffer(&_ref_{slot.name}) && " if slot.nullable else ""
            lines = [f"if ({null}{test}) {bad('13', slot.name, slot.offset)}"]
            there = f"vidlHasBuffer(&_ref_{slot.name}) ? &_ref_{slot.name} : NULL"
            value = there if slot.nullable else f"&_ref_{slot.name}"
            lines.append(f"{names.type(slot.type)} const {var} = {value};")
            checks.append((slot.offset, lines))
        elif slot.form == "fixed":
            checks.append((slot.offset, _load_array(out, names, slot, place, var, fail)))
        elif slot.type.kind == "struct":
            full = names.of(slot.type.name)
            out(f"{full} {var};", f"const int _good_{slot.name} = {full}_get({place}, &{var});")
            checks.append((slot.offset, [f"if (!_good_{slot.name}) {fail}"]))
        else:
            lines = _load_number(out, names, slot, place, var, fail)
            if handles and slot.type.kind == "handle":
                test = f"!vidlHandleAlive({handles}, {var}, {names.handle_type(slot.type.name)})"
                test = f"{var} != 0 && {test}" if slot.nullable else test
                lines.append(f"if ({test}) {bad('13', slot.name, slot.offset)}")
            checks.append((slot.offset, lines))
    for at, size in block.pads:
        out(f"const uint32_t _gap_{at} = vidlLoadPad({base} + {at}, {size});")
        checks.append((at, [f"if (_gap_{at} != 0) {bad('7', 'padding', at)}"]))
    for _, lines in sorted(checks):
        out(*lines)
    for slot, other in combinations(given(block), 2):  # nobody gives a buffer twice
        one, two = f"_ref_{slot.name}", f"_ref_{other.name}"
        test = f"vidlHasBuffer(&{one}) && {one}.slot == {two}.slot"
        out(f"if ({test}) {bad('13', other.name, other.offset)}")


def _load_number(
    out: Writer, names: Names, slot: Slot, place: str, var: str, fail: str
) -> list[str]:
    scalar = names.scalar(slot.type)
    raw = f"_w_{slot.name}"
    out(f"const {names.raw(scalar)} {raw} = {names.load(place, scalar)};")
    out(names.declare(names.type(slot.type), f"{var} = {names.host(scalar, raw)};"))
    tests = [t for t in (names.misfit(scalar, raw), names.bad_value(slot, var)) if t]
    return [f"if ({test}) {fail}" for test in tests]


def _load_array(
    out: Writer, names: Names, slot: Slot, place: str, var: str, fail: str
) -> list[str]:
    """An array in the fixed part; its check is one flag."""
    good = f"_good_{slot.name}"
    out(f"{names.type(slot.type)} {var}[{slot.count}];".replace("* ", "*"), f"int {good} = 1;")
    with out.block("{", "}"):
        out("uint32_t _k;")
        with out.block(f"for (_k = 0; _k < {slot.count}; ++_k) {{", "}"):
            out(*get_element(names, slot, f"{place} + _k * {slot.type.size}", f"{var}[_k]", good))
    return [f"if (!{good}) {fail}"]


def get_element(names: Names, slot: Slot, place: str, target: str, good: str) -> list[str]:
    """Load one element and clear `good` if it is none."""
    if slot.type.kind == "struct":
        return [f"if (!{names.of(slot.type.name)}_get({place}, &{target})) {good} = 0;"]
    scalar = names.scalar(slot.type)
    lines = [f"const {names.raw(scalar)} _w = {names.load(place, scalar)};"]
    lines.append(f"{target} = {names.host(scalar, '_w')};")
    for test in (names.misfit(scalar, "_w"), names.bad_value(slot, target)):
        if test:
            lines.append(f"if ({test}) {good} = 0;")
    return lines


# -- room for answers ------------------------------------------------------------------------------


def key(slot: Slot) -> str:
    """What names of an output's length end in; an inout parameter has one of each."""
    return f"r__{slot.name}"


def reserve(slot: Slot) -> str:
    """Bytes that an output part takes, whatever of it is used."""
    if slot.form == "table":
        return str((slot.max + 7) // 8 * 8)
    if slot.form == "string" and slot.dim != "cap":
        return str((slot.max + 8) // 8 * 8)
    if slot.dim == "reply":
        return str((slot.max * slot.type.size + 7) // 8 * 8)
    times = "" if slot.type.size == 1 else f" * {slot.type.size}"
    return f"vidlRound8(_n_{key(slot)}{times})"


def text_room(slot: Slot) -> str:
    """Characters a text has room for, its NUL among them."""
    return f"_n_{key(slot)}" if slot.dim == "cap" else str(slot.max + 1)


def lengths(
    out: Writer,
    block: Block,
    scope: Scope,
    bad: Callable[[Slot, str], str],
) -> str:
    """Declare the lengths of the output parts; the expression of the whole answer's room."""
    terms = [str(block.fixed)]
    for slot in block.parts:
        if slot.length is not None and slot.dim in ("expr", "cap"):
            most = slot.max + 1 if slot.form == "string" else slot.max
            length(out, scope, slot, slot.length, most, bad(slot, "4"), key(slot), bad(slot, "5"))
        terms.append(reserve(slot))
    return " + ".join(terms)


def room(
    out: Writer, names: Names, proc: Procedure, scope: Scope, bad: Callable[[str], str]
) -> str:
    """The client's room for the answer; pointers that must be there are."""
    text = lengths(out, proc.reply, scope, lambda slot, _: bad(slot.name))
    for slot in names.outputs(proc):
        if slot.is_part and slot.direction == "out" and not slot.nullable:
            var = names.var(slot.name)
            sized = slot.dim in ("expr", "cap") and slot.length is not None
            size = f" && _n_{key(slot)} != 0" if sized else ""
            out(f"if ({var} == NULL{size}) {bad(slot.name)}")
    if not proc.reply.parts:
        return text
    out(f"const uint64_t _room = {text};")
    return "_room"


# -- the client reads an answer --------------------------------------------------------------------


def read_reply(
    out: Writer,
    names: Names,
    proc: Procedure,
    ident: str,
    answer: str,
    pointer: str,
    size: str,
    lost: str,
) -> None:
    """Check the whole fixed part, then the parts, copying to where the caller wants them."""
    block = proc.reply
    if not block.slots:
        return

    def bad(rule: str, field: str, offset: int) -> str:
        return f'{{ vidlBadReply(&_c->base, {ident}, {rule}, "{field}", {offset}); {lost} }}'

    out(f"const unsigned char* const _o = (const unsigned char*){pointer};")
    out(f"if ({size} < {answer}) {bad('6', 'out_bytes', 0)}")
    load_fixed(out, names, block, "_o", "_o_", bad)
    if block.parts:
        out(f"VidlReader _parts = vidlReader(_o, (uint32_t){answer}, {block.fixed});")
    result = names.result_slot(proc)
    for slot in block.parts:
        _take(out, names, proc, slot, bad)
    for slot in names.outputs(proc):
        if slot.is_part:
            continue
        var = names.var(slot.name)
        if slot.form == "fixed":
            copy = f"memcpy({var}, _o_{var}, sizeof _o_{var});"
        else:
            copy = f"*{var} = {_out_cast(names, slot)}_o_{var};"
        out(f"if ({var} != NULL) {copy}" if slot.nullable else copy)
    if result is None:
        return
    kind = names.result(proc)
    if result.form == "string":
        out(f"return (({kind})_t_{result.name});" if kind != "const char*" else "")
        if kind == "const char*":
            out(f"return _t_{result.name};")
    elif theirs := foreign.given_back(names, proc):
        own = f"_o_{names.var(result.name)}"
        out(f"{theirs} _theirs;", f"(void)sizeof(char[sizeof _theirs == sizeof {own} ? 1 : -1]);")
        out(f"memcpy(&_theirs, &{own}, sizeof _theirs);", "return _theirs;")
    elif result.type.kind in ("struct", "table"):
        out(f"return _o_{names.var(result.name)};")
    elif names.is_pointer(result) or "*" in kind:
        out(f"return ({kind})(uintptr_t)_o_{names.var(result.name)};")
    else:
        out(f"return ({kind})_o_{names.var(result.name)};")


def _out_cast(names: Names, slot: Slot) -> str:
    """From the value's own type to what the C pointer points to."""
    target = "" if names.foreign(slot) else slot.c_type.rstrip()
    if not target.endswith("*"):
        return ""
    target = target[:-1].rstrip()
    return f"({target})(uintptr_t)" if names.is_pointer(slot) else f"({target})"


def _take(out: Writer, names: Names, proc: Procedure, slot: Slot, bad: Bad) -> None:
    var, part = names.var(slot.name), f"_part_{slot.name}"
    result = slot is names.result_slot(proc)
    if slot.form == "table":
        _take_table(out, names, slot, bad, result=result)
        return
    if result:
        out(f"const char* _t_{slot.name} = NULL;")
    if slot.nullable and slot.form == "string" and result:
        out(f"if (vidlAbsent({part})) _parts.cursor += {reserve(slot)};")
        with out.block("else {", "}"):
            _take_text(out, names, slot, bad, result=True)
    elif slot.form == "string":
        _take_text(out, names, slot, bad, result=result)
    else:
        _take_elements(out, names, slot, var, part, bad)


def _take_table(out: Writer, names: Names, slot: Slot, bad: Bad, *, result: bool) -> None:
    var, part, name = names.var(slot.name), f"_part_{slot.name}", slot.name
    full, target = names.of(slot.type.name), f"_o_{var}"
    out(f"if ({part}.len > {slot.max}u) {bad('3', name, slot.offset)}")
    take = f"vidlTake(&_parts, {part}, {part}.len, 0, {reserve(slot)})"
    out(f"{full} {target};", f"uint32_t _rule_{name} = {take};")
    out(f"if (_rule_{name} == 0) _rule_{name} = {full}_read(_parts.data, {part}.len, &{target});")
    out(f"if (_rule_{name} != 0) {bad(f'_rule_{name}', name, slot.offset)}")
    if not result:
        out(f"if ({var} != NULL) *{var} = {target};" if slot.nullable else f"*{var} = {target};")


def _take_text(out: Writer, names: Names, slot: Slot, bad: Bad, *, result: bool) -> None:
    var, part = names.var(slot.name), f"_part_{slot.name}"
    offset = slot.offset
    if slot.dim == "cap":
        room_ = f"_n_{key(slot)}"
        with out.block(f"if ({room_} == 0) {{", "}"):
            out(f"if ({part}.len != 0) {bad('3', slot.name, offset)}")
        with out.block("else {", "}"):
            _text(out, slot, bad, var, part, f"{room_} - 1", result=result)
        if slot.used:
            _used(out, names, slot, f"{part}.len", bad)
    else:
        _text(out, slot, bad, var, part, str(slot.max), result=result)


def _text(
    out: Writer,
    slot: Slot,
    bad: Bad,
    var: str,
    part: str,
    most: str,
    *,
    result: bool,
) -> None:
    name, offset = slot.name, slot.offset
    out(f"if ({part}.len > {most}) {bad('3', name, offset)}")
    out(f"const uint32_t _rule_{name} = vidlTake(&_parts, {part}, {part}.len, 1, {reserve(slot)});")
    out(f"if (_rule_{name} != 0) {bad(f'_rule_{name}', name, offset)}")
    if result:
        # The answer lies in memory of our own already.
        out(f"_t_{name} = (const char*)_parts.data;")
        check = f"vidlText(_t_{name}, {part}.len + UINT64_C(1)) != {part}.len"
        out(f"if ({check}) {bad('7', name, offset)}")
        return
    with out.block(f"if ({var} != NULL) {{" if slot.nullable else "{", "}"):
        out(f"memcpy({var}, _parts.data, {part}.len);", f"{var}[{part}.len] = '\\0';")
        out(f"if (vidlText({var}, {part}.len) != {part}.len) {bad('7', name, offset)}")
    out(f"if (vidlLoad8(_parts.data + {part}.len) != 0) {bad('7', name, offset)}")


def _used(out: Writer, names: Names, slot: Slot, count: str, bad: Bad) -> None:
    """The output that says how much is used says the same as the part."""
    used = names.var(slot.used)
    out(f"if ((uint64_t)_o_{used} != {count}) {bad('5', slot.name, slot.offset)}")


def _take_elements(out: Writer, names: Names, slot: Slot, var: str, part: str, bad: Bad) -> None:
    name, width, offset = slot.name, slot.type.size, slot.offset
    if slot.dim in ("reply", "cap"):
        most = f"{slot.max * width}u" if slot.dim == "reply" else f"_n_{key(slot)} * {width}"
        out(f"if ({part}.len > {most}) {bad('3', name, offset)}")
        if width > 1:
            out(f"if ({part}.len % {width} != 0) {bad('5', name, offset)}")
        out(f"const uint64_t _k_{name} = {part}.len / {width};")
        if slot.used:
            _used(out, names, slot, f"_k_{name}", bad)
    else:
        out(f"const uint64_t _k_{name} = _n_{key(slot)};")
    want = f"_k_{name} * {width}"
    out(f"const uint32_t _rule_{name} = vidlTake(&_parts, {part}, {want}, 0, {reserve(slot)});")
    out(f"if (_rule_{name} != 0) {bad(f'_rule_{name}', name, offset)}")
    if slot.form == "bytes" or names.is_image(slot.type):
        test = f"{var} != NULL && _k_{name} != 0" if slot.nullable else f"_k_{name} != 0"
        out(f"if ({test}) memcpy({var}, _parts.data, (size_t)({want}));")
        return
    with out.block(f"if ({var} != NULL) {{" if slot.nullable else "{", "}"):
        out("uint64_t _k;", "int _good = 1;")
        with out.block(f"for (_k = 0; _k < _k_{name}; ++_k) {{", "}"):
            place = f"_parts.data + _k * {width}"
            if slot.c_type and names.is_number(slot.type):
                # Elements have a type of the header's own.
                scalar = names.scalar(slot.type)
                out(f"const {names.raw(scalar)} _w = {names.load(place, scalar)};")
                for test in (
                    names.misfit(scalar, "_w"),
                    names.bad_value(slot, f"({names.host(scalar, '_w')})"),
                ):
                    if test:
                        out(f"if ({test}) _good = 0;")
                out(f"{var}[_k] = {_out_cast(names, slot)}_w;")
            else:
                out(*get_element(names, slot, place, f"{var}[_k]", "_good"))
        out(f"if (!_good) {bad('7', name, offset)}")
