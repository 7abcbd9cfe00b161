"""The C++ server side: a class to implement, and the checked way to it."""

from __future__ import annotations

from collections.abc import Callable

from hyplink.idl.cpp.common import Names, comment
from hyplink.idl.layout import is_plain, part_bytes
from hyplink.idl.model import Interface, Procedure, Slot
from hyplink.idl.names import cpp_name, snake
from hyplink.idl.writer import Writer

__all__ = ["dispatcher", "handler", "perform"]

#: Spells a refusal from rule, field and offset.
_Bad = Callable[[str, str, int], str]


def handler(out: Writer, names: Names, interface: Interface) -> None:
    comment(out, interface.doc)
    out(
        "/// Arguments are checked; spans and texts are good during the call, texts end with a NUL."
    )
    out("/// Spans of outputs are zeroed and have exactly the size the inputs ask for.")
    name = f"{names.prefix(interface)}Handler"
    with out.block(f"class {name} {{", "};"):
        out("public:", f"{name}() = default;", f"virtual ~{name}() = default;")
        out(f"{name}(const {name}&) = delete;", f"{name}& operator=(const {name}&) = delete;", "")
        for proc in interface.procedures:
            comment(out, proc.doc)
            result = names.result(interface, proc)
            kind = "hyplink::Status" if result == "void" else f"hyplink::Result<{result}>"
            kind = "void" if proc.kind == "async" else kind
            out(f"virtual {kind} {names.proc(proc)}({names.arguments(proc)}) = 0;")
    out("")


def perform(out: Writer, names: Names, interface: Interface, proc: Procedure) -> None:
    """Check one request, call the handler, answer."""
    space = snake(interface.name)
    name = f"{names.prefix(interface)}Handler"
    head = (
        f"[[gnu::noinline]] inline std::int32_t {names.proc(proc)}({name}& _handler, "
        "const hyplink::rpq::RequestView& _req, hyplink::rpq::Reject& _why) {"
    )
    ident = f"{space}_proc::{names.proc(proc)}"

    def bad(rule: str, field: str, offset: int) -> str:
        return f'return hyplink::rpq::reject(_why, {ident}, {rule}, "{field}", {offset});'

    with out.block(head, "}"):
        request = proc.request
        if proc.kind == "async":
            out(f"if (_req.is_call) {bad('2', 'is_call', 0)}")
        else:
            out(f"if (!_req.is_call) {bad('2', 'is_call', 0)}")
        if request.parts:
            test = (
                f"_req.in_bytes % 8 != 0 || _req.in_bytes < {request.fixed} || "
                f"_req.in_bytes > {request.max}U"
            )
        else:
            test = f"_req.in_bytes != {request.fixed}"
        out(f"if ({test}) {bad('2', 'in_bytes', 0)}")
        if request.slots:
            out(f"using _wire = {space}_wire::{snake(proc.name)}_in;")
        _fixed(out, names, proc, bad)
        if request.parts:
            out(f"hyplink::rpq::Reader _parts(_req.in, _req.in_bytes, {request.fixed});")
        for slot in request.parts:
            _part(out, names, slot, bad)
        if request.parts:
            out(f"if (!_parts.done()) {bad('2', 'in_bytes', 0)}")
        if proc.kind == "async":
            out(f"_handler.{names.proc(proc)}({names.arguments(proc, types=False)});", "return 0;")
        else:
            _reply(out, names, interface, proc, bad)
    out("")


def _fixed(out: Writer, names: Names, proc: Procedure, bad: _Bad) -> None:
    """All loads first, then all checks in order of the offsets."""
    checks: list[tuple[int, list[str]]] = []
    for slot in proc.request.slots:
        var = names.var(slot.name)
        place = f"_req.in + offsetof(_wire, {cpp_name(slot.name)})"
        if slot.is_part:
            load = f"hyplink::rpq::load_part({place})"
            out(f"const hyplink::rpq::Part _part_{slot.name} = {load};")
            continue
        lines = []
        if slot.form == "value" and slot.type.kind == "scalar" and slot.type.name != "bool":
            out(f"const auto {var} = hyplink::rpq::load<{names.value(slot)}>({place});")
        else:
            out(f"{names.value(slot)} {var}{{}};")
            out(f"const bool _good_{slot.name} = hyplink::rpq::get({place}, {var});")
            lines.append(f"if (!_good_{slot.name}) {bad('7', slot.name, slot.offset)}")
        lines += names.range_check(slot, var, bad("7", slot.name, slot.offset))
        checks.append((slot.offset, lines))
    for at, size in proc.request.pads:
        out(f"const auto _gap{at} = hyplink::rpq::load_pad<{size}>(_req.in + {at});")
        checks.append((at, [f"if (_gap{at} != 0) {bad('7', 'padding', at)}"]))
    for _, lines in sorted(checks):
        out(*lines)


