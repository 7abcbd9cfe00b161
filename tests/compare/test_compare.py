"""The comparison table is what was measured, and says what was not."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

from hyplink import errors
from hyplink.compare import CLAIMS, compare, deaths
from hyplink.compare.dependencies import find, kept
from hyplink.compare.mechanisms.every import MECHANISMS
from hyplink.compare.rows import Baseline, Row
from hyplink.compare.table import Table


@pytest.mark.parametrize("name", MECHANISMS)
def test_each_mechanism_is_measured_in_two_processes(name: str) -> None:
    row = compare([name], kills=2, times=50, nbytes=1 << 20)[name]
    assert not row.missing
    assert all((row.ends, row.depends, row.sync))
    assert row.copies is not None
    assert (row.awake_ns or 0) > 0
    assert [taken > 0 for taken in row.deaths_ns] == [True, True]
    assert (row.bytes_per_s or 0) > 0


def test_each_death_is_told_as_soon_as_it_was_heard_of() -> None:
    told: list[float] = []
    assert deaths("vBpipe", 2, heard=told.append) == told
    assert len(told) == 2


def test_a_vm_that_runs_one_mechanism_imports_neither_the_harness_nor_an_event_loop() -> None:
    modules = (
        "hyplink.bench",
        "hyplink.compare.run",
        "hyplink.umem",
        "asyncio",
        "importlib.resources",
    )
    script = (
        "import sys, hyplink._app, hyplink.rpq, hyplink.idl.carry, hyplink.compare.mechanisms.bpipe\n"
        f"print([name for name in {modules!r} if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], check=True, stdout=subprocess.PIPE, text=True
    )
    assert done.stdout.strip() == "[]"


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
        ("vEvent", 2, "async"),
    ],
)
def test_copies_and_who_waits_are_what_each_is_made_for(name: str, copies: int, sync: str) -> None:
    row = compare([name], kills=0, times=20, nbytes=1 << 20)[name]
    assert (row.copies, row.sync) == (copies, sync)
    assert row.ends.split(", ")[1] == (
        "one way" if "ipe" in name or name == "vEvent" else "both ways"
    )


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


# --- pictures -------------------------------------------------------------------------------------


def rows() -> Table:
    quick = Row("vRPQ", ends="many", awake_ns=400.0, asleep_ns=9_000.0, deaths_ns=(1e6, 3e6, 2e6))
    looking = Row("vION", ends="PtP", copies=0.0, awake_ns=700.0, goes_on=("w",), bytes_per_s=5e9)
    machine = {"model": "x", "cores": 8, "load": 0.0}
    return Table((quick, looking, Row("vEth", missing="no")), Baseline(500.0, 4000.0), machine)


def texts(svg: str) -> str:
    return " | ".join(ElementTree.fromstring(svg).itertext())


def test_a_picture_of_latencies_says_what_comes_on_top_and_what_is_missing() -> None:
    said = texts(rows().latencies().svg)
    assert "nothing / 5.0 µs" in said  # below the bare processes: nothing is added
    assert "0.2 / wakes nobody µs" in said
    assert "vEth" in said
    assert "no" in said.split(" | ")


def test_a_picture_of_deaths_has_a_dot_for_each_kill_and_one_for_the_median() -> None:
    svg = rows().deaths().svg
    assert [svg.count(f"{at}.00 ms</title>") for at in (1, 2, 3)] == [1, 2, 1]
    assert "2.00 ms, worst 3.00" in texts(svg)
    assert "nobody was killed" in texts(svg)


def test_a_faster_mechanism_is_further_to_the_right() -> None:
    table = rows()
    faster = dataclasses.replace(table["vRPQ"], bytes_per_s=9e9, copies=1.0, waits=("c",))
    svg = dataclasses.replace(table, rows=(table["vION"], faster)).throughput().svg
    slow, fast = (
        float(path.get("d", "M0 ").removeprefix("M").split()[0])
        for path in ElementTree.fromstring(svg).iter("{http://www.w3.org/2000/svg}path")
        if path.get("fill") != "none"
    )
    assert slow < fast
    assert "9,000 MB/s, copies: 1, sync" in texts(svg)


def test_pictures_of_nothing_are_drawn() -> None:
    empty = dataclasses.replace(rows(), rows=())
    for picture in (empty.latencies(), empty.deaths(), empty.throughput()):
        assert picture._repr_svg_().startswith("<svg")
