"""The one command that fuzzes: a few seconds of it, for both widths."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest


@pytest.mark.soak
@pytest.mark.parametrize("bits", ["64", "32"])
def test_a_target_builds_as_a_libfuzzer_program_and_tries_more_than_its_corpus(
    root: Path, bits: str
) -> None:
    done = subprocess.run(
        ["sh", "tests/fuzz/run.sh", "idl_dispatch", "5", bits],
        cwd=root,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    )
    if done.returncode == 3:
        pytest.skip(done.stdout.strip())
    assert done.returncode == 0, done.stdout
    tried = re.search(r"number_of_executed_units: (\d+)", done.stdout)
    assert tried is not None, done.stdout
    assert int(tried[1]) > len(list((root / "tests/fuzz/corpus/idl_dispatch").iterdir()))
