"""Calling the handler and writing its answer: bounded, initialised, checked (rules D6 and D14)."""

from __future__ import annotations

from hyplink.idl.cpp.common import Names
from hyplink.idl.cpp.target import Bad, Target, count_of_output
from hyplink.idl.cpp.way import room
from hyplink.idl.layout import given, is_plain
from hyplink.idl.model import Procedure, Slot
from hyplink.idl.names import cpp_name, snake
from hyplink.idl.writer import Writer

__all__ = ["respond"]

_ZERO = "std::memset(_req.out, 0, _req.out_bytes);"


def respond(out: Writer, names: Names, target: Target, bad: Bad) -> None:
    proc = target.proc
    if proc.kind == "async":
        out(*names.sets(proc), *_taken(names, target), *target.before)
        out(f"{_call(names, target)};")
        out(*_destroy(names, target), "return 0;")
        return
    block = proc.reply
    _make_room(out, names, target, bad)
    out(*names.sets(proc), *_taken(names, target), *target.before)
    undo = _create(out, names, target)
    out(f"auto _result = {_call(names, target)};")
    zero = [_ZERO] if block.slots else []
    with out.block("if (!_result.has_value()) {", "}"):
        out(*zero, *undo)
        out("return hyplink::rpq::status_of(_result);")
    tests = _handler_tests(names, proc)
    if tests:
        # The handler's own mistake: the client gets an error, never an impossible value.
        with out.block(f"if ({' || '.join(tests)}) {{", "}"):
            out(*zero, *undo)
            out("return static_cast<std::int32_t>(hyplink::Errc::internal);")
    _write(out, names, target)
    out(*_destroy(names, target), "return 0;")


def _taken(names: Names, target: Target) -> list[str]:
    """Buffers that the request gives are this side's before anybody is called."""
    table = target.buffers
    slots = given(target.proc.request) if table else []
    return [f"hyplink::rpq::transfer({table}, {names.var(s.name)}.ref, false);" for s in slots]


def _call(names: Names, target: Target) -> str:
    proc = target.proc
    back = {
        names.var(s.name): f"_io_{s.name}"
        for s in proc.reply.slots
        if s.is_part and names.inout(proc, s)
    }
    words = [back.get(name, name) for _, name in names.parameters(proc, sender=False)]
    return f"{target.call}({', '.join(words)})"


def _make_room(out: Writer, names: Names, target: Target, bad: Bad) -> None:
    proc, block = target.proc, target.proc.reply
    terms = [str(block.fixed)]
    for slot in block.parts:
        both = names.inout(proc, slot)
        counted = slot.length is not None and slot.dim in ("expr", "cap")
        if counted and not both:
            count_of_output(out, names, slot, bad)
        terms.append(room(slot))
    if block.slots:
        out(f"if (_req.out_bytes < {' + '.join(terms)}) {bad('6', 'out_bytes', 0)}")
        out(f"using _reply_wire = {target.space}_wire::{snake(proc.name)}_out;")
    out("if (_req.out_bytes != 0) std::memset(_req.out, 0, _req.out_bytes);")
    offsets = _offsets(block.fixed, block.parts)
    for slot in block.slots:
        var = names.var(slot.name)
        both = names.inout(proc, slot)
        if slot.form == "string" and both:
            out(f"std::string _io_{slot.name}({var});")
        if not names.is_span(slot):
            continue
        element, name = names.element(slot), f"_io_{slot.name}" if both else var
        if is_plain(names.model, slot.type):
            data = f"_req.out + ({offsets[slot.name]})"
            if element != "std::byte":
                data = f"reinterpret_cast<{element}*>({data})"
            size = f"static_cast<std::size_t>(_n_{slot.name})"
            out(f"const std::span<{element}> {name}({data}, {size});")
        else:
            out(f"hyplink::rpq::Copy<{element}> _back_{slot.name};")
            out(
                f"if (!_back_{slot.name}.zero(_n_{slot.name})) "
                "return static_cast<std::int32_t>(hyplink::Errc::no_memory);"
            )
            out(f"const std::span<{element}> {name} = _back_{slot.name}.span();")
        if both:
            out(f"std::copy({var}.begin(), {var}.end(), {name}.begin());")


def _create(out: Writer, names: Names, target: Target) -> list[str]:
    """A new handle before the handler runs, so that what it makes has a name; how to undo that."""
    proc = target.proc
    if not proc.creates:
        return []
    slot = next(s for s in proc.reply.slots if s.name == proc.creates)
    kind = names.type(slot.type)
    parent = names.model.handles[slot.type.name].parent
    owner = next(
        (s for s in proc.request.slots if s.type.kind == "handle" and s.type.name == parent), None
    )
    above = f", {names.var(owner.name)}.value" if owner and parent else ""
    made = f"_new_{slot.name}"
    out(f"const {kind} {made}{{hyplink::rpq::make({target.handles}, {kind}::type{above})}};")
    full = "return static_cast<std::int32_t>(hyplink::Errc::no_memory);"
    out(f"if ({made}.value == 0) {full}")
    return [f"{target.handles}->remove({made}.value);"]


def _destroy(names: Names, target: Target) -> list[str]:
    proc = target.proc
    if not proc.destroys or not target.handles:
        return []
    return [f"{target.handles}->remove({names.var(proc.destroys)}.value);"]


