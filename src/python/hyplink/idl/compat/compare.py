"""Two contracts compared: every change with its class and its place in both."""

from __future__ import annotations

from hyplink.idl.compat.changes import Change, Changes, Class
from hyplink.idl.compat.contract import Entry
from hyplink.idl.compat.slots import CLIENT, SERVER, compare_slots
from hyplink.idl.compat.types import compare_types

__all__ = ["compare"]


def compare(old: Entry, new: Entry) -> list[Change]:
    """All changes from ``old`` to ``new``, in the order of the old file, new things last.

    A new major version is a new interface: peers of two majors refuse each other, so nothing can be
    misread. Only what programs' sources notice is left then.
    """
    changes = Changes()
    if old.name != new.name:
        message = f"module was '{old.name}' and is '{new.name}'"
        changes.source("module-name", "module", message, old, new)
    compare_types(old, new, changes)
    after = {entry.number("group"): entry for entry in new.of("interface")}
    by_name = {entry.name: entry for entry in new.of("interface")}
    matched: set[str] = set()
    for entry in old.of("interface"):
        subject = f"interface {entry.name}"
        other = after.get(entry.number("group"))
        if other is None and entry.name in by_name:
            other = by_name[entry.name]
            message = f"group was {entry.number('group')} and is {other.number('group')}"
            changes.wire("group", subject, message, entry, other)
        if other is None:
            changes.wire("removed", subject, "is gone", entry, None)
            continue
        matched.add(other.name)
        if other.name != entry.name:
            changes.source("renamed", subject, f"is called '{other.name}' now", entry, other)
        _interface(entry, other, changes)
    for entry in new.of("interface"):
        if entry.name not in matched:
            changes.note("added", f"interface {entry.name}", "is new", None, entry)
    _version(old, new, changes)
    return changes.found


def _version(old: Entry, new: Entry, changes: Changes) -> None:
    before, after = _numbers(old), _numbers(new)
    if after[0] > before[0]:
        for change in changes.found:
            if change.kind is Class.WIRE:
                change.kind = Class.SOURCE
    elif after < before:
        message = f"went back from {old.text('version')} to {new.text('version')}"
        changes.wire("version", "module", message, old, new)
    elif after == before and _hashes(old) != _hashes(new):
        message = (
            f"peers compare hashes within {old.text('version')} and will refuse each other; "
            f"make it {after[0]}.{after[1] + 1}"
        )
        changes.wire("version", "module", message, old, new)


def _numbers(root: Entry) -> tuple[int, int]:
    major, _, minor = root.text("version").partition(".")
    return int(major or 0), int(minor or 0)


def _hashes(root: Entry) -> dict[str, str]:
    return {entry.name: entry.text("hash") for entry in root.of("interface")}


def _interface(old: Entry, new: Entry, changes: Changes) -> None:
    _state(old, new, changes)
    for kind, what in (("procedure", ""), ("callback", "callback ")):
        reserved, were_reserved = _ranges(new, kind), _ranges(old, kind)
        gone = were_reserved - reserved
        if gone:
            message = f"no longer reserves {what}{', '.join(map(str, sorted(gone)))}"
            changes.wire("reserved", f"interface {old.name}", message, old, new)
        after = {entry.number("ordinal"): entry for entry in new.of(kind)}
        names = {entry.name: entry for entry in new.of(kind)}
        known = {entry.name for entry in old.of(kind)}
        ordinals = {entry.number("ordinal") for entry in old.of(kind)}
        for entry in old.of(kind):
            subject = f"{kind} {old.name}.{entry.name}"
            other = after.get(entry.number("ordinal"))
            if entry.name in names and other is not names[entry.name]:
                other = names[entry.name]
                message = f"ordinal was {entry.number('ordinal')} and is {other.number('ordinal')}"
                changes.wire("ordinal", subject, message, entry, other)
            elif other is None or other.name in known - {entry.name}:
                hint = "" if entry.number("ordinal") in reserved else ", its ordinal not reserved"
                changes.wire("removed", subject, f"is gone{hint}", entry, None)
                continue
            elif other.name != entry.name:
                changes.source("renamed", subject, f"is called '{other.name}' now", entry, other)
            _procedure(kind, entry, other, subject, changes)
        for entry in new.of(kind):
            if entry.name in known or entry.number("ordinal") in ordinals:
                continue
            subject = f"{kind} {new.name}.{entry.name}"
            if entry.number("ordinal") in were_reserved:
                message = f"takes ordinal {entry.number('ordinal')}, which was reserved"
                changes.wire("reserved", subject, message, old, entry)
            else:
                changes.note("added", subject, "is new", None, entry)


def _ranges(interface: Entry, kind: str) -> set[int]:
    """The ordinals that an interface keeps for retired procedures, or callbacks."""
    found: set[int] = set()
    texts = interface.facts.get("reserved_callbacks" if kind == "callback" else "reserved", [])
    for text in texts if isinstance(texts, list) else ():
        low, _, high = str(text).partition("..")
        found.update(range(int(low), int(high or low) + 1))
    return found


def _state(old: Entry, new: Entry, changes: Changes) -> None:
    before = {entry.name: entry for entry in old.of("state")}
    after = {entry.name: entry for entry in new.of("state")}
    for name in [*before, *(n for n in after if n not in before)]:
        one, two = before.get(name), after.get(name)
        subject = f"state {old.name}.{name}"
        if one is None or two is None:
            message = "is gone" if two is None else "is new"
            changes.wire("state", subject, message, one, two)
        elif one.facts != two.facts:
            changes.wire("state", subject, "changed: both sides must shadow alike", one, two)


#: Facts of a procedure that peers must share, and those that only one side acts on.
_SHARED = {
    "call": "call kind",
    "throws": "failures",
    "creates": "created handle",
    "destroys": "destroyed handle",
    "sets": "state changes",
}
_LOCAL = {
    "on_lost": "value when the server is lost",
    "drop": "drop policy",
    "keep": "kept callbacks",
    "timeout": "timeout",
    "cacheable": "caching",
}


def _procedure(kind: str, old: Entry, new: Entry, subject: str, changes: Changes) -> None:
    count = len(changes.found)
    for fact, word in _SHARED.items():
        if old.facts.get(fact) != new.facts.get(fact):
            message = f"{word} was {_shown(old, fact)} and is {_shown(new, fact)}"
            changes.wire(f"procedure-{fact}", subject, message, old, new)
    for fact, word in _LOCAL.items():
        if old.facts.get(fact) != new.facts.get(fact):
            message = f"{word} was {_shown(old, fact)} and is {_shown(new, fact)}"
            changes.note(f"procedure-{fact.replace('_', '-')}", subject, message, old, new)
    asks, answers = (CLIENT, SERVER) if kind == "procedure" else (SERVER, CLIENT)
    compare_slots(old.of("request"), new.of("request"), subject, {asks}, changes)
    compare_slots(old.of("reply"), new.of("reply"), subject, {answers}, changes)
    mine = changes.found[count:]
    if old.facts.get("order") != new.facts.get("order") and not mine:
        message = "parameters stand in another order (the wire does not)"
        changes.source("prototype", subject, message, old, new)


def _shown(entry: Entry, fact: str) -> str:
    value = entry.facts.get(fact)
    if isinstance(value, list):
        return "; ".join(map(str, value))
    return "none" if value is None else f"'{value}'"
