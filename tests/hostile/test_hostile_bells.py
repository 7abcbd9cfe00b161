"""A VM that storms and spoils every bell of vUmem's and vION's vlinks, while its kernel does what is right.

Others keep their share of the processors, nothing is stuck, no data is wrong; it harms its own vlinks only.
"""

from __future__ import annotations

import collections
import contextlib
import random
import time
from pathlib import Path
from typing import Any

import pytest
from test_hostile_buffers import (
    BOARD,
    MOMENT,
    PAGE,
    SECONDS,
    SHORT,
    Outcomes,
    buffers_work,
    held,
    noted,
    nothing_is_left,
)
from test_hostile_guest import MUTED, records

import hyplink
from hyplink import errors, umem
from hyplink.testing import background

pytestmark = pytest.mark.hyplink_backend("process")
#: Seconds of a processor that the storm gets before it is judged.
STORM = 0.5
PATIENCE = 120.0


def cpu(pid: int | None) -> float:
    """Seconds of processors that a process has had."""
    had = 0
    for task in Path(f"/proc/{pid}/task").iterdir():
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # a thread that has ended
            had += int((task / "schedstat").read_text().split()[0])
    return had / 1e9


def storm_for(pid: int, seconds: float) -> float:
    """Wait until a process has had so much more; returns how much."""
    begin, until = cpu(pid), time.monotonic() + PATIENCE
    while (had := cpu(pid) - begin) < seconds:
        assert time.monotonic() < until
        time.sleep(0.01)  # the processors are the storm's and its victim's
    return had


def storming(scene: Any) -> int:
    """The process that does it."""
    said = ""
    while said.count(" ") < 2:
        piece = scene.word()
        assert piece, f"ended after {said!r}"
        said += piece
    return int(said.split()[1])


@pytest.mark.parametrize("vm", [2, 3])
def test_a_storm_of_numbers_it_may_raise_costs_others_nothing_and_loses_nothing(
    hostile: Any, vm: int
) -> None:
    scene = hostile(vm, "raises_its_numbers_without_end", board=BOARD)
    storm = storming(scene)
    before = held(scene.peer)
    bystander = scene.bench.vm(4).pid
    quiet = cpu(bystander)
    had = storm_for(storm, STORM)
    assert cpu(bystander) - quiet < had / 10
    for _ in range(5):
        buffers_work(scene.bench)
        scene.others_are_fine()
    storm_for(storm, STORM / 10)  # it goes on
    scene.recovers_with_a_good_program()
    nothing_is_left(scene.bench, scene.peer, before)
    buffers_work(scene.bench)
    assert scene.peer.boots == 1


def passes_frames(bench: hyplink.Bench, until: float, outcomes: Outcomes) -> None:
    """vUmem from VM 2 to VM 3, vION both ways; what arrives is right, what does not is reported."""
    pick = random.Random(int(until))
    with bench.vm(2).application() as one, bench.vm(3).application() as two:
        one.timeout = two.timeout = MOMENT
        over = False
        rounds = 0
        memory = umem.Memory(PAGE)

        def serve() -> None:
            while not over:
                with noted(outcomes), one.umem("vogl0").server() as server:
                    while not over:  # or its client's end is said: then a server begins anew
                        try:
                            request = server.receive()
                        except errors.DeadlineExceeded:  # nobody asks
                            continue
                        wanted = request.command is umem.Command.ALLOC
                        server.respond(memory if wanted else None)

        serving = background(bench, serve)
        try:
            while time.monotonic() < until or not rounds:
                rounds += 1
                byte = pick.randrange(1, 255)
                with (
                    noted(outcomes),
                    two.umem("vogl0").session() as session,
                    noted(outcomes),
                    session.alloc() as buffer,
                ):
                    buffer.map()[7] = byte
                    # Where its server has closed meanwhile, the page is the client's own.
                    assert memoryview(memory)[7] == byte or buffer.is_lost
                for lender, borrower in ((one, two), (two, one)):
                    with noted(outcomes), lender.ion() as lends, borrower.ion() as borrows:
                        mine = lends.alloc(PAGE)
                        mine.map()[:] = bytes([byte]) * PAGE
                        with noted(outcomes), borrows.import_buffer(mine.share()) as theirs:
                            assert bytes(theirs.map()) == bytes([byte]) * PAGE
                        mine.close()
        finally:
            over = True
            serving.result(timeout=PATIENCE)


SPOILS = ("bells_go_backwards", "anything_into_lines_and_bells")


def suffers(hostile: Any, vm: int, act: str, seconds: float) -> Outcomes:
    scene = hostile(vm, act, board=BOARD)
    storm = storming(scene)
    before = held(scene.peer)
    outcomes: Outcomes = collections.Counter()
    passes_frames(scene.bench, time.monotonic() + seconds, outcomes)
    storm_for(storm, STORM / 10)
    scene.others_are_fine()
    scene.recovers_with_a_good_program()
    nothing_is_left(scene.bench, scene.peer, before)
    buffers_work(scene.bench)
    nothing_is_left(scene.bench, scene.peer, before)
    assert scene.peer.boots == 1
    return outcomes


@pytest.mark.parametrize("act", SPOILS)
@pytest.mark.parametrize("vm", [2, 3])
def test_bells_that_it_spoils_ring_for_nobody_else_and_work_again_with_its_next_life(
    hostile: Any, vm: int, act: str
) -> None:
    outcomes = suffers(hostile, vm, act, SHORT)
    assert outcomes.total()


@pytest.mark.soak
@pytest.mark.parametrize("act", SPOILS)
def test_for_minutes(hostile: Any, act: str, record_property: Any) -> None:
    record_property("outcomes", dict(suffers(hostile, 2, act, SECONDS)))


@pytest.mark.parametrize("vm", [2, 3])
def test_who_is_not_listened_to_costs_nobody_anything(hostile: Any, vm: int) -> None:
    """A storm of wakes for nothing: until it is muted its victims pay, then only itself."""
    scene = hostile(vm, "rings_for_nothing")
    scene.expect("ringing")
    victims = (scene.peer.pid, scene.bench.vm(4).pid)
    until = time.monotonic() + PATIENCE
    while {writer for writer, _ in records(scene.bench, MUTED)} != {5 - vm, 4}:
        assert time.monotonic() < until
    before = [cpu(pid) for pid in victims]
    had = storm_for(scene.vm.pid, STORM)
    for pid, then in zip(victims, before, strict=True):
        assert cpu(pid) - then < had / 10
    scene.others_are_fine()
    scene.recovers_with_a_good_program()


@pytest.mark.parametrize("vm", [2, 3])
def test_a_storm_through_the_hypervisor_stops_nobody(hostile: Any, vm: int) -> None:
    scene = hostile(vm, "triggers_without_end")
    scene.expect("triggering")
    victims = (scene.peer.pid, scene.bench.vm(4).pid)
    begin = [cpu(pid) for pid in victims]
    had = storm_for(scene.vm.pid, STORM)
    for pid, then in zip(victims, begin, strict=True):
        assert cpu(pid) - then < had / 2  # each call of the storm is answered before the next
    for _ in range(3):
        scene.others_are_fine()
    storm_for(scene.vm.pid, STORM / 10)  # it goes on
    scene.recovers_with_a_good_program()
