"""``hyplink stat --grants``: who was granted what."""

from __future__ import annotations

import json
import subprocess
import sys

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
