"""One program of page granting is killed, at every call that it makes; its VM lives on, and so does everybody else.

Exporters and importers are programs inside their VMs. Each act is tried again and again: the program dies at the
first call of it, at the second, …, until the act is over before that.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from typing import Any

import pytest
from conformance_lib import PROCESS
from grant_programs import DATA, PAGE, PAGES, Program

import hyplink
from hyplink import errors
from hyplink.testing import eventually
from told_programs import PATIENCE, Died, Told, held, rounds

EXPORTER, FIRST, DENIED, KEEPER = 3, 2, 4, 5
IMPORTERS = (FIRST, DENIED, KEEPER)
BOARD = """
&vm2_vplatform { vm-memory@3 { compatible = "vl,vm-memory"; vl,vm-id = <3>; }; };
&vm3_vplatform { };
&vm4_vplatform { vm-memory@3 { compatible = "vl,vm-memory"; vl,vm-id = <3>; }; };
&vm5_vplatform { vm-memory@3 { compatible = "vl,vm-memory"; vl,vm-id = <3>; }; };
"""
pytestmark = [PROCESS, pytest.mark.hyplink_dts(BOARD)]
WHOLE = bytes([DATA]) * PAGES * PAGE
NOTHING = bytes(PAGES * PAGE)


class Scene:
    """Programs in all VMs, and what nobody may have more of after the next round."""

    def __init__(self, bench: hyplink.Bench) -> None:
        self.bench = bench
        self.importers = {vm: Told(bench, vm, Program) for vm in IMPORTERS}
        self._counts: list[list[tuple[int, int]]] = []

    def exporter(self) -> Told:
        return Told(self.bench, EXPORTER, Program)

    def shared(self, exporter: Told, vms: tuple[int, ...], device: bool = True) -> int:
        """Pages of the exporter that these VMs have mapped; one looks at them all the time, its device writes them."""
        address: int = exporter("alloc")
        exporter("grant", list(vms))
        for vm in vms:
            self.importers[vm]("map", address)
        if FIRST in vms:
            self.importers[FIRST]("spin")
            if device:
                self.importers[FIRST]("work", address)
        return address

    def replace(self, vm: int) -> Told:
        self.importers[vm] = Told(self.bench, vm, Program)
        return self.importers[vm]

    def no_grants(self) -> None:
        eventually(self.bench, lambda: self.bench.grants == [], timeout=PATIENCE)

    def all_is_taken(self, address: int, vms: tuple[int, ...]) -> None:
        """The exporter has gone: whoever had its pages is told, sees zeroes and gets nothing more."""
        self.no_grants()
        for vm in vms:
            importer = self.importers[vm]
            importer("wait_lost")
            assert importer("is_lost") == list(range(PAGES))
            assert importer("shows") == NOTHING
            if vm == FIRST:
                assert address <= importer("fault") < address + PAGES * PAGE
                assert set(importer("spun")) <= {0}
        for importer in self.importers.values():
            importer("rest")
            with pytest.raises(errors.AccessDenied):
                importer("map", address)

    def others_go_on(self, exporter: Told, dead: int, denied: range) -> None:
        """An importer has gone, and these pages of `DENIED`: everybody else has what is granted to it."""
        assert exporter("has") == WHOLE
        for vm, importer in self.importers.items():
            if vm == dead:
                continue
            lost = list(denied) if vm == DENIED else []
            assert importer("is_lost") == lost
            for page in range(PAGES):
                if page not in lost:
                    assert importer("read", page, 1) == WHOLE[:PAGE]
            if vm == FIRST:
                importer("works")
                if not self.bench.missed_holds:
                    assert importer("spun") == []
        # Its grants are its VM's: they stay, and nobody has mapped them.
        eventually(
            self.bench,
            lambda: all(g.state == "offered" for g in self.bench.grants if g.importer == dead),
            timeout=PATIENCE,
        )

    def a_new_program_gets_the_pages(self, address: int, vm: int, denied: range) -> None:
        """A successor of the one that was killed has what is still granted to its VM."""
        importer = self.replace(vm)
        granted = [page for page in range(PAGES) if vm != DENIED or page not in denied]
        for page in granted:
            importer("map", address, page, 1)
            assert importer("read", 0, 1) == WHOLE[:PAGE]
            importer("rest")
        if len(granted) < PAGES:
            with pytest.raises(errors.AccessDenied):
                importer("map", address)

    def all_let_go(self, exporter: Told) -> None:
        for importer in self.importers.values():
            importer("rest")
        exporter("free")
        self.no_grants()

    def a_whole_life(self) -> None:
        """As if nothing had happened: granted, seen and written by all, denied one by one."""
        exporter = self.exporter()
        self.shared(exporter, IMPORTERS, device=False)
        for vm in IMPORTERS:
            self.importers[vm]("put", 16 + vm, vm)
        seen = bytearray(WHOLE)
        for vm in IMPORTERS:
            seen[16 + vm] = vm
        assert exporter("has") == seen
        for importer in self.importers.values():
            assert importer("read") == seen
        for number, vm in enumerate(IMPORTERS):
            exporter("deny", vm)
            assert self.importers[vm]("is_lost") == list(range(PAGES))
            assert self.importers[vm]("shows") == NOTHING
            for kept in IMPORTERS[number + 1 :]:
                assert self.importers[kept]("read") == seen
        assert exporter("has") == seen
        assert self.bench.grants == []
        for importer in self.importers.values():
            importer("rest")
        exporter.leave()
        assert [self.bench.vm(vm).boots for vm in (EXPORTER, *IMPORTERS)] == [1] * 4

    def counts(self) -> list[tuple[int, int]]:
        kernels = [self.bench.vm(vm).pid for vm in (EXPORTER, *IMPORTERS)]
        return [
            held(pid)
            for pid in (os.getpid(), *kernels, *(told.pid for told in self.importers.values()))
        ]

    def nothing_is_left(self) -> None:
        """No process has more than after the round before; the first ones make what is made once."""
        if len(self._counts) > 2:
            before = self._counts[-1]
            eventually(
                self.bench,
                lambda: all(
                    now[0] <= then[0] and now[1] <= then[1]
                    for now, then in zip(self.counts(), before, strict=True)
                ),
                timeout=PATIENCE,
            )
        self._counts.append(self.counts())


@pytest.fixture
def scene(bench: hyplink.Bench) -> Iterator[Scene]:
    made = Scene(bench)
    made.a_whole_life()  # what a bench makes once it has made now
    yield made
    for importer in made.importers.values():
        importer.leave()


#: An act of the exporter, its arguments, and who has the pages before.
EXPORTS: dict[str, tuple[str, tuple[Any, ...], tuple[int, ...]]] = {
    "alloc": ("alloc", (), ()),
    "grant": ("grant", ([FIRST],), ()),
    "grant to another": ("grant", ([KEEPER],), (FIRST,)),
    "deny": ("deny", (FIRST,), (FIRST,)),
    "deny a part": ("deny", (FIRST, 1, 2), (FIRST,)),
    "deny what others keep": ("deny", (DENIED,), IMPORTERS),
    "deny a part of what others keep": ("deny", (DENIED, 1, 2), IMPORTERS),
    "free": ("free", (), IMPORTERS),
    "close": ("close", (), IMPORTERS),
}


@pytest.mark.parametrize("step", EXPORTS)
def test_an_exporting_program_killed_at_any_call_leaves_nothing(scene: Scene, step: str) -> None:
    act, words, vms = EXPORTS[step]
    for nth in rounds():
        exporter = scene.exporter()
        address = scene.shared(exporter, vms) if act != "alloc" else 0
        try:
            exporter(act, *words, nth=nth)
            over = True
        except Died:
            over = False
        exporter.kill()
        scene.all_is_taken(address, vms)
        scene.nothing_is_left()
        if over:
            break
    assert nth > 1
    scene.a_whole_life()


#: An act of an importer, or None: another is denied, or it is; and which pages of it.
IMPORTS: dict[str, tuple[int, str | None, tuple[int, int]]] = {
    "map": (KEEPER, "map", (0, 0)),
    "read": (KEEPER, "read", (0, 0)),
    "unmap": (KEEPER, "unmap", (0, 0)),
    "have a device work": (KEEPER, "work", (0, 0)),
    "close": (KEEPER, "close", (0, 0)),
    "be denied": (DENIED, None, (0, PAGES)),
    "be denied a part": (DENIED, None, (1, 2)),
    "keep what another is denied": (KEEPER, None, (0, PAGES)),
    "keep what another is denied a part of": (KEEPER, None, (1, 2)),
}


@pytest.mark.parametrize("step", IMPORTS)
def test_an_importing_program_killed_at_any_call_harms_nobody(scene: Scene, step: str) -> None:
    vm, act, (first, count) = IMPORTS[step]
    exporter = scene.exporter()
    for nth in rounds():
        victim = scene.importers[vm]
        address = scene.shared(exporter, IMPORTERS)
        if act == "map":
            victim("unmap")
        words = (address,) if act in ("map", "work") else ()
        if act is None:
            victim.armed(nth)
            exporter("deny", DENIED, first, count)
        try:
            victim(act or "is_lost", *words, nth=nth if act else 0)
            over = True
        except Died:
            over = False
        victim.kill()
        scene.others_go_on(exporter, vm, range(first, first + count))
        scene.a_new_program_gets_the_pages(address, vm, range(first, first + count))
        scene.all_let_go(exporter)
        scene.nothing_is_left()
        if over:
            break
    assert nth > 1
    exporter.leave()
    scene.a_whole_life()


@pytest.mark.parametrize("victim", IMPORTERS)
def test_whoever_is_killed_while_an_exporter_stands_still_in_a_deny_that_others_keep(
    scene: Scene, victim: int
) -> None:
    """FIRST and KEEPER keep the pages, FIRST looks at them all the time and has its device write them."""
    exporter = scene.exporter()
    for nth in rounds():
        address = scene.shared(exporter, IMPORTERS)
        exporter.begin("deny", DENIED, nth=nth, hit=signal.SIGSTOP)
        stopped = exporter.stands_still()
        scene.importers[victim].kill()
        exporter.go_on()
        exporter.end()
        scene.others_go_on(exporter, victim, range(PAGES))
        scene.a_new_program_gets_the_pages(address, victim, range(PAGES))
        scene.all_let_go(exporter)
        scene.nothing_is_left()
        if not stopped:
            break
    assert nth > 1
    exporter.leave()
    scene.a_whole_life()


@pytest.mark.parametrize("standing", [KEEPER, DENIED])
def test_an_exporter_killed_in_a_deny_while_an_importer_stands_still(
    scene: Scene, standing: int
) -> None:
    """The importer stands still at its first call after the deny has begun, at its second, …"""
    for nth in rounds():
        exporter = scene.exporter()
        address = scene.shared(exporter, IMPORTERS)
        importer = scene.importers[standing]
        importer.armed(nth, signal.SIGSTOP)
        exporter.begin("deny", DENIED)
        stopped = importer.stands_still(unless=exporter)
        exporter.kill()
        scene.no_grants()
        importer.begin("wait_lost")
        stopped = importer.stands_still() or stopped
        importer.go_on()
        importer.end()
        importer.disarmed()
        scene.all_is_taken(address, IMPORTERS)
        scene.nothing_is_left()
        if not stopped:
            break
    assert nth > 1
    scene.a_whole_life()


def test_one_of_two_importing_programs_of_a_vm_is_killed_at_any_call(scene: Scene) -> None:
    """Both keep pages that another VM is denied; the other one goes on."""
    exporter = scene.exporter()
    for nth in rounds():
        address = scene.shared(exporter, IMPORTERS)
        twin = Told(scene.bench, KEEPER, Program)
        twin("map", address)
        twin.armed(nth)
        exporter("deny", DENIED)
        try:
            assert twin("is_lost") == []
            over = True
        except Died:
            over = False
        twin.kill()
        scene.others_go_on(exporter, 0, range(PAGES))
        assert {g.state for g in scene.bench.grants} == {"active"}
        scene.all_let_go(exporter)
        scene.nothing_is_left()
        if over:
            break
    assert nth > 1
    exporter.leave()
    scene.a_whole_life()


def test_another_exporting_program_of_the_vm_keeps_its_grants(scene: Scene) -> None:
    other, keeper = scene.exporter(), Told(scene.bench, DENIED, Program)
    kept = other("alloc")
    other("grant", [DENIED])
    keeper("map", kept)
    for nth in rounds():
        exporter = scene.exporter()
        scene.shared(exporter, IMPORTERS)
        try:
            exporter("deny", DENIED, nth=nth)
            over = True
        except Died:
            over = False
        exporter.kill()
        eventually(
            scene.bench,
            lambda: {grant.address for grant in scene.bench.grants} == {kept},
            timeout=PATIENCE,
        )
        other("write", 1, nth)
        assert keeper("read", 0, 1)[:2] == bytes((DATA, nth))
        assert keeper("shows")[PAGE:] == WHOLE[PAGE:]
        for importer in scene.importers.values():
            importer("wait_lost")
            importer("rest")
        scene.nothing_is_left()
        if over:
            break
    assert nth > 1
    other("deny", DENIED)
    assert keeper("is_lost") == list(range(PAGES))
    keeper.leave()
    other.leave()
    scene.a_whole_life()
