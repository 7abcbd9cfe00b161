"""The stub of the compiled core is what the core is."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path


def test_the_stub_is_what_the_generator_makes_of_the_binary(root: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", "import stubs; print(stubs.generate(), end='')"],
        cwd=root / ".config",
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    made, kept = done.stdout, (root / "src/python/hyplink/_core.pyi").read_text()
    assert made == kept, "run .venv/bin/python .config/stubs.py"
