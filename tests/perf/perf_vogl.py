"""A GL frame of 1,000 draw calls: through vOGL and directly, batches and XIRQs a frame. Then a picture of 2 MiB read
back: directly, in a lent vUmem buffer, and as an out parameter of the call."""

from __future__ import annotations

import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

import measure

import hyplink
from hyplink import vogl

sys.path.append(str(Path(__file__).parent.parent))

from vogl_programs import HERE, Programs, run_direct, run_in_vm

DRAWS = 1000
SIZE = ("1024", "512")
#: What makes a client's large calls travel in the port.
NEVER_LENT = ("HYPLINK_VOGL_LENT_FROM=4294967295",)


def times(said: str) -> list[float]:
    """Nanoseconds of each frame but the first, which compiles shaders or allocates."""
    return [float(line) for line in said.splitlines() if line.isdigit()][1:]


def frames(options: Any, bench: hyplink.Bench, programs: Programs) -> list[dict[str, Any]]:
    count = max(5, int(30 * options.scale))
    through: list[float] = []
    direct: list[float] = []
    batches: list[float] = []
    xirqs: list[float] = []
    program = programs("frames")
    base, words = programs.folder / "frames", [str(DRAWS), str(count)]
    for number in range(options.passes + 1):
        alone = times(run_direct(program, base, *words).said)
        before = bench.stats
        shared = times(run_in_vm(bench, program, base, *words).said)
        totals = bench.stats.since(before).totals
        if number == 0:
            continue  # a warm-up
        through.append(statistics.median(shared) / 1e6)
        direct.append(statistics.median(alone) / 1e6)
        batches.append(totals["batches"] / count)
        xirqs.append(totals["xirqs"] / count)
    return [
        measure.figure("a frame of 1,000 draw calls, directly", "ms", direct),
        measure.figure(
            "a frame of 1,000 draw calls, through vOGL",
            "ms",
            through,
            limit=("the direct run", direct),
        ),
        measure.figure("batches a frame", "", batches),
        measure.figure("XIRQs a frame", "", xirqs),
    ]


def pictures(options: Any, bench: hyplink.Bench, programs: Programs) -> list[dict[str, Any]]:
    words = [*SIZE, str(max(5, int(20 * options.scale)))]
    direct: list[float] = []
    lent: list[float] = []
    inside: list[float] = []
    program, base = programs("pictures"), programs.folder / "pictures"
    for number in range(options.passes + 1):
        runs = [
            run_direct(program, base, *words),
            run_in_vm(bench, program, base, *words),
            run_in_vm(bench, program, base, *words, environment=NEVER_LENT),
        ]
        if len({run.picture for run in runs}) != 1:
            sys.exit("the pictures of the three runs differ")
        if number == 0:
            continue
        for values, run in zip((direct, lent, inside), runs, strict=True):
            values.append(statistics.median(times(run.said)) / 1e6)
    return [
        measure.figure("a picture of 2 MiB read back, directly", "ms", direct),
        measure.figure(
            "the same as an out parameter", "ms", inside, limit=("the direct run", direct)
        ),
        measure.figure(
            "the same in a lent vUmem buffer", "ms", lent, limit=("an out parameter", inside)
        ),
    ]


def main() -> None:
    options = measure.arguments(__doc__ or "", passes=5)
    if vogl.problem():
        sys.exit(vogl.problem())

    def body() -> list[dict[str, Any]]:
        with (
            tempfile.TemporaryDirectory() as folder,
            hyplink.Bench.from_dts(HERE / "vogl.dts", backend="process") as bench,
            vogl.serve(bench.vm(2)),
        ):
            programs = Programs(Path(folder))
            return [*frames(options, bench, programs), *pictures(options, bench, programs)]

    measure.run("vogl", options, body)


if __name__ == "__main__":
    main()
