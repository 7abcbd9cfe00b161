"""The form of an event: the kernel's `struct input_event` of a 64-bit program."""

from __future__ import annotations

import struct
from typing import NamedTuple

__all__ = ["STRUCT", "InputEvent", "events_of", "packed"]

#: `struct input_event` of a 64-bit program.
STRUCT = struct.Struct("<qqHHi")


class InputEvent(NamedTuple):
    """One event. The time is that of the bench's clock, in seconds."""

    time: float
    type: int
    code: int
    value: int


def events_of(data: bytes) -> list[InputEvent]:
    """`struct input_event`s as values."""
    return [
        InputEvent(sec + usec / 1e6, kind, code, value)
        for sec, usec, kind, code, value in STRUCT.iter_unpack(data)
    ]


def packed(event: InputEvent) -> bytes:
    """The inverse, of one."""
    micros = round(event.time * 1e6)
    return STRUCT.pack(micros // 1_000_000, micros % 1_000_000, *event[1:])
