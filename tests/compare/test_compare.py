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
from hyplink.compare.table import Baseline, Table


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


@pytest.mark.parametrize(
    ("name", "copies", "sync"),
    [
        ("vPipe", 2, "async"),
        ("vUpipe", 0, "async"),
        ("vRPC", 0, "sync"),
        ("vMQ", 0, "async"),
        ("vIPC", 1, "both"),
    ],
)
def test_copies_and_who_waits_are_what_each_is_made_for(name: str, copies: int, sync: str) -> None:
    row = compare([name], kills=0, times=20, nbytes=1 << 20)[name]
    assert (row.copies, row.sync) == (copies, sync)
    assert row.ends.split(", ")[1] == ("one way" if "ipe" in name else "both ways")


def test_a_second_user_of_an_end_is_refused_where_the_document_says_point_to_point() -> None:
    table = compare(["vRPC", "vPipe"], kills=0, times=20, nbytes=1 << 20)
    assert [row.ends.split(",")[0] for row in table] == ["PtP", "many"]


@pytest.mark.parametrize(("load", "said"), [(0.2, False), (1.9, True)])
def test_a_crowded_machine_is_told_of_below_the_table(load: float, said: bool) -> None:
    table = Table((), Baseline(1.0, 2.0), {"model": "x", "cores": 2, "load": load})
    assert ("two free processors" in str(table)) == said
    assert table.to_dict()["machine"]["crowded"] == said


def test_what_is_not_built_says_so_beside_the_documents_claim() -> None:
    missing = next(name for name in CLAIMS if name not in MECHANISMS)
    table = compare([missing], times=20)
    assert table[missing].missing == "not built yet"
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