def _write(out: Writer, names: Names, target: Target) -> None:
    proc, block = target.proc, target.proc.reply
    offsets = _offsets(block.fixed, block.parts)
    said = {s.used: s for s in block.slots if s.used}
    for slot in block.slots:
        place = f"_req.out + offsetof(_reply_wire, {cpp_name(slot.name)})"
        value = _given(names, proc, slot)
        if slot.name in said:
            kind = names.value(slot)
            size = f"{_given(names, proc, said[slot.name])}.size()"
            out(f"hyplink::rpq::put({place}, static_cast<{kind}>({size}));")
        elif not slot.is_part:
            out(f"hyplink::rpq::put({place}, {value});")
        else:
            _write_part(out, names, slot, place, value, offsets[slot.name])


def _write_part(out: Writer, names: Names, slot: Slot, place: str, value: str, offset: str) -> None:
    if slot.form == "string":
        test = ""
        if names.is_null_result(slot):
            test, value = f"if ({value}.has_value()) {{", f"(*{value})"
        elif slot.dim == "cap":
            out(f"hyplink::rpq::put_part({place}, {offset}, {value}.size());")
            test = f"if (_n_{slot.name} != 0) {{"
        lines = [
            f"hyplink::rpq::put_part({place}, {offset}, {value}.size());",
            f"hyplink::rpq::put_bytes(_req.out, {offset}, {value}.data(), {value}.size(), 1);",
        ]
        if not test:
            out(*lines)
            return
        with out.block(test, "}"):
            out(*lines[1 if slot.dim == "cap" else 0 :])
        return
    if slot.form == "table":
        out(f"hyplink::rpq::put_part({place}, {offset}, {slot.type.size});")
        out(f"hyplink::rpq::put_one(_req.out, {offset}, {value}, {slot.type.size});")
        return
    size = f" * {slot.type.size}U"
    if names.is_span(slot):
        out(f"hyplink::rpq::put_part({place}, {offset}, _n_{slot.name}{size});")
        if not is_plain(names.model, slot.type):
            var = f"_back_{slot.name}.span()"
            out(f"hyplink::rpq::put_each<{names.element(slot)}>(_req.out, {offset}, {var});")
        return
    out(f"hyplink::rpq::put_part({place}, {offset}, {value}.size(){size});")
    if is_plain(names.model, slot.type):
        size = f"{value}.size(){size}"
        out(f"hyplink::rpq::put_bytes(_req.out, {offset}, {value}.data(), {size});")
    else:
        out(f"hyplink::rpq::put_each<{names.element(slot)}>(_req.out, {offset}, {value});")


def _given(names: Names, proc: Procedure, slot: Slot) -> str:
    """The expression for an output that the handler, or the stub, has made."""
    if slot.name == proc.creates:
        return f"_new_{slot.name}"
    if names.inout(proc, slot):
        return f"_io_{slot.name}" if slot.is_part else names.var(slot.name)
    several = len(names.given_back(proc)) > 1
    return f"_result->{names.var(slot.name)}" if several else "(*_result)"


def _handler_tests(names: Names, proc: Procedure) -> list[str]:
    tests = []
    said = {s.used for s in proc.reply.slots if s.used}
    for slot in proc.reply.slots:
        if slot.name in said or slot.name == proc.creates:
            continue
        value = _given(names, proc, slot)
        if slot.form in ("array", "bytes"):
            tests += _array_tests(names, slot, names.var(slot.name), value, proc)
        elif slot.form == "string":
            tests.append(_text_test(names, slot, value))
        elif slot.type.kind not in ("scalar", "handle", "umem"):
            tests.append(f"!hyplink::rpq::valid({value})")
        elif slot.form == "value" and (outside := names.outside(slot, value)):
            tests.append(f"({outside})")
    return tests


def _text_test(names: Names, slot: Slot, value: str) -> str:
    if names.is_null_result(slot):
        good = f"hyplink::rpq::valid_text(*{value}, {slot.max}U)"
        return f"({value}.has_value() && !{good})"
    good = f"!hyplink::rpq::valid_text({value}, {slot.max}U)"
    if slot.dim != "cap":
        return good
    n = f"_n_{slot.name}"
    return f"{good} || ({n} == 0 ? !{value}.empty() : {value}.size() >= {n})"


def _array_tests(names: Names, slot: Slot, var: str, value: str, proc: Procedure) -> list[str]:
    tests = []
    if names.is_span(slot):
        value = value if names.inout(proc, slot) else var
    else:
        most = f"_n_{slot.name}" if slot.dim == "cap" else f"{slot.max}U"
        tests.append(f"{value}.size() > {most}")
    test = names.outside(slot, "_v")
    if not test and not is_plain(names.model, slot.type) and slot.type.name != "bool":
        test = "!hyplink::rpq::valid(_v)"
    if test:
        each = f"[](const auto& _v) {{ return {test}; }}"
        tests.append(f"std::any_of({value}.begin(), {value}.end(), {each})")
    return tests


def _offsets(fixed: int, parts: list[Slot]) -> dict[str, str]:
    """Where each part of a reply begins: behind the room of those before it."""
    terms = [f"std::uint64_t{{{fixed}}}"]
    offsets: dict[str, str] = {}
    for slot in parts:
        offsets[slot.name] = " + ".join(terms)
        terms.append(room(slot))
    return offsets
