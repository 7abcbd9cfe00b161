"""Types of the file level: enums, structs, tables, handles, buffers, functions, constants."""

from __future__ import annotations

from collections.abc import Callable

from hyplink.idl.compat.changes import Changes
from hyplink.idl.compat.contract import Entry
from hyplink.idl.compat.slots import CLIENT, SERVER, compare_slot, compare_slots

__all__ = ["compare_types", "writers_of"]

_WORD = {"const": "constant", "umem": "buffer kind", "sizefn": "function"}


def writers_of(root: Entry) -> dict[str, set[str]]:
    """By type name: who writes values of it, over all procedures and callbacks."""
    found: dict[str, set[str]] = {}
    types = {entry.name: entry for entry in root.of("struct", "table")}

    def note(entry: Entry, writer: str) -> None:
        name = entry.text("type").rsplit(" ", 1)[-1]
        if writer not in found.setdefault(name, set()):
            found[name].add(writer)
            for item in types[name].inner if name in types else ():
                note(item, writer)

    for interface in root.of("interface"):
        for proc in interface.of("procedure", "callback"):
            asks, answers = (CLIENT, SERVER) if proc.kind == "procedure" else (SERVER, CLIENT)
            for entry in proc.of("request"):
                note(entry, asks)
            for entry in proc.of("reply"):
                note(entry, answers)
            if proc.text("throws"):
                found.setdefault(proc.text("throws"), set()).add(answers)
    return found


def compare_types(old: Entry, new: Entry, changes: Changes) -> None:
    """Everything but the interfaces."""
    writers = writers_of(old)
    for name, more in writers_of(new).items():
        writers[name] = writers.get(name, set()) | more
    rules: dict[str, Callable[[Entry, Entry, str, set[str], Changes], None]] = {
        "const": _const,
        "enum": _enum,
        "struct": _struct,
        "table": _table,
        "handle": _handle,
        "umem": _umem,
        "sizefn": _sizefn,
    }
    for kind, rule in rules.items():
        word = _WORD.get(kind, kind)
        after = {entry.name: entry for entry in new.of(kind)}
        for entry in old.of(kind):
            subject = f"{word} {entry.name}"
            if entry.name not in after:
                # Procedures that used it say what that means on the wire.
                changes.source("removed", subject, "is gone", entry, None)
                continue
            used = writers.get(entry.name, set())
            rule(entry, after[entry.name], subject, used, changes)
        before = {entry.name for entry in old.of(kind)}
        for entry in new.of(kind):
            if entry.name not in before:
                changes.note("added", f"{word} {entry.name}", "is new", None, entry)


def _const(old: Entry, new: Entry, subject: str, _used: set[str], changes: Changes) -> None:
    if old.facts != new.facts:
        message = f"was {old.facts['value']} and is {new.facts['value']}"
        changes.source("const-value", subject, message, old, new)


def _enum(old: Entry, new: Entry, subject: str, used: set[str], changes: Changes) -> None:
    if old.text("base") != new.text("base"):
        message = f"base was {old.text('base')} and is {new.text('base')}"
        changes.wire("enum-base", subject, message, old, new)
    was_open, is_open = bool(old.facts.get("open")), bool(new.facts.get("open"))
    if was_open and not is_open:
        changes.wire("enum-closed", subject, "is closed: unknown values are refused now", old, new)
    elif is_open and not was_open:
        kind = changes.wire if SERVER in used else changes.note
        message = "is open: older peers still refuse unknown values"
        kind("enum-opened", subject, message, old, new)
    before = {item.name: item for item in old.inner}
    after = {item.name: item for item in new.inner}
    values_after = {item.number("value"): item for item in new.inner}
    values_before = {item.number("value") for item in old.inner}
    for name, item in before.items():
        here = f"{subject}.{name}"
        value = item.number("value")
        if name in after:
            now = after[name].number("value")
            if now != value:
                changes.wire(
                    "enumerator-value", here, f"was {value} and is {now}", item, after[name]
                )
        elif value in values_after:
            other = values_after[value]
            changes.source("renamed", here, f"is called '{other.name}' now", item, other)
        elif is_open:
            changes.source("removed", here, "is gone", item, None)
        else:
            changes.wire("removed", here, f"is gone: {value} is refused now", item, None)
    for name, item in after.items():
        if name in before or item.number("value") in values_before:
            continue
        here = f"{subject}.{name}"
        if was_open:
            changes.note("added", here, "is new; the enum is open", None, item)
        elif SERVER in used:
            changes.wire("added", here, "is new: older clients refuse it", None, item)
        else:
            changes.note("added", here, "is new: older servers refuse it", None, item)


def _struct(old: Entry, new: Entry, subject: str, used: set[str], changes: Changes) -> None:
    # A struct is frozen: any member more or less moves what stands behind it.
    compare_slots(old.inner, new.inner, subject, used, changes)


def _table(old: Entry, new: Entry, subject: str, used: set[str], changes: Changes) -> None:
    after = {entry.number("number"): entry for entry in new.inner}
    for entry in old.inner:
        here = f"{subject}.{entry.name}"
        other = after.get(entry.number("number"))
        if other is None:
            changes.wire("removed", here, "is gone; fields of a table stay", entry, None)
            continue
        if other.name != entry.name:
            changes.source("renamed", here, f"is called '{other.name}' now", entry, other)
        if entry.facts.get("default") != other.facts.get("default"):
            message = "another default: peers that leave it out mean different things"
            changes.wire("field-default", here, message, entry, other)
        compare_slot(entry, other, here, used, changes)
    last = max((entry.number("number") for entry in old.inner), default=0)
    known = {entry.number("number") for entry in old.inner}
    for number, entry in after.items():
        here = f"{subject}.{entry.name}"
        if number in known:
            continue
        if number > last:
            changes.note("added", here, "is new at the end, as tables grow", None, entry)
        else:
            changes.wire("added", here, "is new in front of older fields", None, entry)


def _handle(old: Entry, new: Entry, subject: str, _used: set[str], changes: Changes) -> None:
    if old.text("parent") != new.text("parent"):
        before, after = old.text("parent") or "none", new.text("parent") or "none"
        message = f"parent was {before} and is {after}: it dies at another time"
        changes.wire("handle-parent", subject, message, old, new)


def _umem(old: Entry, new: Entry, subject: str, _used: set[str], changes: Changes) -> None:
    for side in ("client", "server"):
        before, after = set(old.text(side).split()), set(new.text(side).split())
        if before - after:
            message = f"the {side} may no longer {' or '.join(sorted(before - after))}"
            changes.wire("umem-rights", subject, message, old, new)
        elif after - before:
            message = f"the {side} may also {' and '.join(sorted(after - before))}"
            changes.note("umem-rights", subject, message, old, new)
    before_max, after_max = old.number("max"), new.number("max")
    if after_max < before_max:
        message = f"maximum was {before_max} and is {after_max}"
        changes.wire("max-narrowed", subject, message, old, new)
    elif after_max > before_max:
        message = f"maximum was {before_max} and is {after_max}"
        changes.note("max-widened", subject, message, old, new)


def _sizefn(old: Entry, new: Entry, subject: str, _used: set[str], changes: Changes) -> None:
    if old.facts != new.facts:
        message = f"was '{old.text('body')}' and is '{new.text('body')}': both sides must agree"
        changes.wire("sizefn-body", subject, message, old, new)
