"""Callbacks: what the server sends, and how the client comes to perform it."""

from __future__ import annotations

from hyplink.idl.model import Interface, Procedure
from hyplink.idl.names import snake
from hyplink.idl.python.answer import answer_parts, put_answer
from hyplink.idl.python.common import EMITTER, HOOK, Names, docstring
from hyplink.idl.python.procedures import capacity, refusal, result, signature
from hyplink.idl.python.receive import accept, taken
from hyplink.idl.python.send import give, pack, put
from hyplink.idl.python.take import take_answer
from hyplink.idl.writer import Writer

__all__ = ["emitter", "hooks", "listening"]


def emitter(out: Writer, names: Names, interface: Interface, proc: Procedure) -> None:
    """The method by which a server sends a callback."""
    full = f'"{interface.name}.{proc.name}"'
    arguments = signature(names, proc, EMITTER)
    head = ", ".join(["self", *arguments])
    with out.block(f"def {names.proc(proc)}({head}) -> {result(names, proc, EMITTER)}:"):
        notes = {
            "newest": "Left out when the client is slow; ``dropped`` counts.",
            "oldest": f"A slow client loses the oldest of the last {proc.keep}.",
            "": "",
        }
        docstring(out, proc.doc or f"Send the callback ``{proc.name}``.", notes[proc.drop])
        packed = pack(out, names, interface, proc, full, EMITTER)
        ident = f"{interface.group << 16 | proc.ordinal:#x}"
        key = names.key(interface, proc)
        at = "_at = " if packed.values else ""
        if proc.kind == "sync":
            _call(out, names, interface, proc, full, packed.size, packed.values)
            return
        window, where = "self._channel.window", "_at"
        if proc.drop:
            out(f"_image = memoryview(bytearray({packed.size}))")
            window, where = "_image", "0"
        else:
            out(f"{at}self._channel.callback_begin({ident}, {packed.size})")
        if packed.values:
            _write(out, f"_put_{key}_in({window}, {where}, {', '.join(packed.values)})", full)
        put(out, proc.request, window, f"{where} + ")
        give(out, proc, EMITTER)
        if proc.drop:  # the channel keeps back, drops and counts
            sent = f'{ident}, _image, drop="{proc.drop}", keep={proc.keep}'
            out(f"self._channel.callback_post_bytes({sent})")
        else:
            out("self._channel.callback_post()")


def _write(out: Writer, line: str, full: str) -> None:
    with out.block("try:"):
        out(line)
    with out.block("except _rt.PACK_ERRORS as _error:"):
        out(f"raise _rt.bad_value({full}, _error) from None")


def _lost(names: Names, proc: Procedure) -> str:
    """The statement that answers for a client which does not, or ""."""
    if proc.on_lost is None or not proc.reply.slots:
        return "return" if proc.on_lost is not None else ""
    kind = proc.reply.slots[0].type
    return (
        f"return {names.ref(kind)}({proc.on_lost})"
        if names.enum_of(kind)
        else f"return {proc.on_lost}"
    )


def _call(
    out: Writer,
    names: Names,
    interface: Interface,
    proc: Procedure,
    full: str,
    size: str,
    values: list[str],
) -> None:
    """A synchronous callback; without an answer, or with a refusal, ``on_lost`` where there is one."""
    ident = f"{interface.group << 16 | proc.ordinal:#x}"
    key = names.key(interface, proc)
    need = capacity(out, names, proc, full, EMITTER)
    timeout = f"timeout={proc.timeout / 1e9!r}" if proc.timeout else ""
    lost = _lost(names, proc)
    with out.block("try:") if lost else _nothing():
        at = "_at = " if values else ""
        out(f"{at}self._channel.callback_begin_call({ident}, {size}, {need})")
        if values:
            _write(out, f"_put_{key}_in(self._channel.window, _at, {', '.join(values)})", full)
        put(out, proc.request, "self._channel.window", "_at + ")
        give(out, proc, EMITTER)
        with_out = "_status, _at, _room" if proc.reply.slots else "_status, _, _"
        out(f"{with_out} = self._channel.callback_call({timeout})")
    if lost:
        with out.block("except _rt.LOST:"):
            out(lost)
    with out.block("if _status:"):
        out(lost or f"raise {refusal(names, proc, full)}")
    if not proc.reply.slots:
        return
    block = proc.reply
    needed = "_need" if block.parts else str(block.fixed)

    def bad(rule: str, field: str, offset: int) -> str:
        return f'raise _rt.BadBlock({ident}, {rule}, "{field}", {offset}, {full})'

    with out.block(f"if _room < {needed}:"):
        out(bad("6", "out_bytes", 0))
    out("_window = self._channel.window")
    out(f"_v = _get_{key}_out(_window, _at)")
    take_answer(out, names, block, bad, EMITTER, needed, "_window")
    returned = ", ".join(f"_r_{s.name}" for s in names.outputs(proc))
    out(f"_result: {result(names, proc, EMITTER)} = {returned}", "return _result")


