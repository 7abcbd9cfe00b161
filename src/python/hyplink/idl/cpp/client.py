"""The C++ client: one member function per procedure, marshalling in place."""

from __future__ import annotations

from hyplink.idl.cpp import receive, send
from hyplink.idl.cpp.common import Names, comment
from hyplink.idl.cpp.target import Target
from hyplink.idl.cpp.way import Way
from hyplink.idl.model import Interface, Procedure
from hyplink.idl.names import cpp_name, pascal, snake
from hyplink.idl.writer import Writer

__all__ = ["client"]


def client(out: Writer, names: Names, interface: Interface) -> None:
    prefix = names.prefix(interface)
    comment(out, interface.doc)
    out("/// `Channel` reserves and commits blocks; one thread at a time, as with the channel.")
    out("template <class Channel>")
    with out.block(f"class {prefix}Client {{", "};"):
        out("public:")
        for proc in interface.callbacks:
            _function(out, names, proc)
        if interface.callbacks:
            _constructor(out, prefix)
        else:
            out(f"explicit {prefix}Client(Channel& channel) : _ch(channel) {{}}", "")
        if uses_buffers(interface):
            out("/// Where buffers named by parameters are, and where large ones go.")
            out("void use(hyplink::rpq::BufferTable* buffers) { _buffers = buffers; }", "")
        _settable(out, names, interface)
        for proc in interface.procedures:
            _procedure(out, names, interface, proc)
        out("private:")
        for proc in interface.callbacks:
            _received(out, names, interface, proc)
        if interface.callbacks:
            _dispatch(out, names, interface)
        _members(out, names, interface)
    out("")


def uses_buffers(interface: Interface) -> bool:
    """Whether anything here names a vUmem buffer."""
    procs = [*interface.procedures, *interface.callbacks]
    return any(s.large or s.type.kind == "umem" for p in procs for s in p.request.slots)


def _constructor(out: Writer, prefix: str) -> None:
    with out.block(f"explicit {prefix}Client(Channel& channel) : _ch(channel) {{", "}"):
        out("// A channel of a test may have none.")
        with out.block("if constexpr (requires { channel.on_callback(nullptr); }) {", "}"):
            out("channel.on_callback([this](const hyplink::rpq::RequestView& request) {")
            out("    return _called(request);", "});")
    out(f"{prefix}Client(const {prefix}Client&) = delete;")
    out(f"{prefix}Client& operator=(const {prefix}Client&) = delete;", "")
    out("/// Callbacks that broke a rule, and what the last of them broke.")
    out("std::uint64_t refused() const { return _refused; }")
    out("const hyplink::rpq::Reject& refusal() const { return _refusal; }", "")


def _function(out: Writer, names: Names, proc: Procedure) -> None:
    comment(out, proc.doc)
    result = "void"
    interface = next(i for i in names.model.interfaces if proc in i.callbacks)
    if proc.kind == "sync":
        result = names.outcome(interface, proc, handler=True)
    kinds = ", ".join(kind for kind, _ in names.parameters(proc, sender=False))
    out(f"using {pascal(proc.name)}Function = std::function<{result}({kinds})>;")


def _registered(proc: Procedure) -> str:
    """The cookie that says which function is meant, or "" when there is one function only."""
    return next((s.name for s in proc.request.slots if s.type.kind == "cookie"), "")


def _settable(out: Writer, names: Names, interface: Interface) -> None:
    single = [p for p in interface.callbacks if not _registered(p)]
    if not single:
        return
    out("/// Called when the server calls; what is empty is ignored.")
    with out.block("struct Callbacks {", "} callbacks;"):
        for proc in single:
            out(f"{pascal(proc.name)}Function {names.proc(proc)};")
    out("")


def _procedure(out: Writer, names: Names, interface: Interface, proc: Procedure) -> None:
    comment(out, proc.doc)
    if proc.since:
        out(f"/// Since {proc.since}.")
    if "deprecated" in proc.attributes:
        out("[[deprecated]]")
    head = f"{names.outcome(interface, proc)} {names.proc(proc)}"
    with out.block(f"{head}({names.arguments(proc, sender=True)}) {{", "}"):
        way = Way(interface, proc, registries={})
        way.before = (*_forget(interface, proc, names), *_register(names, proc))
        if kept(names, proc):
            way.before = (*_asked(names, proc), *way.before)
            way.keep = f"_kept_{snake(proc.name)}.keep(std::move(_key), _result);"
        send.body(out, names, way)
    out("")


def kept(names: Names, proc: Procedure) -> bool:
    """Whether answers are kept: only where the result is all there is."""
    if not proc.cacheable or proc.kind != "sync" or proc.creates or not names.returned(proc):
        return False
    both = {s.name for s in proc.request.slots} & {s.name for s in proc.reply.slots}
    plain = all(s.type.kind not in ("struct", "umem", "table") for s in proc.request.slots)
    simple = all(s.form not in ("fixed", "nested") for s in proc.request.slots)
    return plain and simple and not both and not any(map(names.is_span, proc.reply.slots))


