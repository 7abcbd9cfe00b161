"""From a block that a peer wrote to arguments that can be believed: requests and callbacks."""

from __future__ import annotations

from hyplink.idl.layout import given
from hyplink.idl.model import Interface, Procedure, Slot
from hyplink.idl.python.common import Names, Side
from hyplink.idl.python.send import once
from hyplink.idl.python.take import Bad, take
from hyplink.idl.python.values import rebuild
from hyplink.idl.writer import Writer

__all__ = ["accept", "taken"]


def accept(
    out: Writer, names: Names, interface: Interface, proc: Procedure, bad: Bad, side: Side
) -> None:
    """Everything between a block and arguments that can be believed."""
    with out.block("if _request.is_call:" if proc.kind == "async" else "if not _request.is_call:"):
        out(bad("2", "is_call", 0))
    out("_block = _request.params")
    request = proc.request
    if request.parts:
        test = f"len(_block) % 8 or not {request.fixed} <= len(_block) <= {request.max}"
    else:
        test = f"len(_block) != {request.fixed}"
    with out.block(f"if {test}:"):
        out(bad("2", "in_bytes", 0))
    if request.slots:
        # One read of everything; from here on only what was read counts.
        out(f"_v = _get_{names.key(interface, proc)}_in(_block)")
    order = names.order(request)
    places = {slot.name: index for index, slot, _ in order if slot is not None}
    for index, slot, offset in order:
        if slot is None:
            with out.block(f"if any(_v[{index}]):"):
                out(bad("7", "padding", offset))
        elif slot.type.kind in ("callback", "cookie") and not slot.is_part:
            _registered(out, names, interface, slot, places, bad, side)
        elif not slot.is_part:

            def fail(rule: str, slot: Slot = slot) -> str:
                return bad(rule, slot.name, slot.offset)

            rebuild(out, names, slot, names.var(slot.name), index, fail, side)
    for slot in given(proc.request):
        out(f"_ref_{slot.name} = _rt.UmemRef(*_v[{places[slot.name]} : {places[slot.name] + 4}])")
    for test, slot in once(proc, lambda s: f"_ref_{s.name}"):
        with out.block(f"if {test}:"):
            out(bad("13", slot.name, slot.offset))
    if request.parts:
        out(f"_cur = {request.fixed}")
    for index, slot, _ in order:
        if slot is not None and slot.is_part:
            take(out, names, slot, names.var(slot.name), index, bad, side)
    if request.parts:
        with out.block("if _cur != len(_block):"):
            out(bad("2", "in_bytes", 0))


def taken(out: Writer, proc: Procedure, side: Side) -> None:
    """Buffers that the request gives are this side's before anybody is called."""
    for slot in given(proc.request):
        out(f"_rt.transfer({side.me}._buffers, _ref_{slot.name}, False)")


def _registered(
    out: Writer,
    names: Names,
    interface: Interface,
    slot: Slot,
    places: dict[str, int],
    bad: Bad,
    side: Side,
) -> None:
    """A callback or a cookie: a number of the client's that only the client can follow."""
    var, source = names.var(slot.name), f"_v[{places[slot.name]}]"
    if slot.type.kind == "cookie" or not side.server:
        out(f"{var} = {source}")
        return
    if not slot.nullable:
        with out.block(f"if not {source}:"):
            out(bad("7", slot.name, slot.offset))
    number = f"_v[{places[slot.cookie]}]" if slot.cookie else source
    callback = names.callback(interface, slot)
    emit, cookie = f"{side.me}.{names.proc(callback)}", names.has_cookie(callback)
    made = f"_rt.CallbackRef({emit}, {number}, {cookie})"
    out(f"{var} = {made}" + (f" if {source} else None" if slot.nullable else ""))
