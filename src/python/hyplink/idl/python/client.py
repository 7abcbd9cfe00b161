"""The Python client: one method per procedure, packing straight into the channel's window."""

from __future__ import annotations

from collections.abc import Callable

from hyplink.idl.layout import part_bytes
from hyplink.idl.model import SCALARS, Interface, Procedure, Slot
from hyplink.idl.names import python_name
from hyplink.idl.python.common import Names, docstring
from hyplink.idl.python.types import flatten, rebuild
from hyplink.idl.writer import Writer

__all__ = ["client", "formats", "result", "take"]

#: Spells a refusal from rule, field and offset.
_Bad = Callable[[str, str, int], str]


def formats(out: Writer, names: Names, interface: Interface) -> None:
    """The precompiled layouts."""
    for proc in interface.procedures:
        key = names.key(interface, proc)
        for block, tail in ((proc.request, "in"), (proc.reply, "out")):
            if not block.slots:
                continue
            packing = names.body(block.slots, block.pads, packing=True)
            reading = names.body(block.slots, block.pads, packing=False)
            out(f'_put_{key}_{tail} = _struct.Struct("<{packing}").pack_into')
            out(f'_get_{key}_{tail} = _struct.Struct("<{reading}").unpack_from')
    out("")


def client(out: Writer, names: Names, interface: Interface, *, waits: bool) -> None:
    """The client class; with ``waits`` the awaitable one, which has the calls only."""
    prefix = names.prefix(interface)
    name = f"{prefix}AsyncClient" if waits else f"{prefix}Client"
    kind = "_rt.AsyncChannel" if waits else "_rt.Channel"
    slots = (
        '("_begin_call", "_call", "_window")'
        if waits
        else (
            '("_aio", "_begin", "_begin_call", "_call", "_channel", "_notify", "_post", "_window")'
        )
    )
    out("")
    with out.block(f"class {name}:"):
        docstring(
            out,
            interface.doc or f"Client of {interface.name}.",
            "The awaitable calls." if waits else "Belongs to one thread, as its channel does.",
        )
        out("", f"__slots__ = {slots}", "")
        with out.block(f"def __init__(self, channel: {kind}) -> None:"):
            out("self._window = channel.window", "self._begin_call = channel.begin_call")
            if waits:
                out("self._call = channel.call_async")
            else:
                out("self._call = channel.call", "self._begin = channel.begin")
                out("self._post = channel.post", "self._notify = channel.notify")
                out("self._channel = channel", f"self._aio: {prefix}AsyncClient | None = None")
        if not waits:
            out("", "@property")
            with out.block(f"def aio(self) -> {prefix}AsyncClient:"):
                out('"""The calls as coroutines, for a channel that has ``call_async``."""')
                out("if self._aio is None:")
                with out.block():
                    out(
                        f"self._aio = {prefix}AsyncClient(_t.cast(_rt.AsyncChannel, self._channel))"
                    )
                out("return self._aio")
        for proc in interface.procedures:
            if not waits or proc.kind == "sync":
                out("")
                _method(out, names, interface, proc, waits=waits)
    out("")


def result(names: Names, proc: Procedure) -> str:
    """The annotation of what a call returns."""
    kinds = [names.value(s) for s in proc.reply.slots]
    if not kinds:
        return "None"
    return kinds[0] if len(kinds) == 1 else f"tuple[{', '.join(kinds)}]"


def _documentation(proc: Procedure) -> list[str]:
    answers = ", ".join(python_name(s.name) for s in proc.reply.slots)
    described = [
        f"{python_name(s.name)}: {' '.join(s.doc.split())}"
        for s in [*proc.request.slots, *proc.reply.slots]
        if s.doc
    ]
    parts = [proc.doc, "\n".join(described)]
    if len(proc.reply.slots) > 1:
        parts.append(f"Returns ({answers}).")
    return parts


