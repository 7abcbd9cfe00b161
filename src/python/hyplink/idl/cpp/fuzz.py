"""A fuzz target that knows the lengths: legal requests out of the fuzzer's bytes, then damaged.

The generated client builds each block, so every length relation holds until the damage; the
generated server, or for callbacks the client, must refuse what is wrong and survive. Answers are
damaged in the same way for the client to read. For libFuzzer: ``clang++ -fsanitize=fuzzer``.
"""

from __future__ import annotations

from hyplink.idl.cpp.client import uses_buffers
from hyplink.idl.cpp.common import Names
from hyplink.idl.cpp.server import needs_context, uses_handles
from hyplink.idl.layout import leaves
from hyplink.idl.model import SCALARS, Interface, Model, Procedure, Slot
from hyplink.idl.names import cpp_name, snake
from hyplink.idl.writer import Writer

__all__ = ["generate"]


def generate(model: Model) -> dict[str, str]:
    """File name to text: ``STEM_fuzz.cpp``, for which ``mock`` and ``cpp`` are needed too."""
    out, names = Writer(), Names(model)
    out(f"// Generated from {model.stem}.vidl by hyplink idl; changes here are lost.")
    out('#include "hyplink/app/rpq/fuzz_input.hpp"', f'#include "{model.stem}_mock.hpp"', "")
    out(f"namespace {names.namespace} {{", "namespace {", "")
    out("using hyplink::rpq::FuzzArray;", "using hyplink::rpq::FuzzChannel;")
    out("using hyplink::rpq::FuzzInput;", "")
    for interface in model.interfaces:
        for proc in [*interface.procedures, *interface.callbacks]:
            _procedure(out, names, interface, proc)
        _interface(out, names, interface)
    out(
        "}  // namespace",
        "",
        f"void fuzz_{model.stem}(const std::uint8_t* data, std::size_t size);",
    )
    head = f"void fuzz_{model.stem}(const std::uint8_t* data, std::size_t size) {{"
    with out.block(head, "}"):
        out("FuzzInput input(data, size);")
        count = max(1, len(model.interfaces))
        with out.block(f"switch (input.raw<std::uint8_t>() % {count}U) {{", "}"):
            for index, interface in enumerate(model.interfaces):
                out(f"case {index}:")
                with out.block():
                    out(f"fuzz_all_{snake(interface.name)}(input);", "break;")
            out("default:")
            with out.block():
                out("break;")
    out("", f"}}  // namespace {names.namespace}", "")
    out("#ifndef HYPLINK_FUZZ_WITHOUT_ENTRY  // the function above is called from elsewhere")
    with out.block(
        'extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);\n'
        'extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {',
        "}",
    ):
        out(f"{names.namespace}::fuzz_{model.stem}(data, size);", "return 0;")
    out("#endif")
    return {f"{model.stem}_fuzz.cpp": out.text()}


def _interface(out: Writer, names: Names, interface: Interface) -> None:
    """A client, a server and up to sixteen requests between them."""
    prefix, space = names.prefix(interface), snake(interface.name)
    with out.block(f"void fuzz_all_{space}(FuzzInput& input) {{", "}"):
        out(
            "FuzzChannel channel(input);", f"{prefix}Mock mock;", f"{prefix}Client client(channel);"
        )
        given = "mock"
        if needs_context(interface):
            given = "mock, context"
            out(f"{prefix}Context context;")
        if uses_handles(interface):
            out("hyplink::rpq::HandleTable handles(64);", "context.handles = &handles;")
            for full in names.model.handles:
                out(f"handles.add({names.qualified(full)}::type);")
        if uses_buffers(interface):
            out("hyplink::rpq::FuzzBuffers buffers;", "context.buffers = &buffers;")
            out("if (input.flag()) client.use(&buffers);")
        out("bool poisoned = false;")
        out("channel.receive = [&](const hyplink::rpq::RequestView& view, bool) {")
        with out.block("", "};"):
            out(f"const std::int32_t status = perform({given}, view, channel.why);")
            out("poisoned = status == hyplink::rpq::kRejected;", "return status;")
        if interface.callbacks:
            out(f"{prefix}Callbacks callbacks(channel);")
        total = len(interface.procedures) + len(interface.callbacks)
        with (
            out.block("for (int i = 0; i < 16 && !poisoned && input.left() != 0; ++i) {", "}"),
            out.block(f"switch (input.raw<std::uint16_t>() % {max(1, total)}U) {{", "}"),
        ):
            for index, proc in enumerate([*interface.procedures, *interface.callbacks]):
                who = "callbacks" if proc in interface.callbacks else "client"
                state = ", context.state" if interface.state else ""
                out(f"case {index}:")
                with out.block():
                    out(f"fuzz_{space}_{snake(proc.name)}({who}, input{state});", "break;")
            out("default:")
            with out.block():
                out("break;")
    out("")


