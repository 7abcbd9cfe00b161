"""Denying one of several importers: the others keep the pages, and notice nothing.

A keeper that gets no processor for 0.1 s is not waited for and may show zeroes for a moment. The bench says so
(`Bench.missed_holds`), and nothing else excuses one.
"""

from __future__ import annotations

import contextlib
import threading

import pytest
from conformance_lib import EVERYWHERE, REAL_TIME, shown

import hyplink
from hyplink import errors
from hyplink.testing import eventually

PAGE = 4096
START = 0x0505050505050505

#: VMs 2, 4 and 5 accept memory of VM 3; VM 2 and VM 3 share a vlink.
BOARD = """
&vm2_vdevs { be: vogl@be { compatible = "vogl"; info = "vrpq-reqs=256,vrpq-pmem=64K"; server; }; };
&vm3_vdevs { vogl@fe { peer-phandle = <&be>; client; }; };
&vm2_vplatform { vm-memory@3 { compatible = "vl,vm-memory"; vl,vm-id = <3>; }; };
&vm4_vplatform { vm-memory@3 { compatible = "vl,vm-memory"; vl,vm-id = <3>; }; };
&vm5_vplatform { vm-memory@3 { compatible = "vl,vm-memory"; vl,vm-id = <3>; }; };
"""

pytestmark = [EVERYWHERE, pytest.mark.hyplink_dts(BOARD)]


def test_several_vms_import_the_same_pages_and_lose_them_one_by_one(bench: hyplink.Bench) -> None:
    memory = bench.vm(3).memory
    region = memory.alloc(4 * PAGE)
    region.view[:] = b"\x05" * (4 * PAGE)
    windows = {}
    for vm in (2, 4, 5):
        memory.grant(vm, region)
        windows[vm] = bench.vm(vm).map(region)
    memory.deny(4, region)
    for vm in (2, 5):  # at once, whoever has other pages behind the window by now
        assert shown(bench, windows[vm]) == b"\x05" * (4 * PAGE)
    windows[4].wait_revoked()
    assert bytes(windows[4].view) == bytes(4 * PAGE)
    region.view[:2] = b"\x06\x07"
    assert [bytes(windows[vm].view[:2]) for vm in (2, 4, 5)] == [b"\x06\x07", bytes(2), b"\x06\x07"]
    assert not windows[2].revoked
    memory.deny(2, (region.address, PAGE))  # and a part of what one of two has
    assert shown(bench, windows[5])[1] == 7
    windows[2].wait_revoked()
    assert [windows[vm].view[1] for vm in (2, 5)] == [0, 7]
    assert [windows[vm].view[PAGE] for vm in (2, 5)] == [5, 5]


def test_who_keeps_parts_of_many_ranges_keeps_them_when_another_loses_all(
    bench: hyplink.Bench,
) -> None:
    memory = bench.vm(3).memory
    region = memory.alloc(160 * PAGE)
    region.view[:] = b"\x05" * region.nbytes
    pages = [(region.address + page * PAGE, PAGE) for page in range(160)]
    memory.grant(4, list(pages), "rw")
    memory.grant(2, list(pages[::2]), "rw")
    memory.grant(5, list(pages[1::3]), "rw")
    windows = {(2, page): bench.vm(2).map(pages[page], writable=True) for page in (0, 80, 158)}
    windows |= {(5, page): bench.vm(5).map(pages[page], writable=True) for page in (1, 79, 157)}
    lost = bench.vm(4).map(region, writable=True)
    memory.deny(4, region, "rw")
    lost.wait_revoked()
    assert bytes(lost.view[:PAGE]) == bytes(PAGE)
    for (vm, page), window in windows.items():
        assert shown(bench, window) == b"\x05" * PAGE
        window.view[7] = vm
        assert region.view[page * PAGE + 7] == vm
    assert {grant.importer for grant in bench.grants} == {2, 5}


@REAL_TIME
@pytest.mark.parametrize("pages", [1, 64])
def test_who_keeps_pages_reads_no_zero_and_loses_no_write_while_another_is_denied(
    bench: hyplink.Bench, pages: int
) -> None:
    memory = bench.vm(3).memory
    region = memory.alloc(pages * PAGE)
    region.view[:] = b"\x05" * region.nbytes
    windows = {}
    for vm in (2, 5):
        memory.grant(vm, region, "rw")
        windows[vm] = bench.vm(vm).map(region, writable=True)
    stop = threading.Event()
    counted = dict.fromkeys((2, 3, 5), 0)
    zeroes = 0

    def use(vm: int, view: memoryview) -> None:
        nonlocal zeroes
        cells = view.cast("Q")
        while not stop.is_set():
            for page in range(pages):
                cells[page * 512 + vm] += 1
                zeroes += cells[page * 512 + 511] != START
            counted[vm] += 1

    views = {2: windows[2].view, 3: region.view, 5: windows[5].view}
    threads = [threading.Thread(target=use, args=item) for item in views.items()]
    for thread in threads:
        thread.start()
    try:
        turn = 0
        while turn < 60 or not all(counted.values()):
            assert all(thread.is_alive() for thread in threads)
            memory.grant(4, region, "rw")
            if turn % 3:
                bench.vm(4).map(region).close()
            memory.deny(4, region, "rw")
            turn += 1
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    if bench.missed_holds:
        return  # what it wrote to the emptied pages is lost, and zeroes may have been seen
    assert zeroes == 0
    for view in views.values():
        cells = view.cast("Q")
        for vm, times in counted.items():
            assert {cells[page * 512 + vm] - START for page in range(pages)} == {times}
    assert not windows[2].revoked
    assert not windows[5].revoked


