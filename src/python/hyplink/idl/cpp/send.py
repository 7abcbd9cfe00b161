"""The body of a function that sends a request: a client's procedure, a server's callback."""

from __future__ import annotations

from itertools import combinations

from hyplink.idl.cpp.answer import answer
from hyplink.idl.cpp.common import Names
from hyplink.idl.cpp.way import Way, capacity
from hyplink.idl.layout import given, is_plain
from hyplink.idl.model import Procedure, Slot
from hyplink.idl.names import cpp_name, snake
from hyplink.idl.writer import Writer

__all__ = ["body"]


def body(out: Writer, names: Names, way: Way) -> None:
    proc, full = way.proc, way.full
    evaluated = [
        s.length
        for s in [*proc.request.slots, *proc.reply.slots]
        if s.length and s.dim != "carried"
    ]
    inner = [s.inner for s in proc.request.slots if s.inner and s.inner_dim == "expr"]
    if names.can_miss([*evaluated, *inner]):
        out("bool _miss = false;")
    for slot in proc.request.slots:
        _check(out, names, way, slot)
    for slot, other in combinations(given(proc.request), 2):  # nobody gives a buffer twice
        one, two = names.var(slot.name), names.var(other.name)
        out(f"if ({one} && {one}.slot == {two}.slot) {_bad(full, other)}")
    for slot in proc.request.slots:
        if slot.type.kind == "umem":
            ask = f"hyplink::rpq::admit(_buffers, {names.var(slot.name)})"
            out(f"if (auto _may = {ask}; !_may) return std::move(_may).error();")
    for slot in proc.reply.slots:
        _room(out, names, way, slot)
    out(*way.before)
    _place(out, names, way)
    if proc.request.slots:
        out(f"using _wire = {way.space}_wire::{snake(proc.name)}_in;")
    ident = f"{way.space}_proc::{names.proc(proc)}"
    size = _sizes(names, proc)
    if proc.kind == "sync":
        if way.until:
            out(f"const auto _until = _ch.deadline_in({proc.timeout});")
        begun = f"{ident}, {size}, {capacity(proc)}{', _until' if way.until else ''}"
        out(f"auto _at = _ch.{way.verb}begin_call({begun});")
    else:
        out(f"auto _at = _ch.{way.verb}begin({ident}, {size}{way.begin});")
    out(f"if (!_at.has_value()) return {way.lost or 'std::move(_at).error()'};")
    _encode(out, names, way)
    for slot in given(proc.request):
        out(f"hyplink::rpq::transfer(_buffers, {names.var(slot.name)}, true);")
    _sets(out, names, proc)
    if proc.kind == "sync":
        answer(out, names, way)
    elif proc.notify and not way.verb:  # a callback goes at once by itself
        out("if (auto _done = _ch.post(); !_done.has_value()) return _done;")
        out("return _ch.notify();")
    else:
        out(f"return _ch.{way.verb}post();")


def _sets(out: Writer, names: Names, proc: Procedure) -> None:
    out(*names.sets(proc))


def _bad(full: str, slot: Slot) -> str:
    return f'return hyplink::rpq::bad_argument({full}, "{slot.name}");'


def _check(out: Writer, names: Names, way: Way, slot: Slot) -> None:
    """Refuse here what the server would refuse."""
    var, full = names.var(slot.name), way.full
    if slot.is_part and (slot.nullable or slot.form == "optional"):
        with out.block(f"if ({var}.has_value()) {{", "}"):
            _check_part(out, names, full, slot, f"(*{var})")
    elif slot.is_part:
        _check_part(out, names, full, slot, var)
    else:
        _check_value(out, names, full, slot, var)


def _place(out: Writer, names: Names, way: Way) -> None:
    """Copy large parts into a buffer; when nothing else can be wrong with the arguments."""
    before: list[str] = []
    for slot in (s for s in way.proc.request.slots if s.large):
        var, ref = names.var(slot.name), f"_ref_{slot.name}"
        view = f"(*{var})" if slot.nullable else var
        out(f"hyplink::rpq::BufferRef {ref};")
        with out.block(f"if ({var}.has_value()) {{" if slot.nullable else "{", "}"):
            first = " && ".join(before) or "true"
            arguments = f"_buffers, std::as_bytes({view}), {slot.large}U, {first}"
            out(f"auto _placed = hyplink::rpq::place({arguments});")
            lost = way.lost or "std::move(_placed).error()"
            out(f"if (!_placed.has_value()) return {lost};", f"{ref} = *_placed;")
        before.append(f"!{ref}")


