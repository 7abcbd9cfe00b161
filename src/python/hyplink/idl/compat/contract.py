"""What others rely on, as a tree of facts: the same from a model and from a lock file.

Docs, places and layout (it follows from the rest) are left out; so are facts with their usual value.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from hyplink.idl.compat.places import Spot
from hyplink.idl.expr_text import body_text, dim_text, expr_text
from hyplink.idl.model import Interface, Model, Procedure, Slot, Type

__all__ = ["Entry", "Fact", "contract_of"]

Fact = str | int | float | bool | list[str] | list[int]


@dataclass(slots=True)
class Entry:
    """``kind`` and ``name`` with facts; ``inner`` are the things it consists of, in order."""

    kind: str
    name: str
    facts: dict[str, Fact] = field(default_factory=dict)
    inner: list[Entry] = field(default_factory=list)
    spot: Spot | None = None

    def text(self, name: str) -> str:
        """A fact that is a text, or ""."""
        value = self.facts.get(name, "")
        return value if isinstance(value, str) else str(value)

    def number(self, name: str) -> int:
        """A fact that is an integer, or 0."""
        value = self.facts.get(name, 0)
        return value if isinstance(value, int) else 0

    def of(self, *kinds: str) -> list[Entry]:
        """The inner entries of these kinds, in order."""
        return [entry for entry in self.inner if entry.kind in kinds]

    def every(self) -> Iterator[Entry]:
        """This entry and all below."""
        yield self
        for entry in self.inner:
            yield from entry.every()


Own = Callable[[str], str]
Named = dict[tuple[str, str], Entry]


def contract_of(model: Model) -> Entry:
    """The contract of a checked model (see ``Compiled.require``)."""
    version = f"{model.version[0]}.{model.version[1]}"
    root = Entry("module", model.module, {"version": version})

    def own(name: str) -> str:
        return name.removeprefix(f"{model.module}.")

    for constant in model.constants:
        root.inner.append(
            Entry("const", constant.name, {"type": constant.type, "value": constant.value})
        )
    for name, enum in model.enums.items():
        entry = Entry("enum", own(name), _facts(base=enum.base, open=enum.open))
        entry.inner = [Entry("enumerator", m.name, {"value": m.value}) for m in enum.members]
        root.inner.append(entry)
    for name, struct in model.structs.items():
        members = [_slot("member", slot, own) for slot in struct.slots]
        root.inner.append(Entry("struct", own(name), {}, members))
    for name, table in model.tables.items():
        fields = [_slot("field", slot, own) for slot in table.slots]
        for item, number in zip(fields, table.numbers, strict=True):
            item.facts = {"number": number, **item.facts}
        root.inner.append(Entry("table", own(name), {}, fields))
    for name, handle in model.handles.items():
        root.inner.append(Entry("handle", own(name), _facts(parent=own(handle.parent))))
    for name, umem in model.umems.items():
        facts = _facts(client=umem.client, server=umem.server, max=umem.max)
        root.inner.append(Entry("umem", own(name), facts))
    for name, function in model.functions.items():
        facts = _facts(
            result=function.result.name,
            types=[own(kind.name) for kind in function.types],
            params=function.params,
            body=body_text(function.body),
        )
        root.inner.append(Entry("sizefn", own(name), facts))
    named = {(e.kind, e.name): e for e in root.inner}
    for interface in model.interfaces:
        root.inner.append(_interface(interface, own, named))
    return root


def _facts(**facts: Fact | None) -> dict[str, Fact]:
    """Only what differs from the usual."""
    return {key: value for key, value in facts.items() if value not in (None, "", 0, [], False)}


def _spans(reserved: list[tuple[int, int]]) -> list[str]:
    return [f"{low}..{high}" if high > low else str(low) for low, high in reserved]


def _interface(interface: Interface, own: Own, named: Named) -> Entry:
    facts = _facts(
        group=interface.group,
        reserved=_spans(interface.reserved),
        reserved_callbacks=_spans(interface.reserved_callbacks),
        hash=interface.hash,
    )
    entry = Entry("interface", interface.name, facts)
    for var in interface.state:
        shadow: dict[str, Fact] = {"type": own(var.type.name), "initial": var.initial}
        shadow |= {"low": var.low, "high": var.high}
        entry.inner.append(Entry("state", var.name, shadow))
    for kind, procedures in (
        ("procedure", interface.procedures),
        ("callback", interface.callbacks),
    ):
        entry.inner += [_procedure(kind, proc, own, named) for proc in procedures]
    return entry


def _procedure(kind: str, proc: Procedure, own: Own, named: Named) -> Entry:
    facts = _facts(
        ordinal=proc.ordinal,
        call=proc.kind,
        throws=own(proc.throws),
        creates=proc.creates,
        destroys=proc.destroys,
        sets=[
            f"state.{s.var} = {expr_text(s.value)}"
            + (f" when {expr_text(s.when)}" if s.when is not None else "")
            for s in proc.sets
        ],
        drop=proc.drop,
        keep=proc.keep,
        timeout=proc.timeout,
        cacheable=proc.cacheable,
        order=_order(proc),
    )
    if proc.on_lost is not None:
        facts["on_lost"] = proc.on_lost
    entry = Entry(kind, proc.name, facts)
    entry.inner = [
        *(_slot("request", slot, own) for slot in proc.request.slots),
        *(_slot("reply", slot, own) for slot in proc.reply.slots),
        *(_slot("implied", slot, own) for slot in proc.implied),
    ]
    entry.facts["hash"] = _hash(entry, named)
    return entry


def _order(proc: Procedure) -> list[str]:
    """The prototype's order, where the wire does not say it."""
    slots = [slot.name for slot in (*proc.request.slots, *proc.reply.slots)]
    return [] if proc.params == [name for name in slots if name in proc.params] else proc.params


