"""Like the driver of a disk: pages granted for the length of one read, again and again, with deaths in between."""

from __future__ import annotations

import random

import pytest
from conformance_lib import EVERYWHERE

import hyplink

PAGE = 4096
BOARD = """
&vm2_vplatform { vm-memory@3 { compatible = "vl,vm-memory"; vl,vm-id = <3>; }; };
&vm3_vplatform { };
"""
pytestmark = [EVERYWHERE, pytest.mark.hyplink_dts(BOARD)]


def a_read(bench: hyplink.Bench, dice: random.Random) -> None:
    """Pages granted for the length of one read: filled by VM 2, denied, checked."""
    memory, disk = bench.vm(3).memory, bench.vm(2).memory
    with memory.alloc(dice.randrange(1, 64) * PAGE) as buffer:
        mark = bytes([dice.randrange(1, 256)])
        memory.grant(2, buffer, "rw")
        with disk.map(buffer.address, buffer.nbytes, writable=True) as window:
            window.view[:] = mark * buffer.nbytes
            memory.deny(2, buffer, "rw")
            assert bytes(buffer.view) == mark * buffer.nbytes
            assert window.view[0] == window.view[buffer.nbytes - 1] == 0


def a_disk_story(bench: hyplink.Bench, seed: int, reads: int, deaths: int) -> None:
    dice = random.Random(seed)
    for turn in range(reads):
        a_read(bench, dice)
        if turn % (reads // deaths) == 0:  # in the middle of the next read
            buffer = bench.vm(3).memory.alloc(dice.randrange(1, 64) * PAGE)
            buffer.view[:] = b"\x05" * buffer.nbytes
            bench.vm(3).grant(2, buffer, "rw")
            window = bench.vm(2).map(buffer, writable=True)
            dying = dice.choice((2, 3))
            bench.vm(dying).kill()
            window.wait_revoked()
            assert bytes(window.view) == bytes(buffer.nbytes)
            if dying == 2:
                assert bytes(buffer.view) == b"\x05" * buffer.nbytes
                bench.vm(3).deny(2, buffer, "rw")
            buffer.close()
            bench.vm(dying).boot()
        assert bench.grants == []


def test_pages_are_granted_for_one_read_filled_denied_and_checked(
    bench: hyplink.Bench, seed: int
) -> None:
    a_disk_story(bench, seed, 40, 4)


@pytest.mark.soak
def test_ten_thousand_reads_with_deaths_in_between(bench: hyplink.Bench, seed: int) -> None:
    a_disk_story(bench, seed, 10_000, 50)
