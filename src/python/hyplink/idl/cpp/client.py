"""The C++ client: one member function per procedure, marshalling in place."""

from __future__ import annotations

from collections.abc import Callable

from hyplink.idl.cpp.common import Names, comment
from hyplink.idl.layout import is_plain, part_bytes
from hyplink.idl.model import Interface, Procedure, Slot
from hyplink.idl.names import cpp_name, snake
from hyplink.idl.writer import Writer

__all__ = ["client"]

#: Spells a refusal from rule, field and offset.
_Bad = Callable[[str, str, int], str]


def client(out: Writer, names: Names, interface: Interface) -> None:
    prefix = names.prefix(interface)
    comment(out, interface.doc)
    out("/// `Channel` reserves and commits blocks; one thread at a time, as with the channel.")
    out("template <class Channel>")
    with out.block(f"class {prefix}Client {{", "};"):
        out("public:")
        out(f"explicit {prefix}Client(Channel& channel) : _ch(channel) {{}}", "")
        for proc in interface.procedures:
            _procedure(out, names, interface, proc)
        out("private:")
        out("Channel& _ch;")
    out("")


def _procedure(out: Writer, names: Names, interface: Interface, proc: Procedure) -> None:
    full = f'"{interface.name}.{proc.name}"'
    result = names.result(interface, proc)
    kind = "hyplink::Status" if result == "void" else f"hyplink::Result<{result}>"
    comment(out, proc.doc)
    head = f"{kind} {names.proc(proc)}({names.arguments(proc)}) {{"
    with out.block(head, "}"):
        for slot in proc.request.slots:
            _check(out, names, full, slot)
        for slot in proc.reply.slots:
            if names.is_span(slot):
                _length(out, names, full, slot)
        size = _sizes(names, proc)
        wire = f"{snake(interface.name)}_wire::{snake(proc.name)}_in"
        if proc.request.slots:
            out(f"using _wire = {wire};")
        ident = f"{snake(interface.name)}_proc::{names.proc(proc)}"
        if proc.kind == "sync":
            out(f"auto _at = _ch.begin_call({ident}, {size}, {_capacity(proc)});")
        else:
            out(f"auto _at = _ch.begin({ident}, {size});")
        out("if (!_at.has_value()) return std::move(_at).error();")
        _encode(out, names, proc)
        if proc.kind == "sync":
            _answer(out, names, interface, proc, full, ident)
        elif proc.notify:
            out(
                "if (auto _done = _ch.post(); !_done.has_value()) return _done;",
                "return _ch.notify();",
            )
        else:
            out("return _ch.post();")
    out("")


def _check(out: Writer, names: Names, full: str, slot: Slot) -> None:
    """Refuse here what the server would refuse."""
    var = names.var(slot.name)
    fail = f'return hyplink::rpq::bad_argument({full}, "{slot.name}");'
    if slot.form == "string":
        out(f"if (!hyplink::rpq::valid_text({var}, {slot.max}U)) {fail}")
    elif slot.is_part:
        _length(out, names, full, slot)
        if not is_plain(names.model, slot.type) and slot.type.name != "bool":
            with out.block(f"for (const auto& _v : {var}) {{", "}"):
                out(f"if (!hyplink::rpq::valid(_v)) {fail}")
    elif slot.type.kind != "scalar":
        out(f"if (!hyplink::rpq::valid({var})) {fail}")
    elif slot.form == "fixed" and (test := names.outside(slot, "_v")):
        with out.block(f"for (const auto _v : {var}) {{", "}"):
            out(f"if ({test}) {fail}")
    elif test := names.outside(slot, var):
        out(f"if ({test}) {fail}")


def _length(out: Writer, names: Names, full: str, slot: Slot) -> None:
    assert slot.length is not None
    kind = names.width(slot.length)
    var = names.var(slot.name)
    tests = [f"{var}.size() != static_cast<std::uint64_t>(_n_{slot.name})"]
    if slot.length.high > slot.max:
        tests.insert(0, f"_n_{slot.name} > {slot.max}{'U' if kind == 'u64' else ''}")
    if slot.length.low < 0:
        tests.insert(0, f"_n_{slot.name} < 0")
    cast = "std::int64_t" if kind == "i64" else "std::uint64_t"
    out(f"const {cast} _n_{slot.name} = {names.expr(slot.length, kind)};")
    with out.block(f"if ({' || '.join(tests)}) {{", "}"):
        out(f'return hyplink::rpq::bad_argument({full}, "{slot.name}");')


def _bytes(names: Names, slot: Slot) -> str:
    var = names.var(slot.name)
    if slot.form == "string":
        return f"{var}.size() + 1"
    return f"{var}.size()" if slot.type.size == 1 else f"{var}.size() * {slot.type.size}U"


def _sizes(names: Names, proc: Procedure) -> str:
    terms = [f"hyplink::rpq::round8({_bytes(names, s)})" for s in proc.request.parts]
    if not terms:
        return f"{proc.request.fixed}"
    return f"static_cast<std::uint32_t>({' + '.join([str(proc.request.fixed), *terms])})"


def _capacity(proc: Procedure) -> str:
    terms = [str(proc.reply.fixed)]
    for slot in proc.reply.parts:
        if slot.form == "string":
            terms.append(str(part_bytes(slot)))
        else:
            terms.append(
                f"hyplink::rpq::round8(static_cast<std::uint64_t>(_n_{slot.name})"
                f" * {slot.type.size}U)"
            )
    if len(terms) == 1:
        return terms[0]
    return f"static_cast<std::uint32_t>({' + '.join(terms)})"


