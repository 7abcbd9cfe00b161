"""Calling the server's function: room for its outputs, then the answer from what it left there."""

from __future__ import annotations

from hyplink.idl.c import foreign
from hyplink.idl.c.common import Names
from hyplink.idl.c.decode import key, reserve, text_room
from hyplink.idl.model import Procedure, Slot
from hyplink.idl.writer import Writer

__all__ = ["counted", "perform"]


def counted(proc: Procedure) -> list[Slot]:
    """Outputs whose size only the server knows and no other parameter says."""
    return [s for s in proc.reply.parts if s.dim == "reply" and not s.used and s.form != "string"]


def perform(out: Writer, names: Names, proc: Procedure, function: str) -> None:
    block = proc.reply
    for slot in proc.request.slots:
        if slot.transfer == "gives":
            out(f"vidlTransferred(_s->base.buffers, {names.var(slot.name)}, 0);")
    if proc.kind == "sync":
        out("unsigned char* const _out = (unsigned char*)vrpqParamOutGet(_req, _base);")
        size = "vrpqParamOutSize(_req)"
        out(f"if ({size} != 0) memset(_out, 0, {size});")
    result = names.result_slot(proc)
    requested = {s.name: s for s in proc.request.slots}
    if block.parts:
        out(f"uint64_t _at = {block.fixed};")
    for slot in names.outputs(proc):
        _room(out, names, slot, requested.get(slot.name))
    if result is not None and result.is_part:
        _place(out, result)
    call = f"{function}({_arguments(out, names, proc)});"
    made = next((s for s in block.slots if s.name == proc.creates), None)
    if made is not None:
        _create(out, names, proc, made)
    if result is None or result is made:
        out(call if result is None else f"(void){call}")
    else:
        kind = names.result(proc)
        theirs = "_theirs" if foreign.given_back(names, proc) else "_result"
        out(f"{names.declare(f'const {kind}' if '*' not in kind else kind, theirs)} = {call}")
        if theirs != "_result":
            out(
                f"{names.type(result.type)} _result;", "memcpy(&_result, &_theirs, sizeof _result);"
            )
    with out.block("if (_s->base.reason != 0) {", "}"):
        if made is not None:
            out("vidlHandleRemove(_s->base.handles, _made);")
        out("return _s->base.reason;")
    if proc.destroys:
        out(f"vidlHandleRemove(_s->base.handles, {names.var(proc.destroys)});")
    for slot in names.outputs(proc):
        if slot.is_part:
            _finish(out, names, slot)
    for slot in block.slots:
        if slot is made:
            out(f"vidlPut32(_out + {slot.offset}, _made);")
        else:
            _store(out, names, slot, slot is result)
    if result is not None and result.form == "string":
        _text_result(out, result)
    if result is not None and result.form == "table":
        _put_table(out, names, result, "&_result")
    out("return 0;")


def _create(out: Writer, names: Names, proc: Procedure, slot: Slot) -> None:
    """A new handle before the function runs, so that what it makes has a name."""
    parent = names.model.handles[slot.type.name].parent
    owner = next((s for s in proc.request.slots if parent and s.type.name == parent), None)
    above = names.var(owner.name) if owner is not None else "0"
    kind = names.handle_type(slot.type.name)
    out(f"const uint32_t _made = vidlHandleAdd(_s->base.handles, {kind}, {above});")
    out("if (_made == 0) return ENOMEM;", "_s->base.fresh = _made;")


def _place(out: Writer, slot: Slot) -> None:
    out(f"const uint64_t _at_{slot.name} = _at;", f"_at += {reserve(slot)};", "(void)_at;")


