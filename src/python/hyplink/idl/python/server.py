"""The Python server side: a class to implement and the checked way to it."""

from __future__ import annotations

from hyplink.idl.model import SCALARS, Interface, Procedure, Slot
from hyplink.idl.names import snake
from hyplink.idl.python.answer import answer_parts, filled, put_answer
from hyplink.idl.python.callbacks import emitter
from hyplink.idl.python.common import SERVER, Names, docstring
from hyplink.idl.python.procedures import result, sets
from hyplink.idl.python.receive import accept, taken
from hyplink.idl.python.take import Bad
from hyplink.idl.writer import Writer

__all__ = ["dispatcher", "handler", "perform", "served"]


def returned(names: Names, proc: Procedure) -> list[Slot]:
    return [s for s in names.outputs(proc) if not filled(names, s)]


def answer(names: Names, proc: Procedure) -> str:
    slots = returned(names, proc)
    if len(slots) == len(names.outputs(proc)):
        return result(names, proc, SERVER)
    kinds = [names.value(s, SERVER) for s in slots]
    return "None" if not kinds else kinds[0] if len(kinds) == 1 else f"tuple[{', '.join(kinds)}]"


def parameters(names: Names, proc: Procedure) -> list[tuple[Slot, bool]]:
    """What a handler is given: slots in the prototype's order, and whether it is to be filled."""
    asked = {s.name: (s, False) for s in names.inputs(proc, SERVER)}
    asked.update({s.name: (s, True) for s in proc.reply.slots if filled(names, s)})
    return [asked[n] for n in proc.params if n in asked]


def handler(out: Writer, names: Names, interface: Interface) -> None:
    out("")
    prefix = names.prefix(interface)
    with out.block(f"class {prefix}Handler(_abstract.ABC):"):
        docstring(
            out,
            interface.doc or f"Server of {interface.name}.",
            "Arguments are checked. Views are good during the call only; views of outputs are\n"
            "zeroed, to be filled, and have the size the inputs ask for.",
        )
        for proc in interface.procedures:
            words = ["self"]
            if interface.callbacks:
                words.append(f"ctx: {prefix}Server")
            for slot, in_place in parameters(names, proc):
                kind = "memoryview" if in_place else names.value(slot, SERVER)
                words.append(f"{names.var(slot.name)}: {kind}")
            out("", "@_abstract.abstractmethod")
            with out.block(f"def {names.proc(proc)}({', '.join(words)}) -> {answer(names, proc)}:"):
                notes = returned(names, proc)
                text = f"Returns ({', '.join(s.name for s in notes)})." if len(notes) > 1 else ""
                docstring(out, proc.doc or f"``{proc.name}``.", text)
    out("")


def served(out: Writer, names: Names, interface: Interface) -> None:
    """What the server keeps for each channel."""
    if not names.rich(interface):
        return
    prefix, space = names.prefix(interface), snake(interface.name)
    slots = ["_buffers", "_channel", "_handles", "_handler", "session"]
    slots += [f"_state_{snake(v.name)}" for v in interface.state]
    out("")
    with out.block(f"class {prefix}Server:"):
        docstring(
            out,
            f"One channel's server of {interface.name}: its state, and its way back to the client.",
            "Belongs to one thread, as its channel does; the handles are the session's.",
        )
        out("", f"__slots__ = ({', '.join(repr(s) for s in sorted(slots))})", "")
        out("def __init__(")
        with out.block():
            out(f"self, handler: {prefix}Handler, session: _t.Any = None,")
            out("channel: _t.Any = None, buffers: _rt.BufferTable | None = None,")
        with out.block(") -> None:"):
            out("self._handler, self._channel, self._buffers = handler, channel, buffers")
            out("self._handles = _rt.session_handles(session)")
            out("#: The session, which says who the client is.", "self.session = session")
            for var in interface.state:
                out(f"self._state_{snake(var.name)}: int = {var.initial}")
        out("")
        with out.block("def __call__(self, request: _rt.Request) -> int:"):
            out('"""Check a request, perform it, answer; 0 or a reason for the caller."""')
            out(f"return {space}_dispatch(self, request)")
        if interface.callbacks:
            out("", "@property")
            with out.block("def dropped(self) -> int:"):
                out('"""Callbacks that were left out because the client is slow."""')
                out('return int(self._channel.stats["callbacks_dropped"])')
        for proc in interface.callbacks:
            out("")
            emitter(out, names, interface, proc)
    out("")


def perform(out: Writer, names: Names, interface: Interface, proc: Procedure) -> None:
    """Check one request, call the handler, answer."""
    full = f'"{interface.name}.{proc.name}"'
    ident = f"{interface.group << 16 | proc.ordinal:#x}"
    prefix, rich = names.prefix(interface), names.rich(interface)

    def bad(rule: str, field: str, offset: int) -> str:
        return f'raise _rt.BadBlock({ident}, {rule}, "{field}", {offset}, {full})'

    out("")
    head = f"_me: {prefix}Server" if rich else f"handler: {prefix}Handler"
    with out.block(f"def _do_{names.key(interface, proc)}({head}, _request: _rt.Request) -> int:"):
        accept(out, names, interface, proc, bad, SERVER)
        _reply(out, names, interface, proc, full, bad)
    out("")


