"""What programs do with vION buffers in the tests of their deaths. It runs in the programs: no pytest here."""

from __future__ import annotations

import mmap
import select
import socket
from typing import Any

PAGE = 4096
NBYTES = 4 * PAGE
DATA = b"\x5a" * NBYTES


class Program:
    """An application that exports a buffer, or imports one."""

    def __init__(self, application: Any) -> None:
        self.application = application
        application.timeout = None
        self.ion = application.ion()
        self.buffer: Any = None
        self.view: Any = None

    def alloc(self) -> None:
        self.buffer = self.ion.alloc(NBYTES)
        self.map()
        self.view[:] = DATA

    def share(self) -> int:
        return int(self.buffer.share())

    def import_(self, ident: int) -> None:
        self.buffer = self.ion.import_buffer(ident)

    def map(self) -> None:
        self.view = self.buffer.map()

    def poll(self) -> bool:
        """Whether its descriptor can be read at once, as that of a file."""
        poll = select.poll()
        poll.register(self.buffer, select.POLLIN)
        return bool(poll.poll(0))

    def pass_on(self, name: str) -> None:
        """The descriptor, to whoever listens there."""
        with socket.socket(socket.AF_UNIX) as way:
            way.connect(name)
            socket.send_fds(way, [b"x"], [self.buffer.fileno()])

    def map_again(self) -> bytes:
        with mmap.mmap(self.buffer.fileno(), NBYTES) as mapped:
            return mapped[:]

    def sees(self) -> bytes:
        return bytes(self.view)

    def put(self, at: int, byte: int) -> None:
        self.view[at] = byte

    def is_lost(self) -> bool:
        return bool(self.buffer.is_lost)

    def id(self) -> int | None:
        ident: int | None = self.buffer.id
        return ident

    def close(self) -> None:
        """The buffer; what was mapped of it stays."""
        self.buffer.close()

    def leave(self) -> None:
        """The application."""
        self.application.close()

    def forget(self) -> None:
        if self.buffer is not None:
            self.buffer.close()
        self.buffer = self.view = None
