"""Reading a request that a peer wrote, and calling who handles it: rules D1 to D14."""

from __future__ import annotations

from collections.abc import Callable
from itertools import combinations

from hyplink.idl.cpp.common import Names
from hyplink.idl.cpp.respond import respond
from hyplink.idl.cpp.target import Bad, Target, evaluate
from hyplink.idl.layout import given, is_plain
from hyplink.idl.model import Slot
from hyplink.idl.names import cpp_name, snake
from hyplink.idl.writer import Writer

__all__ = ["body"]


def body(out: Writer, names: Names, target: Target) -> None:
    proc, request = target.proc, target.proc.request
    bad = target.bad(names)
    negate = "" if proc.kind == "async" else "!"
    out(f"if ({negate}_req.is_call) {bad('2', 'is_call', 0)}")
    if request.parts:
        test = (
            f"_req.in_bytes % 8 != 0 || _req.in_bytes < {request.fixed} || "
            f"_req.in_bytes > {request.max}U"
        )
    else:
        test = f"_req.in_bytes != {request.fixed}"
    out(f"if ({test}) {bad('2', 'in_bytes', 0)}")
    if request.slots:
        out(f"using _wire = {target.space}_wire::{snake(proc.name)}_in;")
    evaluated = [
        *(s.length for s in [*request.slots, *proc.reply.slots] if s.length and s.dim != "carried"),
        *(s.inner for s in request.slots if s.inner and s.inner_dim == "expr"),
    ]
    if names.can_miss(evaluated):
        out("bool _miss = false;")
    _fixed(out, names, target, bad)
    if request.parts:
        out(f"hyplink::rpq::Reader _parts(_req.in, _req.in_bytes, {request.fixed});")
    for slot in request.parts:
        _part(out, names, target, slot, bad)
    if request.parts:
        out(f"if (!_parts.done()) {bad('2', 'in_bytes', 0)}")
    for slot, other in combinations(given(proc.request), 2):  # nobody gives a buffer twice
        one, two = (f"{names.var(s.name)}.ref" for s in (slot, other))
        out(f"if ({one} && {one}.slot == {two}.slot) {bad('13', other.name, other.offset)}")
    respond(out, names, target, bad)


def _fixed(out: Writer, names: Names, target: Target, bad: Bad) -> None:
    """All loads first, then all checks in order of the offsets."""
    checks: list[tuple[int, list[str]]] = []
    for slot in target.proc.request.slots:
        var = names.var(slot.name)
        place = f"_req.in + offsetof(_wire, {cpp_name(slot.name)})"
        if slot.is_part:
            load = f"hyplink::rpq::load_part({place})"
            out(f"const hyplink::rpq::Part _part_{slot.name} = {load};")
            if slot.large:
                out(f"hyplink::rpq::BufferRef _ref_{slot.name};")
                out(f"hyplink::rpq::wire_get({place} + 8, _ref_{slot.name});")
            continue
        lines = []
        kind = slot.type.kind
        if slot.form == "value" and kind == "scalar" and slot.type.name != "bool":
            const = "" if names.inout(target.proc, slot) else "const "
            out(f"{const}auto {var} = hyplink::rpq::load<{names.value(slot)}>({place});")
        elif kind == "umem":
            out(f"hyplink::rpq::Buffer {var};")
            out(f"hyplink::rpq::wire_get({place}, {var}.ref);")
            lines += _umem(names, target, slot, var, bad)
        else:
            out(f"{names.value(slot)} {var}{{}};")
            out(f"const bool _good_{slot.name} = hyplink::rpq::get({place}, {var});")
            lines.append(f"if (!_good_{slot.name}) {bad('7', slot.name, slot.offset)}")
        if kind == "handle":
            lines = [*_handle(target, slot, var, bad)]
            out(f"static_cast<void>(_good_{slot.name});")
        elif kind == "callback":
            lines = [f"static_cast<void>(_good_{slot.name});"]
            if not slot.nullable:
                test = f"{var} == hyplink::rpq::Cookie{{}}"
                lines.append(f"if ({test}) {bad('7', slot.name, slot.offset)}")
        elif kind == "cookie":
            lines = [f"static_cast<void>(_good_{slot.name});"]
        elif kind != "umem":
            lines += names.range_check(slot, var, bad("7", slot.name, slot.offset))
        checks.append((slot.offset, lines))
    for at, size in target.proc.request.pads:
        out(f"const auto _gap{at} = hyplink::rpq::load_pad<{size}>(_req.in + {at});")
        checks.append((at, [f"if (_gap{at} != 0) {bad('7', 'padding', at)}"]))
    for _, lines in sorted(checks, key=lambda c: c[0]):
        out(*lines)


def _handle(target: Target, slot: Slot, var: str, bad: Bad) -> list[str]:
    if not target.handles:
        return []
    fail = bad("13", slot.name, slot.offset)
    if slot.form == "fixed":
        return [
            f"for (const auto _v : {var}) {{",
            f"    if (!hyplink::rpq::live({target.handles}, _v)) {fail}",
            "}",
        ]
    null = f"{var}.value != 0 && " if slot.nullable else ""
    return [f"if ({null}!hyplink::rpq::live({target.handles}, {var})) {fail}"]


