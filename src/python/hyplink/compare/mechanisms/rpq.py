"""vRPQ: posts, calls, parameters copied once into the port and read there."""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING, Any

from hyplink import errors
from hyplink.compare.mechanisms.base import CHUNK, Connection, Mechanism

if TYPE_CHECKING:
    from hyplink.rpq import Application, ClientChannel, Session

__all__ = ["Rpq"]

ECHO, TAKE, AWAY, BACK = 1, 2, 3, 4


class Rpq(Mechanism):
    """vRPQ through a channel of ``vogl0``."""

    name = "vRPQ"
    board = "vogl"
    sources = ("app/rpq", "guest/rpq_", "ring/rpq_")

    def serve(self, application: Application) -> None:
        """Answer until the channel ends."""
        back = 0
        with (
            contextlib.suppress(errors.PeerDied, errors.HandleClosed),
            application.rpq("vogl0").accept() as session,
            session.accept() as channel,
        ):
            while True:
                for request in channel.receive(timeout=None):
                    if request.proc == ECHO:
                        request.out[:] = request.params
                    elif request.proc == AWAY:
                        time.sleep(int.from_bytes(request.params, "little") / 1e9)
                        back = time.monotonic_ns()
                    elif request.proc == BACK:
                        request.out[:] = back.to_bytes(8, "little")

    def connect(self, application: Application) -> Connection:
        """A session and a channel."""
        return _Connection(application)


class _Connection(Connection):
    chunk = CHUNK

    def __init__(self, application: Application) -> None:
        self.application = application
        self.session: Session = application.rpq("vogl0").session()
        self.channel: ClientChannel = self.session.channel()
        self.transfers = {
            "post": self._post,
            "call": self.round_trip,
        }

    def _post(self) -> None:
        self.channel.post_bytes(TAKE, bytes(8))
        self.channel.notify()

    def round_trip(self) -> None:
        self.channel.call_bytes(ECHO, b"8 bytes.", 8)

    def move(self, times: int) -> None:
        data = bytes(self.chunk)
        for _ in range(times):
            self.channel.post_bytes(TAKE, data)
            self.channel.notify()
        self.channel.call_bytes(ECHO, b"8 bytes.", 8)

    def copies(self) -> tuple[int, int]:
        found: dict[str, Any] = self.channel.stats
        return found["copies"], found["posts"] + found["calls"]

    def send_away(self, seconds: float) -> None:
        self.channel.post_bytes(AWAY, int(seconds * 1e9).to_bytes(8, "little"))
        self.channel.notify()

    def came_back(self) -> int:
        return int.from_bytes(self.channel.call_bytes(BACK, b"", 8), "little")

    def opens_again(self) -> bool:
        # A second session needs a second accept; that it waits for one says that it is possible.
        with contextlib.suppress(errors.DeadlineExceeded):
            self.application.rpq("vogl0").session(timeout=0.05).close()
        return True

    def wait_for_death(self) -> None:
        with contextlib.suppress(errors.PeerDied):
            self.channel.handle_callbacks(timeout=None)

    def close(self) -> None:
        self.channel.close()
        self.session.close()
