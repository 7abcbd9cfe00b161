"""``hyplink stat --grants``: who was granted what."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

import hyplink
from hyplink import observe

BOARD = """
&vm2_vplatform { vm-memory@3 { compatible = "vl,vm-memory"; vl,vm-id = <3>; }; };
&vm3_vplatform { };
"""


def stat(*words: str) -> str:
    command = [sys.executable, "-m", "hyplink", "stat", "--grants", *words]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def test_grants_are_listed_in_words_and_as_json() -> None:
    with hyplink.Bench.from_dts(BOARD) as bench, observe.serve(bench) as observer:
        which = f"{observer.address.pid}.{observer.address.number}"
        assert stat("--bench", which) == "nothing is granted\n"
        region = bench.vm(3).memory.alloc(8192)
        bench.vm(3).grant(2, (region.address, 4096), "rw")
        (line,) = stat("--bench", which).splitlines()[-1:]
        assert line.split()[:6] == [f"{region.address:#x}", "4096", "3", "2", "rwc", "offered"]
        bench.vm(2).map((region.address, 4096))
        (grant,) = json.loads(stat("--bench", which, "--json"))["grants"]
        assert grant["state"] == "active"
        assert grant["level"] == "cooperative"
        assert str(bench.grants[0]).startswith("VM 3 → VM 2: 4096 bytes at 0x")


def test_grants_are_watched_until_the_bench_ends() -> None:
    command = [sys.executable, "-m", "hyplink", "stat", "--grants", "--watch", "--every", "0.01"]
    bench = hyplink.Bench.from_dts(BOARD, observe=True)
    with bench:
        (address,) = (each for each in observe.running() if each.pid == os.getpid())
        region = bench.vm(3).memory.alloc(4096)
        with subprocess.Popen(
            [*command, "--json", "--bench", f"{address.pid}.{address.number}"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as watcher:
            assert watcher.stdout is not None
            assert json.loads(watcher.stdout.readline())["grants"] == []
            bench.vm(3).grant(2, region)
            seen = []
            while not seen:
                seen = json.loads(watcher.stdout.readline())["grants"]
            assert seen[0]["address"] == region.address
            bench.vm(3).deny(2, region)
            while json.loads(watcher.stdout.readline())["grants"]:
                pass
            bench.close()
            rest, said = watcher.communicate()
        assert watcher.returncode == 0
        assert all(json.loads(line)["grants"] == [] for line in rest.splitlines())
        assert "has ended" in said


@pytest.mark.parametrize("words", [["--svg", "x.svg"], ["--ends"], ["--list"], ["--count", "on"]])
def test_what_has_no_meaning_for_grants_is_wrong_usage(words: list[str]) -> None:
    command = [sys.executable, "-m", "hyplink", "stat", "--grants", *words]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 2
    assert f"--grants goes without {words[0]}" in done.stderr
