"""How soon the user of a pipe, a call or a queue hears that the VM at the other end was killed.

From SIGKILL to the return of the read, call or receive that sleeps in a process of the other VM. The default is 1,000
kills of each mechanism.
"""

from __future__ import annotations

from typing import Any

import measure

from hyplink.compare import deaths

NAMES = ("vBpipe", "vPipe", "vUpipe", "vRPC", "vMQ", "vIPC")


def main() -> None:
    options = measure.arguments(__doc__ or "", passes=5)
    kills = max(1, int(200 * options.scale))

    def body() -> list[dict[str, Any]]:
        figures = []
        for name in NAMES:
            deaths(name, 1)
            passes = [sorted(t / 1e3 for t in deaths(name, kills)) for _ in range(options.passes)]
            what = f"of {kills} kills of the VM at the other end of a {name}"
            medians, worst = [p[kills // 2] for p in passes], [p[-1] for p in passes]
            figures.append(measure.figure(f"median {what}", "us", medians, goal=1000))
            figures.append(measure.figure(f"worst {what}", "us", worst))
        return figures

    measure.run("perf_death", options, body)


if __name__ == "__main__":
    main()
