"""vRPC: a named procedure, one call at a time, its data in place in memory of both VMs."""

from __future__ import annotations

import contextlib
import threading
import time
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
    LEAVE,
    SECOND,
    TAKE,
    Desk,
)
from hyplink.compare.mechanisms.base import CHUNK, Connection, Mechanism

if TYPE_CHECKING:
    from hyplink.rpc import Client
    from hyplink.rpq import Application

__all__ = ["Rpc"]

NAME = "compare"
#: The third word: the server says there that it has the call.
MARK = 0x5EE2
HEAD = 32


class Rpc(Mechanism):
    """vRPC ``compare``."""

    name = "vRPC"
    board = """
&vm2_vdevs { be: vrpc@be { compatible = "vrpc"; info = "compare,128K"; server; }; };
&vm3_vdevs { vrpc@fe { peer-phandle = <&be>; client; info = "compare"; }; };
"""
    sources = ("app/rpc", "app/port", "guest/rpc_link", "guest/port_end", "python/rpc.py")

    def serve(self, application: Application) -> None:
        """Answer until the client says that it leaves."""
        desk = Desk()
        with application.rpc_server(NAME) as server:
            server.timeout = None  # a client may well think for longer than the application's limit
            for call in server:
                words = call.room[:HEAD].cast("Q")
                wanted, value = words[0], words[1]
                if wanted == IN_PLACE:
                    words[2] = MARK
                words[0] = 0 if wanted == AWAY else desk.answer(wanted, value, words)
                call.answer(8)
                if wanted == AWAY:  # the next call comes meanwhile
                    desk.answer(wanted, value)
                elif wanted == LEAVE:
                    return

    def connect(self, application: Application) -> Connection:
        """A client whose server is there."""
        return _Connection(application)


class _Connection(Connection):
    def __init__(self, application: Application) -> None:
        self.application = application
        self.client: Client = application.rpc_client(NAME)
        self.client.timeout = None
        while (
            not self.client.served
        ):  # there is nothing to wait on: a call would be answered with nothing
            time.sleep(1e-3)
        self.gone = False
        self.data = self.client.data
        self.words = self.data[:HEAD].cast("Q")
        # Each is a call; that is all there is.
        self.transfers = {"call": lambda: self._ask(TAKE)}

    def _ask(self, wanted: int, value: int = 0, nbytes: int = ASKED.size) -> int:
        ASKED.pack_into(self.data, 0, wanted, value)
        if self.client.call(nbytes) != 8:
            raise errors.PeerDied(32, "nobody serves")
        return int(self.words[0])

    def round_trip(self) -> None:
        self._ask(ECHO, 7)

    def move(self, times: int) -> None:
        data = bytes(self.chunk)
        for _ in range(times):
            self.data[HEAD : HEAD + CHUNK] = data
            self._ask(TAKE, 0, HEAD + CHUNK)

    def copies(self) -> tuple[int, int]:
        # Once the server has the call its data change under its eyes: no copy.
        def change() -> None:
            deadline = time.monotonic() + 1
            while self.words[2] != MARK and time.monotonic() < deadline:
                time.sleep(1e-4)
            self.words[1] = SECOND

        self.words[2] = 0
        changing = threading.Thread(target=change)
        changing.start()
        seen = self._ask(IN_PLACE, FIRST, HEAD)
        changing.join()
        return (0 if seen else 1), 1

    def send_away(self, seconds: float) -> None:
        self._ask(AWAY, int(seconds * 1e9))

    def came_back(self) -> int:
        return self._ask(BACK)

    def opens_again(self) -> bool:
        try:
            self.application.rpc_client(NAME).close()
        except errors.Busy:
            return False
        return True

    def wait_for_death(self) -> None:
        with contextlib.suppress(errors.WouldBlock, errors.PeerDied):
            self._ask(HANG)
        self.gone = True

    def close(self) -> None:
        if not self.gone:
            with contextlib.suppress(errors.WouldBlock, errors.PeerDied):
                self._ask(LEAVE)
        self.words.release()
        self.data.release()
        self.client.close()