def _arguments(out: Writer, names: Names, proc: Procedure) -> str:
    slots, extra = names.slots(proc), {s.name for s in counted(proc)}
    words = []
    for name in proc.params:
        slot, var = slots[name], names.var(name)
        if slot.direction != "in" and slot.form == "value":
            word = f"&{var}"
        elif slot.direction == "inout" and slot.is_part:
            word = f"_o_{name}"
        else:
            word = f"_o_{name}" if slot.direction == "out" and slot.is_part else var
        if slot.form == "fixed" and slot.text:
            word = f"({names.pointer(slot, writable=slot.direction != 'in')}){word}"
        if names.foreign(slot):
            word = foreign.hand_over(out, names, slot, word)
        elif slot.c_type:
            kind = slot.c_type
            pointer = names.is_pointer(slot) and slot.form == "value" and slot.direction == "in"
            via = (
                "(uintptr_t)" if pointer or ("*" in kind and word == var and _number(slot)) else ""
            )
            word = f"({kind}){via}{word}"
        words.append(word)
        if name in extra:
            words.append(f"&_c_{name}")
    return ", ".join(words)


def _number(slot: Slot) -> bool:
    return slot.form == "value" and slot.direction == "in"


def _host_element(names: Names, slot: Slot) -> str:
    return names.element(slot)


def _in_place(names: Names, slot: Slot) -> bool:
    """Whether the function can write straight into the answer."""
    return slot.form == "bytes" or names.same_bytes(slot.type) or names.scalar(slot.type) == "bool"


def _room(out: Writer, names: Names, slot: Slot, given: Slot | None) -> None:
    """Declare what the function writes to."""
    var, name = names.var(slot.name), slot.name
    if slot.form == "value":
        if given is None:
            kind = names.type(slot.type)
            if slot.type.kind == "struct":
                out(f"{kind} {var};", f"memset(&{var}, 0, sizeof {var});")
            else:
                out(f"{names.declare(kind, var)} = 0;")
        return
    if slot.form == "fixed":
        if given is None:
            out(f"{names.type(slot.type)} {var}[{slot.count}];", f"memset({var}, 0, sizeof {var});")
        return
    _place(out, slot)
    if slot.form == "string":
        out(f"char* const _o_{name} = (char*)(_out + _at_{name});")
        return
    if slot.form == "table":
        full = names.of(slot.type.name)
        out(f"{full} _t_{name};", f"{full}* const _o_{name} = &_t_{name};")
        out(f"_t_{name} = *{var};" if given is not None else f"{full}_init(_o_{name});")
        return
    element = _host_element(names, slot)
    if slot.dim == "reply":
        out(f"uint32_t _c_{name} = {slot.max};")
        count = str(slot.max)
    else:
        count = f"_n_{key(slot)}"
    if _in_place(names, slot):
        out(f"{element}* const _o_{name} = ({element}*)(void*)(_out + _at_{name});")
    else:
        size = f"{count} * sizeof({element})"
        out(f"{element}* const _o_{name} = ({element}*)vidlGet(&_s->base.arena, {size});")
        out(f"if (_o_{name} == NULL) return ENOMEM;")
        out(f"memset((void*)_o_{name}, 0, (size_t)({size}));")
    if given is not None:
        size = f"(_n_{name} < {count} ? _n_{name} : {count})"
        factor = "1" if element in ("void", "char") else f"sizeof({element})"
        out(f"if (_n_{name} != 0) memcpy((void*)_o_{name}, {var}, (size_t)({size} * {factor}));")