def _slot(kind: str, slot: Slot, own: Own) -> Entry:
    facts = _facts(
        type=_type(slot.type, own),
        form=slot.form if slot.form != "value" else "",
        dim=dim_text(slot),
        counts="carried" if slot.dim == "carried" else "",
        used=slot.used,
        max=slot.max if slot.is_part else 0,
        choices=slot.choices,
        nullable=slot.nullable,
        text=slot.text,
        inner_counts="carried" if slot.inner_dim == "carried" else "",
        most=slot.count if slot.form == "nested" else 0,
        large=slot.large,
        transfer=slot.transfer,
        implied=slot.implied,
        cookie=slot.cookie,
    )
    for name, value in (("low", slot.low), ("high", slot.high), ("default", slot.default)):
        if value is not None:
            facts[name] = value
    return Entry(kind, slot.name, facts)


def _type(kind: Type, own: Own) -> str:
    return (
        own(kind.name)
        if kind.kind in ("scalar", "enum", "struct")
        else (f"{kind.kind} {own(kind.name)}")
    )


def _hash(entry: Entry, named: Named) -> str:
    """Over the procedure and every type and function it leads to."""
    seen: dict[tuple[str, str], Entry] = {}
    waiting = [entry]
    while waiting:
        for item in waiting.pop().every():
            words = set(item.text("type").split()) | {item.text("throws")}
            texts = [item.text("dim"), item.text("body")]
            for key, other in named.items():
                called = key[0] == "sizefn" and any(f"{key[1]}(" in text for text in texts)
                if key not in seen and key[0] != "const" and (key[1] in words or called):
                    seen[key] = other
                    waiting.append(other)
    data = [_plain(entry), *(_plain(seen[key]) for key in sorted(seen))]
    text = json.dumps(data, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _plain(entry: Entry) -> list[object]:
    return [entry.kind, entry.name, entry.facts, [_plain(item) for item in entry.inner]]
