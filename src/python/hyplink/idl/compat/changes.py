"""A difference between two versions, and how bad it is."""

from __future__ import annotations

import enum
from dataclasses import dataclass

from hyplink.idl.compat.contract import Entry
from hyplink.idl.compat.places import Spot

__all__ = ["Change", "Changes", "Class"]


class Class(enum.Enum):
    """Who notices a change.

    ``WIRE``: programs that are built and running; one of two versions refuses or misreads the other.
    ``SOURCE``: programs that are built anew. ``NOTE``: nobody, as long as the server goes first.
    """

    WIRE = "wire"
    SOURCE = "source"
    NOTE = "note"


@dataclass(slots=True)
class Change:
    """One change; ``old`` or ``new`` is None where the thing does not exist."""

    kind: Class
    rule: str
    subject: str
    message: str
    old: Spot | None = None
    new: Spot | None = None

    def to_json(self) -> dict[str, object]:
        def spot(value: Spot | None) -> dict[str, object] | None:
            return value._asdict() if value else None

        return {
            "class": self.kind.value,
            "rule": self.rule,
            "subject": self.subject,
            "message": self.message,
            "old": spot(self.old),
            "new": spot(self.new),
        }


class Changes:
    """Collects changes; remembers which subjects had one that matters."""

    def __init__(self) -> None:
        self.found: list[Change] = []

    def add(
        self,
        kind: Class,
        rule: str,
        subject: str,
        message: str,
        old: Entry | None,
        new: Entry | None,
    ) -> None:
        self.found.append(
            Change(
                kind,
                rule,
                subject,
                message,
                old.spot if old else None,
                new.spot if new else None,
            )
        )

    def wire(
        self, rule: str, subject: str, message: str, old: Entry | None, new: Entry | None
    ) -> None:
        self.add(Class.WIRE, rule, subject, message, old, new)

    def source(
        self, rule: str, subject: str, message: str, old: Entry | None, new: Entry | None
    ) -> None:
        self.add(Class.SOURCE, rule, subject, message, old, new)

    def note(
        self, rule: str, subject: str, message: str, old: Entry | None, new: Entry | None
    ) -> None:
        self.add(Class.NOTE, rule, subject, message, old, new)