def _method(
    out: Writer, names: Names, interface: Interface, proc: Procedure, *, waits: bool
) -> None:
    full = f'"{interface.name}.{proc.name}"'
    inputs = {s.name: s for s in proc.request.slots}
    arguments = [f"{names.var(n)}: {names.given(inputs[n])}" for n in proc.params if n in inputs]
    if proc.kind == "sync" and not waits:
        arguments += ["*", "timeout: float | None = None"]
    head = ", ".join(["self", *arguments])
    word = "async def" if waits else "def"
    with out.block(f"{word} {names.proc(proc)}({head}) -> {result(names, proc)}:"):
        docstring(out, *_documentation(proc))
        values = _prepare(out, names, proc, full)
        size = _size(out, proc)
        ident = f"{interface.group << 16 | proc.ordinal:#x}"
        key = names.key(interface, proc)
        at = "_at = " if values else ""
        if proc.kind == "sync":
            out(f"{at}self._begin_call({ident}, {size}, {_capacity(out, names, proc, full)})")
        else:
            out(f"{at}self._begin({ident}, {size})")
        if values:
            with out.block("try:"):
                out(f"_put_{key}_in(self._window, _at, {', '.join(values)})")
            with out.block("except _rt.PACK_ERRORS as _error:"):
                out(f"raise _rt.bad_value({full}, _error) from None")
        for slot in proc.request.parts:
            out(f"_rt.put_part(self._window, _at + _off_{slot.name}, _part_{slot.name})")
        if proc.kind == "async":
            out("self._post()")
            if proc.notify:
                out("self._notify()")
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
            out(f"raise _rt.refused({full}, _status)")
        if proc.reply.slots:
            _answer(out, names, interface, proc, full)


def _prepare(out: Writer, names: Names, proc: Procedure, full: str) -> list[str]:
    """Check and convert the arguments; what the fixed part's ``pack_into`` takes."""
    values: dict[str, list[str]] = {}
    for slot in proc.request.slots:
        if not slot.is_part:
            values[slot.name] = [
                flatten(out, names, slot, names.var(slot.name), full, f'"{slot.name}"')
            ]
    for slot in proc.request.parts:
        _convert(out, names, slot, full)
        tail = " - 1" if slot.form == "string" else ""
        values[slot.name] = [f"_off_{slot.name}", f"len(_part_{slot.name}){tail}"]
    return [v for slot in proc.request.slots for v in values[slot.name]]


def _convert(out: Writer, names: Names, slot: Slot, full: str) -> None:
    var, part, field = names.var(slot.name), f"_part_{slot.name}", f'"{slot.name}"'
    if slot.form == "string":
        out(f"{part} = _rt.encode_text({full}, {field}, {var}, {slot.max})")
        return
    if slot.form == "bytes":
        out(f"{part} = _rt.octets({full}, {field}, {var})")
    elif slot.type.kind == "struct":
        pack, flat = names.ref(slot.type, "_pack_"), names.ref(slot.type, "_flat_")
        out(f'{part} = b"".join([{pack}(*{flat}(_e, {full}, {field})) for _e in {var}])')
    else:
        enum = names.enum_of(slot.type)
        if enum and not enum.open:
            known = names.ref(slot.type, "_known_")
            with out.block(f"if any(_e not in {known} for _e in {var}):"):
                out(f'raise _rt.bad_argument({full}, {field}, {var}, "members of {enum.name}")')
        name = enum.base if enum else slot.type.name
        letter = "?" if name == "bool" else SCALARS[name].letter
        out(f'{part} = _rt.pack_array({full}, {field}, "{letter}", {var})')
    _length(out, names, slot, full, f"len({part}) != _n_{slot.name} * {slot.type.size}")


def _length(out: Writer, names: Names, slot: Slot, full: str, wrong: str) -> None:
    assert slot.length is not None
    count = f"_n_{slot.name}"
    out(f"{count} = {names.expr(slot.length)}")
    tests = [wrong] if wrong else []
    if slot.length.high > slot.max or slot.length.low < 0:
        tests.insert(0, f"not 0 <= {count} <= {slot.max}")
    if tests:
        with out.block(f"if {' or '.join(tests)}:"):
            found = f"len(_part_{slot.name}) // {slot.type.size}" if wrong else count
            out(f'raise _rt.bad_length({full}, "{slot.name}", {found}, {count}, {slot.max})')


def _size(out: Writer, proc: Procedure) -> str:
    parts = proc.request.parts
    if not parts:
        return str(proc.request.fixed)
    end = str(proc.request.fixed)
    for slot in parts:
        out(f"_off_{slot.name} = {end}")
        end = f"_off_{slot.name} + (len(_part_{slot.name}) + 7 & -8)"
    out(f"_size = {end}")
    return "_size"