def _check_value(out: Writer, names: Names, full: str, slot: Slot, var: str) -> None:
    fail = _bad(full, slot)
    if slot.type.kind == "cookie":
        return
    if slot.type.kind in ("handle", "umem", "callback"):
        if not slot.nullable and slot.form == "value":
            test = f"{var}.value == 0" if slot.type.kind == "handle" else f"!{var}"
            out(f"if ({test}) {fail}")
    elif slot.type.kind != "scalar":
        out(f"if (!hyplink::rpq::valid({var})) {fail}")
    elif slot.form == "fixed" and (test := names.outside(slot, "_v")):
        with out.block(f"for (const auto _v : {var}) {{", "}"):
            out(f"if ({test}) {fail}")
    elif test := names.outside(slot, var):
        out(f"if ({test}) {fail}")


def _check_part(out: Writer, names: Names, full: str, slot: Slot, view: str) -> None:
    fail = _bad(full, slot)
    if slot.form == "string":
        out(f"if (!hyplink::rpq::valid_text({view}, {slot.max}U)) {fail}")
    elif slot.form in ("optional", "table"):
        if slot.form == "table" or slot.type.kind not in ("scalar", "handle"):
            out(f"if (!hyplink::rpq::valid({view})) {fail}")
        elif test := names.outside(slot, view):
            out(f"if ({test}) {fail}")
    elif slot.form == "nested":
        most = f"{slot.count}U, {slot.max}U"
        out(f"if (!hyplink::rpq::valid_nested<{names.text(slot)}>({view}, {most})) {fail}")
        if slot.dim == "expr":
            _length(out, names, full, slot, view)
        if slot.inner_dim == "expr":
            _inner(out, names, slot, view, fail)
    elif slot.dim == "carried":
        out(f"if ({view}.size() > {slot.max}U) {fail}")
        _elements(out, names, slot, view, fail)
    elif slot.dim == "until":
        out(f"const std::uint64_t _n_{slot.name} = {_until(names, slot, view)};")
        test = f"_n_{slot.name} != {view}.size() || _n_{slot.name} > {slot.max}U"
        out(f"if (_n_{slot.name} == 0 || {test}) {fail}")
        _elements(out, names, slot, view, fail)
    else:
        _length(out, names, full, slot, view)
        _elements(out, names, slot, view, fail)


def _until(names: Names, slot: Slot, view: str) -> str:
    element = names.element(slot)
    last = f"static_cast<{element}>({slot.until})"
    return f"hyplink::rpq::count_until<{element}>({view}, {last}, {slot.step})"


def _elements(out: Writer, names: Names, slot: Slot, view: str, fail: str) -> None:
    test = names.outside(slot, "_v")
    if not test and not is_plain(names.model, slot.type) and slot.type.name != "bool":
        test = "!hyplink::rpq::valid(_v)"
    if test:
        with out.block(f"for (const auto& _v : {view}) {{", "}"):
            out(f"if ({test}) {fail}")


def _inner(out: Writer, names: Names, slot: Slot, view: str, fail: str) -> None:
    assert slot.inner is not None
    spell = names.spell
    kind = spell.width(slot.inner)
    with out.block(f"for (std::size_t _i = 0; _i < {view}.size(); ++_i) {{", "}"):
        if slot.index:
            out(f"[[maybe_unused]] const auto {names.var(slot.index)} = _i;")
        out(f"const auto _v = {spell.expr(slot.inner, kind)};")
        miss = "_miss || " if names.can_miss([slot.inner]) else ""
        negative = "_v < 0 || " if slot.inner.low < 0 else ""
        size = f"static_cast<std::uint64_t>(_v) != {view}[_i].size()"
        out(f"if ({miss}{negative}{size}) {fail}")


def _length(out: Writer, names: Names, full: str, slot: Slot, view: str = "") -> None:
    """Evaluate a length and compare it with what was given, if that is known."""
    assert slot.length is not None
    spell = names.spell
    kind = spell.width(slot.length)
    most = slot.count if slot.form == "nested" else slot.max
    if slot.form == "string":  # a capacity with room for the NUL
        most = slot.max + 1
    tests = []
    if names.can_miss([slot.length]):
        tests.append("_miss")
    if slot.length.low < 0:
        tests.append(f"_n_{slot.name} < 0")
    if slot.length.high > most:
        tests.append(f"_n_{slot.name} > {most}{'U' if kind == 'u64' else ''}")
    if view:
        tests.append(f"{view}.size() != static_cast<std::uint64_t>(_n_{slot.name})")
    cast = "std::int64_t" if kind == "i64" else "std::uint64_t"
    out(f"const {cast} _n_{slot.name} = {spell.expr(slot.length, kind)};")
    if tests:
        with out.block(f"if ({' || '.join(tests)}) {{", "}"):
            out(_bad(full, slot))