def _reply(
    out: Writer, names: Names, interface: Interface, proc: Procedure, full: str, bad: Bad
) -> None:
    rich = names.rich(interface)
    block = proc.reply
    answer_parts(out, names, proc, bad, SERVER)
    if proc.kind == "sync":
        out("_out[:] = bytes(len(_out))")
    inputs = {s.name for s in proc.request.slots}
    for slot in block.parts:
        if filled(names, slot):
            view = f"_out[_off_{slot.name} : _off_{slot.name} + _n_{slot.name} * {slot.type.size}]"
            cast = "" if slot.form == "bytes" else f'.cast("{SCALARS[slot.type.name].letter}")'
            var = names.var(slot.name)
            if slot.name in inputs:  # inout: what came is what it begins with
                out(f"_given_{slot.name} = {var}", f"{var} = {view}{cast}")
                out(
                    f"{var}[:] = memoryview(_given_{slot.name}).cast({var}.format)"
                    if slot.form == "bytes"
                    else f"{var}[:] = _given_{slot.name}"
                )
            else:
                out(f"{var} = {view}{cast}")
    sets(out, names, proc, SERVER, lambda field: bad("5", field, 0))
    taken(out, proc, SERVER)
    made = next((s for s in block.slots if s.name == proc.creates), None)
    if proc.creates and made is None:
        made = next((s for s in block.slots if s.type.kind == "handle"), None)
    if made is not None:
        _reserve(out, names, proc, made)
    words = [names.var(s.name) for s, _ in parameters(names, proc)]
    if interface.callbacks:
        words.insert(0, "_me")
    got = returned(names, proc)
    targets = ", ".join(f"_r_{s.name}" for s in got)
    assign = f"{targets} = " if got else ""
    target = "_me._handler" if rich else "handler"
    gone = destroyed(names, proc)
    with out.block("try:"):
        out(f"{assign}{target}.{names.proc(proc)}({', '.join(words)})")
    failed = []
    if proc.kind == "sync":
        failed.append("_out[:] = bytes(len(_out))")
    if made is not None:
        failed.append(f"_me._handles.drop(_new_{made.name})")
    if gone and proc.kind == "async":
        failed.append(gone)
    if proc.throws:
        enum = names.model.enums[proc.throws]
        with out.block(f"except {names.failure(enum)} as _thrown:"):
            out(*failed, "return _thrown.word")
    with out.block("except OSError as _error:"):
        if made is not None:
            out(*failed)
        with out.block("if not _error.errno or _error.errno < 0:"):
            out("raise")
        if made is None:
            out(*failed)
        out("return _error.errno")
    if made is not None:
        with out.block("except BaseException:"):
            out(f"_me._handles.drop(_new_{made.name})", "raise")
        out(f"_me._handles.fill(_new_{made.name}, _r_{made.name})")
    if gone:
        out(gone)
    put_answer(out, names, interface, proc, full, SERVER, made.name if made else "")


def _reserve(out: Writer, names: Names, proc: Procedure, made: Slot) -> None:
    """The handle exists before the handler runs, so that running out of them costs nothing."""
    kind = names.model.handles[made.type.name]
    parent = "0"
    for index, slot, _ in names.order(proc.request):
        if slot is not None and kind.parent and slot.type.name == kind.parent:
            parent = f"_v[{index}]"
            break
    with out.block("try:"):
        out(f'_new_{made.name} = _me._handles.reserve("{made.type.name}", {parent})')
    with out.block("except _rt.LinkError:"):
        out("return _errno.EAGAIN")


def destroyed(names: Names, proc: Procedure) -> str:
    for index, slot, _ in names.order(proc.request):
        if slot is not None and slot.name == proc.destroys:
            return f"_me._handles.drop(_v[{index}])"
    return ""


def dispatcher(out: Writer, names: Names, interface: Interface) -> None:
    prefix, space = names.prefix(interface), snake(interface.name)
    rich = names.rich(interface)
    first = f"{prefix}Server" if rich else f"{prefix}Handler"
    word = "server" if rich else "handler"
    out(f"_table_{space}: dict[int, _abc.Callable[[{first}, _rt.Request], int]] = {{")
    with out.block():
        for proc in interface.procedures:
            ident = interface.group << 16 | proc.ordinal
            out(f"{ident:#x}: _do_{names.key(interface, proc)},")
    out("}", "", "")
    with out.block(f"def {space}_dispatch({word}: {first}, request: _rt.Request) -> int:"):
        docstring(
            out,
            "Check a request, perform it, answer; 0 or an errno for the caller.",
            "Raises:\n    hyplink.errors.CorruptRing: the block broke a rule; the channel is lost.",
        )
        out(f"_do = _table_{space}.get(request.proc)")
        with out.block("if _do is None:"):
            out("return _errno.EOPNOTSUPP")
        out(f"return _do({word}, request)")
    out("", "")
    out(f"def {space}_bind(")
    with out.block():
        out(f"handler: {prefix}Handler, session: _t.Any = None, channel: _t.Any = None,")
        out("buffers: _rt.BufferTable | None = None,")
    with out.block(") -> _abc.Callable[[_rt.Request], int]:"):
        docstring(out, "The function that performs the requests of one channel.")
        if rich:
            out(f"return {prefix}Server(handler, session, channel, buffers)")
        else:
            out(f"return _functools.partial({space}_dispatch, handler)")
    out("", "")
    with out.block(f"def {space}_serve(device_name: str, handler: {prefix}Handler) -> _t.Any:"):
        docstring(out, "Serve ``handler`` at a device; see ``hyplink.rpq.serve``.")
        out('_rpq = _importlib.import_module("hyplink.rpq")')
        bind = f"bind={space}_bind, hello=hello()"
        out(f"return _rpq.serve(device_name, handler, {space}_dispatch, {bind})")
    out("")