def _procedure(out: Writer, names: Names, interface: Interface, proc: Procedure) -> None:
    """One request: scalars first, for lengths depend on them."""
    name = f"fuzz_{snake(interface.name)}_{snake(proc.name)}"
    state = ""
    if interface.state:
        state = f", [[maybe_unused]] const {names.prefix(interface)}State& _state"
    out("template <class Sender>")
    with out.block(f"void {name}(Sender& sender, [[maybe_unused]] FuzzInput& _in{state}) {{", "}"):
        every = [*proc.request.slots, *proc.reply.slots]
        if names.can_miss([s.length for s in every if s.length]):
            out("[[maybe_unused]] bool _miss = false;")
        for slot in proc.request.slots:
            if not slot.is_part:
                _value(out, names, slot)
        for slot in proc.request.slots:
            if slot.is_part:
                _part(out, names, slot)
        incoming = {s.name for s in proc.request.slots}
        for slot in proc.reply.slots:
            if names.is_span(slot) and slot.name not in incoming:
                _array(out, names, slot)
        call = f"sender.{names.proc(proc)}({', '.join(_arguments(names, proc))})"
        out(f"static_cast<void>({call});")
    out("")


def _arguments(names: Names, proc: Procedure) -> list[str]:
    given = []
    slots = {names.var(s.name): s for s in [*proc.reply.slots, *proc.request.slots]}
    for _, name in names.parameters(proc, sender=True):
        slot = slots[name]
        if slot.form in ("array", "bytes") and not (slot.nullable and slot.direction == "in"):
            name = f"_a_{slot.name}.span()"
        given.append(name)
    return given


def _value(out: Writer, names: Names, slot: Slot) -> None:
    var, kind = names.var(slot.name), slot.type.kind
    if kind == "handle" and slot.form == "value":
        out(f"{names.type(slot.type)} {var}{{_in.raw<std::uint8_t>() % 8U | 1U << 20U}};")
        return
    if kind == "umem":
        length = "_in.raw<std::uint16_t>()"
        out(f"hyplink::rpq::BufferRef {var}{{_in.raw<std::uint8_t>() % 2U, 1, 0, {length}}};")
        return
    if kind == "callback":
        out(f"typename Sender::{names._input(slot, True)} {var};")
        return
    out(f"[[maybe_unused]] {names.value(slot)} {var}{{}};")
    if kind == "cookie":
        out(
            f"{var} = static_cast<hyplink::rpq::Cookie>(_in.among<std::uint32_t>({{0, 65537, 9}}));"
        )
        return
    _fill(out, names, slot, var)


def _fill(out: Writer, names: Names, slot: Slot, var: str) -> None:
    """Each scalar of a value, legal nearly always."""
    for leaf in leaves(names.model, slot, 0, "_"):
        if leaf.pad:
            continue
        first, *rest = leaf.path.split(".")
        path = ".".join([first.replace("_", var, 1), *map(cpp_name, rest)])
        kind = SCALARS[leaf.scalar]
        targets = [f"{path}[{i}]" for i in range(leaf.count)] if leaf.count else [path]
        for target in targets[:16]:
            cast = f"std::remove_reference_t<decltype({target})>"
            if leaf.enum is not None:
                members = ", ".join(_number(m.value, kind.cpp) for m in leaf.enum.members[:64])
                out(f"{target} = static_cast<{cast}>(_in.among<{kind.cpp}>({{{members}}}));")
            elif leaf.scalar == "bool":
                out(f"{target} = _in.flag();")
            elif not kind.integer:
                out(f"{target} = _in.raw<{kind.cpp}>();")
            elif leaf.choices:
                members = ", ".join(_number(v, kind.cpp) for v in leaf.choices)
                out(f"{target} = _in.among<{kind.cpp}>({{{members}}});")
            else:
                low = kind.low if leaf.low is None else leaf.low
                high = kind.high if leaf.high is None else leaf.high
                bounds = f"{_number(low, kind.cpp)}, {_number(high, kind.cpp)}"
                out(f"{target} = _in.within<{kind.cpp}>({bounds});")


