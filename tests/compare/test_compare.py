"""The comparison table is what was measured, and says what was not."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from hyplink import errors
from hyplink.compare import CLAIMS, compare
from hyplink.compare.dependencies import find, kept
from hyplink.compare.mechanisms import MECHANISMS


@pytest.mark.parametrize("name", MECHANISMS)
def test_each_mechanism_is_measured_in_two_processes(name: str) -> None:
    row = compare([name], kills=2, times=50, nbytes=1 << 20)[name]
    assert not row.missing
    assert all((row.ends, row.depends, row.sync))
    assert row.copies is not None
    assert (row.awake_ns or 0) > 0
    assert [taken > 0 for taken in row.deaths_ns] == [True, True]
    assert (row.bytes_per_s or 0) > 0


def test_a_post_goes_on_while_the_server_is_away_and_a_call_waits() -> None:
    row = compare(["vRPQ"], kills=0, times=20, nbytes=1 << 20)["vRPQ"]
    assert (row.waits, row.goes_on) == (("call",), ("post",))
    assert row.copies == 1


def test_what_is_not_measured_says_so_beside_the_documents_claim() -> None:
    missing = next(name for name in CLAIMS if name not in MECHANISMS)
    table = compare([missing], times=20)
    assert table[missing].missing == "not measured yet"
    assert CLAIMS[missing].depends in str(table)


def test_an_unknown_name_is_answered_with_those_there_are() -> None:
    with pytest.raises(errors.NotFound, match="vRPQ"):
        compare(["vNothing"])


def test_the_command_prints_one_json_object() -> None:
    words = ["compare", "vlink", "--kills", "0", "--times", "20", "--megabytes", "1", "--json"]
    done = subprocess.run(
        [sys.executable, "-m", "hyplink", *words], capture_output=True, text=True, check=True
    )
    (row,) = json.loads(done.stdout)["rows"]
    assert (row["name"], row["claim"]["depends"]) == ("vLINK", "NKDDI")


def test_dependencies_are_those_of_the_sources(root: Path) -> None:
    assert kept() == find(root), "run python -m hyplink.compare.dependencies ROOT"
