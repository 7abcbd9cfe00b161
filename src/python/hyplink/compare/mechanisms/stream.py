"""Byte streams, copied into a ring and out of it: vBpipe, and vPipe twice, once for each direction."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from hyplink import errors
from hyplink.compare.mechanisms.asked import ASKED, AWAY, BACK, ECHO, TAKE, Desk
from hyplink.compare.mechanisms.base import CHUNK, Connection

if TYPE_CHECKING:
    from collections.abc import Callable

    from hyplink.pipe import Pipe

__all__ = ["StreamConnection", "exactly", "serve_stream"]


def exactly(pipe: Pipe, nbytes: int) -> bytes:
    """So many bytes.

    Raises:
        PeerDied: EPIPE; the pipe ended before.
    """
    found = bytearray()
    while len(found) < nbytes:
        piece = pipe.read(nbytes - len(found))
        if not piece:
            raise errors.PeerDied(32, "the pipe ended")
        found += piece
    return bytes(found)


def serve_stream(asked: Pipe, answers: Pipe) -> None:
    """Answer until the other end is closed."""
    desk = Desk()
    into = memoryview(bytearray(CHUNK))
    with contextlib.suppress(errors.PeerDied):
        while True:
            wanted, value = ASKED.unpack(exactly(asked, ASKED.size))
            if wanted == TAKE:
                while value:
                    value -= asked.readinto(into[: min(value, CHUNK)]) or 0
                continue
            answer = desk.answer(wanted, value)
            if wanted != AWAY:
                answers.write(answer.to_bytes(8, "little"))


class StreamConnection(Connection):
    """The client of such a server; both pipes may be the same."""

    def __init__(self, out: Pipe, into: Pipe, second: Callable[[], Pipe]) -> None:
        self.out = out
        self.into = into
        self.second = second
        self.transfers = {"write": self._write}

    def _ask(self, wanted: int, value: int = 0) -> int:
        self.out.write(ASKED.pack(wanted, value))
        return int.from_bytes(exactly(self.into, 8), "little")

    def _write(self) -> None:
        self.out.write(ASKED.pack(TAKE, 8) + bytes(8))

    def round_trip(self) -> None:
        """A question and its answer."""
        self._ask(ECHO, 7)

    def move(self, times: int) -> None:
        """Written, and read by the other end into memory of its own."""
        data = bytes(self.chunk)
        self.out.write(ASKED.pack(TAKE, times * self.chunk))
        for _ in range(times):
            self.out.write(data)
        self._ask(ECHO)

    def copies(self) -> tuple[int, int]:
        """What the sender writes into its memory afterwards does not arrive: one copy. The reader's is its own: two."""
        asked = bytearray(ASKED.pack(ECHO, 7))
        self.out.write(asked)
        asked[8:] = bytes(8)
        return (2 if int.from_bytes(exactly(self.into, 8), "little") == 7 else 1), 1

    def send_away(self, seconds: float) -> None:
        """See `Connection`."""
        self.out.write(ASKED.pack(AWAY, int(seconds * 1e9)))

    def came_back(self) -> int:
        """See `Connection`."""
        return self._ask(BACK)

    def opens_again(self) -> bool:
        """A device has many openers."""
        with self.second():
            return True

    def wait_for_death(self) -> None:
        """The end of the file."""
        with contextlib.suppress(errors.PeerDied):
            self.into.read(1)

    def close(self) -> None:
        """Both ends of this VM."""
        self.out.close()
        self.into.close()
