"""How soon the user of a pipe hears that the VM at its other end was killed: SIGKILL to the return of its read."""

from __future__ import annotations

import os
import signal
import threading
import time
from pathlib import Path
from typing import Any

import measure

from hyplink import Bench, VmState
from hyplink.testing import background


def asleep(thread: int) -> bool:
    text = Path(f"/proc/self/task/{thread}/stat").read_text()
    return text.rsplit(")", 1)[1].split()[0] == "S"


def one_kill(bench: Bench) -> float:
    """Microseconds from the signal until a read that sleeps has the end."""
    opening = background(bench, lambda: bench.vm(4).pipe("vbpipe0"))
    with bench.vm(2).pipe("vbpipe0") as mine, opening.result():
        mine.timeout = None
        ended: list[float] = []
        known: list[int] = []

        def wait() -> None:
            known.append(threading.get_native_id())
            mine.read(1)
            ended.append(time.monotonic())

        waiting = threading.Thread(target=wait)
        waiting.start()
        while not known or not asleep(known[0]):
            time.sleep(0.001)
        pid = bench.vm(4).pid
        assert pid is not None
        began = time.monotonic()
        os.kill(pid, signal.SIGKILL)
        waiting.join()
    bench.vm(4).wait(VmState.DEAD).boot()
    return (ended[0] - began) * 1e6


def main() -> None:
    options = measure.arguments(__doc__ or "", passes=5)
    kills = int(200 * options.scale) + 1

    def body() -> list[dict[str, Any]]:
        with Bench.from_dts("vbpipe", backend="process") as bench:
            one_kill(bench)
            passes = [sorted(one_kill(bench) for _ in range(kills)) for _ in range(options.passes)]
        name = f"of {kills} kills of a VM, until its peer's read returns"
        return [
            measure.figure(f"median {name}", "us", [p[kills // 2] for p in passes], goal=1000),
            measure.figure(f"worst {name}", "us", [p[-1] for p in passes]),
        ]

    measure.run("perf_death", options, body)


if __name__ == "__main__":
    main()
