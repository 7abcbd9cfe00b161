"""The journal's records as Python values.

A record is 64 bytes, written by a process that may have been hostile or killed while writing, so
nothing in it is believed beyond its form: an unknown event keeps its number, an unknown link too.
Source: hyplink/base/journal.hpp.
"""

from __future__ import annotations

import dataclasses
import json
import struct
from collections.abc import Iterator, Sequence
from typing import Any

from hyplink import errors
from hyplink.trace.records import EventKind, LinkName, Names, Record
from hyplink.trace.words import sentence

__all__ = ["RECORD_BYTES", "Event", "EventKind", "LinkName", "Names", "pack_header", "read"]

RECORD_BYTES = 64
_RECORD = struct.Struct("<QHHIIIQQ24x")
_MAGIC = b"HYPLINK-JOURNAL 1 "
_NO_LINK = 0xFFFFFFFF

_KINDS = {int(kind): kind for kind in EventKind}


@dataclasses.dataclass(frozen=True, slots=True)
class Event(Record):
    """One thing that happened: a record that says itself."""

    @property
    def text(self) -> str:
        """The event as a sentence."""
        return sentence(self)

    def to_json(self) -> dict[str, Any]:
        """Plain data: one line of ``hyplink trace tail --json``."""
        return {
            "time_s": self.time_s,
            "kind": self.kind.name.lower(),
            "vm": self.vm,
            "app": self.app,
            "link": self.link,
            "a": self.a,
            "b": self.b,
            "c": self.c,
            "text": self.text,
        }

    def __str__(self) -> str:
        return f"{self.time_s * 1e3:12.4f} ms  {self.text}"


def pack_header(names: Names) -> bytes:
    """The head of a journal file: one line, filled up so that records stay aligned."""
    line = _MAGIC + json.dumps(names.to_json(), separators=(",", ":")).encode()
    return line + b" " * (-(len(line) + 1) % RECORD_BYTES) + b"\n"


def split_header(data: bytes) -> tuple[Names | None, bytes]:
    """Take the head off, if there is one."""
    if not data.startswith(_MAGIC):
        return None, data
    end = data.find(b"\n")
    try:
        return Names.from_json(json.loads(data[len(_MAGIC) : end])), data[end + 1 :]
    except (ValueError, TypeError, KeyError):
        raise errors.BadArgument(22, "journal: its first line does not name a board") from None


def read(data: bytes, names: Names) -> Iterator[Event]:
    """The events in the order they are stored."""
    if len(data) % RECORD_BYTES:
        raise errors.BadArgument(
            22,
            f"journal of {len(data)} bytes: not a whole number of records of {RECORD_BYTES} bytes",
        )
    links: Sequence[LinkName] = names.links
    others: dict[int, LinkName] = {}
    start = _RECORD.unpack_from(data)[0] if data else 0
    for time, number, vm, app, index, a, b, c in _RECORD.iter_unpack(data):
        ends: LinkName | None = None
        if index < len(links):
            ends = links[index]
        elif index != _NO_LINK:
            ends = others.setdefault(index, LinkName(f"link {index}"))
        kind = _KINDS.get(number, EventKind.NONE)
        label = ends.label if ends else None
        seconds = (time - start) / 1e9
        yield Event(time, seconds, kind, vm, app, label, a, b, c, number, ends)