def _room(out: Writer, names: Names, way: Way, slot: Slot) -> None:
    """Lengths of outputs: the room that the other side needs."""
    var = names.var(slot.name)
    both = names.inout(way.proc, slot)
    if slot.form not in ("array", "bytes", "string") or slot.length is None or both:
        return
    if slot.dim == "cap":
        _length(out, names, way.full, slot)
    elif names.is_span(slot):
        if slot.nullable:  # the caller may have no use for it
            _length(out, names, way.full, slot)
            test = f"!{var}.empty() && {var}.size() != static_cast<std::uint64_t>(_n_{slot.name})"
            out(f"if ({test}) {_bad(way.full, slot)}")
        else:
            _length(out, names, way.full, slot, var)


def _bytes(names: Names, slot: Slot, view: str) -> str:
    """Bytes of a present part, with a text's NUL."""
    if slot.form == "string":
        return f"{view}.size() + 1"
    if slot.form == "nested":
        return f"hyplink::rpq::nested_bytes<{names.text(slot)}>({view})"
    if slot.form == "optional":
        return str(slot.type.size)
    if slot.form == "table":
        return str(names.model.tables[slot.type.name].size)
    return f"{view}.size()" if slot.type.size == 1 else f"{view}.size() * {slot.type.size}U"


def _sizes(names: Names, proc: Procedure) -> str:
    terms = []
    for slot in proc.request.parts:
        var = names.var(slot.name)
        if slot.nullable or slot.form == "optional":
            room = f"({var} ? hyplink::rpq::round8({_bytes(names, slot, f'(*{var})')}) : 0)"
        else:
            room = f"hyplink::rpq::round8({_bytes(names, slot, var)})"
        terms.append(f"(_ref_{slot.name} ? 0 : {room})" if slot.large else room)
    if not terms:
        return f"{proc.request.fixed}"
    return f"static_cast<std::uint32_t>({' + '.join([str(proc.request.fixed), *terms])})"


def _encode(out: Writer, names: Names, way: Way) -> None:
    proc, block = way.proc, way.proc.request
    if not block.slots:
        return
    out("std::byte* const _p = *_at;")
    if block.parts:
        out(f"std::uint64_t _cur = {block.fixed};")
    for slot in block.slots:
        var = names.var(slot.name)
        place = f"_p + offsetof(_wire, {cpp_name(slot.name)})"
        if slot.is_part:
            _part(out, names, slot, place)
        elif slot.type.kind == "callback" and way.registries is not None:
            out(f"hyplink::rpq::put({place}, _reg_{slot.name});")
        elif slot.name in names.cookie_of(proc) and way.registries is not None:
            made = next(s.name for s in block.slots if s.cookie == slot.name)
            out(f"hyplink::rpq::put({place}, _reg_{made});")
        else:
            out(f"hyplink::rpq::put({place}, {var});")
    if block.parts:
        out("static_cast<void>(_cur);")
    for at, size in block.pads:
        out(f"hyplink::rpq::store_pad<{size}>(_p + {at});")


def _part(out: Writer, names: Names, slot: Slot, place: str) -> None:
    var = names.var(slot.name)
    absent = slot.nullable or slot.form == "optional"
    view = f"(*{var})" if absent else var
    test = f"{var}.has_value()" if absent else ""
    if slot.large:
        out(f"hyplink::rpq::put({place} + 8, _ref_{slot.name});")
        test = " && ".join([*([test] if test else []), f"!_ref_{slot.name}"])
    if not test:
        _present(out, names, slot, place, view)
        return
    with out.block(f"if ({test}) {{", "} else {"):
        _present(out, names, slot, place, view)
    with out.block("", "}"):
        out(f"hyplink::rpq::put_part({place}, 0, 0);")


def _present(out: Writer, names: Names, slot: Slot, place: str, view: str) -> None:
    size = _bytes(names, slot, view)
    if slot.form == "string":
        out(f"hyplink::rpq::put_part({place}, _cur, {view}.size());")
        out(f"_cur = hyplink::rpq::put_bytes(_p, _cur, {view}.data(), {view}.size(), 1);")
    elif slot.form == "nested":
        out(f"hyplink::rpq::put_part({place}, _cur, {view}.size() * 8);")
        out(f"_cur = hyplink::rpq::put_nested<{names.text(slot)}>(_p, _cur, {view});")
    elif slot.form in ("optional", "table"):
        out(f"hyplink::rpq::put_part({place}, _cur, {size});")
        out(f"_cur = hyplink::rpq::put_one(_p, _cur, {view}, {size});")
    else:
        out(f"hyplink::rpq::put_part({place}, _cur, {size});")
        if is_plain(names.model, slot.type):
            out(f"_cur = hyplink::rpq::put_bytes(_p, _cur, {view}.data(), {size});")
        else:
            out(f"_cur = hyplink::rpq::put_each<{names.element(slot)}>(_p, _cur, {view});")
