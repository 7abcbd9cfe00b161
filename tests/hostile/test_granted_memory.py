"""An importer that tries to keep, to write or to widen what it was granted. Named after what it tries."""

from __future__ import annotations

import random
import time

import pytest
from granted_lib import BOARD, PAGE, importer
from granted_lib import level as level

import hyplink
from hyplink import errors

pytestmark = [pytest.mark.hyplink_backend("process"), pytest.mark.hyplink_dts(BOARD)]


#: What each may still see of the old contents (5), the later ones being 6. Pinned pages keep the snapshot.
KEPT = {
    "mapped_twice": {0},
    "mapped_in_a_child": {0},
    "kept_descriptor": {0},
    "passed_descriptor": {0},
    "orphan_of_a_dead_importer": {0},
    "in_the_middle_of_a_copy": {0},
    "pinned_in_a_pipe": {0, 5},
}


@pytest.mark.parametrize("keeps", [False, True], ids=["alone", "another keeps them"])
@pytest.mark.parametrize("access", ["r", "rw"])
@pytest.mark.parametrize("act", KEPT)
def test_what_was_taken_back_shows_nothing(
    bench: hyplink.Bench,
    level: hyplink.memory.GrantLevel,
    act: str,
    access: str,
    keeps: bool,
    seed: int,
) -> None:
    region = bench.vm(3).memory.alloc(3 * PAGE)
    region.view[:] = b"\x05" * region.nbytes
    bench.vm(3).grant(2, region, access, level=level)
    if keeps:
        bench.vm(3).grant(5, region, access, level=level)
        kept = bench.vm(5).map(region)
        assert kept.read(0, 1) == b"\x05"
    with importer(bench, act, region.pages(), seed) as program:
        assert program.word() == "ready"
        bench.vm(3).deny(2, region, access)
        region.view[:] = b"\x06" * region.nbytes
        program.go()
        assert {int(byte) for byte in program.word().split()} <= KEPT[act]
        assert bytes(region.view) == b"\x06" * region.nbytes
        if keeps:
            assert kept.read(0, region.nbytes) == b"\x06" * region.nbytes


@pytest.mark.parametrize("act", [act for act in KEPT if act != "pinned_in_a_pipe"])
def test_what_was_freed_shows_nothing(
    bench: hyplink.Bench, level: hyplink.memory.GrantLevel, act: str, seed: int
) -> None:
    region = bench.vm(3).memory.alloc(PAGE)
    region.view[:] = b"\x05" * region.nbytes
    bench.vm(3).grant(2, region, "rw", level=level)
    with importer(bench, act, region.pages(), seed) as program:
        assert program.word() == "ready"
        region.close()
        region.view[:] = b"\x06" * region.nbytes  # private pages of the exporter's program
        program.go()
        assert {int(byte) for byte in program.word().split()} == {0}


@pytest.mark.parametrize("act", [act for act in KEPT if act != "pinned_in_a_pipe"])
def test_the_death_of_the_exporter_takes_it_all(
    bench: hyplink.Bench, level: hyplink.memory.GrantLevel, act: str, seed: int
) -> None:
    region = bench.vm(3).memory.alloc(PAGE)
    region.view[:] = b"\x05" * region.nbytes
    bench.vm(3).grant(2, region, level=level)
    with importer(bench, act, region.pages(), seed) as program:
        assert program.word() == "ready"
        bench.vm(3).kill()
        assert bench.grants == []
        program.go()
        assert program.word() == "0"


def test_what_it_wrote_after_a_deny_reaches_nobody(
    bench: hyplink.Bench, level: hyplink.memory.GrantLevel, seed: int
) -> None:
    region = bench.vm(3).memory.alloc(3 * PAGE)
    region.view[:] = b"\x05" * region.nbytes
    bench.vm(3).grant(2, region, "rw", level=level)
    with importer(bench, "mapped_for_writing", region.pages(), seed) as program:
        assert program.word() == "ready"
        bench.vm(3).deny(2, region, "rw")
        program.go()
        assert program.word() == "0"
        assert bytes(region.view) == b"\x05" * region.nbytes
        bench.vm(3).grant(2, region, "rw", level=level)
        assert bytes(bench.vm(2).map(region).view) == b"\x05" * region.nbytes


def test_a_read_grant_is_never_written_cut_grown_or_sealed(
    bench: hyplink.Bench, level: hyplink.memory.GrantLevel, seed: int
) -> None:
    region = bench.vm(3).memory.alloc(PAGE)
    region.view[:] = b"\x05" * region.nbytes
    bench.vm(3).grant(2, region, "r", level=level)
    with importer(bench, "read_grant_opened_for_writing", region.pages(), seed) as program:
        assert program.word() == "ready"
        program.go()
        assert program.word() == "nothing"
        assert bytes(region.view) == b"\x05" * region.nbytes
        bench.vm(3).deny(2, region, "r")