def _finish(out: Writer, names: Names, slot: Slot) -> None:
    """How much the function left, and nothing behind it."""
    name = slot.name
    if slot.form == "table":
        return
    if slot.form == "string":
        room = text_room(slot)
        out(f"uint64_t _k_{name} = vidlText(_o_{name}, {room});")
        if slot.dim == "cap":
            out(f"if (_k_{name} != 0 && _k_{name} == {room}) --_k_{name};")
        else:
            out(f"if (_k_{name} == {room}) --_k_{name};")
        tail = f"(size_t)({reserve(slot)} - _k_{name})"
        if slot.dim == "cap":
            out(f"if ({room} != 0) memset(_o_{name} + _k_{name}, 0, {tail});")
        else:
            out(f"memset(_o_{name} + _k_{name}, 0, {tail});")
        if slot.used:
            out(f"{names.var(slot.used)} = {_cast_used(names, slot)}_k_{name};")
        return
    width = slot.type.size
    if slot.dim == "reply":
        out(f"uint64_t _k_{name} = _c_{name} < {slot.max}u ? _c_{name} : {slot.max}u;")
        room = f"UINT64_C({slot.max})"
    else:
        room = f"_n_{key(slot)}"
        if slot.dim == "cap" and slot.used:
            used = names.var(slot.used)
            out(f"const uint64_t _k_{name} = vidlUsed((int64_t){used}, {room});")
            out(f"{used} = {_cast_used(names, slot)}_k_{name};")
        else:
            out(f"const uint64_t _k_{name} = {room};")
    if slot.dim in ("reply", "cap") and _in_place(names, slot):
        factor = f" * {width}" if width > 1 else ""
        out(
            f"memset(_out + _at_{name} + _k_{name}{factor}, 0, "
            f"(size_t)({reserve(slot)} - _k_{name}{factor}));"
        )
    if names.scalar(slot.type) == "bool" and slot.form == "array":
        with out.block("{", "}"):
            out("uint64_t _k;")
            out(f"for (_k = 0; _k < _k_{name}; ++_k) _o_{name}[_k] = _o_{name}[_k] ? 1 : 0;")
    elif not _in_place(names, slot):
        with out.block("{", "}"):
            out("uint64_t _k;")
            with out.block(f"for (_k = 0; _k < _k_{name}; ++_k) {{", "}"):
                at = f"_out + _at_{name} + _k * {width}"
                out(names.put(at, slot.type, f"_o_{name}[_k]"))


def _cast_used(names: Names, slot: Slot) -> str:
    return f"(__typeof__({names.var(slot.used)}))"


def _put_table(out: Writer, names: Names, slot: Slot, value: str) -> None:
    full, place = names.of(slot.type.name), f"_out + {slot.offset}"
    out(f"if (!{full}_valid({value})) return EPROTO;")
    out(f"vidlPutPart({place}, _at_{slot.name}, {slot.type.size});")
    out(f"{full}_put(_out + _at_{slot.name}, {value});")


def _store(out: Writer, names: Names, slot: Slot, result: bool) -> None:
    """Write a slot of the answer's fixed part."""
    place, name = f"_out + {slot.offset}", slot.name
    if slot.is_part:
        if result:
            return
        if slot.form == "table":
            _put_table(out, names, slot, f"_o_{name}")
            return
        width = slot.type.size
        size = f"_k_{name}" if slot.form == "string" or width == 1 else f"_k_{name} * {width}"
        out(f"vidlPutPart({place}, _at_{name}, {size});")
        if slot.large:
            out(f"memset({place} + 8, 0, 24);")
        return
    var = "_result" if result else names.var(name)
    if slot.form == "fixed":
        if names.same_bytes(slot.type):
            out(f"memcpy({place}, {var}, {slot.count * slot.type.size});")
            return
        with out.block("{", "}"):
            out("uint32_t _k;")
            with out.block(f"for (_k = 0; _k < {slot.count}; ++_k) {{", "}"):
                out(names.put(f"{place} + _k * {slot.type.size}", slot.type, f"{var}[_k]"))
        return
    out(names.put(place, slot.type, var))


def _text_result(out: Writer, slot: Slot) -> None:
    """A text the function owns; NULL is absent where that is allowed."""
    name, place = slot.name, f"_out + {slot.offset}"
    with out.block("if (_result == NULL) {", "}"):
        out("return 0;" if slot.nullable else "return EPROTO;")
    with out.block("{", "}"):
        out(
            f"const uint64_t _k = vidlText((const char*)_result, {slot.max + 1});",
            f"if (_k > {slot.max}) return EMSGSIZE;",
            f"memcpy(_out + _at_{name}, _result, (size_t)_k);",
            f"vidlPutPart({place}, _at_{name}, _k);",
        )