def _umem(names: Names, target: Target, slot: Slot, var: str, bad: Bad) -> list[str]:
    kind = names.model.umems[slot.type.name]
    # The receiver is the server, except for callbacks.
    called = target.proc in target.interface.callbacks
    words = (kind.client if called else kind.server).split()
    rights = sum({"read": 1, "write": 2}[w] for w in words)
    fail = bad("13", slot.name, slot.offset)
    resolve = f"hyplink::rpq::resolve({target.buffers or 'nullptr'}, {var}, {rights}U, {kind.max}U)"
    null = f"{var}.ref && " if slot.nullable else ""
    return [f"if ({null}!{resolve}) {fail}"]


def _part(out: Writer, names: Names, target: Target, slot: Slot, bad: Bad) -> None:
    """A part that may be absent is wrapped: what is absent is {0, 0} and takes no room."""
    var, part = names.var(slot.name), f"_part_{slot.name}"
    absent = slot.nullable or slot.form == "optional"
    _storage(out, names, slot)
    if absent:
        out(f"{names.input(slot)} {var};")
    if not absent:
        _present(out, names, target, slot, bad, f"const {names.view(slot)} {var}")
        return
    test = f"{part}.off != 0 || {part}.len != 0"
    if slot.large:
        test += f" || _ref_{slot.name}"
    with out.block(f"if ({test}) {{", "}"):
        _present(out, names, target, slot, bad, var)


def _storage(out: Writer, names: Names, slot: Slot) -> None:
    """What the view looks at lives as long as the call."""
    copy = f"_copy_{slot.name}"
    if slot.form == "string":
        out(f"hyplink::rpq::Copy<char> {copy};")
    elif slot.form == "nested":
        out(f"hyplink::rpq::Nested<{names.text(slot)}> {copy};")
    elif slot.form in ("array", "bytes") and _copied(names, slot):
        out(f"hyplink::rpq::Copy<{names.element(slot)}> {copy};")


def _copied(names: Names, slot: Slot) -> bool:
    ranged = names.outside(slot, "_v") != "" or (slot.large > 0 and slot.type.size > 1)
    return slot.copy or ranged or slot.dim == "until" or not is_plain(names.model, slot.type)


def _present(out: Writer, names: Names, target: Target, slot: Slot, bad: Bad, view: str) -> None:
    declares = view.startswith("const ")
    part, copy, good = f"_part_{slot.name}", f"_copy_{slot.name}", f"_good_{slot.name}"

    def give(value: str) -> None:
        out(f"{view} = {value};")

    def take(want: str, nul: str = "") -> None:
        out(
            f"if (const auto _rule = _parts.take({part}, {want}{nul})) "
            + bad("_rule", slot.name, slot.offset)
        )

    if slot.form == "string":
        out(f"if ({part}.len > {slot.max}U) {bad('3', slot.name, slot.offset)}")
        size = f"std::uint64_t{{{part}.len}}"
        take(size, f", 1, {size} + 1")
        out(f"bool {good} = false;")
        out(f"if (!{copy}.text(_parts.data(), {size}, {good})) {_no_memory()}")
        out(f"if (!{good}) {bad('7', slot.name, slot.offset)}")
        if declares:
            out(f"{view}({copy}.data(), {part}.len);")
        else:
            give(f"std::string_view({copy}.data(), {part}.len)")
    elif slot.form == "nested":
        _nested(out, names, slot, bad)
        give(f"{copy}.span()")
    elif slot.form == "optional":
        take(str(slot.type.size))
        fail = bad("7", slot.name, slot.offset)
        out(f"{view}.emplace();")
        out(f"if (!hyplink::rpq::get(_parts.data(), *{view})) {fail}")
        out(*names.range_check(slot, f"*{view}", fail))
        if slot.type.kind == "handle" and target.handles:
            fail = bad("13", slot.name, slot.offset)
            out(f"if (!hyplink::rpq::live({target.handles}, *{view})) {fail}")
    elif slot.form == "table":
        out(f"if ({part}.len > {slot.max}U) {bad('3', slot.name, slot.offset)}")
        take(f"{part}.len")
        out(f"{names.type(slot.type)} _table_{slot.name};")
        get = f"wire_get(_parts.data(), {part}.len, _table_{slot.name})"
        out(f"if (const auto _rule = {get}) " + bad("_rule", slot.name, slot.offset))
        give(f"_table_{slot.name}")
    else:
        _array(out, names, target, slot, bad, view, take)


