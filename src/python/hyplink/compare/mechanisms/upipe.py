"""vUpipe: a ring of bytes that both applications map and use in place. Two of them, as with vPipe."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from hyplink import errors
from hyplink.compare.mechanisms.asked import (
    ASKED,
    AWAY,
    BACK,
    ECHO,
    FIRST,
    HANG,
    IN_PLACE,
    SECOND,
    TAKE,
    Desk,
)
from hyplink.compare.mechanisms.base import Connection, Mechanism

if TYPE_CHECKING:
    from hyplink.rpq import Application
    from hyplink.upipe import Upipe

__all__ = ["Vupipe"]


class Vupipe(Mechanism):
    """vUpipe: ``vupipe0`` to VM 2, ``vupipe1`` back. All that is written is a multiple of 16 bytes."""

    name = "vUpipe"
    board = """
&vm2_vdevs {
    to: vupipe@to { compatible = "vupipe"; info = "1M"; server; };
    vupipe@back { peer-phandle = <&back>; client; };
};
&vm3_vdevs {
    vupipe@to { peer-phandle = <&to>; client; };
    back: vupipe@back { compatible = "vupipe"; info = "4K"; server; };
};
"""
    sources = ("app/pipe", "guest/pipe_", "ring/pipe_")

    def serve(self, application: Application) -> None:
        """Answer until the other end is closed."""
        desk = Desk()
        with (
            contextlib.suppress(errors.PeerDied),
            application.upipe("vupipe0") as asked,
            application.upipe("vupipe1") as answers,
        ):
            area = asked.map().cast("Q")
            while (there := asked.available_data(ASKED.size)) and there >= ASKED.size:
                words = area[asked.offset // 8 :][:2]
                wanted, value = words
                answer = 0 if wanted == TAKE else desk.answer(wanted, value, words)
                asked.notify_read(ASKED.size)
                if wanted == TAKE:
                    _take(asked, value)
                elif wanted != AWAY:
                    _put(answers, wanted, answer)

    def connect(self, application: Application) -> Connection:
        """The other ends, open."""
        out = application.upipe("vupipe0")
        try:
            return _Connection(application, out, application.upipe("vupipe1"))
        except OSError:
            out.close()
            raise


def _put(pipe: Upipe, wanted: int, value: int) -> None:
    pipe.available_room(ASKED.size)
    ASKED.pack_into(pipe.map(), pipe.offset, wanted, value)
    pipe.notify_write(ASKED.size)


def _take(pipe: Upipe, nbytes: int) -> None:
    """Let go of so many bytes, which are read where they are."""
    while nbytes:
        there = min(nbytes, pipe.available_data(1) or 0)
        if not there:
            raise errors.PeerDied(32, "the pipe ended")
        pipe.notify_read(there)
        nbytes -= there


class _Connection(Connection):
    both_ways = False

    def __init__(self, application: Application, out: Upipe, into: Upipe) -> None:
        self.application = application
        self.out = out
        self.into = into
        self.transfers = {"notify_write": self._write}

    def _answer(self) -> int:
        if (self.into.available_data(ASKED.size) or 0) < ASKED.size:
            raise errors.PeerDied(32, "the pipe ended")
        _, value = ASKED.unpack_from(self.into.map(), self.into.offset)
        self.into.notify_read(ASKED.size)
        return int(value)

    def _ask(self, wanted: int, value: int = 0) -> int:
        _put(self.out, wanted, value)
        return self._answer()

    def _write(self) -> None:
        _put(self.out, TAKE, 0)

    def round_trip(self) -> None:
        self._ask(ECHO, 7)

    def move(self, times: int) -> None:
        data = bytes(self.chunk)
        area, size = self.out.map(), self.out.nbytes
        _put(self.out, TAKE, times * self.chunk)
        for _ in range(times):
            self.out.available_room(self.chunk)
            at = self.out.offset
            first = min(self.chunk, size - at)
            area[at : at + first] = data[:first]
            area[: self.chunk - first] = data[first:]
            self.out.notify_write(self.chunk)
        self._ask(ECHO)

    def copies(self) -> tuple[int, int]:
        # What is written after it was handed over arrives: no copy.
        self.out.available_room(ASKED.size)
        at = self.out.offset
        area = self.out.map()
        ASKED.pack_into(area, at, IN_PLACE, FIRST)
        self.out.notify_write(ASKED.size)
        ASKED.pack_into(area, at, IN_PLACE, SECOND)
        return (0 if self._answer() else 1), 1

    def send_away(self, seconds: float) -> None:
        _put(self.out, AWAY, int(seconds * 1e9))

    def came_back(self) -> int:
        return self._ask(BACK)

    def opens_again(self) -> bool:
        with self.application.upipe("vupipe0"):
            return True

    def wait_for_death(self) -> None:
        _put(self.out, HANG, 0)
        with contextlib.suppress(errors.PeerDied):
            self._answer()

    def close(self) -> None:
        self.out.close()
        self.into.close()
