"""The Python client: one method per procedure, packing straight into the channel's window."""

from __future__ import annotations

from hyplink.idl.model import Interface, Procedure
from hyplink.idl.names import python_name, snake
from hyplink.idl.python.callbacks import listening
from hyplink.idl.python.common import CLIENT, Names, docstring
from hyplink.idl.python.procedures import capacity, refusal, result, sets, signature
from hyplink.idl.python.send import give, pack, put
from hyplink.idl.python.take import take_answer
from hyplink.idl.writer import Writer

__all__ = ["client", "formats", "link"]


def formats(out: Writer, names: Names, interface: Interface) -> None:
    """The precompiled layouts."""
    for proc in [*interface.procedures, *interface.callbacks]:
        key = names.key(interface, proc)
        for block, tail in ((proc.request, "in"), (proc.reply, "out")):
            if not block.slots:
                continue
            packing = names.body(block.slots, block.pads, packing=True)
            reading = names.body(block.slots, block.pads, packing=False)
            out(f'_put_{key}_{tail} = _struct.Struct("<{packing}").pack_into')
            out(f'_get_{key}_{tail} = _struct.Struct("<{reading}").unpack_from')
    out("")


def link(out: Writer, names: Names, interface: Interface) -> None:
    """What both kinds of client share: state, registrations, answers that are known already."""
    if not names.rich(interface):
        return
    cached = [p for p in interface.procedures if p.cacheable]
    slots = ["_buffers", "_callbacks", *(f"_state_{snake(v.name)}" for v in interface.state)]
    slots += [f"_cache_{names.proc(p)}" for p in cached]
    out("")
    with out.block(f"class _{names.prefix(interface)}Link:"):
        listed = "".join(f"{s!r}, " for s in sorted(slots))
        out(f"__slots__ = ({listed.strip()})", "")
        with out.block("def __init__(self, buffers: _rt.BufferTable | None) -> None:"):
            out("self._buffers = buffers", "self._callbacks = _rt.Registrations()")
            for var in interface.state:
                out(f"self._state_{snake(var.name)}: int = {var.initial}")
            for proc in cached:
                out(f"self._cache_{names.proc(proc)}: dict[_t.Any, _t.Any] = {{}}")
    out("")


def client(out: Writer, names: Names, interface: Interface, *, waits: bool) -> None:
    """The client class; with ``waits`` the awaitable one, which has the calls only."""
    prefix, rich = names.prefix(interface), names.rich(interface)
    name = f"{prefix}AsyncClient" if waits else f"{prefix}Client"
    kind = "_rt.AsyncChannel" if waits else "_rt.Channel"
    slots = ["_begin_call", "_call", "_window"]
    if not waits:
        slots += ["_aio", "_begin", "_channel", "_notify", "_post"]
    if rich:
        slots += ["_me"]
    if rich and waits:
        slots += ["_channel"]
    listed = ", ".join(f'"{s}"' for s in sorted(slots))
    out("")
    with out.block(f"class {name}:"):
        docstring(
            out,
            interface.doc or f"Client of {interface.name}.",
            "The awaitable calls." if waits else "Belongs to one thread, as its channel does.",
        )
        out("", f"__slots__ = ({listed})", "")
        extra = ""
        if rich and waits:
            extra = f", *, link: _{prefix}Link | None = None"
        elif rich:
            extra = ", *, buffers: _rt.BufferTable | None = None"
        with out.block(f"def __init__(self, channel: {kind}{extra}) -> None:"):
            out("self._window = channel.window", "self._begin_call = channel.begin_call")
            if waits:
                out("self._call = channel.call_async")
            else:
                out("self._call = channel.call", "self._begin = channel.begin")
                out("self._post = channel.post", "self._notify = channel.notify")
                out("self._channel = channel", f"self._aio: {prefix}AsyncClient | None = None")
            if rich and waits:
                out("self._channel = channel")
                out(f"self._me = _{prefix}Link(None) if link is None else link")
            elif rich:
                out(f"self._me = _{prefix}Link(buffers)")
            if interface.callbacks and not waits:
                space = snake(interface.name)
                hooks = "_t.cast(_rt.CallbackChannel, channel)"
                out(f"_listen_{space}({hooks}, self._me)")
        if not waits:
            out("", "@property")
            with out.block(f"def aio(self) -> {prefix}AsyncClient:"):
                out('"""The calls as coroutines, for a channel that has ``call_async``."""')
                with out.block("if self._aio is None:"):
                    cast = "_t.cast(_rt.AsyncChannel, self._channel)"
                    shared = ", link=self._me" if rich else ""
                    out(f"self._aio = {prefix}AsyncClient({cast}{shared})")
                out("return self._aio")
        if interface.callbacks:
            listening(out, names, interface, waits=waits)
        for proc in interface.procedures:
            if not waits or proc.kind == "sync":
                out("")
                _method(out, names, interface, proc, waits=waits)
    out("")


