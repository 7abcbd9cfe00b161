"""Packing a block: arguments become parts, parts get their places, places go into the fixed part.

Used for requests (client), callbacks (server) and, part by part, for answers.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import combinations

from hyplink.idl.layout import align_up, given
from hyplink.idl.model import SCALARS, Block, Interface, Procedure, Slot
from hyplink.idl.python.common import Names, Side
from hyplink.idl.python.values import flatten
from hyplink.idl.writer import Writer

__all__ = [
    "Packed",
    "give",
    "has_call",
    "may_miss",
    "measure",
    "once",
    "pack",
    "put",
    "reserve",
    "size_of",
]


@dataclass
class Packed:
    """What has to be written, as expressions."""

    size: str
    values: list[str] = field(default_factory=list)


def maybe(slot: Slot) -> bool:
    """Whether the part may be absent though its slot is there."""
    return slot.nullable or slot.large > 0


def has_call(node: object) -> bool:
    """Whether an expression can miss: it calls a function of lengths."""
    op, args = getattr(node, "op", ""), getattr(node, "args", [])
    return op in ("call", "match") or any(has_call(a) for a in args)


may_miss = has_call


def size_of(slot: Slot) -> int:
    """Bytes of an element."""
    return 4 if slot.type.kind in ("callback", "cookie", "handle") else slot.type.size


def reserve(slot: Slot) -> str:
    """Room in an answer for a part; ``_n_…`` is its number of elements or its capacity."""
    if slot.form == "string" and slot.dim != "cap":
        return str(align_up(slot.max + 1, 8))
    if slot.form == "table":
        return str(align_up(slot.max, 8))
    if slot.form == "optional":
        return str(align_up(size_of(slot), 8))
    if slot.dim == "reply":
        return str(align_up(slot.max * size_of(slot), 8))
    return f"(_n_{slot.name} * {size_of(slot)} + 7 & -8)"


def pack(
    out: Writer, names: Names, interface: Interface, proc: Procedure, full: str, side: Side
) -> Packed:
    """Check and convert the arguments of a request; nothing is written yet."""
    block = proc.request
    for slot in block.parts:
        if names.is_text(slot):
            var = names.var(slot.name)
            line = f"_text_{slot.name} = _rt.text_octets({var})"
            out(f"{line} if {var} is not None else None" if slot.nullable else line)
    for name, part in names.derived(proc).items():
        given = f"_text_{part.name}" if names.is_text(part) else names.var(part.name)
        out(f"{names.var(name)} = len({given})")
    values: dict[str, list[str]] = {}
    for slot in block.slots:
        if not slot.is_part and slot.name not in values:
            values.update(_value(out, names, interface, proc, slot, full, side))
    for test, slot in once(proc, lambda s: f"_ref_{s.name}"):
        with out.block(f"if {test}:"):
            var = names.var(slot.name)
            out(f'raise _rt.bad_argument({full}, "{slot.name}", {var}, "given once")')
    placed: list[str] = []
    for slot in block.parts:
        _part(out, names, slot, full, side, placed)
        values[slot.name] = _place(slot)
    return Packed(_layout(out, block), [v for slot in block.slots for v in values[slot.name]])


def once(proc: Procedure, spell: Callable[[Slot], str]) -> list[tuple[str, Slot]]:
    """Conditions under which two parameters give one buffer, and the second of them."""
    return [
        (f"any({spell(one)}) and {spell(one)}[0] == {spell(two)}[0]", two)
        for one, two in combinations(given(proc.request), 2)
    ]


def give(out: Writer, proc: Procedure, side: Side) -> None:
    """Buffers change hands before the other side can know of it."""
    for slot in given(proc.request):
        out(f"_rt.transfer({side.me}._buffers, _ref_{slot.name}, True)")


def _value(
    out: Writer,
    names: Names,
    interface: Interface,
    proc: Procedure,
    slot: Slot,
    full: str,
    side: Side,
) -> dict[str, list[str]]:
    """Values of one slot; a callback also gives that of its cookie."""
    name, var = slot.name, names.var(slot.name)
    kind = slot.type.kind
    if kind == "cookie" and side.server:
        return {name: [f"_rt.cookie_number({var})"]}
    if kind == "cookie" and any(s.cookie == name for s in proc.request.slots):
        return {}  # comes with its callback
    if kind not in ("callback", "cookie"):
        return {name: [flatten(out, names, slot, var, full, f'"{name}"', side)]}
    if kind == "callback" and not slot.nullable:
        with out.block(f"if {var} is None:"):
            out(f'raise _rt.bad_argument({full}, "{name}", {var}, "a function")')
    # Registering again replaces, unless other arguments say what the registration is for.
    alone = all(s.type.kind in ("callback", "cookie") for s in proc.request.slots)
    place = f'"{proc.name}.{name}"' if alone else '""'
    number = f"_number_{name}"
    pair = f"None, {var}" if kind == "cookie" else f"{var}, {_cookie(names, slot)}"
    register = f"{side.me}._callbacks.register({place}, {pair})"
    out(f"{number} = {register}")
    found = {name: [number]}
    if slot.cookie:
        found[slot.cookie] = [number]
    if kind == "callback" and not names.has_cookie(names.callback(interface, slot)):
        # Without a cookie there is one function for all callbacks of that kind.
        ident = interface.group << 16 | names.callback(interface, slot).ordinal
        out(f"{side.me}._callbacks.set({ident:#x}, {var})")
    return found


def _cookie(names: Names, slot: Slot) -> str:
    return names.var(slot.cookie) if slot.cookie else "None"


def _part(out: Writer, names: Names, slot: Slot, full: str, side: Side, placed: list[str]) -> None:
    """Convert an argument to the bytes of its part, ``_part_…``; None where it is absent.

    ``placed``: references of the large parts before this one.
    """
    part, var = f"_part_{slot.name}", names.var(slot.name)
    if not slot.nullable:
        _convert(out, names, slot, full, side)
    else:
        kind = "list[bytes]" if slot.form == "nested" else "_rt.Buffer"
        name = f"_items_{slot.name}" if slot.form == "nested" else part
        out(f"{name}: {kind} | None = None")
        given = f"_text_{slot.name}" if names.is_text(slot) else var
        with out.block(f"if {given} is not None:"):
            _convert(out, names, slot, full, side)
    if slot.large:
        out(f"_ref_{slot.name} = _rt.NO_BUFFER")
        with out.block(f"if {part} is not None:"):
            first = f"not any({' + '.join(placed)})" if placed else "True"
            arguments = f"{side.me}._buffers, {part}, {slot.large}, {first}"
            out(f"_ref_{slot.name} = _rt.large_words({arguments})")
        placed.append(f"_ref_{slot.name}")
        out(f"_has_{slot.name} = {part} is not None and not _ref_{slot.name}.length")


def _convert(out: Writer, names: Names, slot: Slot, full: str, side: Side) -> None:
    var, part, field_ = names.var(slot.name), f"_part_{slot.name}", f'"{slot.name}"'
    if slot.form == "string":
        out(f"{part} = _rt.encode_text({full}, {field_}, {var}, {slot.max})")
        return
    if slot.form == "nested":
        _nested(out, names, slot, full, side)
        return
    if slot.form == "table":
        out(f"{part} = {names.ref(slot.type, '_pack_')}(*{_flat(names, slot, var, full)})")
        return
    if slot.form == "optional":
        elements(out, names, slot, part, f"({var},)", full, side)
        return
    if slot.form == "bytes":
        given = f"_text_{slot.name}" if names.is_text(slot) else var
        out(f"{part} = _rt.octets({full}, {field_}, {given})")
    elif slot.dim == "until":
        base = SCALARS[names.base(slot.type)]
        found = f"_rt.terminated({full}, {field_}, {var}, {slot.until}, {slot.step}, {slot.max})"
        out(f'{part} = _rt.pack_array({full}, {field_}, "{base.letter}", {found})')
        return
    else:
        elements(out, names, slot, part, var, full, side)
    width = size_of(slot)
    if slot.dim == "carried":
        with out.block(f"if len({part}) > {slot.max * width}:"):
            count = f"len({part}) // {width}"
            out(f"raise _rt.bad_length({full}, {field_}, {count}, -1, {slot.max})")
        return
    measure(out, names, slot, full, f"len({part}) != _n_{slot.name} * {width}", side)


def _flat(names: Names, slot: Slot, value: str, full: str) -> str:
    return f'{names.ref(slot.type, "_flat_")}({value}, {full}, "{slot.name}")'


def elements(
    out: Writer, names: Names, slot: Slot, part: str, value: str, full: str, side: Side
) -> None:
    """The bytes of several elements."""
    name = f'"{slot.name}"'
    if slot.type.kind == "struct":
        pack_one = names.ref(slot.type, "_pack_")
        out(f'{part} = b"".join([{pack_one}(*{_flat(names, slot, "_e", full)}) for _e in {value}])')
        return
    enum = names.enum_of(slot.type)
    if enum and not enum.open:
        known = names.ref(slot.type, "_known_")
        with out.block(f"if any(_e not in {known} for _e in {value}):"):
            out(f'raise _rt.bad_argument({full}, {name}, {value}, "members of {enum.name}")')
    elif test := names.outside(slot, "_e"):
        with out.block(f"if any({test} for _e in {value}):"):
            wanted = f"each {names.expected(slot)}"
            out(f'raise _rt.bad_argument({full}, {name}, {value}, "{wanted}")')
    base = names.base(slot.type)
    letter = "?" if base == "bool" else SCALARS[base].letter
    if slot.type.kind == "handle" and side.server:
        value = f'[{side.me}._handles.number("{slot.type.name}", _e) for _e in {value}]'
    out(f'{part} = _rt.pack_array({full}, {name}, "{letter}", {value})')


def _nested(out: Writer, names: Names, slot: Slot, full: str, side: Side) -> None:
    items, field_, var = f"_items_{slot.name}", f'"{slot.name}"', names.var(slot.name)
    most = slot.count or slot.max
    if slot.text:
        out(f"{items} = _rt.encode_texts({full}, {field_}, {var}, {most}, {slot.max})")
    elif slot.type.kind != "scalar" or slot.type.name == "bool" or names.outside(slot, "_e"):
        row, piece = f"_row_{slot.name}", f"_piece_{slot.name}"
        out(f"{items}: list[bytes] = []")
        with out.block(f"for {row} in {var}:"):
            elements(out, names, slot, piece, row, full, side)
            out(f"{items}.append(bytes({piece}))")
        limit = f"{slot.max}, {size_of(slot)}"
        out(f"_rt.check_rows({full}, {field_}, {var}, {items}, {most}, {limit})")
    else:
        letter = SCALARS[names.base(slot.type)].letter
        out(f'{items} = _rt.encode_rows({full}, {field_}, "{letter}", {var}, {most}, {slot.max})')
    if slot.dim == "expr" and slot.length is not None:
        measure(out, names, slot, full, f"len({items}) != _n_{slot.name}", side, f"len({items})")
    if slot.inner_dim == "expr" and slot.inner is not None:
        ending = 1 if slot.text else 0
        with out.block(f"for {names.var(slot.index)}, _e in enumerate({items}):"):
            wanted = f"{names.expr(slot.inner, side)} * {size_of(slot)} + {ending}"
            with out.block(f"if len(_e) != {wanted}:"):
                out(f"raise _rt.bad_length({full}, {field_}, len(_e), {wanted}, {slot.max})")


def guarded(out: Writer, line: str, refusal: str, *, risky: bool) -> None:
    """A line that may meet a ``match`` without an arm for its values."""
    if not risky:
        out(line)
        return
    with out.block("try:"):
        out(line)
    with out.block("except _rt.Fault:"):
        out(f"{refusal} from None")


def measure(
    out: Writer, names: Names, slot: Slot, full: str, wrong: str, side: Side, found: str = ""
) -> None:
    """``_n_…``: how many elements the other arguments ask for."""
    assert slot.length is not None
    count = f"_n_{slot.name}"
    wanted = "arguments that give it a size"
    refusal = f'raise _rt.bad_argument({full}, "{slot.name}", None, "{wanted}")'
    guarded(out, f"{count} = {names.expr(slot.length, side)}", refusal, risky=has_call(slot.length))
    most = slot.count or slot.max if slot.form == "nested" else slot.max
    if slot.form == "string":  # a capacity with room for the NUL
        most = slot.max + 1
    tests = [wrong] if wrong else []
    if slot.length.high > most or slot.length.low < 0:
        tests.insert(0, f"not 0 <= {count} <= {most}")
    if tests:
        with out.block(f"if {' or '.join(tests)}:"):
            if not found:
                found = f"len(_part_{slot.name}) // {size_of(slot)}" if wrong else count
            out(f'raise _rt.bad_length({full}, "{slot.name}", {found}, {count}, {most})')


def _layout(out: Writer, block: Block) -> str:
    """Offsets of the parts, ``_off_…``; the expression of the block's size."""
    if not block.parts:
        return str(block.fixed)
    end = str(block.fixed)
    for slot in block.parts:
        part = f"_part_{slot.name}"
        out(f"_off_{slot.name} = {end}")
        if slot.form == "nested":
            items, ending = f"_items_{slot.name}", int(slot.text)
            join = f"_rt.join_nested({items}, _off_{slot.name}, {ending})"
            out(f"{part} = {join}" + (f" if {items} is not None else None" * slot.nullable))
        end = f"_off_{slot.name} + (len({part}) + 7 & -8)"
        if maybe(slot):
            there = f"_has_{slot.name}" if slot.large else f"{part} is not None"
            guard = f"{part} is not None and {there}" if slot.large else there
            out(f"_end_{slot.name} = {end} if {guard} else _off_{slot.name}")
            end = f"_end_{slot.name}"
    out(f"_size = {end}")
    return "_size"


def _place(slot: Slot) -> list[str]:
    part, off = f"_part_{slot.name}", f"_off_{slot.name}"
    length = f"len({part})"
    if slot.form == "string":
        length += " - 1"
    elif slot.form == "nested":
        length = f"8 * len(_items_{slot.name})"
    if not maybe(slot):
        return [off, length]
    given = f"_items_{slot.name}" if slot.form == "nested" else part
    there = f"{given} is not None"
    if slot.large:
        there += f" and _has_{slot.name}"
    place = [f"*(({off}, {length}) if {there} else (0, 0))"]
    return [*place, f"*_ref_{slot.name}"] if slot.large else place


def put(out: Writer, block: Block, window: str, at: str) -> None:
    """Copy the parts to where they belong."""
    for slot in block.parts:
        part = f"_part_{slot.name}"
        line = f"_rt.put_part({window}, {at}_off_{slot.name}, {part})"
        if not maybe(slot):
            out(line)
            continue
        there = f"{part} is not None"
        if slot.large:
            there += f" and _has_{slot.name}"
        with out.block(f"if {there}:"):
            out(line)
