"""The document."""

from __future__ import annotations

from hyplink.idl.expr_text import body_text, expr_text, function_text, size_text
from hyplink.idl.markdown.signature import limits, short, signature, type_text
from hyplink.idl.markdown.wire import table, wire_table
from hyplink.idl.model import Interface, Model, Procedure, Slot, Struct, Table
from hyplink.units import duration

__all__ = ["reference"]


def reference(model: Model) -> str:
    """The whole text."""
    version = ".".join(map(str, model.version))
    lines = [f"# {model.module} {version}", ""]
    lines += _doc(model.doc)
    if model.imports:
        names = ", ".join(f"`{item.module}` ({item.path})" for item in model.imports)
        lines += [f"Uses {names}.", ""]
    lines += _overview(model)
    lines += _types(model)
    for interface in model.interfaces:
        lines += _interface(model, interface)
    while lines and not lines[-1]:
        lines.pop()
    return "\n".join(lines) + "\n"


def _doc(text: str) -> list[str]:
    return [*text.splitlines(), ""] if text else []


def _overview(model: Model) -> list[str]:
    lines: list[str] = []
    for interface in model.interfaces:
        rows = [
            [
                f"{proc.ordinal}",
                f"[`{proc.name}`](#{_anchor(interface, proc)})",
                f"{kind}{proc.kind}",
                f"{proc.request.max:,}",
                f"{proc.reply.max:,}" if proc.kind == "sync" else "",
                proc.doc.partition("\n")[0],
            ]
            for kind, procs in (("", interface.procedures), ("callback ", interface.callbacks))
            for proc in procs
        ]
        head = ["", "procedure", "call", "request ≤", "answer ≤", ""]
        lines += [f"`{interface.name}`, group {interface.group}:", "", *table(head, rows)]
    return lines


def _anchor(interface: Interface, proc: Procedure) -> str:
    return f"{interface.name}-{proc.name}".lower()


def _types(model: Model) -> list[str]:
    lines: list[str] = []
    if model.constants:
        rows = [[f"`{c.name}`", c.type, f"{c.value}", c.doc] for c in model.constants]
        lines += ["## Constants", "", *table(["name", "type", "value", ""], rows)]
    for enum in model.own_enums():
        kind = "open: other values may come" if enum.open else "closed: other values are refused"
        lines += [f"## enum {short(model, enum.name)}", "", f"{enum.base}, {kind}.", ""]
        lines += _doc(enum.doc)
        rows = [[f"`{m.name}`", f"{m.value}", f"{m.value:#x}", m.doc] for m in enum.members]
        lines += table(["name", "value", "", ""], rows)
    for struct in model.own_structs():
        lines += _struct(model, "struct", struct)
    for item in model.tables.values():
        if item.module == model.module:
            lines += _struct(model, "table", item)
    for handle in model.handles.values():
        if handle.module == model.module:
            parent = f"Dies with its `{short(model, handle.parent)}`." if handle.parent else ""
            lines += [f"## handle {short(model, handle.name)}", "", *_doc(handle.doc)]
            lines += _doc(parent)
    for umem in model.umems.values():
        if umem.module == model.module:
            rights = (
                f"The client may {umem.client or 'nothing'}, the server {umem.server or 'nothing'}"
            )
            lines += [f"## umem {short(model, umem.name)}", "", *_doc(umem.doc)]
            lines += [f"{rights}; at most {size_text(umem.max)}.", ""]
    for function in model.functions.values():
        if function.module == model.module:
            lines += [f"## sizefn {short(model, function.name)}", "", *_doc(function.doc)]
            text = f"{function_text(function)} = {body_text(function.body)}"
            lines += ["```", text, "```", ""]
    return lines


def _struct(model: Model, kind: str, item: Struct | Table) -> list[str]:
    lines = [f"## {kind} {short(model, item.name)}", "", *_doc(item.doc)]
    lines += [f"{item.size} bytes, aligned to {item.align}.", ""]
    numbers = item.numbers if isinstance(item, Table) else [0] * len(item.slots)
    rows = [
        [
            f"{slot.offset}",
            *([f"{number}"] if isinstance(item, Table) else []),
            f"`{slot.name}`",
            type_text(model, slot) + (f"[{slot.count}]" if slot.count else ""),
            limits(slot),
            slot.doc,
        ]
        for slot, number in zip(item.slots, numbers, strict=True)
    ]
    head = ["offset", *(["number"] if isinstance(item, Table) else []), "name", "type", "", ""]
    return lines + table(head, rows)