def _documentation(names: Names, proc: Procedure) -> list[str]:
    outputs = names.outputs(proc)
    answers = ", ".join(python_name(s.name) for s in outputs)
    described = [
        f"{python_name(s.name)}: {' '.join(s.doc.split())}"
        for s in [*proc.request.slots, *outputs]
        if s.doc
    ]
    parts = [proc.doc, "\n".join(described)]
    if len(outputs) > 1:
        parts.append(f"Returns ({answers}).")
    if proc.throws:
        enum = names.model.enums[proc.throws]
        parts.append(f"Raises:\n    {names.failure(enum)}: as the server says.")
    if "deprecated" in proc.attributes:
        parts.append("Deprecated.")
    return parts


def _method(
    out: Writer, names: Names, interface: Interface, proc: Procedure, *, waits: bool
) -> None:
    full = f'"{interface.name}.{proc.name}"'
    arguments = signature(names, proc, CLIENT)
    if proc.kind == "sync" and not waits:
        arguments += ["*", "timeout: float | None = None"]
    head = ", ".join(["self", *arguments])
    word = "async def" if waits else "def"
    with out.block(f"{word} {names.proc(proc)}({head}) -> {result(names, proc)}:"):
        docstring(out, *_documentation(names, proc))
        if "deprecated" in proc.attributes:
            out(f"_rt.deprecated({full})")
        if proc.cacheable:
            _known(out, names, proc)
        packed = pack(out, names, interface, proc, full, CLIENT)
        ident = f"{interface.group << 16 | proc.ordinal:#x}"
        key = names.key(interface, proc)
        at = "_at = " if packed.values else ""
        if proc.kind == "sync":
            need = capacity(out, names, proc, full, CLIENT)
            out(f"{at}self._begin_call({ident}, {packed.size}, {need})")
        else:
            out(f"{at}self._begin({ident}, {packed.size})")
        if packed.values:
            with out.block("try:"):
                out(f"_put_{key}_in(self._window, _at, {', '.join(packed.values)})")
            with out.block("except _rt.PACK_ERRORS as _error:"):
                out(f"raise _rt.bad_value({full}, _error) from None")
        put(out, proc.request, "self._window", "_at + ")
        give(out, proc, CLIENT)
        if proc.kind == "async":
            out("self._post()")
            if proc.notify:
                out("self._notify()")
        sets(out, names, proc, CLIENT, lambda field: f"raise _rt.bad_argument({full}, {field!r})")
        for other in interface.procedures:
            if other.cacheable == proc.name:
                out(f"self._me._cache_{names.proc(other)}.clear()")
        if proc.kind == "async":
            return
        # No timeout given means the channel's own, which only the channel knows.
        call = (
            "await self._call()"
            if waits
            else ("self._call() if timeout is None else self._call(timeout=timeout)")
        )
        with_out = "_status, _at, _room" if proc.reply.slots else "_status, _, _"
        out(f"{with_out} = {call}")
        with out.block("if _status:"):
            out(f"raise {refusal(names, proc, full)}")
        if proc.reply.slots:
            _answer(out, names, interface, proc, full)


def _known(out: Writer, names: Names, proc: Procedure) -> None:
    words = ", ".join(names.var(s.name) for s in names.inputs(proc))
    cache = f"self._me._cache_{names.proc(proc)}"
    out(f"_key = _rt.cache_key({words})")
    with out.block(f"if _key in {cache}:"):
        out(f"_before: {result(names, proc)} = {cache}[_key]", "return _before")


def _answer(out: Writer, names: Names, interface: Interface, proc: Procedure, full: str) -> None:
    block = proc.reply
    ident = f"{interface.group << 16 | proc.ordinal:#x}"
    need = "_need" if block.parts else str(block.fixed)

    def bad(rule: str, field: str, offset: int) -> str:
        return f'raise _rt.BadBlock({ident}, {rule}, "{field}", {offset}, {full})'

    with out.block(f"if _room < {need}:"):
        out(bad("6", "out_bytes", 0))
    out(f"_v = _get_{names.key(interface, proc)}_out(self._window, _at)")
    take_answer(out, names, block, bad, CLIENT, need)
    returned = ", ".join(f"_r_{s.name}" for s in names.outputs(proc))
    out(f"_result: {result(names, proc)} = {returned}")
    if proc.cacheable:
        out(f"_rt.keep(self._me._cache_{names.proc(proc)}, _key, _result)")
    out("return _result")
