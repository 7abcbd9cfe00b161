"""A bare vlink: persistent memory that both ends see, and cross interrupts."""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING

from hyplink import errors
from hyplink.compare.mechanisms.base import CHUNK, Connection, Mechanism
from hyplink.nkddi import Driver, Nkddi

if TYPE_CHECKING:
    from collections.abc import Callable

    from hyplink.rpq import Application

__all__ = ["Link"]

ASKED, WANTED, ANSWERED, ANSWER = 0, 1, 2, 3
DATA = 4096
ECHO, AWAY, BACK, TAKE = 1, 2, 3, 4


class _End:
    """An end of the vlink, its memory as words, and the two numbers."""

    def __init__(self, application: Application) -> None:
        self.nk = Nkddi(application)
        (self.link,) = self.nk.vlinks("vearlydata")
        self.memory = memoryview(self.link.pmem(0, DATA + CHUNK))
        self.words = self.memory[:DATA].cast("Q")
        self.to_server = self.link.pxirq(0, self.link.s_id)
        self.to_client = self.link.pxirq(1, self.link.c_id)
        self.driver: Driver = self.link.driver()

    def until(self, reached: Callable[[], bool]) -> None:
        """Handle what comes until something holds."""
        self.driver.step()
        while not reached():
            self.nk.dispatch(timeout=None)
            self.driver.step()


class Link(Mechanism):
    """vLINK through NKDDI, class ``vearlydata``."""

    name = "vLINK"
    board = """
&vm2_vdevs { be: vearlydata@be { compatible = "vearlydata"; server; }; };
&vm3_vdevs { vearlydata@fe { peer-phandle = <&be>; client; }; };
"""
    sources = ("app/nkddi", "guest/ump", "guest/vlink_end")

    def serve(self, application: Application) -> None:
        """Answer each interrupt with one."""
        end = _End(application)
        words = end.words
        state = {"back": 0}

        def asked(_: int) -> None:
            number, wanted, value = words[ASKED], words[WANTED] & 0xFF, words[WANTED] >> 8
            if wanted == AWAY:
                words[ANSWERED] = number
                time.sleep(value / 1e9)
                state["back"] = time.monotonic_ns()
            words[ANSWER] = state["back"] if wanted == BACK else value
            words[ANSWERED] = number
            if wanted in (ECHO, BACK):
                end.nk.trigger(end.to_client, end.link.c_id)

        end.nk.attach(end.to_server, asked)
        with contextlib.suppress(errors.PeerDied, errors.HandleClosed):
            end.until(lambda: end.driver.is_up)
            end.until(lambda: not end.driver.is_up)

    def connect(self, application: Application) -> Connection:
        """The other end, up."""
        return _Connection(application)


class _Connection(Connection):
    def __init__(self, application: Application) -> None:
        self.application = application
        self.end = _End(application)
        self.number = self.end.words[ASKED]
        self.end.nk.attach(self.end.to_client, lambda _: None)
        self.end.until(lambda: self.end.driver.is_up)
        self.transfers = {"trigger": lambda: self._tell(TAKE)}

    def _tell(self, wanted: int, value: int = 0) -> None:
        self.number += 1
        self.end.words[WANTED] = wanted | value << 8
        self.end.words[ASKED] = self.number
        self.end.nk.trigger(self.end.to_server, self.end.link.s_id)

    def _ask(self, wanted: int, value: int = 0) -> int:
        self._tell(wanted, value)
        while self.end.words[ANSWERED] != self.number:
            self.end.nk.dispatch(timeout=None)
        return int(self.end.words[ANSWER])

    def round_trip(self) -> None:
        self._ask(ECHO)

    def move(self, times: int) -> None:
        data = bytes(self.chunk)
        for _ in range(times):
            self.end.memory[DATA : DATA + self.chunk] = data
        self._ask(ECHO)

    def copies(self) -> tuple[int, int]:
        self._ask(ECHO, 7)
        return (0 if self.end.words[ANSWER] == 7 else 1), 1

    def send_away(self, seconds: float) -> None:
        self._tell(AWAY, int(seconds * 1e9))
        while self.end.words[ANSWERED] != self.number:  # the next one writes over it
            pass

    def came_back(self) -> int:
        return self._ask(BACK)

    def opens_again(self) -> bool:
        # An end is driven by whoever announced it.
        with contextlib.suppress(OSError), Nkddi(self.application) as nk:
            (link,) = nk.vlinks("vearlydata")
            link.driver().run_until_up(timeout=0.05)
            return True
        return False

    def wait_for_death(self) -> None:
        self.end.until(lambda: not self.end.driver.is_up)

    def close(self) -> None:
        self.end.driver.stop()
        self.end.nk.close()
