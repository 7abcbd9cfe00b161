"""One application of vION leaves, or is killed at every call that it makes; its VM lives on. Document 001, 3.6.

A buffer lives while anybody has it, whoever made it: nobody loses it by the death of another application.
"""

from __future__ import annotations

import array
import mmap
import os
import signal
import socket
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from conformance_lib import EVERYWHERE, PROCESS
from ion_programs import DATA, NBYTES, PAGE, Program

import hyplink
from hyplink import errors
from hyplink.testing import eventually
from told_programs import PATIENCE, Died, Told, held, rounds

EXPORTER, IMPORTER, OTHER = 2, 3, 4
BOARD = """
&vm2_vdevs {
    a: vrpc@a { compatible = "vrpc"; info = "vion"; server; };
    vrpc@b { peer-phandle = <&b>; client; info = "vion"; };
    c: vrpc@c { compatible = "vrpc"; info = "vion"; server; };
    vrpc@d { peer-phandle = <&d>; client; info = "vion"; };
};
&vm3_vdevs {
    vrpc@a { peer-phandle = <&a>; client; info = "vion"; };
    b: vrpc@b { compatible = "vrpc"; info = "vion"; server; };
};
&vm4_vdevs {
    vrpc@c { peer-phandle = <&c>; client; info = "vion"; };
    d: vrpc@d { compatible = "vrpc"; info = "vion"; server; };
};
"""
pytestmark = pytest.mark.hyplink_dts(BOARD)


def no_buffer_is_left(bench: hyplink.Bench) -> None:
    """At neither end of any vlink."""
    eventually(
        bench, lambda: not any(end.buffers for end in bench.stats.buffers()), timeout=PATIENCE
    )


def names_nothing(bench: hyplink.Bench, device: Any, ident: int) -> None:
    """The id is stale, once the kernels have heard of the last end."""

    def stale() -> bool:
        try:
            device.import_buffer(ident).close()
        except errors.NotFound:
            return True
        return False

    eventually(bench, stale, timeout=PATIENCE)


class Scene:
    """One that imports in each VM, the exporter's, too; and devices of this process that look after them."""

    def __init__(self, bench: hyplink.Bench) -> None:
        self.bench = bench
        self.programs = {vm: Told(bench, vm, Program) for vm in (EXPORTER, IMPORTER, OTHER)}
        self.device = bench.vm(OTHER).ion()
        self.ids: set[int] = set()
        self._counts: list[list[tuple[int, int]]] = []

    def exporter(self) -> Told:
        return Told(self.bench, EXPORTER, Program)

    def shared(self, exporter: Told) -> int:
        exporter("alloc")
        ident: int = exporter("share")
        assert ident not in self.ids  # never the same again
        self.ids.add(ident)
        return ident

    def imported(self, ident: int, besides: int = 0) -> None:
        for vm, program in self.programs.items():
            if vm != besides:
                program("import_", ident)
                program("map")

    def all_have_it(self, ident: int, besides: int = 0) -> None:
        """Whoever else has gone: what one writes the others see, and anybody gets it by its id."""
        for vm, program in self.programs.items():
            if vm == besides:
                continue
            program("put", vm, vm)
            assert not program("is_lost")
            assert program("poll")
            with self.device.import_buffer(ident) as again:
                assert again.map()[vm] == vm
            for seen in (other for at, other in self.programs.items() if at != besides):
                assert seen("sees")[vm] == vm
                assert seen("sees")[PAGE:] == DATA[PAGE:]
            program("put", vm, DATA[vm])

    def all_let_go(self, ident: int) -> None:
        for program in self.programs.values():
            program("forget")
        if ident:
            names_nothing(self.bench, self.device, ident)
        no_buffer_is_left(self.bench)

    def a_whole_life(self) -> None:
        exporter = self.exporter()
        ident = self.shared(exporter)
        self.imported(ident)
        self.all_have_it(ident)
        assert exporter("sees") == DATA
        exporter("forget")
        self.all_have_it(ident)
        self.all_let_go(ident)
        exporter.leave()
        assert [self.bench.vm(vm).boots for vm in self.programs] == [1, 1, 1]

    def nothing_is_left(self) -> None:
        """No process has more than after the round before; the first ones make what is made once."""

        def counts() -> list[tuple[int, int]]:
            kernels = [self.bench.vm(vm).pid for vm in self.programs]
            programs = [program.pid for program in self.programs.values()]
            return [held(pid) for pid in (os.getpid(), *kernels, *programs)]

        if len(self._counts) > 2:
            before = self._counts[-1]
            eventually(
                self.bench,
                lambda: all(
                    now[0] <= then[0] and now[1] <= then[1]
                    for now, then in zip(counts(), before, strict=True)
                ),
                timeout=PATIENCE,
            )
        self._counts.append(counts())


