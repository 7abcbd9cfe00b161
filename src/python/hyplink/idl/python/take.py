"""Accepting the parts of a block that somebody else wrote: requests, answers, callbacks."""

from __future__ import annotations

from collections.abc import Callable

from hyplink.idl.model import SCALARS, Block, Slot
from hyplink.idl.python.common import Names, Side
from hyplink.idl.python.send import guarded, has_call, reserve, size_of
from hyplink.idl.python.values import handles, rebuild
from hyplink.idl.writer import Writer

__all__ = ["Bad", "count", "take", "take_answer"]

#: Spells a refusal from rule, field and offset.
Bad = Callable[[str, str, int], str]


def count(out: Writer, names: Names, slot: Slot, bad: Bad, side: Side) -> None:
    """``_n_…``: the number of elements that the rest of the request asks for (D4, D5)."""
    assert slot.length is not None
    line = f"_n_{slot.name} = {names.expr(slot.length, side)}"
    guarded(out, line, bad("5", slot.name, slot.offset), risky=has_call(slot.length))
    most = slot.max + 1 if slot.form == "string" else slot.max
    if slot.form == "nested":
        most = slot.count or slot.max
    if slot.length.high > most or slot.length.low < 0:
        with out.block(f"if not 0 <= _n_{slot.name} <= {most}:"):
            out(bad("4", slot.name, slot.offset))


def take(
    out: Writer,
    names: Names,
    slot: Slot,
    target: str,
    index: int,
    bad: Bad,
    side: Side,
    *,
    reply: bool = False,
) -> None:
    """Accept one part into ``target``."""
    if not slot.nullable:
        _present(out, names, slot, target, index, bad, side, reply=reply)
        return
    out(f"{target}: _t.Any = None")
    there = f"_v[{index}] or _v[{index + 1}]"
    if slot.large:
        there = f"any(_v[{index} : {index + 6}])"
    with out.block(f"if {there}:"):
        _present(out, names, slot, target, index, bad, side, reply=reply)
    if reply:
        with out.block("else:"):
            out(f"_cur += {reserve(slot)}")


def _present(
    out: Writer,
    names: Names,
    slot: Slot,
    target: str,
    index: int,
    bad: Bad,
    side: Side,
    *,
    reply: bool,
) -> None:
    kind = "" if slot.nullable else ": _t.Any"
    where = f"_block, _cur, len(_block), _v[{index}], _v[{index + 1}]"
    if slot.form == "string":
        _text(out, slot, target, where, bad, reply=reply)
        return
    if not reply and slot.length is not None and slot.dim == "expr":
        count(out, names, slot, bad, side)
    if slot.form == "nested":
        _nested(out, names, slot, target, where, bad, side)
        return
    piece = _piece(out, slot, index, where, bad, side, reply=reply)
    copied = f"bytes({piece})"
    if slot.form == "table":
        _table(out, names, slot, target, copied, bad)
    elif names.is_text(slot) and not reply:
        out(f"{target} = _rt.decode_text({copied})")
    elif slot.form == "bytes":
        in_place = not slot.copy and not reply
        out(f"{target} = {piece}.toreadonly()" if in_place else f"{target} = {copied}")
    else:
        in_place = not slot.copy and not reply
        source = f"{piece}.toreadonly()" if in_place else copied
        _elements(out, names, slot, target, kind, source, copied, bad, side)
        if slot.dim == "until":
            _faults(out, slot, bad, f"_rt.check_until({target}, {slot.until}, {slot.step})")
        if slot.form == "optional":
            out(f"{target} = {target}[0]")


def _faults(out: Writer, slot: Slot, bad: Bad, *lines: str) -> None:
    with out.block("try:"):
        out(*lines)
    with out.block("except _rt.Fault as _fault:"):
        out(bad("_fault.rule", slot.name, slot.offset) + " from None")


def _text(out: Writer, slot: Slot, target: str, where: str, bad: Bad, *, reply: bool) -> None:
    if slot.dim == "cap" and reply:
        # A capacity of 0 has no room for the NUL.
        call = f"_rt.take_text({where}, _n_{slot.name} - 1, _n_{slot.name})"
        call = f'{call} if _n_{slot.name} else ("", _cur)'
    else:
        call = f"_rt.take_text({where}, {slot.max}, {slot.max + 1 if reply else 0})"
    _faults(out, slot, bad, f"{target}, _cur = {call}")


def _piece(
    out: Writer, slot: Slot, index: int, where: str, bad: Bad, side: Side, *, reply: bool
) -> str:
    """Check place and size; the expression of the part's bytes."""
    width, wide = size_of(slot), f"_w_{slot.name}"
    room = wide
    if slot.form == "optional":
        out(f"{wide} = {width}")
    elif slot.form == "table" or slot.dim in ("carried", "until", "reply", "cap"):
        out(f"{wide} = _v[{index + 1}]" + (f" or _v[{index + 5}]" if slot.large else ""))
        most = f"_n_{slot.name} * {width}" if slot.dim == "cap" else str(slot.max * max(width, 1))
        if slot.form == "table":
            most = str(slot.max)
        with out.block(f"if {wide} > {most}:"):
            out(bad("3", slot.name, slot.offset))
        if width > 1 and slot.form != "table":
            with out.block(f"if {wide} % {width}:"):
                out(bad("5", slot.name, slot.offset))
        if reply:
            room = reserve(slot)
    else:
        out(f"{wide} = _n_{slot.name} * {width}")
    if not slot.large:
        _faults(out, slot, bad, f"_cur = _rt.take_part({where}, {wide}, {room})")
        return f"_block[_v[{index}] : _v[{index}] + {wide}]"
    data = f"_data_{slot.name}"
    words = f"_v[{index + 2} : {index + 6}]"
    with out.block(f"if any({words}):"):
        with out.block("try:"):
            out(f"{data} = _rt.large_part({side.me}._buffers, {words}, {wide})")
        with out.block("except LookupError:"):
            out(bad("13", slot.name, slot.offset) + " from None")
        with out.block("except _rt.Fault:"):
            out(bad("5", slot.name, slot.offset) + " from None")
        with out.block(f"if _v[{index}] or _v[{index + 1}]:"):
            out(bad("3", slot.name, slot.offset))
    with out.block("else:"):
        _faults(out, slot, bad, f"_cur = _rt.take_part({where}, {wide}, {room})")
        out(f"{data} = _block[_v[{index}] : _v[{index}] + {wide}]")
    return data


