"""vBpipe: bytes both ways, copied into the ring and out of it."""

from __future__ import annotations

import contextlib
import struct
import time
from typing import TYPE_CHECKING

from hyplink import errors
from hyplink.compare.mechanisms.base import CHUNK, Connection, Mechanism

if TYPE_CHECKING:
    from hyplink.pipe import Pipe
    from hyplink.rpq import Application

__all__ = ["Bpipe"]

ECHO, TAKE, AWAY, BACK = 1, 2, 3, 4
#: What is wanted, and a number: the value of an echo, bytes to take, nanoseconds to be away.
_ASKED = struct.Struct("<QQ")


def _exactly(pipe: Pipe, nbytes: int) -> bytes:
    found = bytearray()
    while len(found) < nbytes:
        piece = pipe.read(nbytes - len(found))
        if not piece:
            raise errors.PeerDied(32, "the pipe ended")
        found += piece
    return bytes(found)


class Bpipe(Mechanism):
    """vBpipe ``vbpipe0``."""

    name = "vBpipe"
    board = """
&vm2_vdevs { be: vbpipe@be { compatible = "vbpipe"; info = ";1M"; }; };
&vm3_vdevs { vbpipe@fe { peer-phandle = <&be>; }; };
"""
    sources = ("app/pipe", "guest/pipe_", "ring/pipe_")

    def serve(self, application: Application) -> None:
        """Answer until the other end is closed."""
        back = 0
        into = memoryview(bytearray(CHUNK))
        with contextlib.suppress(errors.PeerDied), application.pipe("vbpipe0") as pipe:
            while True:
                wanted, value = _ASKED.unpack(_exactly(pipe, _ASKED.size))
                if wanted == TAKE:
                    while value:
                        value -= pipe.readinto(into[: min(value, CHUNK)]) or 0
                elif wanted == AWAY:
                    time.sleep(value / 1e9)
                    back = time.monotonic_ns()
                else:
                    answer = back if wanted == BACK else value
                    pipe.write(answer.to_bytes(8, "little"))

    def connect(self, application: Application) -> Connection:
        """The other end, open."""
        return _Connection(application)


class _Connection(Connection):
    def __init__(self, application: Application) -> None:
        self.application = application
        self.pipe = application.pipe("vbpipe0")
        self.transfers = {"write": self._write}

    def _ask(self, wanted: int, value: int = 0) -> int:
        self.pipe.write(_ASKED.pack(wanted, value))
        return int.from_bytes(_exactly(self.pipe, 8), "little")

    def _write(self) -> None:
        self.pipe.write(_ASKED.pack(TAKE, 8) + bytes(8))

    def round_trip(self) -> None:
        self._ask(ECHO, 7)

    def move(self, times: int) -> None:
        data = bytes(self.chunk)
        self.pipe.write(_ASKED.pack(TAKE, times * self.chunk))
        for _ in range(times):
            self.pipe.write(data)
        self._ask(ECHO)

    def copies(self) -> tuple[int, int]:
        # What the sender writes into its memory afterwards does not arrive: one copy. The
        # reader's memory is its own: two.
        asked = bytearray(_ASKED.pack(ECHO, 7))
        self.pipe.write(asked)
        asked[8:] = bytes(8)
        return (2 if int.from_bytes(_exactly(self.pipe, 8), "little") == 7 else 1), 1

    def send_away(self, seconds: float) -> None:
        self.pipe.write(_ASKED.pack(AWAY, int(seconds * 1e9)))

    def came_back(self) -> int:
        return self._ask(BACK)

    def opens_again(self) -> bool:
        with self.application.pipe("vbpipe0"):
            return True

    def wait_for_death(self) -> None:
        with contextlib.suppress(errors.PeerDied):
            self.pipe.read(1)

    def close(self) -> None:
        self.pipe.close()
