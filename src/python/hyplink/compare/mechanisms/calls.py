"""vIPC: many calls at a time over one vMQ."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from hyplink import errors, ipc
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
from hyplink.compare.mechanisms.messages import BOARD, NAME, TX, opened, opens_twice

if TYPE_CHECKING:
    from hyplink import mq
    from hyplink.rpq import Application

__all__ = ["Ipc"]

#: In front of a call's parameters lies its cookie.
COOKIE = 8


class Ipc(Mechanism):
    """vIPC on the vMQ ``compare``."""

    name = "vIPC"
    board = BOARD
    sources = ("app/ipc", "python/ipc.py")

    def serve(self, application: Application) -> None:
        """Answer calls until the other end goes."""
        desk = Desk()
        with (
            contextlib.suppress(errors.PeerDied),
            application.mq(NAME) as queue,
        ):
            queue.timeout = None
            queue.wait_on()
            for request in ipc.requests(queue):
                words = request.params[: ASKED.size].cast("Q")
                wanted, value = words
                words[0] = 0 if wanted == TAKE else desk.answer(wanted, value, words)
                request.reply()

    def connect(self, application: Application) -> Connection:
        """A context on a queue that is on."""
        return _Connection(application, opened(application))


class _Connection(Connection):
    def __init__(self, application: Application, queue: mq.Queue) -> None:
        self.application = application
        self.queue = queue
        self.context = ipc.Context(queue)
        self.transfers = {
            "submit": lambda: self.context.submit(ASKED.pack(TAKE, 0)),
            "call": lambda: self._ask(TAKE),
        }

    def _ask(self, wanted: int, value: int = 0) -> int:
        return int.from_bytes(self.context.call(ASKED.pack(wanted, value))[:8], "little")

    def round_trip(self) -> None:
        self._ask(ECHO, 7)

    def move(self, times: int) -> None:
        data = bytes(self.chunk)
        calls: list[ipc.Call] = []
        for _ in range(times):
            if len(calls) == TX.data_count:
                calls.pop(0).result()
            calls.append(self.context.submit(ASKED.pack(TAKE, 0), data))
        for call in calls:
            call.result()

    def copies(self) -> tuple[int, int]:
        # The sender's: what it writes into its memory after `submit` does not arrive.
        asked = bytearray(ASKED.pack(ECHO, FIRST))
        call = self.context.submit(asked)
        asked[8:] = bytes(8)
        copied = int.from_bytes(call.result()[:8], "little") == FIRST
        # The receiver's: what is written into a message under its eyes arrives, so it has none.
        message = self.queue.allocate()
        header = message.header
        ASKED.pack_into(header, COOKIE, IN_PLACE, FIRST)
        message.send()
        ASKED.pack_into(header, COOKIE, IN_PLACE, SECOND)
        back = self.queue.return_receive()
        (seen,) = back.header[COOKIE : COOKIE + 8].cast("Q")
        back.free()
        return int(copied) + (0 if seen else 1), 1

    def send_away(self, seconds: float) -> None:
        self.context.submit(ASKED.pack(AWAY, int(seconds * 1e9)))

    def came_back(self) -> int:
        return self._ask(BACK)

    def opens_again(self) -> bool:
        return opens_twice(self.application)

    def wait_for_death(self) -> None:
        with contextlib.suppress(errors.PeerDied):
            self._ask(HANG)

    def close(self) -> None:
        self.queue.close()
