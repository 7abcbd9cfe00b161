"""The one command that fuzzes: a few seconds of it, for both widths."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest


@pytest.mark.soak
@pytest.mark.parametrize("bits", ["64", "32"])
@pytest.mark.parametrize("target", ["idl_dispatch", "app_messages"])
def test_a_target_builds_as_a_libfuzzer_program_and_tries_more_than_its_corpus(
    root: Path, target: str, bits: str
) -> None:
    done = subprocess.run(
        ["sh", "tests/fuzz/run.sh", target, "5", bits],
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
    assert int(tried[1]) > len(list((root / "tests/fuzz/corpus" / target).iterdir()))


@pytest.mark.parametrize("words", [("jornal",), ("rqp_port", "3", "32")])
def test_a_target_that_does_not_exist_is_answered_with_those_that_do(
    root: Path, words: tuple[str, ...]
) -> None:
    done = subprocess.run(
        ["sh", "tests/fuzz/run.sh", *words], cwd=root, capture_output=True, text=True
    )
    assert done.returncode == 2
    assert f"no target {words[0]};" in done.stdout
    there = set(done.stdout.partition("there are:")[2].split())
    assert there == {path.stem for path in (root / "tests/fuzz").glob("*.cpp")}
