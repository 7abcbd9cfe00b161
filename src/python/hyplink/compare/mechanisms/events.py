"""vEvent: input events one way. Two devices, so that there is an answer to wait for."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from hyplink import errors, event
from hyplink.compare.mechanisms.asked import AWAY, BACK, ECHO, Desk
from hyplink.compare.mechanisms.base import Connection, Mechanism
from hyplink.event.form import STRUCT

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hyplink.rpq import Application

__all__ = ["Event"]

# What an event's code says; the value are 31 bits of a number.
_WANTED, _LOW, _MIDDLE, _HIGH, _DATA = range(5)
_DEVICE = event.Properties("compare", misc=frozenset({_WANTED, _LOW, _MIDDLE, _HIGH, _DATA}))
#: Events of each front end's ring, and of one chunk, which is answered before the next.
_RING, _CHUNK = 4096, 1024
_REPORT = STRUCT.pack(0, 0, event.EV_SYN, event.SYN_REPORT, 0)
#: Packets of 31 events and the word that ends them.
_BLOCK = (STRUCT.pack(0, 0, event.EV_MSC, _DATA, 7) * 31 + _REPORT) * (_CHUNK // 32)


def _say(back: event.BackEnd, wanted: int, number: int) -> None:
    for code in (_LOW, _MIDDLE, _HIGH):
        back.emit(event.EV_MSC, code, number & 0x7FFFFFFF)
        number >>= 31
    back.emit(event.EV_MSC, _WANTED, wanted)
    back.sync()


def _heard(front: event.FrontEnd) -> Iterator[tuple[int, int]]:
    """What is wanted and the number with it, each time; ends with the back end."""
    number = 0
    for one in front:
        if one.type != event.EV_MSC or one.code == _DATA:
            continue
        if one.code == _WANTED:
            yield one.value, number
            number = 0
        else:
            number |= one.value << 31 * (one.code - _LOW)


class Event(Mechanism):
    """vEvent ``asked`` to VM 2, ``answers`` back."""

    name = "vEvent"
    board = """
&vm2_vdevs {
    answers: vevent@answers { compatible = "vevent"; info = "answers"; server; };
    vevent@asked { peer-phandle = <&asked>; client; };
};
&vm3_vdevs {
    asked: vevent@asked { compatible = "vevent"; info = "asked"; server; };
    vevent@answers { peer-phandle = <&answers>; client; };
};
"""
    sources = ("app/event", "app/port", "guest/port_end", "python/event")

    def serve(self, application: Application) -> None:
        """Answer until the other back end goes."""
        desk = Desk()
        with (
            contextlib.suppress(errors.PeerDied),
            application.event_backend("answers", _DEVICE) as answers,
            application.event("asked") as asked,
        ):
            asked.timeout = None
            answers.wait_front(3)
            for wanted, value in _heard(asked):
                answer = desk.answer(wanted, value)
                if wanted != AWAY:
                    _say(answers, wanted, answer)

    def connect(self, application: Application) -> Connection:
        """The other ends, both there."""
        asked = application.event_backend("asked", _DEVICE, ring=_RING)
        try:
            answers = application.event("answers")
            asked.wait_front(2)
        except OSError:
            asked.close()
            raise
        answers.timeout = None
        return _Connection(application, asked, answers)


class _Connection(Connection):
    chunk = _CHUNK * STRUCT.size
    both_ways = False

    def __init__(
        self, application: Application, asked: event.BackEnd, answers: event.FrontEnd
    ) -> None:
        self.application = application
        self.asked = asked
        self.answers = answers
        self.heard = _heard(answers)
        self.transfers = {"emit": self._emit}

    def _emit(self) -> None:
        self.asked.emit(event.EV_MSC, _DATA, 7)
        self.asked.sync()

    def _ask(self, wanted: int, value: int = 0) -> int:
        _say(self.asked, wanted, value)
        answer = next(self.heard, None)
        if answer is None:
            raise errors.PeerDied(32, "the back end of the answers has gone")
        return answer[1]

    def round_trip(self) -> None:
        self._ask(ECHO, 7)

    def move(self, times: int) -> None:
        # A back end never waits: what has no room is lost, so each chunk is asked for.
        for _ in range(times):
            self.asked.write(_BLOCK)
            self._ask(ECHO)

    def copies(self) -> tuple[int, int]:
        # What the sender writes into its memory afterwards does not arrive: one copy. The reader's is its own: two.
        said = bytearray(STRUCT.pack(0, 0, event.EV_MSC, _LOW, 7))
        self.asked.write(said)
        STRUCT.pack_into(said, 0, 0, 0, event.EV_MSC, _LOW, 8)
        self.asked.emit(event.EV_MSC, _WANTED, ECHO)
        self.asked.sync()
        _, answer = next(self.heard)
        return (2 if answer == 7 else 1), 1

    def send_away(self, seconds: float) -> None:
        _say(self.asked, AWAY, int(seconds * 1e9))

    def came_back(self) -> int:
        return self._ask(BACK)

    def opens_again(self) -> bool:
        try:
            self.application.event("answers", wait=False).close()
        except errors.Busy:
            return False
        return True

    def wait_for_death(self) -> None:
        for _ in self.heard:
            pass

    def close(self) -> None:
        self.asked.close()
        self.answers.close()
