"""What two Python processes cost without hyplink: bytes of shared memory, and a pair of eventfds."""

from __future__ import annotations

import mmap
import os
import subprocess
import sys
import time
from collections.abc import Callable

from hyplink.compare.rows import Baseline, median

__all__ = ["PAUSE", "baseline", "one_way"]

#: Between two round trips of sleeping sides: long enough that both sleep.
PAUSE = 2e-3

_OTHER = """
import mmap, os, sys
shared, there, back = map(int, sys.argv[1:])
words = memoryview(mmap.mmap(shared, 4096)).cast("Q")
seen = 0
while True:                                 # awake: look at word 0, answer in word 1
    number = words[0]
    if number != seen:
        seen = words[1] = number
    if words[2]:
        break
while os.eventfd_read(there) == 1:          # asleep
    os.eventfd_write(back, 1)
"""


def one_way(round_trip: Callable[[], object], times: int, pause: float) -> float:
    """Half of a round trip, ns; median."""
    round_trip()
    found = []
    for _ in range(times):
        if pause:
            time.sleep(pause)
        began = time.perf_counter_ns()
        round_trip()
        found.append((time.perf_counter_ns() - began) / 2)
    return median(found)


def baseline(times: int) -> Baseline:
    """Measure it."""
    shared = os.memfd_create("hyplink-compare")
    there, back = os.eventfd(0), os.eventfd(0)
    os.ftruncate(shared, mmap.PAGESIZE)
    view = mmap.mmap(shared, mmap.PAGESIZE)
    words = memoryview(view).cast("Q")

    def looking() -> None:
        words[0] = number = words[0] + 1
        while words[1] != number:
            pass

    def waking() -> None:
        os.eventfd_write(there, 1)
        os.eventfd_read(back)

    other = subprocess.Popen(
        [sys.executable, "-c", _OTHER, str(shared), str(there), str(back)],
        pass_fds=(shared, there, back),
    )
    try:
        awake = one_way(looking, times, 0)
        words[2] = 1
        asleep = one_way(waking, max(20, times // 20), PAUSE)
        os.eventfd_write(there, 2)
        other.wait()
    finally:
        other.kill()
        other.wait()
        words.release()
        view.close()
        for fd in (shared, there, back):
            os.close(fd)
    return Baseline(awake, asleep)
