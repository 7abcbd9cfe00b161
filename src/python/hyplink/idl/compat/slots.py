"""Parameters, results, struct members and table fields: what a change of one means."""

from __future__ import annotations

import re

from hyplink.idl.compat.changes import Changes
from hyplink.idl.compat.contract import Entry

__all__ = ["CLIENT", "SERVER", "compare_slot", "compare_slots"]

#: Who writes the value; the other one checks it.
CLIENT, SERVER = "client", "server"

#: Facts that both sides compute with: any difference is a misunderstanding.
_EXACT = {
    "type": "type",
    "form": "form",
    "dim": "length",
    "counts": "who counts",
    "used": "used count",
    "text": "text",
    "inner_counts": "who counts inside",
    "implied": "implied",
    "cookie": "cookie",
    "transfer": "ownership",
}


def compare_slots(
    old: list[Entry], new: list[Entry], subject: str, writers: set[str], changes: Changes
) -> None:
    """Slots of a block or a struct: by position, since that is what the wire knows."""
    renames = {a.name: b.name for a, b in zip(old, new, strict=False) if a.name != b.name}
    for number, (before, after) in enumerate(zip(old, new, strict=False), start=1):
        name = f"{subject}.{before.name}"
        if before.name != after.name:
            if any(entry.name == before.name for entry in new):
                message = f"number {number} was '{before.name}' and is '{after.name}'"
                changes.wire("order", name, message, before, after)
                continue
            message = f"'{before.name}' is called '{after.name}' now"
            changes.source("renamed", name, message, before, after)
        compare_slot(_renamed(before, renames), after, name, writers, changes)
    for entry in old[len(new) :]:
        changes.wire("removed", f"{subject}.{entry.name}", "is gone", entry, None)
    for entry in new[len(old) :]:
        changes.wire("added", f"{subject}.{entry.name}", "is new", None, entry)


def _renamed(entry: Entry, renames: dict[str, str]) -> Entry:
    """The entry with parameters called as in the new version: a name is nothing on the wire."""
    if not renames:
        return entry
    pattern = re.compile(rf"(?<![\w.])({'|'.join(renames)})\b")
    facts = dict(entry.facts)
    for fact in ("dim", "used", "implied", "cookie"):
        text = facts.get(fact)
        if isinstance(text, str):
            facts[fact] = pattern.sub(lambda match: renames[match[1]], text)
    return Entry(entry.kind, entry.name, facts, entry.inner, entry.spot)


def compare_slot(old: Entry, new: Entry, subject: str, writers: set[str], changes: Changes) -> None:
    """Everything about one slot but its name."""
    for fact, word in _EXACT.items():
        if old.facts.get(fact) != new.facts.get(fact):
            message = f"{word} was {_shown(old, fact)} and is {_shown(new, fact)}"
            changes.wire(f"slot-{fact.replace('_', '-')}", subject, message, old, new)
    if bool(old.facts.get("large")) != bool(new.facts.get("large")):
        changes.wire("slot-large", subject, "travels otherwise when large", old, new)
    elif old.facts.get("large") != new.facts.get("large"):
        message = f"is large from {new.number('large')} bytes on, was {old.number('large')}"
        changes.note("slot-large", subject, message, old, new)
    for fact, word in (("max", "maximum"), ("most", "most elements")):
        before, after = old.number(fact), new.number(fact)
        message = f"{word} was {before} and is {after}"
        if after < before:
            _narrower("max", subject, message, writers, old, new, changes)
        elif after > before:
            _wider("max", subject, message, writers, old, new, changes)
    _nullable(old, new, subject, writers, changes)
    _range(old, new, subject, writers, changes)


def _shown(entry: Entry, fact: str) -> str:
    value = entry.facts.get(fact, "")
    return f"'{value}'" if value not in ("", False) else "none"


def _nullable(old: Entry, new: Entry, subject: str, writers: set[str], changes: Changes) -> None:
    before, after = bool(old.facts.get("nullable")), bool(new.facts.get("nullable"))
    if before == after:
        return
    if writers == {SERVER}:
        changes.note(
            "nullable",
            subject,
            "may be left out by the caller" if after else "may no longer be left out by the caller",
            old,
            new,
        )
    elif before:
        _narrower("nullable", subject, "may no longer be null", writers, old, new, changes)
    else:
        _wider("nullable", subject, "may be null", writers, old, new, changes)


def _range(old: Entry, new: Entry, subject: str, writers: set[str], changes: Changes) -> None:
    before, after = _accepted(old), _accepted(new)
    if before == after:
        return
    message = f"values were {_values(old)} and are {_values(new)}"
    fewer = not _within(before, after)
    more = not _within(after, before)
    if fewer:
        _narrower("range", subject, message, writers, old, new, changes)
    elif more:
        _wider("range", subject, message, writers, old, new, changes)


Accepted = tuple[float, float] | frozenset[int]


def _accepted(entry: Entry) -> Accepted:
    choices = entry.facts.get("choices")
    if isinstance(choices, list):
        return frozenset(int(c) for c in choices)
    low, high = entry.facts.get("low"), entry.facts.get("high")
    return (
        float("-inf") if not isinstance(low, int) else low,
        float("inf") if not isinstance(high, int) else high,
    )


def _within(inner: Accepted, outer: Accepted) -> bool:
    """Every value of ``inner`` is one of ``outer``."""
    if isinstance(outer, frozenset):
        if isinstance(inner, frozenset):
            return inner <= outer
        low, high = inner
        count = high - low + 1
        return count <= len(outer) and all(v in outer for v in range(int(low), int(high) + 1))
    if isinstance(inner, frozenset):
        return all(outer[0] <= value <= outer[1] for value in inner)
    return outer[0] <= inner[0] and inner[1] <= outer[1]


def _values(entry: Entry) -> str:
    choices = entry.facts.get("choices")
    if isinstance(choices, list):
        return "{" + ", ".join(map(str, choices)) + "}"
    low, high = entry.facts.get("low"), entry.facts.get("high")
    if low is None and high is None:
        return "any"
    return f"{low}..{high}"


def _narrower(
    rule: str,
    subject: str,
    message: str,
    writers: set[str],
    old: Entry,
    new: Entry,
    changes: Changes,
) -> None:
    """The new side refuses what the old side may send, whoever of the two it is."""
    who = "client" if CLIENT in writers else "server"
    rule = f"{rule}-narrowed"
    changes.wire(rule, subject, f"{message}: an older {who} may send more", old, new)


def _wider(
    rule: str,
    subject: str,
    message: str,
    writers: set[str],
    old: Entry,
    new: Entry,
    changes: Changes,
) -> None:
    """The old side refuses what the new side may send; a client can know better, a server not."""
    rule = f"{rule}-widened"
    if SERVER in writers:
        changes.wire(rule, subject, f"{message}: an older client refuses more", old, new)
    else:
        changes.note(rule, subject, f"{message}: an older server refuses more", old, new)
