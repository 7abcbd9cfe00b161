"""A 32-bit process and a 64-bit process see the same bytes in the same places."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest


def said_by(program: Path) -> str:
    done = subprocess.run([program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_a_32_bit_build_has_the_layout_of_the_64_bit_one(root: Path, build_dir: Path) -> None:
    narrow = root / ".build/m32/tests/cpp/app/check_layout"
    if not narrow.exists():
        pytest.skip("no 32-bit checks: .config/setup.sh found no compiler with -m32")
    wide = said_by(build_dir / "tests/cpp/app/check_layout")
    assert "BellWords takes 128\n" in wide
    assert said_by(narrow) == wide
