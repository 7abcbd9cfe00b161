"""Makes every fuzz target (tests/fuzz/*.cpp) a pytest item: its corpus, then mutations of it.

HYPLINK_FUZZ_SECONDS=60 runs each that long instead of a fixed number of rounds. Guided by coverage, with clang's
libFuzzer under sanitizers, 64 or 32 bits: sh tests/fuzz/run.sh TARGET [SECONDS [BITS]].
"""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

HERE = Path(__file__).parent
BUILD = Path(os.environ.get("HYPLINK_BUILD_DIR", HERE.parent.parent / ".build" / "dev"))
SECONDS = float(os.environ.get("HYPLINK_FUZZ_SECONDS", "0"))
# A run that is still going then hangs.
LIMIT = SECONDS + 300
# Rounds of a default run: about a second each without sanitizers.
ROUNDS = {
    "info": 100_000,
    "idl_dispatch": 100_000,
    "idl_generated": 20_000,
    "vogl_gles2": 20_000,
    "rpq_port": 50_000,
    "journal": 5_000,
}
ROUNDS_OF_A_BOARD = 1_500


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> pytest.Collector | None:
    if file_path.suffix == ".cpp" and file_path.parent == HERE:
        return FuzzFile.from_parent(parent, path=file_path)
    return None


class FuzzFile(pytest.File):
    def collect(self) -> Iterator[pytest.Item]:
        yield FuzzTarget.from_parent(self, name="nothing is found by chance")


class FuzzFound(Exception):
    pass


class FuzzTarget(pytest.Item):
    def runtest(self) -> None:
        program = BUILD / "tests" / "fuzz" / f"fuzz_{self.path.stem}"
        if not program.exists():
            if (
                self.path.stem.startswith("vogl_")
                and not (BUILD / "site/hyplink/lib/vogl").exists()
            ):
                pytest.skip("vOGL is not built: no headers of EGL and OpenGL ES")
            raise FuzzFound(f"{program} is not built: sh tests/run.sh")
        rounds = ROUNDS.get(self.path.stem, ROUNDS_OF_A_BOARD)
        command = [program, "--corpus", HERE / "corpus" / self.path.stem, "--rounds", str(rounds)]
        if SECONDS > 0:
            command += ["--seconds", str(SECONDS)]
        try:
            done = subprocess.run(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
                timeout=LIMIT,
                check=False,
            )
        except subprocess.TimeoutExpired as late:
            said = late.stdout.decode(errors="replace") if late.stdout else ""
            raise FuzzFound(f"{said}not finished after {LIMIT:g} s") from None
        if done.returncode < 0:
            raise FuzzFound(f"{done.stdout}died of {signal.Signals(-done.returncode).name}")
        if done.returncode != 0:
            raise FuzzFound(done.stdout or f"status {done.returncode} without a word")
        self.add_report_section("call", "stdout", done.stdout)

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style=None):  # type: ignore[no-untyped-def]
        if isinstance(excinfo.value, FuzzFound):
            return str(excinfo.value)
        return super().repr_failure(excinfo, style)

    def reportinfo(self) -> tuple[Path, int, str]:
        return self.path, 0, f"{self.path.stem}: {self.name}"
