"""A vUmem client that keeps all it can of a buffer, and a server that lends one, inside VMs: no pytest here."""

from __future__ import annotations

import ctypes
import mmap
import os
from pathlib import Path
from typing import Any

from hyplink import umem


def memory_of(kind: str, nbytes: int) -> Any:
    """Made to be lent, or any other."""
    if kind == "made for it":
        return umem.Memory(nbytes)
    return mmap.mmap(-1, nbytes, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)


class Lender:
    """It lends one buffer that is full of fives."""

    def __init__(self, application: Any) -> None:
        application.timeout = None
        self.application = application
        self.server = application.umem("vogl0").server()

    def lend(self, kind: str, nbytes: int) -> None:
        self.memory = memory_of(kind, nbytes)
        memoryview(self.memory)[:] = b"\x05" * nbytes
        self.server.receive()
        self.server.respond(self.memory)


class Borrower:
    """It borrows one buffer, and keeps it mapped twice, by a descriptor, and in a child."""

    def __init__(self, application: Any) -> None:
        self.application = application
        application.timeout = None
        self.device = application.umem("vogl0")
        self.kept: list[Any] = []
        self.child = 0

    def session(self) -> None:
        self.opened = self.device.session()

    def borrow(self) -> int:
        self.buffer = self.opened.alloc(b"mine")
        self.view = self.buffer.map()
        return int(self.buffer.nbytes)

    def keep(self) -> list[str]:
        """What else it has of it by now; what the machine does not let it have is left out."""
        has = ["view"]
        self.size = len(self.view)
        self.at = ctypes.addressof(ctypes.c_char.from_buffer(self.view))
        for entry in Path("/proc/self/map_files").iterdir():
            begin, end = (int(word, 16) for word in entry.name.split("-"))
            if not begin <= self.at < end:
                continue
            try:
                fd = os.open(entry, os.O_RDWR)
            except OSError:
                continue
            self.kept.append(mmap.mmap(fd, 0))
            self.kept.append(fd)
            has += ["second mapping", "descriptor"]
        orders, self.order = os.pipe()
        self.child, self.child_at = os.fork(), self.at
        if self.child == 0:
            os.close(self.order)
            os.read(orders, 1)  # until the other end is closed
            os._exit(0)
        os.close(orders)
        has.append("child")
        return has

    def sees(self) -> dict[str, list[int]]:
        """Bytes, by the way they were seen."""
        seen = {}
        if self.at:
            seen["view"] = sorted(set(ctypes.string_at(self.at, self.size)))
        for thing in self.kept:
            if isinstance(thing, int):
                size = os.fstat(thing).st_size
                seen["descriptor"] = sorted(set(os.pread(thing, size, 0)))
            else:
                seen["second mapping"] = sorted(set(thing[:]))
        with open(f"/proc/{self.child}/mem", "rb") as memory:
            memory.seek(self.child_at)
            seen["child"] = sorted(set(memory.read(self.size)))
        return seen

    def writes(self, byte: int) -> None:
        """Wherever it still can."""
        if self.at:
            ctypes.memset(self.at, byte, self.size)
        for thing in self.kept:
            if isinstance(thing, int):
                os.pwrite(thing, bytes([byte]) * os.fstat(thing).st_size, 0)
            else:
                thing[:] = bytes([byte]) * len(thing)

    def give_back(self) -> None:
        """As an honest client does: the mapping that the library made, and the buffer."""
        self.view, self.at = None, 0
        self.buffer.close()

    def finish(self) -> None:
        os.close(self.order)
        os.waitpid(self.child, 0)