def _encode(out: Writer, names: Names, proc: Procedure) -> None:
    block = proc.request
    if not block.slots:
        return
    out("std::byte* const _p = *_at;")
    if block.parts:
        out(f"std::uint64_t _cur = {block.fixed};")
    for slot in block.slots:
        var = names.var(slot.name)
        place = f"_p + offsetof(_wire, {cpp_name(slot.name)})"
        if not slot.is_part:
            out(f"hyplink::rpq::put({place}, {var});")
        elif slot.form == "string":
            out(f"hyplink::rpq::put_part({place}, _cur, {var}.size());")
            out(f"_cur = hyplink::rpq::put_bytes(_p, _cur, {var}.data(), {var}.size(), 1);")
        else:
            out(f"hyplink::rpq::put_part({place}, _cur, {_bytes(names, slot)});")
            if is_plain(names.model, slot.type):
                out(
                    f"_cur = hyplink::rpq::put_bytes(_p, _cur, {var}.data(), "
                    f"{_bytes(names, slot)});"
                )
            else:
                out(f"_cur = hyplink::rpq::put_each<{names.element(slot)}>(_p, _cur, {var});")
    if block.parts:
        out("static_cast<void>(_cur);")
    for at, size in block.pads:
        out(f"hyplink::rpq::store_pad<{size}>(_p + {at});")


def _answer(
    out: Writer, names: Names, interface: Interface, proc: Procedure, full: str, ident: str
) -> None:
    """Wait, then read the reply with the same rules as a server reads a request."""
    block = proc.reply
    out("auto _reply = _ch.call();")
    out("if (!_reply.has_value()) return std::move(_reply).error();")
    out(f"if (_reply->status != 0) return hyplink::rpq::refused({full}, _reply->status);")

    def bad(rule: str, field: str, offset: int) -> str:
        return f'return hyplink::rpq::bad_reply({full}, {ident}, {rule}, "{field}", {offset});'

    if not block.slots:
        out("return {};")
        return
    out(f"using _reply_wire = {snake(interface.name)}_wire::{snake(proc.name)}_out;")
    out(f"if (_reply->out_bytes < {_capacity(proc)}) {bad('6', 'out_bytes', 0)}")
    out("const std::byte* const _o = _reply->out;")
    if block.parts:
        out(f"hyplink::rpq::Reader _parts(_o, {_capacity(proc)}, {block.fixed});")
    returned = names.returned(proc)
    result = names.result(interface, proc)
    if returned:
        out(f"{result} _result{{}};")
    checks: list[tuple[int, list[str]]] = []
    for at, size in block.pads:
        test = f"hyplink::rpq::load_pad<{size}>(_o + {at}) != 0"
        checks.append((at, [f"if ({test}) {bad('7', 'padding', at)}"]))
    for slot in block.slots:
        target = "_result" if len(returned) == 1 else f"_result.{names.var(slot.name)}"
        place = f"_o + offsetof(_reply_wire, {cpp_name(slot.name)})"
        if slot.is_part:
            out(f"const hyplink::rpq::Part _part_{slot.name} = hyplink::rpq::load_part({place});")
            continue
        fail = bad("7", slot.name, slot.offset)
        lines = [f"if (!hyplink::rpq::get({place}, {target})) {fail}"]
        checks.append((slot.offset, lines + names.range_check(slot, target, fail)))
    for _, lines in sorted(checks):
        out(*lines)
    for slot in block.parts:
        target = "_result" if len(returned) == 1 else f"_result.{names.var(slot.name)}"
        _take(out, names, slot, target, bad)
    out("return _result;" if returned else "return {};")


def _take(out: Writer, names: Names, slot: Slot, target: str, bad: _Bad) -> None:
    """Accept one part of the reply and copy it to where the caller wants it."""
    part, var = f"_part_{slot.name}", names.var(slot.name)
    copy, good = f"_copy_{slot.name}", f"_good_{slot.name}"
    fail = bad("7", slot.name, slot.offset)
    if slot.form == "string":
        out(f"if ({part}.len > {slot.max}U) {bad('3', slot.name, slot.offset)}")
        want = f"{part}.len, 1, {slot.max + 1}"
    else:
        want = f"static_cast<std::uint64_t>(_n_{slot.name}) * {slot.type.size}U"
    with out.block(f"if (const auto _rule = _parts.take({part}, {want})) {{", "}"):
        out(bad("_rule", slot.name, slot.offset))
    if slot.form == "string":
        out(f"hyplink::rpq::Copy<char> {copy};", f"bool {good} = false;")
        with out.block(f"if (!{copy}.text(_parts.data(), {part}.len, {good})) {{", "}"):
            out("return hyplink::Errc::no_memory;")
        out(f"if (!{good}) {fail}", f"{target}.assign({copy}.data(), {part}.len);")
    elif is_plain(names.model, slot.type):
        size = _bytes(names, slot)
        out(f"if (!{var}.empty()) std::memcpy({var}.data(), _parts.data(), {size});")
    else:
        with out.block(f"for (std::size_t _i = 0; _i < {var}.size(); ++_i) {{", "}"):
            place = f"_parts.data() + _i * {slot.type.size}U"
            out(f"if (!hyplink::rpq::get({place}, {var}[_i])) {fail}")
