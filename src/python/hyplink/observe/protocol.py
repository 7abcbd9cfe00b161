"""How a bench is looked at from another terminal: names, limits, framing.

A bench listens on an abstract Unix socket, ``hyplink/<uid>/<pid>/<number>``: the kernel forgets it
with the process, however that ended. A request is one line of JSON such as ``{"do": "stats"}``, its
answer too. Clients only read, but for `attach`: its answer brings a descriptor, with which the
client is an application of a VM, like any other that this user starts there.
"""

from __future__ import annotations

import json
import re
from typing import Any, NamedTuple

__all__ = ["ANSWER_BYTES", "REQUEST_BYTES", "TRACE_EVENTS", "Address", "line_of"]

#: The longest request that is read, and the longest answer that a client takes.
REQUEST_BYTES, ANSWER_BYTES = 4096, 64 << 20
#: The most events in one answer.
TRACE_EVENTS = 65_536

_NAME = re.compile(r"hyplink/(\d{1,10})/(\d{1,10})/(\d{1,6})")


class Address(NamedTuple):
    """Whose bench: user, process, and which of the process's benches."""

    uid: int
    pid: int
    number: int

    @property
    def socket_name(self) -> str:
        """For bind and connect."""
        return f"\0hyplink/{self.uid}/{self.pid}/{self.number}"

    @classmethod
    def parse(cls, name: str) -> Address | None:
        """The inverse of `socket_name` without its first character; None for another's socket."""
        match = _NAME.fullmatch(name)
        return None if match is None else cls(*map(int, match.groups()))

    def __str__(self) -> str:
        return str(self.pid) if self.number == 1 else f"{self.pid}.{self.number}"


def line_of(message: dict[str, Any]) -> bytes:
    """A message as it is sent."""
    return json.dumps(message, separators=(",", ":")).encode() + b"\n"