def _table(out: Writer, names: Names, slot: Slot, target: str, data: str, bad: Bad) -> None:
    image, ends = names.ref(slot.type, "_image_"), names.ref(slot.type, "_fields_")
    each, make = names.ref(slot.type, "_each_"), names.ref(slot.type, "_make_")
    _faults(out, slot, bad, f"_image = _rt.overlay({image}, {data}, {ends})")
    out(f"{target} = {make}(next({each}(_image)))")
    with out.block(f"if {target} is None:"):
        out(bad("7", slot.name, slot.offset))


def _nested(
    out: Writer, names: Names, slot: Slot, target: str, where: str, bad: Bad, side: Side
) -> None:
    number = f"_n_{slot.name}" if slot.dim == "expr" and slot.length is not None else "None"
    most, width = slot.count or slot.max, size_of(slot)
    items = f"_items_{slot.name}"
    wanted = ""
    if slot.inner_dim == "expr" and slot.inner is not None:
        wanted = f", lambda {names.var(slot.index)}: {names.expr(slot.inner, side)}"
    call = f"_rt.take_nested({where}, {number}, {most}, {slot.max}, {width}, {slot.text}{wanted})"
    _faults(out, slot, bad, f"{items}, _cur = {call}")
    if slot.text:
        out(f"{target} = [_rt.decode_text(_e) for _e in {items}]")
    elif slot.type.kind != "scalar" or slot.type.name == "bool" or names.outside(slot, "_e"):
        item, row = f"_item_{slot.name}", f"_row_{slot.name}"
        out(f"{target}: _t.Any = []")
        with out.block(f"for {item} in {items}:"):
            _elements(out, names, slot, row, ": _t.Any", item, item, bad, side)
            out(f"{target}.append({row})")
    elif slot.type.name == "u8":
        out(f"{target} = {items}")
    else:
        letter = SCALARS[names.base(slot.type)].letter
        out(f'{target} = [_rt.values("{letter}", _e) for _e in {items}]')


def _elements(
    out: Writer,
    names: Names,
    slot: Slot,
    target: str,
    kind: str,
    source: str,
    copied: str,
    bad: Bad,
    side: Side,
) -> None:
    """Numbers, structs, enumerators."""
    refusal = bad("7", slot.name, slot.offset)
    if slot.type.kind == "struct":
        make, each = names.ref(slot.type, "_make_"), names.ref(slot.type, "_each_")
        out(f"{target}{kind} = [{make}(_e) for _e in {each}({copied})]")
        with out.block(f"if None in {target}:"):
            out(refusal)
        return
    enum = names.enum_of(slot.type)
    base = names.base(slot.type)
    letter = SCALARS[base].letter
    if slot.type.kind == "handle":
        numbers = f'_rt.values("{letter}", {copied})'

        def fail(rule: str) -> str:
            return bad(rule, slot.name, slot.offset)

        handles(out, names, slot, target, numbers, fail, side)
    elif enum:
        known = names.ref(slot.type, "_known_")
        default = ", _e" if enum.open else ""
        numbers = f'_rt.values("{letter}", {copied})'
        out(f"{target}{kind} = [{known}.get(_e{default}) for _e in {numbers}]")
        if not enum.open:
            with out.block(f"if None in {target}:"):
                out(refusal)
    elif base == "bool":
        out(f"_raw_{slot.name} = {copied}")
        with out.block(f'if _raw_{slot.name}.strip(b"\\0\\1"):'):
            out(refusal)
        out(f"{target} = [_e == 1 for _e in _raw_{slot.name}]")
    else:
        out(f'{target} = _rt.values("{letter}", {source})')
        if test := names.outside(slot, "_e"):
            with out.block(f"if any({test} for _e in {target}):"):
                out(refusal)


def take_answer(
    out: Writer,
    names: Names,
    block: Block,
    bad: Bad,
    side: Side,
    need: str,
    window: str = "self._window",
) -> None:
    """Read a reply into ``_r_…`` with the rules of a request: the other side is a peer like any."""
    if block.parts:
        out(f"_block, _cur = {window}[_at : _at + {need}], {block.fixed}")
    for index, slot, offset in names.order(block):
        if slot is None:
            with out.block(f"if any(_v[{index}]):"):
                out(bad("7", "padding", offset))
            continue
        if slot.is_part:
            continue

        def fail(rule: str, slot: Slot = slot) -> str:
            return bad(rule, slot.name, slot.offset)

        rebuild(out, names, slot, f"_r_{slot.name}", index, fail, side)
    for index, slot, _ in names.order(block):
        if slot is not None and slot.is_part:
            take(out, names, slot, f"_r_{slot.name}", index, bad, side, reply=True)