@pytest.fixture
def scene(bench: hyplink.Bench) -> Iterator[Scene]:
    made = Scene(bench)
    yield made
    for program in made.programs.values():
        program.leave()
    made.device.close()


# --- the exporter -----------------------------------------------------------------------------------


@PROCESS
@pytest.mark.parametrize("act", ["alloc", "share", "poll", "close", "leave"])
def test_an_exporting_program_killed_at_any_call_takes_nothing_from_who_has_the_buffer(
    scene: Scene, act: str
) -> None:
    for nth in rounds():
        exporter = scene.exporter()
        ident = 0
        if act not in ("alloc", "share"):
            ident = scene.shared(exporter)
            scene.imported(ident)
        elif act == "share":
            exporter("alloc")
        try:
            exporter(act, nth=nth)
            over = True
        except Died:
            over = False
        exporter.kill()
        if ident:
            assert scene.programs[IMPORTER]("sees") == DATA
            scene.all_have_it(ident)
        scene.all_let_go(ident)
        scene.nothing_is_left()
        if over:
            break
    scene.a_whole_life()


@EVERYWHERE
def test_an_exporting_application_that_leaves_takes_nothing_from_who_has_the_buffer(
    bench: hyplink.Bench,
) -> None:
    importer, other = bench.vm(IMPORTER).ion(), bench.vm(OTHER).ion()
    ids = set()
    for step in ("allocated", "shared", "imported", "imported twice", "given up"):
        app = bench.vm(EXPORTER).application()
        buffer = app.ion().alloc(NBYTES)
        buffer.map()[:] = DATA
        ident = buffer.share() if step != "allocated" else 0
        theirs = []
        if step in ("imported", "imported twice", "given up"):
            theirs.append(importer.import_buffer(ident))
        if step == "imported twice":
            theirs.append(other.import_buffer(ident))
        if step == "given up":
            theirs.pop().close()
        app.close()
        assert all(bytes(one.map()) == DATA and not one.is_lost for one in theirs)
        for one in theirs:
            one.map()[0] += 1
            assert {each.map()[0] for each in theirs} == {one.map()[0]}
        for one in theirs:
            one.close()
        if ident:
            assert ident not in ids
            ids.add(ident)
            names_nothing(bench, importer, ident)
        no_buffer_is_left(bench)
    importer.close()
    other.close()


# --- importers --------------------------------------------------------------------------------------


@PROCESS
@pytest.mark.parametrize("act", ["import_", "poll", "close", "leave"])
@pytest.mark.parametrize("vm", [EXPORTER, IMPORTER], ids=["own VM", "another VM"])
def test_an_importing_program_killed_at_any_call_takes_nothing_from_the_others(
    scene: Scene, vm: int, act: str
) -> None:
    exporter = scene.exporter()
    for nth in rounds():
        ident = scene.shared(exporter)
        scene.imported(ident, besides=vm if act == "import_" else 0)
        victim = scene.programs[vm]
        try:
            victim(act, *((ident,) if act == "import_" else ()), nth=nth)
            over = True
        except Died:
            over = False
        victim.kill()
        assert exporter("sees") == DATA
        scene.all_have_it(ident, besides=vm)
        successor = scene.programs[vm] = Told(scene.bench, vm, Program)
        successor("import_", ident)
        successor("map")
        scene.all_have_it(ident)
        exporter("forget")
        scene.all_let_go(ident)
        scene.nothing_is_left()
        if over:
            break
    exporter.leave()
    scene.a_whole_life()