def _capacity(out: Writer, names: Names, proc: Procedure, full: str) -> str:
    terms = [str(proc.reply.fixed)]
    for slot in proc.reply.parts:
        if slot.form == "string":
            terms.append(str(part_bytes(slot)))
        else:
            _length(out, names, slot, full, "")
            terms.append(f"(_n_{slot.name} * {slot.type.size} + 7 & -8)")
    if len(terms) == 1:
        return terms[0]
    out(f"_need = {' + '.join(terms)}")
    return "_need"


def _answer(out: Writer, names: Names, interface: Interface, proc: Procedure, full: str) -> None:
    """Read the reply with the rules of a request: the server is a peer like any other."""
    block = proc.reply
    ident = f"{interface.group << 16 | proc.ordinal:#x}"
    need = "_need" if block.parts else str(block.fixed)

    def bad(rule: str, field: str, offset: int) -> str:
        return f'raise _rt.BadBlock({ident}, {rule}, "{field}", {offset}, {full})'

    with out.block(f"if _room < {need}:"):
        out(bad("6", "out_bytes", 0))
    out(f"_v = _get_{names.key(interface, proc)}_out(self._window, _at)")
    if block.parts:
        out(f"_block, _cur = self._window[_at : _at + {need}], {block.fixed}")
    for index, slot, offset in names.order(block):
        if slot is None:
            with out.block(f"if any(_v[{index}]):"):
                out(bad("7", "padding", offset))
            continue
        target = f"_r_{slot.name}"
        if not slot.is_part:
            rebuild(out, names, slot, target, index, bad("7", slot.name, offset))
    for index, slot, _ in names.order(block):
        if slot is not None and slot.is_part:
            take(out, names, slot, f"_r_{slot.name}", index, bad, reply=True)
    returned = ", ".join(f"_r_{s.name}" for s in block.slots)
    out(f"_result: {result(names, proc)} = {returned}", "return _result")


def take(
    out: Writer, names: Names, slot: Slot, target: str, index: int, bad: _Bad, *, reply: bool
) -> None:
    """Accept one part into ``target``; ``_n_…`` holds its length where there is one."""
    where = f"_block, _cur, len(_block), _v[{index}], _v[{index + 1}]"
    begin = f"_v[{index}]"
    with out.block("try:"):
        if slot.form == "string":
            reserve = slot.max + 1 if reply else 0
            out(f"{target}, _cur = _rt.take_text({where}, {slot.max}, {reserve})")
        else:
            out(f"_w_{slot.name} = _n_{slot.name} * {slot.type.size}")
            out(f"_cur = _rt.take_part({where}, _w_{slot.name}, _w_{slot.name})")
    with out.block("except _rt.Fault as _fault:"):
        out(bad("_fault.rule", slot.name, slot.offset) + " from None")
    if slot.form == "string":
        return
    piece = f"_block[{begin} : {begin} + _w_{slot.name}]"
    copy = slot.copy or reply
    if slot.form == "bytes":
        out(f"{target} = bytes({piece})" if copy else f"{target} = {piece}.toreadonly()")
        return
    if slot.type.kind == "struct":
        make, each = names.ref(slot.type, "_make_"), names.ref(slot.type, "_each_")
        out(f"{target}: _t.Any = [{make}(_e) for _e in {each}(bytes({piece}))]")
        with out.block(f"if None in {target}:"):
            out(bad("7", slot.name, slot.offset))
        return
    enum = names.enum_of(slot.type)
    name = enum.base if enum else slot.type.name
    letter = SCALARS[name].letter
    source = f'_rt.values("{letter}", bytes({piece}))'
    if enum:
        known = names.ref(slot.type, "_known_")
        default = ", _e" if enum.open else ""
        out(f"{target}: _t.Any = [{known}.get(_e{default}) for _e in {source}]")
        if not enum.open:
            with out.block(f"if None in {target}:"):
                out(bad("7", slot.name, slot.offset))
    elif name == "bool":
        out(f"_raw_{slot.name} = bytes({piece})")
        with out.block(f'if _raw_{slot.name}.strip(b"\\0\\1"):'):
            out(bad("7", slot.name, slot.offset))
        out(f"{target} = [_e == 1 for _e in _raw_{slot.name}]")
    elif copy:
        out(f"{target} = {source}")
    else:
        out(f'{target} = _rt.values("{letter}", {piece}.toreadonly())')
