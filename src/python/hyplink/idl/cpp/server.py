"""The C++ server side: a class to implement, the checked way to it, and callbacks to the client."""

from __future__ import annotations

from hyplink.idl.cpp import receive, send
from hyplink.idl.cpp.client import uses_buffers
from hyplink.idl.cpp.common import Names, comment
from hyplink.idl.cpp.target import Target
from hyplink.idl.cpp.way import Way
from hyplink.idl.model import Interface, Procedure
from hyplink.idl.names import snake
from hyplink.idl.writer import Writer

__all__ = ["callbacks", "context", "dispatcher", "handler", "perform", "server"]


def uses_handles(interface: Interface) -> bool:
    """Whether this interface needs a table of handles."""
    procs = interface.procedures
    return any(s.type.kind == "handle" for p in procs for s in [*p.request.slots, *p.reply.slots])


def needs_context(interface: Interface) -> bool:
    """Whether a server keeps something for each channel."""
    return bool(interface.state) or uses_buffers(interface) or uses_handles(interface)


def context(out: Writer, names: Names, interface: Interface) -> None:
    """What a channel's requests are checked against besides themselves."""
    if not needs_context(interface):
        return
    prefix = names.prefix(interface)
    out("/// What the server keeps for one channel; the tables belong to the session.")
    with out.block(f"struct {prefix}Context {{", "};"):
        if uses_handles(interface):
            out("hyplink::rpq::HandleTable* handles = nullptr;")
        if uses_buffers(interface):
            out("hyplink::rpq::BufferTable* buffers = nullptr;")
        if interface.state:
            out(f"{prefix}State state{{}};")
    out("")


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
            kind = names.outcome(interface, proc, handler=True)
            arguments = names.arguments(proc, sender=False)
            out(f"virtual {kind} {names.proc(proc)}({arguments}) = 0;")
    out("")


def _head(names: Names, interface: Interface) -> tuple[str, str]:
    """Parameters that go through everything, and their names."""
    prefix = names.prefix(interface)
    if needs_context(interface):
        return f"{prefix}Handler& handler, {prefix}Context& context", "handler, context"
    return f"{prefix}Handler& handler", "handler"


def perform(out: Writer, names: Names, interface: Interface, proc: Procedure) -> None:
    """Check one request, call the handler, answer."""
    prefix = names.prefix(interface)
    extra = f"[[maybe_unused]] {prefix}Context& _ctx, " if needs_context(interface) else ""
    head = (
        f"[[gnu::noinline]] inline std::int32_t {names.proc(proc)}({prefix}Handler& _handler, "
        f"{extra}const hyplink::rpq::RequestView& _req, hyplink::rpq::Reject& _why) {{"
    )
    with out.block(head, "}"):
        if interface.state:
            out("[[maybe_unused]] auto& _state = _ctx.state;")
        target = Target(interface, proc, f"_handler.{names.proc(proc)}")
        if uses_handles(interface):
            target.handles = "_ctx.handles"
        if uses_buffers(interface):
            target.buffers = "_ctx.buffers"
        receive.body(out, names, target)
    out("")


