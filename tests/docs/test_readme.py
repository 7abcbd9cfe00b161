"""What the README shows is what runs."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.MULTILINE | re.DOTALL)


def test_the_python_example_runs_as_printed(tmp_path: Path) -> None:
    (tmp_path / "example.py").write_text(blocks("python")[0])
    done = subprocess.run(
        [sys.executable, "example.py"], cwd=tmp_path, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr


def test_the_test_example_passes_as_printed(tmp_path: Path) -> None:
    (tmp_path / "test_example.py").write_text(blocks("python")[1])
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "."],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_two_commands_are_there() -> None:
    commands = "".join(blocks("console"))
    for command in ("sh notebooks/demo.sh", "sh tests/run.sh"):
        assert f"$ {command}\n" in commands
        assert (ROOT / command.split()[1]).is_file()