def _asked(names: Names, proc: Procedure) -> list[str]:
    lines = ["std::string _key;"]
    for slot in proc.request.slots:
        lines.append(f"hyplink::rpq::key_add(_key, {names.var(slot.name)});")
    lines.append(f"if (const auto* _hit = _kept_{snake(proc.name)}.find(_key)) return *_hit;")
    return lines


def _forget(interface: Interface, proc: Procedure, names: Names) -> list[str]:
    return [
        f"_kept_{snake(p.name)}.clear();"
        for p in interface.procedures
        if p.cacheable == proc.name and kept(names, p)
    ]


def _register(names: Names, proc: Procedure) -> list[str]:
    """Give each function a number. One that can only be replaced replaces the last."""
    lines = []
    others = [s for s in proc.request.slots if s.type.kind not in ("callback", "cookie")]
    for slot in proc.request.slots:
        if slot.type.kind != "callback":
            continue
        var, made = names.var(slot.name), f"_reg_{slot.name}"
        registry = f"_registered_{snake(slot.type.name.rpartition('.')[2])}"
        if not others:
            lines.append(f"{registry}.remove(_last_{snake(proc.name)}_{slot.name});")
        lines.append(f"const bool _some_{slot.name} = static_cast<bool>({var});")
        add = f"{registry}.add(std::move({var}))"
        lines.append(f"const std::uint32_t {made} = _some_{slot.name} ? {add} : 0;")
        lines.append(f"if (_some_{slot.name} && {made} == 0) return hyplink::Errc::no_memory;")
        if not others:
            lines.append(f"_last_{snake(proc.name)}_{slot.name} = {made};")
    return lines


def _received(out: Writer, names: Names, interface: Interface, proc: Procedure) -> None:
    name = names.proc(proc)
    head = (
        f"std::int32_t _on_{name}(const hyplink::rpq::RequestView& _req, "
        "hyplink::rpq::Reject& _why) {"
    )
    gone = "0"
    if proc.kind == "sync":
        gone = "static_cast<std::int32_t>(hyplink::Errc::revoked)"
    with out.block(head, "}"):
        target = Target(interface, proc, "_function")
        if uses_buffers(interface):
            target.buffers = "_buffers"
        if cookie := _registered(proc):
            number = f"static_cast<std::uint32_t>({names.var(cookie)})"
            got = f"auto _function = _registered_{snake(proc.name)}.get({number});"
        else:
            got = f"const auto _function = callbacks.{name};"
        target.before = (got, f"if (!_function) return {gone};")
        receive.body(out, names, target)
    out("")


def _dispatch(out: Writer, names: Names, interface: Interface) -> None:
    space = snake(interface.name)
    with out.block("std::int32_t _called(const hyplink::rpq::RequestView& _req) {", "}"):
        out("hyplink::rpq::Reject _why;")
        out("std::int32_t _status = static_cast<std::int32_t>(hyplink::Errc::unsupported);")
        with out.block("switch (_req.proc) {", "}"):
            for proc in interface.callbacks:
                name = names.proc(proc)
                out(f"case {space}_callback_proc::{name}:")
                with out.block():
                    out(f"_status = _on_{name}(_req, _why);", "break;")
            out("default:")
            with out.block():
                out("break;")
        out("if (_status != hyplink::rpq::kRejected) return _status;")
        out("_refusal = _why;")
        out("++_refused;")
        out("return static_cast<std::int32_t>(hyplink::Errc::corrupt);")
    out("")


def _members(out: Writer, names: Names, interface: Interface) -> None:
    out("Channel& _ch;")
    if interface.callbacks:
        out("hyplink::rpq::Reject _refusal{};", "std::uint64_t _refused = 0;")
    if interface.state:
        out(f"{names.prefix(interface)}State _state;")
    if uses_buffers(interface):
        out("hyplink::rpq::BufferTable* _buffers = nullptr;")
    for proc in interface.callbacks:
        if _registered(proc):
            kind = f"hyplink::rpq::Registry<{pascal(proc.name)}Function>"
            out(f"{kind} _registered_{snake(proc.name)};")
    for proc in interface.procedures:
        if any(s.type.kind not in ("callback", "cookie") for s in proc.request.slots):
            continue
        for slot in proc.request.slots:
            if slot.type.kind == "callback":
                out(f"std::uint32_t _last_{snake(proc.name)}_{slot.name} = 0;")
    for proc in interface.procedures:
        if kept(names, proc):
            kind = names.result(interface, proc)
            out(f"hyplink::rpq::Answers<{kind}> _kept_{cpp_name(snake(proc.name))};")
