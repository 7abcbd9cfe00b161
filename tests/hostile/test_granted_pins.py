"""An importer that pins what it was granted, and one that does anything at random."""

from __future__ import annotations

import contextlib
import os
import random
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from granted_lib import BOARD, PAGE, importer
from granted_lib import level as level

import hyplink
from hyplink import errors
from hyplink.testing import eventually

pytestmark = [pytest.mark.hyplink_backend("process"), pytest.mark.hyplink_dts(BOARD)]


@pytest.fixture(scope="module")
def pins(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The acts that take C, compiled."""
    library = tmp_path_factory.mktemp("pins") / "pins.so"
    source = Path(__file__).parent / "pins.c"
    command = [os.environ.get("CC", "cc"), "-O1", "-Wall", "-Werror", "-shared", "-fPIC"]
    subprocess.run([*command, "-o", library, source], check=True)
    return str(library)


#: What each may still see of the old contents (5); the later ones (6) never.
PINNED = {
    "sibling_with_the_same_memory": {"0"},
    "pinned_in_a_ring": {"0", "5"},
    "written_to_a_disk_past_the_cache": {"0"},
}


@pytest.mark.parametrize("act", PINNED)
def test_pinned_pages_never_show_what_came_after_a_deny(
    bench: hyplink.Bench, level: hyplink.memory.GrantLevel, act: str, pins: str, seed: int
) -> None:
    region = bench.vm(3).memory.alloc(3 * PAGE)
    region.view[:] = b"\x05" * region.nbytes
    bench.vm(3).grant(2, region, "rw", level=level)
    with importer(bench, act, region.pages(), seed, pins) as program:
        word = program.word()
        if word.startswith("refused"):
            pytest.skip(f"the kernel does not let it: {word}")
        assert word == "ready"
        bench.vm(3).deny(2, region, "rw")
        region.view[:] = b"\x06" * region.nbytes
        program.go()
        assert set(program.word().split()) <= PINNED[act]
        assert bytes(region.view) == b"\x06" * region.nbytes


def test_what_another_process_writes_into_kept_pages_reaches_nobody(
    bench: hyplink.Bench, level: hyplink.memory.GrantLevel, seed: int
) -> None:
    region = bench.vm(3).memory.alloc(3 * PAGE)
    region.view[:] = b"\x05" * region.nbytes
    bench.vm(3).grant(2, region, "rw", level=level)
    with importer(bench, "written_by_another_process", region.pages(), seed) as program:
        assert program.word() == "ready"
        bench.vm(3).deny(2, region, "rw")
        program.go()
        assert program.word().split()[0] in ("wrote", "refused")
        assert bytes(region.view) == b"\x05" * region.nbytes


def test_malformed_requests_are_refused_and_change_nothing(
    bench: hyplink.Bench, level: hyplink.memory.GrantLevel, seed: int
) -> None:
    region = bench.vm(3).memory.alloc(3 * PAGE)
    region.view[:] = b"\x05" * region.nbytes
    bench.vm(3).grant(4, region, "rw", level=level)
    before = bench.grants
    with importer(bench, "malformed_requests", region.pages(), seed) as program:
        assert program.word() == "ready"
        program.go()
        assert program.word() == "True True True"
    assert bench.grants == before
    assert bytes(bench.vm(4).map(region).view) == b"\x05" * region.nbytes


def misses(bench: hyplink.Bench, importer: int) -> int:
    """How often it did not hold in time."""
    return sum(missed.times for missed in bench.missed_holds if missed.importer == importer)


def open_things(pid: int | str) -> tuple[int, int]:
    """(descriptors, mappings of objects) of a process."""
    maps = Path(f"/proc/{pid}/maps").read_text()
    return len(list(Path(f"/proc/{pid}/fd").iterdir())), maps.count("memfd:")


@pytest.mark.parametrize(
    "seconds",
    [
        4,
        pytest.param(float(os.environ.get("HYPLINK_HOSTILE_SECONDS", 600)), marks=pytest.mark.soak),
    ],
)
def test_an_importer_that_does_anything_at_random(
    bench: hyplink.Bench,
    level: hyplink.memory.GrantLevel,
    seed: int,
    seconds: float,
    record_property: Callable[[str, str], None],
) -> None:
    """255 is only ever in pages while VM 2 has no grant of them. VM 5 keeps some of them meanwhile."""
    dice = random.Random(seed)
    memory, honest = bench.vm(3).memory, bench.vm(5)
    region = memory.alloc(8 * PAGE)
    counts = dict.fromkeys(("rounds", "kept", "denies", "zeroes"), 0)
    baseline = None
    with importer(bench, "anything_at_random", region.pages(), seed) as program:
        assert program.word() == "ready"
        until = time.monotonic() + seconds
        while time.monotonic() < until or counts["rounds"] < 20:
            page = dice.randrange(8)
            count = dice.randrange(1, 9 - page)
            pages = (region.address + page * PAGE, count * PAGE)
            part = region.view[page * PAGE : (page + count) * PAGE]
            access = dice.choice(("r", "rw"))
            part[:] = bytes([dice.randrange(1, 255)]) * len(part)
            missed = misses(bench, 5)
            with contextlib.ExitStack() as stack:
                kept = None
                if dice.random() < 0.5:
                    memory.grant(5, pages, access, level=level)
                    kept = stack.enter_context(honest.map(pages))
                    counts["kept"] += 1
                memory.grant(2, pages, access, level=level)
                for step in dice.sample(range(count), count):
                    memory.deny(2, (pages[0] + step * PAGE, PAGE), access)
                    counts["denies"] += 1
                    one = region.view[(page + step) * PAGE : (page + step + 1) * PAGE]
                    one[:] = b"\xff" * PAGE
                    if kept is None:
                        continue
                    # A keeper that is not scheduled for 0.1 s does not hold in time, and its view may show
                    # the emptied pages until it is: where the bench says so, and what it reads is right.
                    if bytes(kept.view[step * PAGE : (step + 1) * PAGE]) != bytes(one):
                        assert misses(bench, 5) > missed, "a zero without a hold that was missed"
                        counts["zeroes"] += 1
                    assert kept.read(step * PAGE, PAGE) == bytes(one)
            if kept is not None:
                memory.deny(5, pages, access)
            counts["rounds"] += 1
            if baseline is None and counts["rounds"] == 20:
                baseline = open_things("self")
        program.go()
        said = program.word()
        assert "stale" not in said, said
        counts["missed"] = misses(bench, 5)
        record_property("did", f"{seconds:g} s: {counts}, {said}")
    assert bench.grants == []
    assert baseline is not None
    files, mappings = baseline

    def as_before() -> bool:
        now = open_things("self")
        # Each page may have an object of its own by now, windows of VM 5 that were closed are gone.
        return now[0] <= files + 4 and now[1] <= mappings + 16

    eventually(bench, as_before, timeout=60)  # its kernel hears of its end
    with pytest.raises(errors.AccessDenied):
        bench.vm(2).map(region)