def test_the_object_ends_where_the_grant_ends(
    bench: hyplink.Bench, level: hyplink.memory.GrantLevel, seed: int
) -> None:
    region = bench.vm(3).memory.alloc(3 * PAGE)
    region.view[:] = b"\x05" * region.nbytes
    middle = (region.address + PAGE, PAGE)
    bench.vm(3).grant(2, middle, level=level)
    with importer(bench, "one_byte_beyond", middle, seed) as program:
        assert program.word() == "ready"
        program.go()
        assert program.word() == "True SIGBUS"


def test_a_keeper_reaches_only_its_own_part_of_what_another_is_denied(
    bench: hyplink.Bench, level: hyplink.memory.GrantLevel, seed: int
) -> None:
    """VM 4 has three pages, VM 2 the first of them, VM 5 the second; the third is nobody else's."""
    memory = bench.vm(3).memory
    region = memory.alloc(3 * PAGE)
    pages = [(region.address + page * PAGE, PAGE) for page in range(3)]
    for page in range(3):
        region.view[page * PAGE : (page + 1) * PAGE] = bytes([page + 1]) * PAGE
        memory.grant(4, pages[page], level=level)
    memory.grant(2, pages[0], level=level)
    memory.grant(5, pages[1], level=level)
    kept = bench.vm(5).map(pages[1])
    with importer(bench, "everything_behind_a_descriptor", pages[0], seed) as program:
        assert program.word() == "ready"
        memory.deny(4, region)
        program.go()
        assert program.word() == "[0] [1]"  # the object of old, and the new one
    assert kept.read(0, PAGE) == b"\x02" * PAGE
    assert [(grant.importer, grant.address) for grant in bench.grants] == [
        (2, pages[0][0]),
        (5, pages[1][0]),
    ]


def test_what_is_left_of_a_grant_opens_no_other_part_of_it(
    bench: hyplink.Bench, level: hyplink.memory.GrantLevel, seed: int
) -> None:
    memory = bench.vm(3).memory
    region = memory.alloc(3 * PAGE)
    region.view[:] = b"\x01" * PAGE + b"\x02" * PAGE + b"\x03" * PAGE
    first, middle, last = ((region.address + page * PAGE, PAGE) for page in range(3))
    memory.grant(4, region, level=level)
    memory.deny(4, middle)
    with pytest.raises(errors.Busy, match="left of a larger grant"):
        memory.grant(2, first, level=level)
    memory.deny(4, last)
    memory.grant(2, first, level=level)  # there is no other part any more
    with importer(bench, "everything_behind_a_descriptor", first, seed) as program:
        assert program.word() == "ready"
        program.go()
        assert program.word() == "[0, 1] [0, 1]"


def test_a_device_is_no_way_around_a_grant_for_mapping_only(
    bench: hyplink.Bench, level: hyplink.memory.GrantLevel, seed: int
) -> None:
    region = bench.vm(3).memory.alloc(3 * PAGE)
    region.view[:] = b"\x05" * region.nbytes
    bench.vm(3).grant(2, (region.address + PAGE, PAGE), "rw", level=level)
    pages = (region.address + PAGE, PAGE)
    with importer(bench, "lends_its_device_what_it_may_only_map", pages, seed) as program:
        assert program.word() == "ready"
        program.go()
        eacces, einval = 13, 22
        first = eacces if level == "memfd" else einval  # what it has then is no object at all
        assert program.word().split() == [str(code) for code in (first, *[einval] * 10)]
    assert bytes(region.view) == b"\x05" * region.nbytes


def test_stale_and_guessed_addresses_open_nothing(
    bench: hyplink.Bench, level: hyplink.memory.GrantLevel, seed: int
) -> None:
    region = bench.vm(3).memory.alloc(3 * PAGE)
    other = bench.vm(3).memory.alloc(PAGE)
    bench.vm(3).grant(4, other, level=level)  # somebody else's
    bench.vm(3).grant(2, region, level=level)
    with importer(bench, "stale_and_guessed_addresses", region.pages(), seed) as program:
        assert program.word() == "ready"
        bench.vm(3).deny(2, region)
        program.go()
        assert program.word() == "got []"