def _count(out: Writer, names: Names, slot: Slot, bad: _Bad) -> None:
    """Evaluate the length from what was loaded; it is the only length that counts."""
    assert slot.length is not None
    kind = names.width(slot.length)
    cast = "std::int64_t" if kind == "i64" else "std::uint64_t"
    value = names.expr(slot.length, kind)
    tests = []
    if slot.length.low < 0:
        tests.append(f"_v_{slot.name} < 0")
    if slot.length.high > slot.max:
        tests.append(f"_v_{slot.name} > {slot.max}{'U' if kind == 'u64' else ''}")
    out(f"const {cast} _v_{slot.name} = {value};")
    if tests:
        out(f"if ({' || '.join(tests)}) {bad('4', slot.name, slot.offset)}")
    out(f"const std::uint64_t _n_{slot.name} = static_cast<std::uint64_t>(_v_{slot.name});")


def _part(out: Writer, names: Names, slot: Slot, bad: _Bad) -> None:
    var, part, copy = names.var(slot.name), f"_part_{slot.name}", f"_copy_{slot.name}"
    good = f"_good_{slot.name}"
    no_memory = "return static_cast<std::int32_t>(hyplink::Errc::no_memory);"
    if slot.form == "string":
        out(f"if ({part}.len > {slot.max}U) {bad('3', slot.name, slot.offset)}")
        size = f"std::uint64_t{{{part}.len}}"
        out(
            f"if (const auto _rule = _parts.take({part}, {size}, 1, {size} + 1)) "
            + bad("_rule", slot.name, slot.offset)
        )
        out(f"hyplink::rpq::Copy<char> {copy};", f"bool {good} = false;")
        out(f"if (!{copy}.text(_parts.data(), {size}, {good})) {no_memory}")
        out(f"if (!{good}) {bad('7', slot.name, slot.offset)}")
        out(f"const std::string_view {var}({copy}.data(), {part}.len);")
        return
    _count(out, names, slot, bad)
    element = names.element(slot)
    out(
        f"if (const auto _rule = _parts.take({part}, _n_{slot.name} * {slot.type.size}U)) "
        + bad("_rule", slot.name, slot.offset)
    )
    if not is_plain(names.model, slot.type):
        out(f"hyplink::rpq::Copy<{element}> {copy};", f"bool {good} = false;")
        out(f"if (!{copy}.each(_parts.data(), _n_{slot.name}, {good})) {no_memory}")
        out(f"if (!{good}) {bad('7', slot.name, slot.offset)}")
        out(f"const std::span<const {element}> {var} = {copy}.span();")
    elif slot.copy:
        out(f"hyplink::rpq::Copy<{element}> {copy};")
        out(f"if (!{copy}.bytes(_parts.data(), _n_{slot.name})) {no_memory}")
        out(f"const std::span<const {element}> {var} = {copy}.span();")
    else:
        data = "_parts.data()"
        if element != "std::byte":
            data = f"reinterpret_cast<const {element}*>({data})"
        out(
            f"const std::span<const {element}> {var}({data}, "
            f"static_cast<std::size_t>(_n_{slot.name}));"
        )


def _reply(out: Writer, names: Names, interface: Interface, proc: Procedure, bad: _Bad) -> None:
    block = proc.reply
    call = f"_handler.{names.proc(proc)}({names.arguments(proc, types=False)})"
    terms = [str(block.fixed)]
    for slot in block.parts:
        if slot.form == "string":
            terms.append(str(part_bytes(slot)))
        else:
            _count(out, names, slot, bad)
            terms.append(f"hyplink::rpq::round8(_n_{slot.name} * {slot.type.size}U)")
    if block.slots:
        out(f"if (_req.out_bytes < {' + '.join(terms)}) {bad('6', 'out_bytes', 0)}")
        out(f"using _reply_wire = {snake(interface.name)}_wire::{snake(proc.name)}_out;")
    out("if (_req.out_bytes != 0) std::memset(_req.out, 0, _req.out_bytes);")
    offsets = _offsets(block.fixed, block.parts)
    for slot in block.parts:
        if slot.form == "string":
            continue
        var, element = names.var(slot.name), names.element(slot)
        if is_plain(names.model, slot.type):
            data = f"_req.out + ({offsets[slot.name]})"
            if element != "std::byte":
                data = f"reinterpret_cast<{element}*>({data})"
            out(
                f"const std::span<{element}> {var}({data}, "
                f"static_cast<std::size_t>(_n_{slot.name}));"
            )
        else:
            out(f"hyplink::rpq::Copy<{element}> _copy_{slot.name};")
            out(
                f"if (!_copy_{slot.name}.zero(_n_{slot.name})) "
                "return static_cast<std::int32_t>(hyplink::Errc::no_memory);"
            )
            out(f"const std::span<{element}> {var} = _copy_{slot.name}.span();")
    out(f"auto _result = {call};")
    with out.block("if (!_result.has_value()) {", "}"):
        if block.slots:
            out("std::memset(_req.out, 0, _req.out_bytes);")
        out("return _result.error().number();")
    tests = _handler_tests(names, proc)
    if tests:
        # The handler's own mistake: the client gets an error, never an impossible value.
        with out.block(f"if ({' || '.join(tests)}) {{", "}"):
            out("std::memset(_req.out, 0, _req.out_bytes);")
            out("return static_cast<std::int32_t>(hyplink::Errc::internal);")
    for slot in block.slots:
        value = _returned(names, proc, slot)
        place = f"_req.out + offsetof(_reply_wire, {cpp_name(slot.name)})"
        if not slot.is_part:
            out(f"hyplink::rpq::put({place}, {value});")
            continue
        offset = offsets[slot.name]
        if slot.form == "string":
            out(f"hyplink::rpq::put_part({place}, {offset}, {value}.size());")
            out(f"hyplink::rpq::put_bytes(_req.out, {offset}, {value}.data(), {value}.size(), 1);")
            continue
        out(f"hyplink::rpq::put_part({place}, {offset}, _n_{slot.name} * {slot.type.size}U);")
        if not is_plain(names.model, slot.type):
            var = names.var(slot.name)
            out(f"hyplink::rpq::put_each<{names.element(slot)}>(_req.out, {offset}, {var});")
    out("return 0;")


