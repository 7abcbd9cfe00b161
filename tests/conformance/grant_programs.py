"""What programs do with granted pages in the tests of their deaths. It runs in the programs: no pytest here."""

from __future__ import annotations

import contextlib
import os
import threading
from typing import Any

from hyplink import errors

PAGE = 4096
PAGES = 4
#: What is in the exporter's pages.
DATA = 5


class Program:
    """An application that exports, imports, or has a device work on what it imported."""

    def __init__(self, application: Any) -> None:
        self.application = application
        application.timeout = None
        self.memory = application.memory
        self.region: Any = None
        self.window: Any = None
        self.device: Any = None
        self.job: Any = None
        self.passes = 0
        self.strange: set[int] = set()
        self.stop = threading.Event()

    # --- exporter

    def alloc(self) -> int:
        self.region = self.memory.alloc(PAGES * PAGE)
        self.region.view[:] = bytes([DATA]) * self.region.nbytes
        return int(self.region.address)

    def grant(self, vms: list[int], first: int = 0, count: int = PAGES) -> None:
        for vm in vms:
            self.memory.grant(vm, self._part(first, count), "rwcd")

    def deny(self, vm: int, first: int = 0, count: int = PAGES) -> None:
        self.memory.deny(vm, self._part(first, count), "rwcd")

    def free(self) -> None:
        self.region.close()
        self.region = None

    def close(self) -> None:
        self.application.close()

    def has(self) -> bytes:
        return bytes(self.region.view)

    def write(self, at: int, byte: int) -> None:
        self.region.view[at] = byte

    def _part(self, first: int, count: int) -> tuple[int, int]:
        address, nbytes = self.region.address + first * PAGE, count * PAGE
        return address, nbytes

    # --- importer

    def map(self, address: int, first: int = 0, count: int = PAGES) -> None:
        self.window = self.memory.map(address + first * PAGE, count * PAGE, writable=True)

    def unmap(self) -> None:
        self.stop.set()
        self.window.close()
        self.window = None

    def spin(self) -> None:
        """Look at the pages all the time; returns when it has seen them."""
        view, seen, self.stop = self.window.view, threading.Event(), threading.Event()
        stop = self.stop

        def look() -> None:
            while not stop.is_set():
                for at in range(0, len(view), PAGE):
                    byte = view[at]
                    if byte != DATA:
                        self.strange.add(byte)
                self.passes += 1
                seen.set()
                os.sched_yield()

        threading.Thread(target=look, daemon=True).start()
        seen.wait()

    def spun(self) -> list[int]:
        """It goes on looking; what it has seen besides the data."""
        before = self.passes
        while self.passes < before + 2:
            os.sched_yield()
        return sorted(self.strange)

    def read(self, first: int = 0, count: int = PAGES) -> bytes:
        return bytes(self.window.read(first * PAGE, count * PAGE))

    def shows(self) -> bytes:
        return bytes(self.window.view)

    def put(self, at: int, byte: int) -> None:
        self.window.view[at] = byte

    def wait_lost(self) -> int:
        self.window.wait_revoked(timeout=None)
        return int(self.window.revoked)

    def is_lost(self) -> list[int]:
        """Pages of the window that `read` gives no more."""
        lost = []
        for page in range(self.window.nbytes // PAGE):
            try:
                self.window.read(page * PAGE, PAGE)
            except errors.GrantRevoked:
                lost.append(page)
        return lost

    # --- its device

    def work(self, address: int) -> None:
        """A device writes the same data again and again; returns when it has been there."""
        self.device = self.application.dma()
        self.job = self.device.fill((address, PAGES * PAGE), DATA, repeat=True)
        while self.job.rounds < 1:
            assert self.job.state == "running"

    def works(self) -> None:
        before = self.job.rounds
        while self.job.rounds < before + 2:
            assert self.job.state == "running"

    def fault(self) -> int:
        """Wait for the end of the job: where it was."""
        try:
            self.job.result(timeout=None)
        except errors.BadGuestAddress as error:
            return int(error.address)  # type: ignore[attr-defined]
        raise AssertionError("no fault")

    def rest(self) -> None:
        """Let go of everything that an importer has."""
        self.stop.set()
        with contextlib.suppress(errors.HyplinkError):
            if self.device is not None:
                self.device.close()
        if self.window is not None:
            self.window.close()
        self.window = self.device = self.job = None
        self.strange.clear()
