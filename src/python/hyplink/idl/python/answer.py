"""The answer to a request or a callback: where its parts lie, and writing them."""

from __future__ import annotations

from hyplink.idl.layout import is_plain
from hyplink.idl.model import Interface, Procedure, Slot
from hyplink.idl.python.common import Names, Side
from hyplink.idl.python.send import elements, reserve, size_of
from hyplink.idl.python.take import Bad, count
from hyplink.idl.python.values import flatten
from hyplink.idl.writer import Writer

__all__ = ["answer_parts", "filled", "put_answer"]


def filled(names: Names, slot: Slot) -> bool:
    """Outputs that the handler writes in place, in shared memory."""
    return (
        slot.form in ("bytes", "array")
        and slot.dim == "expr"
        and not slot.nullable
        and slot.type.kind == "scalar"
        and is_plain(names.model, slot.type)
    )


def answer_parts(out: Writer, names: Names, proc: Procedure, bad: Bad, side: Side) -> None:
    """Where the parts of the answer will lie; refuses a caller that left too little room."""
    block = proc.reply
    end = str(block.fixed)
    for slot in block.parts:
        out(f"_off_{slot.name} = {end}")
        if slot.dim in ("expr", "cap") and slot.length is not None:
            count(out, names, slot, bad, side)
        end = f"_off_{slot.name} + {reserve(slot)}"
    if proc.kind == "sync":
        out("_out = _request.out")
    if block.slots:
        with out.block(f"if len(_out) < {end}:"):
            out(bad("6", "out_bytes", 0))


def put_answer(
    out: Writer,
    names: Names,
    interface: Interface,
    proc: Procedure,
    full: str,
    side: Side,
    made: str = "",
) -> None:
    """Write ``_r_…`` into ``_out``."""
    block = proc.reply
    used = {s.used: s for s in block.parts if s.used}
    values: dict[str, list[str]] = {}
    for slot in block.parts:
        values[slot.name] = _answer_part(out, names, slot, full, side)
    for slot in block.slots:
        if slot.is_part:
            continue
        if slot.name == made:
            values[slot.name] = [f"_new_{slot.name}"]
        elif slot.name in used:
            part = used[slot.name]
            values[slot.name] = [f"_used_{part.name}"]
        else:
            field = f'"{slot.name}"'
            values[slot.name] = [flatten(out, names, slot, f"_r_{slot.name}", full, field, side)]
    for slot in block.parts:
        if not filled(names, slot):
            line = f"_rt.put_part(_out, _off_{slot.name}, _part_{slot.name})"
            if slot.nullable:
                with out.block(f"if _part_{slot.name} is not None:"):
                    out(line)
            else:
                out(line)
    flat = [v for slot in block.slots for v in values[slot.name]]
    if flat:
        with out.block("try:"):
            out(f"_put_{names.key(interface, proc)}_out(_out, 0, {', '.join(flat)})")
        with out.block("except _rt.PACK_ERRORS as _error:"):
            out(f"raise _rt.bad_value({full}, _error) from None")
    out("return 0")


def _answer_part(out: Writer, names: Names, slot: Slot, full: str, side: Side) -> list[str]:
    """Convert one output; its place. ``_used_…`` is how much of a capacity is used."""
    part, value, off = f"_part_{slot.name}", f"_r_{slot.name}", f"_off_{slot.name}"
    if filled(names, slot):
        return [off, f"_n_{slot.name} * {slot.type.size}"]
    if slot.nullable:
        out(f"{part}: _rt.Buffer | None = None")
        with out.block(f"if {value} is not None:"):
            length = _answer_bytes(out, names, slot, full, side)
        return [f"*((0, 0) if {part} is None else ({off}, {length}))"]
    return [off, _answer_bytes(out, names, slot, full, side)]


def _answer_bytes(out: Writer, names: Names, slot: Slot, full: str, side: Side) -> str:
    part, value, name = f"_part_{slot.name}", f"_r_{slot.name}", f'"{slot.name}"'
    if slot.form == "string":
        if slot.dim == "cap":
            # The caller's room decides, as for every interface that asks for a capacity.
            out(f"{part} = _rt.clip_text({full}, {name}, {value}, _n_{slot.name}, {slot.max})")
            out(f"_used_{slot.name} = max(len({part}) - 1, 0)")
            return f"_used_{slot.name}"
        out(f"{part} = _rt.encode_text({full}, {name}, {value}, {slot.max})")
        return f"len({part}) - 1"
    if slot.form == "table":
        pack_one, flat = names.ref(slot.type, "_pack_"), names.ref(slot.type, "_flat_")
        out(f"{part} = {pack_one}(*{flat}({value}, {full}, {name}))")
        return f"len({part})"
    if slot.dim == "cap":
        out(f"{value} = {value}[: _n_{slot.name}]")
    elif slot.dim == "expr" and slot.length is not None:
        with out.block(f"if len({value}) != _n_{slot.name}:"):
            out(f"raise _rt.bad_argument({full}, {name})")
    elif slot.dim == "reply":
        with out.block(f"if len({value}) > {slot.max}:"):
            out(f'raise _rt.bad_argument({full}, {name}, None, "at most {slot.max} elements")')
    if slot.form == "bytes":
        out(f"{part} = _rt.octets({full}, {name}, {value})")
    else:
        elements(out, names, slot, part, value, full, side)
    if slot.used:
        out(f"_used_{slot.name} = len({part}) // {size_of(slot)}")
    return f"len({part})"