def _number(value: int, kind: str) -> str:
    if value == -(1 << 63):
        return "INT64_MIN"
    suffix = "U" if kind.startswith("std::uint") else ""
    return f"static_cast<{kind}>({value}{suffix})"


def _part(out: Writer, names: Names, slot: Slot) -> None:
    var = names.var(slot.name)
    if slot.form in ("array", "bytes"):
        _array(out, names, slot)
        if slot.nullable:
            out(f"{names.input(slot)} {var};", f"if (_in.flag()) {var} = _a_{slot.name}.span();")
    elif slot.form == "string":
        out(f"std::string _s_{slot.name} = _in.text({slot.max});")
        if slot.direction == "inout":
            out(f"std::string& {var} = _s_{slot.name};")
        else:
            out(f"{names.input(slot)} {var}(_s_{slot.name});")
            if slot.nullable:
                out(f"if (_in.flag()) {var}.reset();")
    elif slot.form == "nested":
        _nested(out, names, slot)
    elif slot.form in ("optional", "table"):
        kind = names.type(slot.type)
        out(f"[[maybe_unused]] {kind} _o_{slot.name}{{}};")
        if slot.form == "optional" and slot.type.kind != "handle":
            inner = Slot(slot.name, "value", slot.type, low=slot.low, high=slot.high)
            inner.choices = slot.choices
            _fill(out, names, inner, f"_o_{slot.name}")
        elif slot.form == "table":
            for member in names.model.tables[slot.type.name].slots:
                _fill(out, names, member, f"_o_{slot.name}.{cpp_name(member.name)}")
        out(f"{names.input(slot)} {var}{{}};")
        test = "if (_in.flag()) " if slot.nullable or slot.form == "optional" else ""
        out(f"{test}{var} = _o_{slot.name};")


def _count(names: Names, slot: Slot) -> str:
    if slot.length is None or slot.dim not in ("expr", "cap"):
        return f"std::uint64_t{{_in.raw<std::uint8_t>() % {min(slot.max, 200) + 1}U}}"
    spell = names.spell
    kind = spell.width(slot.length)
    text = spell.expr(slot.length, kind)
    return (
        f"static_cast<std::uint64_t>(std::max<std::int64_t>(0, static_cast<std::int64_t>({text})))"
    )


def _array(out: Writer, names: Names, slot: Slot) -> None:
    array = f"_a_{slot.name}"
    out(f"FuzzArray<{names.element(slot)}> {array}(_in, {_count(names, slot)});")
    if slot.dim == "until":
        element = names.element(slot)
        with out.block(f"if (!{array}.span().empty()) {{", "}"):
            out(f"{array}.span().back() = static_cast<{element}>({slot.until});")


def _nested(out: Writer, names: Names, slot: Slot) -> None:
    var, element = names.var(slot.name), names.element(slot)
    inner = "std::string_view" if slot.text else f"std::span<const {element}>"
    count = f"std::min<std::uint64_t>({_count(names, slot)}, 16)"
    kept = "std::string" if slot.text else f"FuzzArray<{element}>"
    out(f"std::vector<{kept}> _k_{slot.name};", f"std::vector<{inner}> _v_{slot.name};")
    with out.block(f"for (std::uint64_t _i = 0, _n = {count}; _i < _n; ++_i) {{", "}"):
        if slot.text:
            out(f"_k_{slot.name}.push_back(_in.text(20));")
        else:
            size = "std::uint64_t{_in.raw<std::uint8_t>() % 8U}"
            if slot.inner is not None and slot.inner_dim == "expr":
                if slot.index:
                    out(f"[[maybe_unused]] const auto {names.var(slot.index)} = _i;")
                spell = names.spell
                size = (
                    f"static_cast<std::uint64_t>({spell.expr(slot.inner, spell.width(slot.inner))})"
                )
            out(f"_k_{slot.name}.emplace_back(_in, {size});")
    take = "_k" if slot.text else "_k.span()"
    out(f"for (auto& _k : _k_{slot.name}) _v_{slot.name}.emplace_back({take});")
    out(f"{names.input(slot)} {var}(_v_{slot.name});")
    if slot.nullable:
        out(f"if (_in.flag()) {var}.reset();")
