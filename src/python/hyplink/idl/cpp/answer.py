"""Waiting for an answer and reading it, with the rules by which a request is read."""

from __future__ import annotations

from collections.abc import Callable

from hyplink.idl.cpp.common import Names
from hyplink.idl.cpp.way import Way, capacity, room
from hyplink.idl.layout import is_plain
from hyplink.idl.model import Slot
from hyplink.idl.names import cpp_name, snake
from hyplink.idl.writer import Writer

__all__ = ["answer"]

#: Spells a refusal from rule, field and offset.
_Bad = Callable[[str, str, int], str]


def answer(out: Writer, names: Names, way: Way) -> None:

    proc, full, block = way.proc, way.full, way.proc.reply
    ident = f"{way.space}_proc::{names.proc(proc)}"
    out(f"auto _reply = _ch.{way.verb}call({way.until});")
    out(f"if (!_reply.has_value()) return {way.lost or 'std::move(_reply).error()'};")
    refused = f"hyplink::rpq::refused({full}, _reply->status)"
    if proc.throws:
        result = names.result(way.interface, proc)
        kinds = f"{result}, {names.qualified(proc.throws)}"
        refused = f"hyplink::rpq::outcome_of<{kinds}>({full}, _reply->status)"
    out(f"if (_reply->status != 0) return {way.lost or refused};")

    def bad(rule: str, field: str, offset: int) -> str:
        return f'return hyplink::rpq::bad_reply({full}, {ident}, {rule}, "{field}", {offset});'

    if not block.slots:
        out("return {};")
        return
    out(f"using _reply_wire = {way.space}_wire::{snake(proc.name)}_out;")
    out(f"if (_reply->out_bytes < {capacity(proc)}) {bad('6', 'out_bytes', 0)}")
    out("const std::byte* const _o = _reply->out;")
    if block.parts:
        out(f"hyplink::rpq::Reader _parts(_o, {capacity(proc)}, {block.fixed});")
    returned = names.returned(proc)
    if returned:
        out(f"{names.result(way.interface, proc)} _result{{}};")
    said = {s.used: s for s in block.slots if s.used}
    checks: list[tuple[int, list[str]]] = []
    for at, size in block.pads:
        test = f"hyplink::rpq::load_pad<{size}>(_o + {at}) != 0"
        checks.append((at, [f"if ({test}) {bad('7', 'padding', at)}"]))
    for slot in block.slots:
        place = f"_o + offsetof(_reply_wire, {cpp_name(slot.name)})"
        if slot.is_part:
            out(f"const hyplink::rpq::Part _part_{slot.name} = hyplink::rpq::load_part({place});")
            continue
        lines = []
        if slot.name in said:
            target = f"_used_{slot.name}"
            out(f"{names.value(slot)} {target}{{}};")
        else:
            target = _target(names, way, slot)
        fail = bad("7", slot.name, slot.offset)
        lines.append(f"if (!hyplink::rpq::get({place}, {target})) {fail}")
        checks.append((slot.offset, lines + names.range_check(slot, target, fail)))
    for _, lines in sorted(checks):
        out(*lines)
    for slot in block.parts:
        _take(out, names, way, slot, bad)
    for name, slot in said.items():
        # The size of the part is what counts; the number in front must say the same.
        used = next(s for s in block.slots if s.name == name)
        test = f"static_cast<std::uint64_t>(_used_{name}) != _size_{slot.name}"
        out(f"if ({test}) {bad('5', name, used.offset)}")
    out(*([way.keep] if way.keep else []))
    out("return _result;" if returned else "return {};")


def _target(names: Names, way: Way, slot: Slot) -> str:
    returned = names.returned(way.proc)
    if all(slot is not s for s in returned):
        return names.var(slot.name)
    return "_result" if len(returned) == 1 else f"_result.{names.var(slot.name)}"