class _nothing:
    """No block at all."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, *_: object) -> None:
        return None


# -- the client ------------------------------------------------------------------------------------


def _on(proc: Procedure) -> str:
    name = snake(proc.name)
    return name if name.startswith("on_") else f"on_{name}"


def listening(out: Writer, names: Names, interface: Interface, *, waits: bool) -> None:
    """The methods by which a client says what it does with callbacks."""
    out("")
    if waits:
        with out.block("async def handle_callbacks(self) -> int:"):
            docstring(out, "Perform the callbacks that come, at least one; how many.")
            channel = "_t.cast(_rt.CallbackChannel, self._channel)"
            out(f"return await {channel}.handle_callbacks_async()")
        return
    with out.block("def handle_callbacks(self, *, timeout: float | None = 0.0) -> int:"):
        docstring(
            out,
            "Perform the callbacks that wait; how many. They also run while a call waits.",
            "``timeout`` is how long to wait for the first; None is for ever.",
        )
        channel = "_t.cast(_rt.CallbackChannel, self._channel)"
        out(f"return {channel}.handle_callbacks(timeout=timeout)")
    for proc in interface.callbacks:
        if names.has_cookie(proc):
            continue  # comes by registration
        ident = f"{interface.group << 16 | proc.ordinal:#x}"
        kinds = ", ".join(names.value(s) for s in names.inputs(proc))
        kind = f"_abc.Callable[[{kinds}], {result(names, proc)}]"
        out("")
        with out.block(f"def {_on(proc)}(self, function: {kind}) -> {kind}:"):
            docstring(
                out, proc.doc or f"What to do with ``{proc.name}``.", "Also works as a decorator."
            )
            out(f"self._me._callbacks.set({ident}, function)", "return function")


def hooks(out: Writer, names: Names, interface: Interface) -> None:
    """Check one callback, call the client's function, answer."""
    prefix, space = names.prefix(interface), snake(interface.name)
    numbers = {p.name: f"{interface.group << 16 | p.ordinal:#x}" for p in interface.callbacks}
    for proc in interface.callbacks:
        full = f'"{interface.name}.{proc.name}"'
        ident = numbers[proc.name]

        def bad(rule: str, field: str, offset: int, ident: str = ident, full: str = full) -> str:
            return f'raise _rt.BadBlock({ident}, {rule}, "{field}", {offset}, {full})'

        out("")
        key = names.key(interface, proc)
        with out.block(f"def _on_{key}(_me: _{prefix}Link, _request: _rt.Request) -> int:"):
            accept(out, names, interface, proc, bad, HOOK)
            answer_parts(out, names, proc, bad, HOOK)
            taken(out, proc, HOOK)
            holder = next((s for s in proc.request.slots if s.type.kind == "cookie"), None)
            if holder is not None:
                var = names.var(holder.name)
                out(f"_found = _me._callbacks.find({var})")
                with out.block("if _found is None or _found[0] is None:"):
                    out("_me._callbacks.dropped += 1", "return _errno.ENOENT")
                out("_function: _t.Any = _found[0]", "_cookie: _t.Any = _found[1]")
            else:
                out(f"_function: _t.Any = _me._callbacks.on.get({ident})")
                with out.block("if _function is None:"):
                    out("_me._callbacks.dropped += 1", "return _errno.ENOENT")
            if proc.kind == "sync":
                out("_out[:] = bytes(len(_out))")
            words = [
                "_cookie" if s.type.kind == "cookie" else names.var(s.name)
                for s in names.inputs(proc)
            ]
            got = names.outputs(proc)
            assign = f"{', '.join(f'_r_{s.name}' for s in got)} = " if got else ""
            with out.block("try:"):
                out(f"{assign}_function({', '.join(words)})")
            with out.block("except OSError as _error:"):
                with out.block("if not _error.errno or _error.errno < 0:"):
                    out("raise")
                out("return _error.errno")
            put_answer(out, names, interface, proc, full, HOOK)
        out("")
    out(f"_hooks_{space}: dict[int, _abc.Callable[[_{prefix}Link, _rt.Request], int]] = {{")
    with out.block():
        for proc in interface.callbacks:
            out(f"{numbers[proc.name]}: _on_{names.key(interface, proc)},")
    out("}", "", "")
    with out.block(
        f"def _listen_{space}(channel: _rt.CallbackChannel, link: _{prefix}Link) -> None:"
    ):
        with out.block("def perform(request: _rt.Request) -> int:"):
            out(f"_do = _hooks_{space}.get(request.proc)")
            with out.block("if _do is None:"):
                out("return _errno.EOPNOTSUPP")
            out("return _do(link, request)")
        out("", "# A recorder or a test's channel may have no way back.")
        with out.block('if hasattr(channel, "on_callback"):'):
            out("channel.on_callback(perform)")
    out("")