def _interface(model: Model, interface: Interface) -> list[str]:
    lines = [f"## interface {interface.name}", "", *_doc(interface.doc)]
    lines += [f"Group {interface.group}, schema hash `{interface.hash}`.", ""]
    if interface.state:
        rows = [
            [f"`{v.name}`", short(model, v.type.name), f"{v.initial}", f"{v.low}..{v.high}", v.doc]
            for v in interface.state
        ]
        lines += ["Shadowed on both sides of a channel:", ""]
        lines += table(["state", "type", "initial", "values", ""], rows)
    for proc in interface.procedures:
        lines += _procedure(model, interface, proc)
    for proc in interface.callbacks:
        lines += _procedure(model, interface, proc, callback=True)
    for what, reserved in (
        ("ordinals", interface.reserved),
        ("ordinals of callbacks", interface.reserved_callbacks),
    ):
        spans = [f"{low}..{high}" if high > low else f"{low}" for low, high in reserved]
        if spans:
            lines += [f"Reserved {what}: {', '.join(spans)}.", ""]
    return lines


def _procedure(
    model: Model, interface: Interface, proc: Procedure, *, callback: bool = False
) -> list[str]:
    lines = [
        f'### <a id="{_anchor(interface, proc)}"></a>{proc.name}',
        "",
        "```",
        signature(model, proc, callback=callback),
        "```",
        "",
        *_doc(proc.doc),
    ]
    answers = {slot.name for slot in proc.reply.slots}
    rows: list[list[str]] = []
    for slot in [*proc.request.slots, *proc.reply.slots, *proc.implied]:
        if slot.name not in proc.params or slot.name in {row[0].strip("`") for row in rows}:
            continue
        rows.append([f"`{slot.name}`", _direction(slot, answers), limits(slot), slot.doc])
    lines += table(["parameter", "", "limits", ""], rows)
    notes = _notes(model, proc)
    lines += [*(f"- {note}" for note in notes), ""] if notes else []
    if proc.request.slots:
        lines += [f"Request, at most {proc.request.max:,} bytes:", ""]
        lines += wire_table(model, proc.request)
    if proc.reply.slots:
        lines += [f"Answer, at most {proc.reply.max:,} bytes:", ""]
        lines += wire_table(model, proc.reply)
    return lines


def _direction(slot: Slot, answers: set[str]) -> str:
    if slot.implied:
        return "implied"
    way = "out" if slot.name in answers else "in"
    words = [way, slot.transfer, "may be null" if slot.nullable else ""]
    if way == "in" and slot.form in ("bytes", "array") and not slot.copy:
        words.append("in place")
    return ", ".join(word for word in words if word)


def _notes(model: Model, proc: Procedure) -> list[str]:
    notes = []
    if proc.since:
        notes.append(f"since {proc.since}")
    if "deprecated" in proc.attributes:
        notes.append("deprecated " + " ".join(proc.attributes["deprecated"].values()))
    if proc.throws:
        notes.append(f"fails with a `{short(model, proc.throws)}`")
    if proc.creates:
        notes.append("makes a new handle")
    if proc.destroys:
        notes.append(f"ends `{proc.destroys}` and all that depends on it")
    for change in proc.sets:
        when = f" when `{expr_text(change.when)}`" if change.when is not None else ""
        notes.append(f"sets `state.{change.var}` to `{expr_text(change.value)}`{when}")
    if proc.notify:
        notes.append("is delivered at once")
    if proc.on_lost is not None:
        notes.append(f"returns {proc.on_lost} in C when the peer is lost")
    if proc.cacheable:
        until = "for the session" if proc.cacheable == "session" else f"until `{proc.cacheable}`"
        notes.append(f"the client remembers the answer {until}")
    if proc.drop:
        kept = f", {proc.keep} are kept" if proc.keep else ""
        notes.append(f"a slow client loses the {proc.drop}{kept}")
    if proc.timeout:
        notes.append(f"the server waits {duration(proc.timeout)}")
    return notes
