"""The Python server side: a class to implement and the checked way to it."""

from __future__ import annotations

from collections.abc import Callable

from hyplink.idl.layout import is_plain, part_bytes
from hyplink.idl.model import SCALARS, Interface, Procedure, Slot
from hyplink.idl.names import snake
from hyplink.idl.python.client import result, take
from hyplink.idl.python.common import Names, docstring
from hyplink.idl.python.types import flatten, rebuild
from hyplink.idl.writer import Writer

__all__ = ["dispatcher", "handler", "perform"]

_Bad = Callable[[str, str, int], str]


def filled(names: Names, slot: Slot) -> bool:
    """Outputs that the handler writes in place, in shared memory."""
    return (
        slot.form in ("bytes", "array")
        and is_plain(names.model, slot.type)
        and (slot.type.kind == "scalar")
    )


def returned(names: Names, proc: Procedure) -> list[Slot]:
    return [s for s in proc.reply.slots if not filled(names, s)]


def answer(names: Names, proc: Procedure) -> str:
    slots = returned(names, proc)
    if len(slots) == len(proc.reply.slots):
        return result(names, proc)
    kinds = [names.value(s) for s in slots]
    return "None" if not kinds else kinds[0] if len(kinds) == 1 else f"tuple[{', '.join(kinds)}]"


def handler(out: Writer, names: Names, interface: Interface) -> None:
    out("")
    with out.block(f"class {names.prefix(interface)}Handler(_abstract.ABC):"):
        docstring(
            out,
            interface.doc or f"Server of {interface.name}.",
            "Arguments are checked. Views are good during the call only; views of outputs are\n"
            "zeroed, to be filled, and have the size the inputs ask for.",
        )
        for proc in interface.procedures:
            slots = {s.name: s for s in [*proc.request.slots, *proc.reply.slots]}
            words = ["self"]
            for name in proc.params:
                slot = slots[name]
                if slot.direction == "in":
                    words.append(f"{names.var(name)}: {names.value(slot)}")
                elif filled(names, slot):
                    words.append(f"{names.var(name)}: memoryview")
            out("", "@_abstract.abstractmethod")
            with out.block(f"def {names.proc(proc)}({', '.join(words)}) -> {answer(names, proc)}:"):
                notes = returned(names, proc)
                text = f"Returns ({', '.join(s.name for s in notes)})." if len(notes) > 1 else ""
                docstring(out, proc.doc or f"``{proc.name}``.", text)
    out("")


def perform(out: Writer, names: Names, interface: Interface, proc: Procedure) -> None:
    """Check one request, call the handler, answer."""
    full = f'"{interface.name}.{proc.name}"'
    ident = f"{interface.group << 16 | proc.ordinal:#x}"
    key = names.key(interface, proc)

    def bad(rule: str, field: str, offset: int) -> str:
        return f'raise _rt.BadBlock({ident}, {rule}, "{field}", {offset}, {full})'

    out("")
    head = f"handler: {names.prefix(interface)}Handler, _request: _rt.Request"
    with out.block(f"def _do_{key}({head}) -> int:"):
        request = proc.request
        with out.block(
            "if _request.is_call:" if proc.kind == "async" else "if not _request.is_call:"
        ):
            out(bad("2", "is_call", 0))
        out("_block = _request.params")
        if request.parts:
            test = f"len(_block) % 8 or not {request.fixed} <= len(_block) <= {request.max}"
        else:
            test = f"len(_block) != {request.fixed}"
        with out.block(f"if {test}:"):
            out(bad("2", "in_bytes", 0))
        if request.slots:
            # One read of everything; from here on only what was read counts.
            out(f"_v = _get_{key}_in(_block)")
        order = names.order(request)
        for index, slot, offset in order:
            if slot is None:
                with out.block(f"if any(_v[{index}]):"):
                    out(bad("7", "padding", offset))
            elif not slot.is_part:
                rebuild(out, names, slot, names.var(slot.name), index, bad("7", slot.name, offset))
        if request.parts:
            out(f"_cur = {request.fixed}")
        for index, slot, _ in order:
            if slot is not None and slot.is_part:
                if slot.form != "string":
                    _count(out, names, slot, bad)
                take(out, names, slot, names.var(slot.name), index, bad, reply=False)
        if request.parts:
            with out.block("if _cur != len(_block):"):
                out(bad("2", "in_bytes", 0))
        _reply(out, names, interface, proc, full, bad)
    out("")


def _count(out: Writer, names: Names, slot: Slot, bad: _Bad) -> None:
    assert slot.length is not None
    out(f"_n_{slot.name} = {names.expr(slot.length)}")
    if slot.length.high > slot.max or slot.length.low < 0:
        with out.block(f"if not 0 <= _n_{slot.name} <= {slot.max}:"):
            out(bad("4", slot.name, slot.offset))