def _returned(names: Names, proc: Procedure, slot: Slot) -> str:
    several = len(names.returned(proc)) > 1
    return f"_result->{names.var(slot.name)}" if several else "(*_result)"


def _handler_tests(names: Names, proc: Procedure) -> list[str]:
    tests = []
    for slot in proc.reply.slots:
        if names.is_span(slot):
            if not is_plain(names.model, slot.type) and slot.type.name != "bool":
                var = names.var(slot.name)
                tests.append(
                    f"!std::all_of({var}.begin(), {var}.end(), "
                    "[](const auto& _v) { return hyplink::rpq::valid(_v); })"
                )
            continue
        value = _returned(names, proc, slot)
        if slot.form == "string":
            tests.append(f"!hyplink::rpq::valid_text({value}, {slot.max}U)")
        elif slot.type.kind != "scalar":
            tests.append(f"!hyplink::rpq::valid({value})")
        elif slot.form == "value" and (outside := names.outside(slot, value)):
            tests.append(f"({outside})")
    return tests


def _offsets(fixed: int, parts: list[Slot]) -> dict[str, str]:
    """Where each part of a reply begins: behind the room of those before it."""
    terms = [f"std::uint64_t{{{fixed}}}"]
    offsets: dict[str, str] = {}
    for slot in parts:
        offsets[slot.name] = " + ".join(terms)
        if slot.form == "string":
            terms.append(str(part_bytes(slot)))
        else:
            terms.append(f"hyplink::rpq::round8(_n_{slot.name} * {slot.type.size}U)")
    return offsets


def dispatcher(out: Writer, names: Names, interface: Interface) -> None:
    prefix, space = names.prefix(interface), snake(interface.name)
    by_ordinal = {p.ordinal: names.proc(p) for p in interface.procedures}
    first, last = min(by_ordinal, default=0), max(by_ordinal, default=0)
    dense = last - first < 4 * len(by_ordinal) + 64
    if by_ordinal and dense:
        with out.block(f"namespace {space}_server {{", f"}}  // namespace {space}_server"):
            out("/// One jump, however many procedures there are.")
            out(f"using Perform = decltype(&{by_ordinal[first]});")
            with out.block(f"inline constexpr Perform table[{last - first + 1}] = {{", "};"):
                for number in range(first, last + 1):
                    out(f"{by_ordinal.get(number, 'nullptr')},")
        out("")
    out("/// Check a request, perform it, answer: 0, an errno for the caller, or `rpq::kRejected`.")
    with out.block(
        f"inline std::int32_t perform({prefix}Handler& handler, "
        "const hyplink::rpq::RequestView& request, hyplink::rpq::Reject& why) {",
        "}",
    ):
        if by_ordinal and dense:
            out(f"const std::uint32_t at = request.proc - {space}_proc::{by_ordinal[first]};")
            with out.block(f"if (at < std::size({space}_server::table)) [[likely]] {{", "}"):
                out(f"if (const auto one = {space}_server::table[at]) [[likely]]")
                with out.block():
                    out("return one(handler, request, why);")
        else:
            with out.block("switch (request.proc) {", "}"):
                for name in by_ordinal.values():
                    out(f"case {space}_proc::{name}:")
                    with out.block():
                        out(f"return {space}_server::{name}(handler, request, why);")
                out("default:")
                with out.block():
                    out("break;")
        out("return static_cast<std::int32_t>(hyplink::Errc::unsupported);")
    out("")
    out("/// The same; a refused block becomes an error with procedure, rule, field and offset.")
    with out.block(
        f"inline hyplink::Result<std::int32_t> dispatch({prefix}Handler& handler, "
        "const hyplink::rpq::RequestView& request) {",
        "}",
    ):
        out("hyplink::rpq::Reject why;")
        out("const std::int32_t status = perform(handler, request, why);")
        with out.block("if (status == hyplink::rpq::kRejected) [[unlikely]] {", "}"):
            out(f'return hyplink::rpq::rejected("{interface.name}", why);')
        out("return status;")
    out("")
