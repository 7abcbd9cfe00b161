"""Boards with many vlinks: load, boot, memory for each idle one."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import measure

from hyplink import Bench, board


def text_of(count: int) -> str:
    """A board with `count` vogl pairs between VM 2 and VM 3."""
    lines = ["&vm2_vdevs {"]
    lines += [
        f'  v{n}: v{n}@be {{ compatible = "vogl"; server; info = "vrpq-pmem=64K,vrpq-reqs=256"; }};'
        for n in range(count)
    ]
    lines += ["};", "&vm3_vdevs {"]
    lines += [f"  v{n}@fe {{ peer-phandle = <&v{n}>; client; }};" for n in range(count)]
    return "\n".join([*lines, "};"])


def memory(pid: int) -> float:
    """Proportional set size in KiB: shared pages count once over all processes."""
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return float(line.split()[1])
    return 0.0


def main() -> None:
    options = measure.arguments(__doc__ or "", passes=5)
    count = max(100, int(10_000 * options.scale))

    def body() -> list[dict[str, Any]]:
        found: dict[str, list[float]] = {}
        for size in (count // 4, count):
            parsed = time.perf_counter()
            spec = board.load(text_of(size))
            found.setdefault(f"load {size}", []).append(time.perf_counter() - parsed)
            for _ in range(options.passes):
                before = memory(os.getpid())
                started = time.perf_counter()
                bench = Bench(spec, backend="process", timeout=120.0)
                try:
                    bench.boot()
                    for link in bench.links.values():
                        link.wait_on()
                    found.setdefault(f"boot {size}", []).append(time.perf_counter() - started)
                    used = memory(os.getpid()) - before
                    used += sum(memory(vm.pid) for vm in bench.vms.values() if vm.pid)
                    found.setdefault(f"memory {size}", []).append(used / size)
                finally:
                    bench.close()
        made = []
        for size in (count // 4, count):
            made.append(
                measure.figure(f"load the board, {size:,} vlinks", "s", found[f"load {size}"])
            )
            made.append(
                measure.figure(
                    f"boot until all are ON, {size:,} vlinks", "s", found[f"boot {size}"], goal=5.0
                )
            )
            made.append(
                measure.figure(
                    f"memory for each idle vlink of {size:,}",
                    "KiB",
                    found[f"memory {size}"],
                    goal=16.0,
                )
            )
        return made

    measure.run("boot", options, body)


if __name__ == "__main__":
    main()