def _reply(
    out: Writer, names: Names, interface: Interface, proc: Procedure, full: str, bad: _Bad
) -> None:
    block = proc.reply
    end = str(block.fixed)
    for slot in block.parts:
        out(f"_off_{slot.name} = {end}")
        if slot.form == "string":
            end = f"_off_{slot.name} + {part_bytes(slot)}"
        else:
            _count(out, names, slot, bad)
            end = f"_off_{slot.name} + (_n_{slot.name} * {slot.type.size} + 7 & -8)"
    out_needed = proc.kind == "sync"
    if out_needed:
        out("_out = _request.out")
    if block.slots:
        with out.block(f"if len(_out) < {end}:"):
            out(bad("6", "out_bytes", 0))
    if out_needed:
        out("_out[:] = bytes(len(_out))")
    for slot in block.parts:
        if filled(names, slot):
            view = f"_out[_off_{slot.name} : _off_{slot.name} + _n_{slot.name} * {slot.type.size}]"
            cast = "" if slot.form == "bytes" else f'.cast("{SCALARS[slot.type.name].letter}")'
            out(f"{names.var(slot.name)} = {view}{cast}")
    arguments = ", ".join(
        names.var(n)
        for n in proc.params
        if any(
            s.name == n and (s.direction == "in" or filled(names, s))
            for s in [*proc.request.slots, *block.slots]
        )
    )
    got = returned(names, proc)
    targets = ", ".join(f"_r_{s.name}" for s in got)
    assign = f"{targets} = " if got else ""
    with out.block("try:"):
        out(f"{assign}handler.{names.proc(proc)}({arguments})")
    with out.block("except OSError as _error:"):
        with out.block("if not _error.errno or _error.errno < 0:"):
            out("raise")
        if out_needed:
            out("_out[:] = bytes(len(_out))")
        out("return _error.errno")
    values = []
    for slot in block.slots:
        if not slot.is_part:
            values.append(flatten(out, names, slot, f"_r_{slot.name}", full, f'"{slot.name}"'))
            continue
        if slot.form == "string":
            out(
                f'_part_{slot.name} = _rt.encode_text({full}, "{slot.name}", '
                f"_r_{slot.name}, {slot.max})"
            )
            length = f"len(_part_{slot.name}) - 1"
        else:
            length = f"_n_{slot.name} * {slot.type.size}"
            if not filled(names, slot):
                _pack(out, names, slot, full)
        values += [f"_off_{slot.name}", length]
    for slot in block.parts:
        if not filled(names, slot):
            out(f"_rt.put_part(_out, _off_{slot.name}, _part_{slot.name})")
    if values:
        with out.block("try:"):
            out(f"_put_{names.key(interface, proc)}_out(_out, 0, {', '.join(values)})")
        with out.block("except _rt.PACK_ERRORS as _error:"):
            out(f"raise _rt.bad_value({full}, _error) from None")
    out("return 0")


def _pack(out: Writer, names: Names, slot: Slot, full: str) -> None:
    """Elements that the handler returned rather than filled in."""
    value, part, field = f"_r_{slot.name}", f"_part_{slot.name}", f'"{slot.name}"'
    with out.block(f"if len({value}) != _n_{slot.name}:"):
        out(f"raise _rt.bad_argument({full}, {field})")
    if slot.type.kind == "struct":
        pack, flat = names.ref(slot.type, "_pack_"), names.ref(slot.type, "_flat_")
        out(f'{part} = b"".join([{pack}(*{flat}(_e, {full}, {field})) for _e in {value}])')
        return
    enum = names.enum_of(slot.type)
    if enum and not enum.open:
        with out.block(f"if any(_e not in {names.ref(slot.type, '_known_')} for _e in {value}):"):
            out(f"raise _rt.bad_argument({full}, {field})")
    name = enum.base if enum else slot.type.name
    letter = "?" if name == "bool" else SCALARS[name].letter
    out(f'{part} = _rt.pack_array({full}, {field}, "{letter}", {value})')


def dispatcher(out: Writer, names: Names, interface: Interface) -> None:
    prefix, space = names.prefix(interface), snake(interface.name)
    out(f"_table_{space}: dict[int, _abc.Callable[[{prefix}Handler, _rt.Request], int]] = {{")
    with out.block():
        for proc in interface.procedures:
            ident = interface.group << 16 | proc.ordinal
            out(f"{ident:#x}: _do_{names.key(interface, proc)},")
    out("}", "", "")
    with out.block(f"def {space}_dispatch(handler: {prefix}Handler, request: _rt.Request) -> int:"):
        docstring(
            out,
            "Check a request, perform it, answer; 0 or an errno for the caller.",
            "Raises:\n    hyplink.errors.CorruptRing: the block broke a rule; the channel is lost.",
        )
        out(f"_do = _table_{space}.get(request.proc)")
        with out.block("if _do is None:"):
            out("return _errno.EOPNOTSUPP")
        out("return _do(handler, request)")
    out("", "")
    with out.block(f"def {space}_serve(device_name: str, handler: {prefix}Handler) -> _t.Any:"):
        docstring(out, "Serve ``handler`` at a device; see ``hyplink.rpq.serve``.")
        out('_rpq = _importlib.import_module("hyplink.rpq")')
        out(f"return _rpq.serve(device_name, handler, {space}_dispatch)")
    out("")
