"""Level broker of page granting: importers map the pages without ever holding the object."""

from __future__ import annotations

import pytest
from conformance_lib import PROCESS

import hyplink
from hyplink import errors
from hyplink.testing import eventually
from machine import no_broker

PAGE = 4096
BOARD = "&vm3_vplatform { };\n" + "".join(
    f'&vm{vm}_vplatform {{ vm-memory@3 {{ compatible = "vl,vm-memory"; vl,vm-id = <3>; }}; }};\n'
    for vm in (2, 4, 5)
)
pytestmark = [PROCESS, pytest.mark.hyplink_dts(BOARD)]


@pytest.fixture
def region(bench: hyplink.Bench) -> hyplink.memory.MemoryRegion:
    """Three pages of 5, of VM 3."""
    region = bench.vm(3).memory.alloc(3 * PAGE)
    try:
        bench.vm(3).grant(2, region, level="broker")
    except errors.Unsupported as refused:
        no_broker(refused)
    bench.vm(3).memory.deny(2, region)
    region.view[:] = b"\x05" * region.nbytes
    return region


def test_it_is_one_memory_for_all_and_shown_with_its_level(bench: hyplink.Bench, region) -> None:
    memory = bench.vm(3).memory
    for vm in (2, 4):
        memory.grant(vm, region, "rw", level="broker")
    windows = [bench.vm(vm).map(region, writable=True) for vm in (2, 4)]
    windows[0].view[PAGE] = 1
    assert (region.view[PAGE], windows[1].view[PAGE]) == (1, 1)
    region.view[2 * PAGE] = 2
    assert [window.view[2 * PAGE] for window in windows] == [2, 2]
    assert [grant.level for grant in bench.grants] == ["broker", "broker"]
    assert "broker" in str(bench.grants)


def test_one_of_several_is_denied_and_the_others_go_on(bench: hyplink.Bench, region) -> None:
    memory = bench.vm(3).memory
    for access in ("r", "rw"):
        for vm in (2, 4, 5):
            memory.grant(vm, region, access, level="broker")
        denied, *kept = (bench.vm(vm).map(region, writable=access == "rw") for vm in (2, 4, 5))
        memory.deny(2, (region.address, 2 * PAGE), access)
        region.view[PAGE] = 6
        assert bytes(denied.view[: 2 * PAGE]) == bytes(2 * PAGE)
        for window in kept:
            assert window.read(PAGE, 1) == b"\x06"
            assert window.read(0, 1) == b"\x05"
        assert {grant.level for grant in bench.grants} == {"broker"}
        for window in (denied, *kept):
            window.close()
        region.view[PAGE] = 5
        memory.deny(2, (region.address + 2 * PAGE, PAGE), access)
        for vm in (4, 5):
            memory.deny(vm, region, access)


def test_pages_have_one_level(bench: hyplink.Bench, region) -> None:
    memory = bench.vm(3).memory
    memory.grant(2, region, level="broker")
    for level in (None, "memfd"):
        with pytest.raises(errors.Busy, match="another level"):
            memory.grant(4, region, level=level)
    memory.deny(2, region)
    memory.grant(4, region)
    with pytest.raises(errors.Busy, match="another level"):
        memory.grant(2, region, level="broker")


def test_a_grant_for_reading_is_opened_for_reading(bench: hyplink.Bench, region) -> None:
    bench.vm(3).grant(2, region, level="broker")
    with pytest.raises(errors.AccessDenied):
        bench.vm(2).map(region, writable=True)
    window = bench.vm(2).map(region)
    assert window.view.readonly


def test_the_end_of_the_importer_lets_go_and_its_next_life_maps_again(bench, region) -> None:
    bench.vm(3).grant(2, region, "rw", level="broker")
    bench.vm(2).map(region, writable=True).view[0] = 7
    bench.vm(2).kill()
    assert bytes(region.view[:2]) == b"\x07\x05"
    bench.vm(2).boot()
    assert bench.vm(2).map(region).view[0] == 7


def test_the_end_of_the_exporter_takes_it_all_and_its_next_life_grants_again(bench, region) -> None:
    bench.vm(3).grant(2, region, "rw", level="broker")
    window = bench.vm(2).map(region, writable=True)
    bench.vm(3).kill()
    eventually(bench, lambda: bytes(window.view) == bytes(region.nbytes))
    assert bench.grants == []
    bench.vm(3).boot()
    fresh = bench.vm(3).memory.alloc(PAGE)
    fresh.view[0] = 9
    bench.vm(3).grant(2, fresh, level="broker")
    assert bench.vm(2).map(fresh).view[0] == 9
