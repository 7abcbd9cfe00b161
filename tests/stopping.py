"""A process that stands still for a while: alive, and answering nobody."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

LIMIT = 60.0


@contextlib.contextmanager
def stopped(pid: int | None) -> Iterator[None]:
    """Stop a process; within the block none of its threads runs. It may be killed there."""
    assert pid is not None
    os.kill(pid, signal.SIGSTOP)
    until = time.monotonic() + LIMIT
    try:
        # The signal stops one thread, which then stops the others: no event tells of the last one.
        while not all(state in "Tt" for state in _states(pid)):
            assert time.monotonic() < until, f"process {pid} does not stop"
            os.sched_yield()
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)


def _states(pid: int) -> list[str]:
    found = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        # A thread that has ended: before its file was opened, or after that.
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            found.append((task / "stat").read_text().rpartition(")")[2].split()[0])
    return found
