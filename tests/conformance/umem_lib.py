"""What the vUmem tests share: a server and a session that are driven step by step, and memory of all kinds."""

from __future__ import annotations

import contextlib
import mmap
from collections.abc import Callable
from typing import Any

import pytest

from hyplink import errors, umem
from hyplink.testing import background
from hyplink.umem import Command

PAGE = mmap.PAGESIZE


class Pair:
    """A server and a session on ``vogl0``, each an application of this process."""

    def __init__(self, bench: Any, timeout: float | None = None) -> None:
        self.bench = bench
        self.server_application = bench.vm(2).application()
        self.client_application = bench.vm(3).application()
        for application in (self.server_application, self.client_application):
            application.timeout = timeout or application.timeout
        self.server_device = self.server_application.umem("vogl0")
        self.client_device = self.client_application.umem("vogl0")
        self.server = self.server_device.server()
        self.session = self.client_device.session()
        self.buffers: list[umem.Buffer] = []
        self.client_pid = 0  # of a client that says so with its allocation

    def asking(self, ask: Callable[[], Any], *responses: Callable[[umem.Request], Any]) -> Any:
        """What `ask` returns or raises while the server gives these responses, in order."""
        asked = background(self.bench, ask)
        for respond in responses:
            respond(self.server.receive())
        return asked.result()

    def alloc(
        self, memory: Any, asked: bytes = b"", session: Any = None, **response: Any
    ) -> umem.Buffer:
        chosen = session or self.session
        buffer = self.asking(
            lambda: chosen.alloc(asked),
            lambda _: self.server.respond(memory, **response),
        )
        assert isinstance(buffer, umem.Buffer)
        self.buffers.append(buffer)  # one that is forgotten is freed
        return buffer

    def fine(self, *commands: Command) -> list[Callable[[umem.Request], None]]:
        """Responses that expect these commands and agree."""

        def expecting(command: Command) -> Callable[[umem.Request], None]:
            def respond(request: umem.Request) -> None:
                assert request.command is command
                self.server.respond()

            return respond

        return [expecting(command) for command in commands]

    def failing(self, error: int) -> Callable[[umem.Request], None]:
        return lambda _: self.server.respond(error=error)

    def free(self, buffer: umem.Buffer) -> None:
        self.asking(buffer.free, *self.fine(Command.FREE))

    def close(self) -> None:
        with contextlib.suppress(errors.HyplinkError):
            self.client_application.close()
        self.server.close()
        self.server_application.close()


def anonymous(pages: int) -> mmap.mmap:
    """Private memory of this process, as an allocator or a static array is."""
    return mmap.mmap(-1, pages * PAGE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)


def is_blank(view: memoryview) -> bool:
    return bytes(view) == bytes(len(view))


def gone(session: Any, buffer: Any, view: memoryview) -> None:
    """What the client sees of a server that is gone: EPIPE, and private zero pages for ever."""
    with pytest.raises(errors.PeerDied):
        session.alloc()
    assert not session.is_alive
    with pytest.raises(errors.PeerDied):
        buffer.control(b"?")
    assert buffer.is_lost
    assert is_blank(view)
    view[0] = 9  # its own page now
    assert view[0] == 9
