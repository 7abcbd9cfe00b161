"""A 32-bit process and a 64-bit process see the same bytes in the same places."""

from __future__ import annotations

import os
import shlex
import subprocess
from pathlib import Path

import pytest

COMPILER = shlex.split(os.environ.get("CXX", "c++"))
# The library side of a port and all below it; no guest, hypervisor or backend code.
SOURCES = ("base", "sys", "mem", "ring", "app/rpq")
NEEDS_A_KERNEL = {"session.cpp"}


def compiled(root: Path, into: Path, *flags: str) -> subprocess.CompletedProcess[str]:
    core = root / "src/cpp/hyplink"
    sources = [
        path
        for folder in SOURCES
        for path in sorted((core / folder).glob("*.cpp"))
        if path.name not in NEEDS_A_KERNEL
    ]
    words = [*COMPILER, "-std=c++20", "-O1", "-Wall", "-Wextra", "-Wconversion", "-Werror", *flags]
    words += ["-I", str(root / "src/cpp"), "-I", str(root / "tests/cpp")]
    words += [str(root / "tests/cpp/app/check_layout.cpp"), *map(str, sources)]
    words += ["-pthread", "-o", str(into)]
    return subprocess.run(words, capture_output=True, text=True, check=False)


def test_a_32_bit_build_has_the_layout_of_the_64_bit_one(
    root: Path, build_dir: Path, tmp_path: Path
) -> None:
    probe = tmp_path / "probe.cpp"
    probe.write_text("#include <vector>\nint main() { return std::vector<int>{0}[0]; }\n")
    words = [*COMPILER, "-m32", str(probe), "-o", str(tmp_path / "probe")]
    if subprocess.run(words, capture_output=True, check=False).returncode != 0 or (
        subprocess.run([tmp_path / "probe"], check=False).returncode != 0
    ):
        pytest.skip("no 32-bit programs here (Debian: g++-multilib)")
    made = compiled(root, tmp_path / "narrow", "-m32")
    assert made.returncode == 0, made.stderr
    narrow = subprocess.run([tmp_path / "narrow"], capture_output=True, text=True, check=False)
    assert narrow.returncode == 0, narrow.stdout + narrow.stderr
    wide = subprocess.run(
        [build_dir / "tests/cpp/app/check_layout"], capture_output=True, text=True, check=True
    )
    assert "BellWords takes 128\n" in wide.stdout
    assert narrow.stdout == wide.stdout
