"""A VM or an application that ends after each step of a life of granted pages, and the whole once more after that."""

from __future__ import annotations

from typing import Any

import pytest
from conformance_lib import EVERYWHERE

import hyplink
from hyplink import errors
from hyplink.testing import eventually

PAGE = 4096
EXPORTER, FIRST, SECOND = 3, 2, 4
BOARD = """
&vm2_vplatform { vm-memory@3 { compatible = "vl,vm-memory"; vl,vm-id = <3>; }; };
&vm3_vplatform { };
&vm4_vplatform { vm-memory@3 { compatible = "vl,vm-memory"; vl,vm-id = <3>; }; };
"""
pytestmark = [EVERYWHERE, pytest.mark.hyplink_dts(BOARD)]


class Life:
    """Two pages, two importers, one of which loses the second page first."""

    def __init__(self, bench: hyplink.Bench) -> None:
        self.bench = bench
        self.windows: dict[int, Any] = {}
        self.granted: dict[int, set[int]] = {FIRST: set(), SECOND: set()}  # pages, by importer
        self.apps = {vm: bench.vm(vm).application() for vm in (EXPORTER, FIRST, SECOND)}

    def alloc(self) -> None:
        self.region = self.apps[EXPORTER].memory.alloc(2 * PAGE)
        self.region.view[:] = b"\x05" * (2 * PAGE)

    def grant_to(self, vm: int) -> None:
        self.apps[EXPORTER].memory.grant(vm, self.region, "rw")
        self.granted[vm] = {0, 1}

    def map_in(self, vm: int) -> None:
        self.windows[vm] = self.apps[vm].memory.map(*self.region.pages(), writable=True)

    def deny(self, vm: int, page: int) -> None:
        pages = (self.region.address + page * PAGE, PAGE)
        self.apps[EXPORTER].memory.deny(vm, pages, "rw")
        self.granted[vm].discard(page)

    def close(self) -> None:
        self.region.close()
        self.granted = {FIRST: set(), SECOND: set()}

    def leave(self) -> None:
        for app in self.apps.values():
            app.close()

    def check(self, dead: int) -> None:
        """Who is alive has exactly what it was granted; who is not shows nothing, even to those who kept its views."""
        if dead == EXPORTER:
            self.granted = {FIRST: set(), SECOND: set()}
        for vm, window in self.windows.items():
            has = self.granted[vm] if vm != dead else set()
            lost = (2 - len(has)) * PAGE
            eventually(self.bench, lambda window=window, lost=lost: window.revoked == lost)
            if vm != dead:  # first: whoever has read has the pages of now behind its view
                for page in has:
                    assert window.read(page * PAGE, PAGE) == b"\x05" * PAGE
                for page in {0, 1} - has:
                    with pytest.raises(errors.GrantRevoked):
                        window.read(page * PAGE, PAGE)
            for page in (0, 1):
                own = b"\x05" if page in has else b"\0"
                assert bytes(window.view[page * PAGE : (page + 1) * PAGE]) == own * PAGE, (vm, page)
        left = {vm for vm, pages in self.granted.items() if pages}
        eventually(self.bench, lambda: {grant.importer for grant in self.bench.grants} == left)


STEPS = [
    ("alloc",),
    ("grant_to", FIRST),
    ("map_in", FIRST),
    ("grant_to", SECOND),
    ("map_in", SECOND),
    ("deny", FIRST, 1),
    ("deny", SECOND, 0),
    ("deny", FIRST, 0),
    ("deny", SECOND, 1),
    ("close",),
]


def live(life: Life, steps: list[tuple[Any, ...]]) -> None:
    for name, *words in steps:
        getattr(life, name)(*words)


@pytest.mark.parametrize("end", ["kill", "shutdown", "close"])
@pytest.mark.parametrize("dead", [EXPORTER, FIRST, SECOND], ids=["exporter", "first", "second"])
def test_somebody_ends_after_each_step(bench: hyplink.Bench, dead: int, end: str) -> None:
    """The VM is killed, or shut down, or its application closes alone."""

    def empty() -> bool:
        return bench.grants == []

    for done in range(1, len(STEPS) + 1):
        life = Life(bench)
        live(life, STEPS[:done])
        getattr(life.apps[dead] if end == "close" else bench.vm(dead), end)()
        life.check(dead)
        if dead != EXPORTER and done < len(STEPS):
            # The exporter's data is its own; it takes back what is granted, whether anybody is there or not.
            assert bytes(life.region.view) == b"\x05" * (2 * PAGE)
            life.close()
        eventually(bench, empty)  # importers hear of it before the table is clear
        life.leave()
        if end != "close":
            bench.vm(dead).boot()
    life = Life(bench)
    live(life, STEPS[:5])
    life.check(0)
    live(life, STEPS[5:])
    life.check(0)
    life.leave()
    assert empty()
