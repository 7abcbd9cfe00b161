"""vMQ: messages that are written and read in place, and come back with a reply."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from hyplink import errors, mq
from hyplink.compare.mechanisms.asked import (
    ASKED,
    AWAY,
    BACK,
    ECHO,
    FIRST,
    IN_PLACE,
    SECOND,
    TAKE,
    Desk,
)
from hyplink.compare.mechanisms.base import CHUNK, Connection, Mechanism

if TYPE_CHECKING:
    from hyplink.rpq import Application

__all__ = ["BOARD", "NAME", "TX", "Mq", "opened", "opens_twice"]

NAME = "compare"
TX = mq.Config(64, 64, data_count=16, data_max=CHUNK)
BOARD = """
&vm2_vdevs { be: vmq@be { compatible = "vmq"; info = "compare"; server; }; };
&vm3_vdevs { vmq@fe { peer-phandle = <&be>; client; info = "compare"; }; };
"""


def opened(application: Application) -> mq.Queue:
    """The client's end, on."""
    queue = application.mq(NAME, TX, returns=True)
    queue.timeout = None
    try:
        queue.wait_on()
    except OSError:
        queue.close()
        raise
    return queue


def opens_twice(application: Application) -> bool:
    """Whether a second user in the VM gets an end of its own."""
    try:
        application.mq(NAME).close()
    except errors.Busy:
        return False
    return True


class Mq(Mechanism):
    """vMQ ``compare``."""

    name = "vMQ"
    board = BOARD
    sources = ("app/mq", "app/port", "guest/port_end", "python/mq.py")

    def serve(self, application: Application) -> None:
        """Give every message back with an answer, until the other end goes."""
        desk = Desk()
        with (
            contextlib.suppress(errors.PeerDied),
            application.mq(NAME) as queue,
        ):
            queue.timeout = None
            queue.wait_on()
            for message in queue:
                words = message.header.cast("Q")
                wanted, value = words[0], words[1]
                words[0] = 0 if wanted == TAKE else desk.answer(wanted, value, words)
                message.reply()

    def connect(self, application: Application) -> Connection:
        """The other end, on."""
        return _Connection(application, opened(application))


class _Connection(Connection):
    def __init__(self, application: Application, queue: mq.Queue) -> None:
        self.application = application
        self.queue = queue
        self.out = 0
        self.transfers = {"send": self._send}

    def _send(self) -> None:
        self._message(TAKE).send()

    def _message(self, wanted: int, value: int = 0, data: int = 0) -> mq.Message:
        message = self.queue.allocate(data)
        ASKED.pack_into(message.header, 0, wanted, value)
        self.out += 1
        return message

    def _one_back(self) -> int:
        back = self.queue.return_receive()
        (answer,) = memoryview(back.header)[:8].cast("Q")
        back.data_free()
        back.free()
        self.out -= 1
        return int(answer)

    def _all_back(self) -> int:
        """The answer to the last one: they come back in order."""
        answer = 0
        while self.out:
            answer = self._one_back()
        return answer

    def _ask(self, wanted: int, value: int = 0) -> int:
        self._message(wanted, value).send()
        return self._all_back()

    def round_trip(self) -> None:
        self._ask(ECHO, 7)

    def move(self, times: int) -> None:
        data = bytes(self.chunk)
        for _ in range(times):
            if self.out == TX.data_count:
                self._one_back()
            message = self._message(TAKE, 0, self.chunk)
            message.data[: self.chunk] = data
            message.send()
        self._all_back()

    def copies(self) -> tuple[int, int]:
        # What is written after it was sent arrives: no copy.
        message = self._message(IN_PLACE, FIRST)
        header = message.header
        message.send()
        ASKED.pack_into(header, 0, IN_PLACE, SECOND)
        return (0 if self._all_back() else 1), 1

    def send_away(self, seconds: float) -> None:
        self._message(AWAY, int(seconds * 1e9)).send()

    def came_back(self) -> int:
        return self._ask(BACK)

    def opens_again(self) -> bool:
        return opens_twice(self.application)

    def wait_for_death(self) -> None:
        with contextlib.suppress(errors.PeerDied):
            self.queue.return_receive()

    def close(self) -> None:
        self.queue.close()
