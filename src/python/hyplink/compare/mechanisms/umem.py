"""vUmem: memory of a program in VM 2, mapped in VM 3."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

from hyplink import errors, umem
from hyplink.compare.mechanisms.base import Connection, Mechanism
from hyplink.compare.mechanisms.shared import BYTES, LookingConnection, look_after

if TYPE_CHECKING:
    from hyplink.rpq import Application

__all__ = ["Umem"]


class Umem(Mechanism):
    """vUmem on ``vogl0``."""

    name = "vUmem"
    board = "vogl"
    sources = ("app/umem", "guest/umem_", "hyp/loans")

    def serve(self, application: Application) -> None:
        """Lend one buffer and look after it."""
        with (
            contextlib.suppress(errors.PeerDied, errors.HandleClosed),
            application.umem("vogl0").server() as server,
        ):
            memory = umem.Memory(BYTES)
            view: Any = memoryview(memory)  # type: ignore[arg-type]  # before 3.12 no class says so
            for request in server:
                if request.command is umem.Command.ALLOC:
                    server.respond(memory)
                    look_after(view)
                else:
                    server.respond()
                    return

    def connect(self, application: Application) -> Connection:
        """A session and a mapped buffer."""
        return _Connection(application)


class _Connection(LookingConnection):
    def __init__(self, application: Application) -> None:
        self.session = application.umem("vogl0").session()
        # Now: once the server looks after the memory it answers no requests.
        with application.umem("vogl0").session() as second:
            self.two = second.is_alive
        self.buffer: Any = self.session.alloc()
        super().__init__(self.buffer.map())

    def opens_again(self) -> bool:
        return self.two

    @property
    def is_lost(self) -> bool:
        return bool(self.buffer.is_lost)

    def close(self) -> None:
        super().close()
        with contextlib.suppress(errors.PeerDied):
            self.session.close()
