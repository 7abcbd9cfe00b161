"""The checks of the data plane, in programs of 32 bits."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

CHECKS = Path(__file__).parents[2] / ".build/m32/tests/cpp"


@pytest.mark.parametrize(
    "name",
    [
        "base/check_bell",
        "base/check_result",
        "ring/check_records",
        "app/check_rpq_rules",
        "app/check_rpq_death",
        "app/check_rpq_hostile",
    ],
)
def test_a_check_program_of_32_bits_passes(name: str) -> None:
    program = CHECKS / name
    if not program.exists():
        pytest.skip("no 32-bit checks: .config/setup.sh found no compiler with -m32")
    done = subprocess.run([program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