def dispatcher(out: Writer, names: Names, interface: Interface) -> None:
    space = snake(interface.name)
    by_ordinal = {p.ordinal: names.proc(p) for p in interface.procedures}
    first, last = min(by_ordinal, default=0), max(by_ordinal, default=0)
    dense = last - first < 4 * len(by_ordinal) + 64
    given, passed = _head(names, interface)
    if by_ordinal and dense:
        with out.block(f"namespace {space}_server {{", f"}}  // namespace {space}_server"):
            out("/// One jump, however many procedures there are.")
            out(f"using Perform = decltype(&{by_ordinal[first]});")
            with out.block(f"inline constexpr Perform table[{last - first + 1}] = {{", "};"):
                for ordinal in range(first, last + 1):
                    out(f"{by_ordinal.get(ordinal, 'nullptr')},")
        out("")
    out("/// Check a request, perform it, answer: 0, an errno for the caller, or `rpq::kRejected`.")
    with out.block(
        f"inline std::int32_t perform({given}, "
        "const hyplink::rpq::RequestView& request, hyplink::rpq::Reject& why) {",
        "}",
    ):
        if by_ordinal and dense:
            out(f"const std::uint32_t at = request.proc - {space}_proc::{by_ordinal[first]};")
            with out.block(f"if (at < std::size({space}_server::table)) [[likely]] {{", "}"):
                out(f"if (const auto one = {space}_server::table[at]) [[likely]]")
                with out.block():
                    out(f"return one({passed}, request, why);")
        else:
            with out.block("switch (request.proc) {", "}"):
                for name in by_ordinal.values():
                    out(f"case {space}_proc::{name}:")
                    with out.block():
                        out(f"return {space}_server::{name}({passed}, request, why);")
                out("default:")
                with out.block():
                    out("break;")
        out("return static_cast<std::int32_t>(hyplink::Errc::unsupported);")
    out("")
    out("/// The same; a refused block becomes an error with procedure, rule, field and offset.")
    with out.block(
        f"inline hyplink::Result<std::int32_t> dispatch({given}, "
        "const hyplink::rpq::RequestView& request) {",
        "}",
    ):
        out("hyplink::rpq::Reject why;")
        out(f"const std::int32_t status = perform({passed}, request, why);")
        with out.block("if (status == hyplink::rpq::kRejected) [[unlikely]] {", "}"):
            out(f'return hyplink::rpq::rejected("{interface.name}", why);')
        out("return status;")
    out("")


def server(out: Writer, names: Names, interface: Interface) -> None:
    """A channel's server as one object."""
    if not needs_context(interface):
        return
    prefix = names.prefix(interface)
    out(
        "/// The server of one channel: a handler and what the channel's requests have left behind."
    )
    with out.block(f"class {prefix}Server {{", "};"):
        out("public:")
        head = f"{prefix}Server({prefix}Handler& handler, {prefix}Context context = {{}})"
        out(f"explicit {head}", "    : _handler(handler), _context(context) {}")
        with out.block(
            "hyplink::Result<std::int32_t> dispatch(const hyplink::rpq::RequestView& request) {",
            "}",
        ):
            name = "::".join(["", *names.namespace.split("::"), "dispatch"])
            out(f"return {name}(_handler, _context, request);")
        out(f"{prefix}Context& context() {{ return _context; }}", "", "private:")
        out(f"{prefix}Handler& _handler;", f"{prefix}Context _context;")
    out("")


def callbacks(out: Writer, names: Names, interface: Interface) -> None:
    """What the server calls at the client."""
    if not interface.callbacks:
        return
    prefix = names.prefix(interface)
    out(
        "/// Calls to the client of one channel; `Channel` is the server's end, which keeps back and drops"
    )
    out("/// what a slow client does not take.")
    out("template <class Channel>")
    with out.block(f"class {prefix}Callbacks {{", "};"):
        out("public:")
        out(f"explicit {prefix}Callbacks(Channel& channel) : _ch(channel) {{}}", "")
        if uses_buffers(interface):
            out("/// Where buffers named by parameters are.")
            out("void use(hyplink::rpq::BufferTable* buffers) { _buffers = buffers; }", "")
        for proc in interface.callbacks:
            comment(out, proc.doc)
            kind = names.outcome(interface, proc)
            name = names.proc(proc)
            with out.block(f"{kind} {name}({names.arguments(proc, sender=True)}) {{", "}"):
                send.body(out, names, _way(names, interface, proc))
            out("")
        out("private:", "Channel& _ch;")
        if uses_buffers(interface):
            out("hyplink::rpq::BufferTable* _buffers = nullptr;")
    out("")


def _way(names: Names, interface: Interface, proc: Procedure) -> Way:
    drop = {"": "refuse"}.get(proc.drop, proc.drop)
    way = Way(interface, proc, "callback_", f", hyplink::rpq::Drop::{drop}, {proc.keep}")
    if proc.on_lost is not None and names.returned(proc):
        slots = names.returned(proc)
        lost = f"static_cast<{names.output(slots[0])}>({proc.on_lost})"
        several = f"{names.result(interface, proc)}{{.{names.var(slots[0].name)} = {lost}}}"
        way.lost = lost if len(slots) == 1 else several
    return way
