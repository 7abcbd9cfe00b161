"""Memory that both VMs have mapped, and two sides that look at it all the time."""

from __future__ import annotations

import contextlib
import struct
import time
from abc import abstractmethod
from typing import Any

from hyplink import errors
from hyplink.compare.mechanisms.base import CHUNK, Connection

__all__ = ["BYTES", "LookingConnection", "look_after"]

# Words of 64 bits: the client's number and what it wants, the server's number and its answer; then data.
ASKED, WANTED, ANSWERED, ANSWER = 0, 1, 2, 3
DATA = 4096
BYTES = DATA + CHUNK

ECHO, AWAY, BACK, LEAVE = 1, 2, 3, 4


def words(view: Any) -> Any:
    """The head of the memory as words."""
    return memoryview(view)[:DATA].cast("Q")


def look_after(view: Any) -> None:
    """The server: answer until the client says that it leaves."""
    shared = words(view)
    seen, back = shared[ANSWERED], 0  # the first question may be there already
    while True:
        number = shared[ASKED]
        if number == seen:
            continue
        seen = number
        wanted, value = shared[WANTED] & 0xFF, shared[WANTED] >> 8
        if wanted == AWAY:
            shared[ANSWERED] = number
            time.sleep(value / 1e9)
            back = time.monotonic_ns()
            continue
        shared[ANSWER] = back if wanted == BACK else value
        shared[ANSWERED] = number
        if wanted == LEAVE:
            return


class LookingConnection(Connection):
    """The client of such a server. Nothing wakes anybody: who sleeps has to be told by other means."""

    wakes = False

    def __init__(self, view: Any) -> None:
        self.view = memoryview(view)
        self.shared = words(self.view)
        self.number = self.shared[ASKED]
        self.looks = 0
        self.moved = 0
        self.transfers = {"write": self._write}

    def _write(self) -> None:
        self.view[DATA : DATA + 8] = bytes(8)

    def ask(self, wanted: int, value: int = 0) -> int:
        """One question and its answer."""
        shared = self.shared
        self.number += 1
        shared[WANTED] = wanted | value << 8
        shared[ASKED] = self.number
        while shared[ANSWERED] != self.number:
            self.looks += 1
            if self.looks % 4096 == 0 and self.is_lost:
                raise errors.PeerDied(32, "the server of this memory died")
        return int(shared[ANSWER])

    @property
    @abstractmethod
    def is_lost(self) -> bool:
        """Whether the memory's owner is gone."""

    def round_trip(self) -> None:
        """One question, spinning."""
        self.ask(ECHO)

    def move(self, times: int) -> None:
        """Write it; it is there."""
        # The sender's own writing is the transfer; it is done when the server has looked once more.
        data = bytes(self.chunk)
        for _ in range(times):
            self.view[DATA : DATA + self.chunk] = data
        self.moved += times
        self.ask(ECHO)

    def copies(self) -> tuple[int, int]:
        """None by hyplink: what is written after the hand-over is there, too."""
        for value in range(1, 9):
            struct.pack_into("<Q", self.view, ANSWER * 8, 0)
            if self.ask(ECHO, value) != value:
                return 1, 1
        return 0, max(1, self.moved)

    def send_away(self, seconds: float) -> None:
        """See `Connection`."""
        self.ask(AWAY, int(seconds * 1e9))

    def came_back(self) -> int:
        """See `Connection`."""
        return self.ask(BACK)

    def wait_for_death(self) -> None:
        """Look until the memory is lost."""
        while not self.is_lost:
            time.sleep(0)

    def close(self) -> None:
        """Let the server go."""
        with contextlib.suppress(errors.PeerDied):
            self.ask(LEAVE)
