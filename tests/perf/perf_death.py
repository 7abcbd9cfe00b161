"""How soon the user of a pipe, a call or a queue hears that the VM at the other end was killed.

From SIGKILL to the return of the read, call or receive that sleeps in a process of the other VM. The default is 1,000
kills of each mechanism: five passes of 200. How far it is stands on stderr.
"""

from __future__ import annotations

import os
import statistics
import sys
import time
from collections.abc import Iterator
from typing import Any

import measure

from hyplink.compare import deaths

NAMES = ("vBpipe", "vPipe", "vUpipe", "vRPC", "vMQ", "vIPC")
#: Seconds between two words of progress.
EVERY = 5.0


class Progress:
    """Says on stderr how far one mechanism is: on a terminal in one line, else in a line now and then."""

    def __init__(self, name: str, passes: int, kills: int) -> None:
        self.name, self.passes, self.kills = name, passes, kills
        self.heard: list[float] = []
        self._next = time.monotonic()

    def __call__(self, taken: float) -> None:
        self.heard.append(taken / 1e3)
        terminal, done = sys.stderr.isatty(), len(self.heard)
        if not terminal and time.monotonic() < self._next and done < self.passes * self.kills:
            return
        self._next = time.monotonic() + EVERY
        print(
            f"{self.name}: pass {(done - 1) // self.kills + 1} of {self.passes}, {done:,} of"
            f" {self.passes * self.kills:,} kills, median so far {statistics.median(self.heard):.0f} us,"
            f" load {os.getloadavg()[0]:.1f}",
            end="\r" if terminal else "\n",
            file=sys.stderr,
            flush=True,
        )


def main() -> None:
    options = measure.arguments(__doc__ or "", passes=5)
    kills = max(1, int(200 * options.scale))

    def body() -> Iterator[dict[str, Any]]:
        for name in NAMES:
            progress = Progress(name, options.passes, kills)
            deaths(name, 1)  # warm
            passes = [
                sorted(taken / 1e3 for taken in deaths(name, kills, heard=progress))
                for _ in range(options.passes)
            ]
            if sys.stderr.isatty():
                print("\033[K", end="", file=sys.stderr, flush=True)
            what = f"of {kills} kills of the VM at the other end of a {name}"
            medians = [statistics.median(found) for found in passes]
            yield measure.figure(f"median {what}", "us", medians, goal=1000)
            yield measure.figure(f"worst {what}", "us", [found[-1] for found in passes])

    measure.run("perf_death", options, body)


if __name__ == "__main__":
    main()
