"""For minutes, when asked for: peers that write anything into every ring of pipes, calls and queues."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

BUILD = Path(
    os.environ.get("HYPLINK_BUILD_DIR", Path(__file__).parents[2] / ".build" / "dev")
).resolve()
PROGRAM = BUILD / "tests/cpp/backend/check_hostile_rings"
#: For each mechanism; the short form of the same table runs with the check programs.
SECONDS = int(os.environ.get("HYPLINK_HOSTILE_SECONDS", "120"))


def cases() -> list[str]:
    if not PROGRAM.exists():
        return []
    listed = subprocess.run([PROGRAM, "--list"], capture_output=True, text=True, check=True)
    return [line.split("\t")[1] for line in listed.stdout.splitlines()]


@pytest.mark.soak
@pytest.mark.parametrize("case", cases())
def test_for_minutes(case: str, record_property: Callable[[str, object], None]) -> None:
    done = subprocess.run(
        [PROGRAM, "--run", case],
        capture_output=True,
        text=True,
        env={**os.environ, "HYPLINK_HOSTILE_SECONDS": str(SECONDS)},
        timeout=SECONDS * 2 + 120,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    record_property("outcomes", done.stdout)
