"""A GL frame of 1,000 draw calls: through vOGL and directly, batches and XIRQs a frame."""

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


def frames(said: str) -> list[float]:
    """Nanoseconds of each frame but the first, which compiles shaders."""
    return [float(line) for line in said.splitlines() if line.isdigit()][1:]


def main() -> None:
    options = measure.arguments(__doc__ or "", passes=5)
    if vogl.problem():
        sys.exit(vogl.problem())
    count = max(5, int(30 * options.scale))

    def body() -> list[dict[str, Any]]:
        through: list[float] = []
        direct: list[float] = []
        batches: list[float] = []
        xirqs: list[float] = []
        with (
            tempfile.TemporaryDirectory() as folder,
            hyplink.Bench.from_dts(HERE / "vogl.dts", backend="process") as bench,
            vogl.serve(bench.vm(2)),
        ):
            program = Programs(Path(folder))("frames")
            base, words = Path(folder) / "frames", [str(DRAWS), str(count)]
            for number in range(options.passes + 1):
                alone = frames(run_direct(program, base, *words).said)
                before = bench.stats
                shared = frames(run_in_vm(bench, program, base, *words).said)
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

    measure.run("vogl", options, body)


if __name__ == "__main__":
    main()