@pytest.mark.parametrize(
    "act", ["keeper_that_never_holds", "keeper_that_says_it_holds_and_writes_on"]
)
def test_a_keeper_that_does_not_hold_harms_nobody_but_itself(
    bench: hyplink.Bench, level: hyplink.memory.GrantLevel, act: str, seed: int
) -> None:
    memory = bench.vm(3).memory
    region = memory.alloc(3 * PAGE)
    region.view[:] = b"\x05" * region.nbytes
    for vm in (2, 4, 5):
        memory.grant(vm, region, "rw", level=level)
    kept, lost = bench.vm(5).map(region, writable=True), bench.vm(4).map(region)
    with importer(bench, act, region.pages(), seed) as program:
        assert program.word() == "ready"
        for turn in range(1, 4):
            memory.deny(4, region, "rw")
            lost.wait_revoked()  # who still writes to the emptied object shows it to whoever kept that, too
            assert bytes(lost.view) == bytes(region.nbytes)
            assert kept.read(PAGE, 2 * PAGE) == b"\x05" * (
                2 * PAGE
            )  # when it has heard of the change
            assert bytes(kept.view[PAGE:]) == b"\x05" * (2 * PAGE)
            kept.view[-1] = turn
            assert region.view[-1] == turn
            kept.view[-1] = 5
            memory.grant(4, region, "rw", level=level)
            lost = bench.vm(4).map(region)
        program.go()
        assert program.word() in ("0", "done")  # what it has by hand was emptied, too
    if act == "keeper_that_never_holds":
        assert {missed.importer: missed.times for missed in bench.missed_holds}[2] == 3
    assert bytes(region.view[PAGE:]) == b"\x05" * (2 * PAGE)


def test_an_exporter_that_holds_and_never_denies_stops_nobody_for_good(
    bench: hyplink.Bench, level: hyplink.memory.GrantLevel, seed: int
) -> None:
    with importer(bench, "exporter_that_holds_and_never_denies", (0, PAGE), seed) as program:
        address = int(program.word())
        window = bench.vm(3).map((address, PAGE), writable=True)
        program.go()
        assert program.word() == "[0, 22]"
        assert bytes(window.view) == b"\x05" * PAGE
        window.view[0] = 6
        window.close()
        again = bench.vm(4).map((address, PAGE))  # once nothing is held
        assert again.view[0] == 6
        program.go()


@pytest.mark.parametrize("seconds", [3, pytest.param(120, marks=pytest.mark.soak)])
def test_readers_in_many_processes_never_see_what_came_after_a_deny(
    bench: hyplink.Bench, level: hyplink.memory.GrantLevel, seed: int, seconds: float
) -> None:
    """255 is only ever in pages while they are granted to nobody."""
    dice = random.Random(seed)
    memory = bench.vm(3).memory
    region = memory.alloc(8 * PAGE)
    with importer(bench, "reader_for_ever", region.pages(), seed) as program:
        assert program.word() == "ready"
        until = time.monotonic() + seconds
        rounds = 0
        # Until it got something at least once, however seldom it gets a processor.
        while time.monotonic() < until or rounds < 20 or not program.has_said():
            assert time.monotonic() < until + 120
            page, count = dice.randrange(8), 1
            count = dice.randrange(1, 9 - page)
            pages = (region.address + page * PAGE, count * PAGE)
            part = region.view[page * PAGE : (page + count) * PAGE]
            access = dice.choice(("r", "rw"))
            part[:] = bytes([dice.randrange(1, 255)]) * len(part)
            memory.grant(2, pages, access, level=level)
            if dice.random() < 0.3:
                memory.grant(4, pages, access, level=level)
                memory.deny(4, pages, access)
            for step in range(count):  # in parts
                memory.deny(2, (pages[0] + step * PAGE, PAGE), access)
                region.view[(page + step) * PAGE : (page + step + 1) * PAGE] = b"\xff" * PAGE
            rounds += 1
        program.go()
        assert program.word() == "opens"
        assert program.word().startswith("opened ")
    assert bench.grants == []


def test_pages_punched_out_under_others_hold_nobody_for_ever(
    bench: hyplink.Bench, level: hyplink.memory.GrantLevel, seed: int
) -> None:
    """They show zeroes, as if the other one had written them, and go on being shared. A broker does not let it."""
    region = bench.vm(3).memory.alloc(3 * PAGE)
    region.view[:] = b"\x05" * region.nbytes
    for vm in (2, 4, 5):
        bench.vm(3).grant(vm, region, "rw", level=level)
    honest = bench.vm(5).map(region, writable=True)
    assert honest.read(0, 1) == b"\x05"
    with importer(bench, "punched_out_under_others", region.pages(), seed) as program:
        assert program.word() == "ready"
        program.go()
        if level == "broker":
            assert program.word() == "refused"
            assert bytes(honest.view) == b"\x05" * region.nbytes
        else:
            assert program.word() == "punched"
            assert bytes(honest.view) == bytes(region.nbytes)
        honest.view[:] = b"\x07" * region.nbytes
        bench.vm(3).deny(4, region, "rw")
        assert bytes(region.view) == b"\x07" * region.nbytes
        assert honest.read(0, region.nbytes) == b"\x07" * region.nbytes
        program.go()
        assert program.word() == "done"