def _take(out: Writer, names: Names, way: Way, slot: Slot, bad: _Bad) -> None:
    """Accept one part of the reply and copy it to where the caller wants it."""
    part, target = f"_part_{slot.name}", _target(names, way, slot)
    fail = bad("7", slot.name, slot.offset)
    if slot.form == "string":
        _text(out, names, slot, target, bad)
        return
    if slot.form == "table":
        out(f"if ({part}.len > {slot.max}U) {bad('3', slot.name, slot.offset)}")
        take = f"_parts.take({part}, {part}.len, 0, {slot.max})"
        out(f"if (const auto _rule = {take}) {bad('_rule', slot.name, slot.offset)}")
        get = f"wire_get(_parts.data(), {part}.len, {target})"
        out(f"if (const auto _rule = {get}) {bad('_rule', slot.name, slot.offset)}")
        return
    if slot.dim == "expr":
        want = f"static_cast<std::uint64_t>(_n_{slot.name}) * {slot.type.size}U"
        take = f"_parts.take({part}, {want})"
    else:
        most = f"{slot.max}U"
        if slot.dim == "cap":
            most = f"static_cast<std::uint64_t>(_n_{slot.name})"
        out(f"const std::uint64_t _size_{slot.name} = {part}.len / {slot.type.size}U;")
        out(f"if (_size_{slot.name} > {most}) {bad('3', slot.name, slot.offset)}")
        want = f"_size_{slot.name} * {slot.type.size}U"
        take = f"_parts.take({part}, {want}, 0, {room(slot)})"
    with out.block(f"if (const auto _rule = {take}) {{", "}"):
        out(bad("_rule", slot.name, slot.offset))
    if slot.dim != "expr":
        out(f"{target}.resize(static_cast<std::size_t>(_size_{slot.name}));")
    if is_plain(names.model, slot.type):
        size = f"{target}.size()" + ("" if slot.type.size == 1 else f" * {slot.type.size}U")
        out(f"if (!{target}.empty()) std::memcpy({target}.data(), _parts.data(), {size});")
    else:
        with out.block(f"for (std::size_t _i = 0; _i < {target}.size(); ++_i) {{", "}"):
            place = f"_parts.data() + _i * {slot.type.size}U"
            out(f"if (!hyplink::rpq::get({place}, {target}[_i])) {fail}")


def _text(out: Writer, names: Names, slot: Slot, target: str, bad: _Bad) -> None:
    part = f"_part_{slot.name}"
    if names.is_null_result(slot):
        # A text that is not there keeps its room, so whatever comes next stays where it is.
        with out.block(f"if ({part}.off == 0 && {part}.len == 0) {{", "} else {"):
            out(f"_parts.skip({slot.max + 1});")
        with out.block("", "}"):
            _present_text(out, slot, target, bad, f"{slot.max}U", str(slot.max + 1))
        return
    if slot.dim == "cap":
        # The capacity counts the NUL; without any room there is none.
        n = f"static_cast<std::uint64_t>(_n_{slot.name})"
        out(f"const std::uint64_t _size_{slot.name} = {part}.len;")
        test = f"{n} == 0 ? {part}.len != 0 : {part}.len >= {n}"
        out(f"if ({test}) {bad('3', slot.name, slot.offset)}")
        with out.block(f"if ({n} != 0) {{", "}"):
            _present_text(out, slot, target, bad, f"{slot.max}U", n)
        return
    _present_text(out, slot, target, bad, f"{slot.max}U", str(slot.max + 1))


def _present_text(out: Writer, slot: Slot, target: str, bad: _Bad, most: str, reserve: str) -> None:
    part, copy, good = f"_part_{slot.name}", f"_copy_{slot.name}", f"_good_{slot.name}"
    out(f"if ({part}.len > {most}) {bad('3', slot.name, slot.offset)}")
    take = f"_parts.take({part}, {part}.len, 1, {reserve})"
    with out.block(f"if (const auto _rule = {take}) {{", "}"):
        out(bad("_rule", slot.name, slot.offset))
    out(f"hyplink::rpq::Copy<char> {copy};", f"bool {good} = false;")
    with out.block(f"if (!{copy}.text(_parts.data(), {part}.len, {good})) {{", "}"):
        out("return hyplink::Errc::no_memory;")
    out(f"if (!{good}) {bad('7', slot.name, slot.offset)}")
    out(f"{target} = std::string({copy}.data(), {part}.len);")