@REAL_TIME
def test_a_map_during_a_deny_of_another_gets_the_pages_that_stay(bench: hyplink.Bench) -> None:
    memory = bench.vm(3).memory
    region = memory.alloc(2 * PAGE)
    region.view[:] = b"\x05" * region.nbytes
    for vm in (2, 4, 5):
        memory.grant(vm, region, "rw")
    kept = bench.vm(2).map(region, writable=True)
    done = threading.Event()

    def deny() -> None:
        for turn in range(40):
            memory.deny(4, region, "rw")
            region.view[0] = turn
            memory.grant(4, region, "rw")
        done.set()

    denying = threading.Thread(target=deny)
    denying.start()
    while not done.is_set():
        window = bench.vm(5).map(region, writable=True)
        assert window.view[PAGE] == 5 or bench.missed_holds
        window.view[PAGE + 1] = 6
        assert kept.view[PAGE + 1] == 6 or bench.missed_holds
        window.view[PAGE + 1] = 5
        assert region.view[PAGE + 1] == 5 or bench.missed_holds
        window.close()
    denying.join()
    assert kept.read(0, 1) == bytes([39])


@REAL_TIME
def test_one_deny_of_many_ranges_after_another_shows_a_keeper_no_zero(bench: hyplink.Bench) -> None:
    memory = bench.vm(3).memory
    region = memory.alloc(150 * PAGE)
    region.view[:] = b"\x05" * region.nbytes
    pages = [(region.address + page * PAGE, PAGE) for page in range(0, 150, 2)]
    memory.grant(2, list(pages), "rw")
    kept = [bench.vm(2).map(each, writable=True) for each in (pages[0], pages[40], pages[74])]
    for turn in range(1, 41):
        memory.grant(4, list(pages), "rw")
        memory.deny(4, list(pages), "rw")
        for window in kept:
            at = window.address - region.address
            assert window.view[1] == 5 or bench.missed_holds
            window.view[0] = turn
            assert region.view[at] == turn or bench.missed_holds


@REAL_TIME
@pytest.mark.parametrize("victim", [2, 3, 4, 5])
def test_whoever_dies_during_a_deny_nobody_else_is_left_waiting(
    bench: hyplink.Bench, victim: int, seed: int
) -> None:
    memory = bench.vm(3).memory
    region = memory.alloc(4 * PAGE)
    region.view[:] = b"\x05" * region.nbytes
    windows = {}
    for vm in (2, 5):
        memory.grant(vm, region, "rw")
        windows[vm] = bench.vm(vm).map(region, writable=True)
    turns = threading.Semaphore(0)
    stop = threading.Event()
    # Where the exporter dies, its grant has gone before VM 4 can use it.
    lost = (errors.PeerDied, errors.AccessDenied) if victim == 3 else (errors.PeerDied,)

    def deny() -> None:
        with contextlib.suppress(errors.PeerDied):  # the exporter itself
            while not stop.is_set():
                memory.grant(4, region, "rw")
                with contextlib.suppress(*lost):
                    bench.vm(4).map(region)
                memory.deny(4, region, "rw")
                turns.release()

    denying = threading.Thread(target=deny)
    denying.start()
    for _ in range(2 + seed % 5):
        turns.acquire()
    bench.vm(victim).kill()
    if victim != 3:
        for _ in range(2):  # it goes on without the dead one
            turns.acquire()
    stop.set()
    denying.join()
    for vm, window in windows.items():
        if victim in (3, vm):
            window.wait_revoked()
            assert bytes(window.view) == bytes(region.nbytes)
        else:
            assert shown(bench, window) == bytes(region.view) == b"\x05" * region.nbytes
            window.view[7] = 5
    if victim == 3:
        eventually(bench, lambda: bench.grants == [])  # once VM 2 has left the vlink


@pytest.mark.parametrize("victim", [2, 3, 4, 5])
def test_a_death_after_a_deny_of_one_of_several(bench: hyplink.Bench, victim: int) -> None:
    memory = bench.vm(3).memory
    region = memory.alloc(4 * PAGE)
    region.view[:] = b"\x05" * region.nbytes
    windows = {}
    for vm in (2, 4, 5):
        memory.grant(vm, region)
        windows[vm] = bench.vm(vm).map(region)
    memory.deny(4, region)
    bench.vm(victim).kill()
    for vm in (2, 5):
        if victim in (3, vm):
            windows[vm].wait_revoked()
            assert bytes(windows[vm].view) == bytes(region.nbytes)
        else:
            assert shown(bench, windows[vm]) == b"\x05" * region.nbytes
            assert not windows[vm].revoked
    windows[4].wait_revoked()
    assert bytes(windows[4].view) == bytes(region.nbytes)