def _array(
    out: Writer,
    names: Names,
    target: Target,
    slot: Slot,
    bad: Bad,
    view: str,
    take: Callable[[str], None],
) -> None:
    part, copy, good = f"_part_{slot.name}", f"_copy_{slot.name}", f"_good_{slot.name}"
    n, element = f"_n_{slot.name}", names.element(slot)
    if slot.dim == "expr":
        evaluate(out, names, slot, bad)
    else:
        length = f"{part}.len"
        if slot.large:
            length = f"(_ref_{slot.name} ? _ref_{slot.name}.length : {part}.len)"
        out(f"const std::uint64_t {n} = {length} / {slot.type.size}U;")
        out(f"if ({n} > {slot.max}U) {bad('3', slot.name, slot.offset)}")
    data = "_parts.data()"
    if slot.large:
        data = f"_data_{slot.name}"
        out(f"const std::byte* {data} = nullptr;")
        with out.block(f"if (_ref_{slot.name}) {{", "} else {"):
            out(f"if ({part}.off != 0 || {part}.len != 0) {bad('3', slot.name, slot.offset)}")
            test = f"_ref_{slot.name}.length != {n} * {slot.type.size}U"
            out(f"if ({test}) {bad('5', slot.name, slot.offset)}")
            out(f"hyplink::rpq::Buffer _buffer{{_ref_{slot.name}, {{}}}};")
            most = f"{slot.max}U * {slot.type.size}U"
            resolve = f"hyplink::rpq::resolve({target.buffers or 'nullptr'}, _buffer, 1U, {most})"
            out(f"if (!{resolve}) {bad('13', slot.name, slot.offset)}")
            out(f"{data} = _buffer.bytes.data();")
        with out.block("", "}"):
            take(f"{n} * {slot.type.size}U")
            out(f"{data} = _parts.data();")
    else:
        take(f"{n} * {slot.type.size}U")
    if _copied(names, slot):
        if is_plain(names.model, slot.type):
            out(f"if (!{copy}.bytes({data}, {n})) {_no_memory()}")
        else:
            out(f"bool {good} = false;")
            out(f"if (!{copy}.each({data}, {n}, {good})) {_no_memory()}")
            if slot.type.kind == "handle":
                out(f"static_cast<void>({good});")
            else:
                out(f"if (!{good}) {bad('7', slot.name, slot.offset)}")
        _elements(out, names, target, slot, bad)
        out(f"{view} = {copy}.span();")
    else:
        if element != "std::byte":
            data = f"reinterpret_cast<const {element}*>({data})"
        count = f"static_cast<std::size_t>({n})"
        if view.startswith("const "):
            out(f"{view}({data}, {count});")
        else:
            out(f"{view} = std::span<const {element}>({data}, {count});")


def _elements(out: Writer, names: Names, target: Target, slot: Slot, bad: Bad) -> None:
    """What is known about single elements besides their type."""
    copy = f"_copy_{slot.name}"
    if test := names.outside(slot, "_v"):
        with out.block(f"for (const auto _v : {copy}.span()) {{", "}"):
            out(f"if ({test}) {bad('7', slot.name, slot.offset)}")
    if slot.type.kind == "handle" and target.handles:
        with out.block(f"for (const auto _v : {copy}.span()) {{", "}"):
            test = f"!hyplink::rpq::live({target.handles}, _v)"
            out(f"if ({test}) {bad('13', slot.name, slot.offset)}")
    if slot.dim == "until":
        element = names.element(slot)
        view = f"std::span<const {element}>({copy}.span())"
        last = f"static_cast<{element}>({slot.until})"
        count = f"hyplink::rpq::count_until<{element}>({view}, {last}, {slot.step})"
        test = f"_n_{slot.name} == 0 || {count} != _n_{slot.name}"
        out(f"if ({test}) {bad('5', slot.name, slot.offset)}")


def _nested(out: Writer, names: Names, slot: Slot, bad: Bad) -> None:
    part, copy, n = f"_part_{slot.name}", f"_copy_{slot.name}", f"_n_{slot.name}"
    if slot.dim == "expr":
        evaluate(out, names, slot, bad, slot.count)
    else:
        out(f"const std::uint64_t {n} = {part}.len / 8;")
        out(f"if ({n} > {slot.count}U) {bad('3', slot.name, slot.offset)}")

    def rule(call: str) -> None:
        out(f"if (const auto _rule = {copy}.{call}) " + bad("_rule", slot.name, slot.offset))

    rule(f"open(_parts, {part}, {n})")
    with out.block(f"for (std::size_t _i = 0; _i < {n}; ++_i) {{", "}"):
        size = f"{copy}.length(_i)"
        if slot.inner_dim == "expr":
            assert slot.inner is not None
            spell = names.spell
            if slot.index:
                out(f"[[maybe_unused]] const auto {names.var(slot.index)} = _i;")
            out(f"const auto _v = {spell.expr(slot.inner, spell.width(slot.inner))};")
            if names.can_miss([slot.inner]):
                out(f"if (_miss) {bad('5', slot.name, slot.offset)}")
            if slot.inner.low < 0:
                out(f"if (_v < 0) {bad('4', slot.name, slot.offset)}")
            size = "static_cast<std::uint64_t>(_v)"
        rule(f"take(_parts, _i, {size}, {slot.max}U)")
    rule(f"close(_parts, {'true' if slot.copy else 'false'})")


def _no_memory() -> str:
    return "return static_cast<std::int32_t>(hyplink::Errc::no_memory);"
