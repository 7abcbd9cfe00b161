"""Waiting for a bell in an event loop. Who has none does not pay for the import of asyncio."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, TypeVar

__all__ = ["Bell", "until"]

T = TypeVar("T")


class Bell(Protocol):
    """What has a descriptor that becomes readable when its bell was rung."""

    def fileno(self) -> int:
        """The descriptor."""

    def fd_rearm(self) -> None:
        """Have it tell of what comes from now on."""


async def until(bell: Bell, attempt: Callable[[], T | None]) -> T:
    """Attempt something whenever a bell was rung, until it gives a result. One task at a time."""
    import asyncio

    loop = asyncio.get_running_loop()
    descriptor = bell.fileno()
    rung = asyncio.Event()
    loop.add_reader(descriptor, rung.set)
    try:
        while True:
            rung.clear()
            bell.fd_rearm()  # before the attempt: a ring in between is not lost
            found = attempt()
            if found is not None:
                return found
            await rung.wait()
    finally:
        loop.remove_reader(descriptor)
