"""Makes every case of every check program (tests/cpp/<floor>/check_*.cpp) a pytest item."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

HERE = Path(__file__).parent
BUILD = Path(os.environ.get("HYPLINK_BUILD_DIR", HERE.parent.parent / ".build" / "dev"))
SKIPPED = 77
SECONDS = 120.0


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> pytest.Collector | None:
    if file_path.suffix == ".cpp" and file_path.name.startswith("check_"):
        return CheckProgram.from_parent(parent, path=file_path)
    return None


class CheckProgram(pytest.File):
    def collect(self) -> Iterator[pytest.Item]:
        program = BUILD / "tests" / "cpp" / self.path.relative_to(HERE).with_suffix("")
        if not program.exists():
            raise self.CollectError(f"{program} is not built: sh tests/run.sh")
        if program.stat().st_mtime < self.path.stat().st_mtime:
            raise self.CollectError(f"{program} is older than its source: run sh tests/run.sh")
        listed = subprocess.run(
            [program, "--list"], capture_output=True, text=True, timeout=SECONDS
        )
        if listed.returncode != 0:
            raise self.CollectError(
                f"{program} --list: status {listed.returncode}\n{listed.stderr}"
            )
        for row, text in enumerate(listed.stdout.splitlines(), start=1):
            line, sentence = text.split("\t", 1)
            yield CheckCase.from_parent(
                self, name=sentence, program=program, row=row, line=int(line)
            )


class CheckFailed(Exception):
    pass


class CheckCase(pytest.Item):
    def __init__(self, *, program: Path, row: int, line: int, **words: object) -> None:
        super().__init__(**words)  # type: ignore[arg-type]
        self.program, self.row, self.line = program, row, line

    def runtest(self) -> None:
        try:
            done = subprocess.run(
                [self.program, "--run", str(self.row)],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
                timeout=SECONDS,
                env={**os.environ, "HYPLINK_VM": str(BUILD / "site/hyplink/bin/hyplink-vm")},
            )
        except subprocess.TimeoutExpired as late:
            said = late.stdout.decode(errors="replace") if late.stdout else ""
            raise CheckFailed(f"{said}not finished after {SECONDS:g} s") from None
        if done.returncode == SKIPPED:
            pytest.skip(done.stdout.strip().removeprefix("skipped: "))
        if done.returncode < 0:
            raise CheckFailed(f"{done.stdout}died of {signal.Signals(-done.returncode).name}")
        if done.returncode != 0:
            raise CheckFailed(done.stdout or f"status {done.returncode} without a word")
        if done.stdout:
            self.add_report_section("call", "stdout", done.stdout)

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style=None):  # type: ignore[no-untyped-def]
        if isinstance(excinfo.value, CheckFailed):
            again = f"{os.path.relpath(self.program)} --run {self.row}"
            return f"{excinfo.value}\nalone: {again}"
        return super().repr_failure(excinfo, style)

    def reportinfo(self) -> tuple[Path, int, str]:
        return self.path, self.line - 1, self.name