@EVERYWHERE
@pytest.mark.parametrize("vm", [EXPORTER, IMPORTER], ids=["own VM", "another VM"])
def test_an_importing_application_that_leaves_takes_nothing_from_the_others(
    bench: hyplink.Bench, vm: int
) -> None:
    exporter, other = bench.vm(EXPORTER).ion(), bench.vm(OTHER).ion()
    for step in ("opened", "imported", "mapped", "imported twice", "closed"):
        buffer = exporter.alloc(NBYTES)
        buffer.map()[:] = DATA
        ident = buffer.share()
        theirs = other.import_buffer(ident)
        app = bench.vm(vm).application()
        device = app.ion()
        mine = [device.import_buffer(ident)] if step != "opened" else []
        if step == "imported twice":
            mine.append(device.import_buffer(ident))
        view = mine[0].map() if step in ("mapped", "closed") else None
        if step == "closed":
            mine[0].close()
        app.close()
        assert bytes(theirs.map()) == DATA
        theirs.map()[0] = 9
        assert buffer.map()[0] == 9
        if view is not None:  # what it has mapped is its own affair, in a process that lives on
            assert view[0] == 9
        with bench.vm(vm).ion() as again, again.import_buffer(ident) as one:
            assert one.map()[0] == 9
        for one in (buffer, theirs):
            one.close()
        names_nothing(bench, other, ident)
        no_buffer_is_left(bench)
    exporter.close()
    other.close()


@PROCESS
def test_an_import_that_meets_the_death_of_the_exporting_program_gets_the_buffer_or_nothing(
    scene: Scene,
) -> None:
    """The importer stands still at each of its calls while the exporter dies."""
    importer = scene.programs[IMPORTER]
    for nth in rounds():
        exporter = scene.exporter()
        ident = scene.shared(exporter)
        importer.begin("import_", ident, nth=nth, hit=signal.SIGSTOP)
        stopped = importer.stands_still()
        exporter.kill()
        importer.go_on()
        try:
            importer.end()
        except errors.NotFound:
            assert stopped
        else:
            importer("map")
            assert importer("sees") == DATA
            assert not importer("is_lost")
        scene.all_let_go(ident)
        scene.nothing_is_left()
        if not stopped:
            break
    assert nth > 1
    scene.a_whole_life()


# --- a descriptor in a third process ----------------------------------------------------------------


def passed_on(importer: Told) -> int:
    """The descriptor of what it imported, now in this process, which is no VM's."""
    name = f"\0hyplink-passed-{os.getpid()}-{importer.pid}"
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(name)
        listening.listen(1)
        listening.settimeout(PATIENCE)
        importer("pass_on", name)
        way, _ = listening.accept()
        with way:
            _, ancillary, _, _ = way.recvmsg(1, 100)
            (fd,) = array.array("i", ancillary[0][2])
            return int(fd)


def kept(fd: int) -> set[int]:
    """What a descriptor shows: by a mapping, and read."""
    with mmap.mmap(fd, NBYTES, prot=mmap.PROT_READ) as mapped:
        return set(mapped[:]) | set(os.pread(fd, NBYTES, 0))


ENDS: dict[str, Callable[[Told], object]] = {
    "killed": Told.kill,
    "closed": lambda importer: importer("close"),
    "holding": lambda importer: importer("poll"),
}


@PROCESS
@pytest.mark.parametrize("end", ENDS)
def test_a_descriptor_that_was_passed_on_outlives_its_importer_and_not_the_exporting_vm(
    scene: Scene, end: str
) -> None:
    importer, exporter = scene.programs[IMPORTER], scene.exporter()
    ident = scene.shared(exporter)
    importer("import_", ident)
    fd = passed_on(importer)
    try:
        ENDS[end](importer)
        assert kept(fd) == set(DATA)
        exporter("put", 0, 9)
        assert os.pread(fd, 1, 0) == b"\x09"
        if end != "killed":
            importer.kill()
        scene.programs[IMPORTER] = Told(scene.bench, IMPORTER, Program)
        # The kernels have heard of the last import's end; the exporter still has it.
        no_buffer_is_left(scene.bench)
        scene.bench.vm(EXPORTER).kill()
        assert kept(fd) == {0}
    finally:
        os.close(fd)
    for program in (exporter, scene.programs[EXPORTER]):
        program.gone("VM 2 ended")
    scene.bench.vm(EXPORTER).boot()
    scene.programs[EXPORTER] = Told(scene.bench, EXPORTER, Program)
    with pytest.raises(errors.NotFound):
        scene.programs[IMPORTER]("import_", ident)
    fresh = scene.exporter()
    new = scene.shared(fresh)
    scene.imported(new)
    scene.all_have_it(new)
    fresh.leave()
    scene.all_let_go(new)
