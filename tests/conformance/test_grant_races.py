"""Several at once want the same pages: each race has one winner, and nothing is left of the others."""

from __future__ import annotations

import contextlib
import functools
from typing import Any

import pytest
from conformance_lib import EVERYWHERE

import hyplink
from hyplink import errors
from hyplink.testing import background

PAGE = 4096
BOARD = """
&vm2_vplatform { vm-memory@3 { compatible = "vl,vm-memory"; vl,vm-id = <3>; }; };
&vm3_vplatform { };
&vm4_vplatform { vm-memory@3 { compatible = "vl,vm-memory"; vl,vm-id = <3>; }; };
"""
ROUNDS = 12
pytestmark = [EVERYWHERE, pytest.mark.hyplink_dts(BOARD)]


def at_once(bench: hyplink.Bench, *bodies: Any) -> list[Any]:
    """What each of them returns, or the error of the library that it raised."""

    def outcome(body: Any) -> Any:
        try:
            return body()
        except errors.HyplinkError as error:
            return error

    running = [background(bench, lambda body=body: outcome(body)) for body in bodies]
    return [each.result() for each in running]


def region_of(bench: hyplink.Bench, pages: int = 1) -> Any:
    region = bench.vm(3).memory.alloc(pages * PAGE)
    region.view[:] = b"\x05" * region.nbytes
    return region


def test_of_two_denies_of_the_same_pages_one_wins(bench: hyplink.Bench) -> None:
    memory = bench.vm(3).memory
    region = region_of(bench)
    for _ in range(ROUNDS):
        memory.grant(2, region)
        window = bench.vm(2).map(region)
        outcomes = at_once(bench, *[lambda: memory.deny(2, region)] * 3)
        assert outcomes.count(None) == 1
        assert sum(isinstance(each, errors.BadArgument) for each in outcomes) == 2
        assert bytes(window.view) == bytes(PAGE)
        assert bytes(region.view) == b"\x05" * PAGE
        assert bench.grants == []
        window.close()


def test_of_two_grants_of_the_same_pages_to_one_vm_one_wins(bench: hyplink.Bench) -> None:
    memory = bench.vm(3).memory
    region = region_of(bench)
    for _ in range(ROUNDS):
        outcomes = at_once(bench, *[lambda: memory.grant(2, region, "rw")] * 3)
        assert outcomes.count(None) == 1
        assert sum(isinstance(each, errors.Busy) for each in outcomes) == 2
        assert [grant.importer for grant in bench.grants] == [2]
        assert bytes(bench.vm(2).map(region).view) == b"\x05" * PAGE
        memory.deny(2, region, "rw")


def test_a_map_that_races_a_deny_is_refused_or_shows_zeroes(bench: hyplink.Bench) -> None:
    memory, importer = bench.vm(3).memory, bench.vm(2)
    region = region_of(bench, 4)
    for _ in range(ROUNDS):
        memory.grant(2, region)
        denied, window = at_once(
            bench, lambda: memory.deny(2, region), lambda: importer.map(region)
        )
        assert denied is None
        region.view[:] = b"\x05" * region.nbytes
        if isinstance(window, Exception):
            assert isinstance(window, errors.AccessDenied)
            continue
        assert bytes(window.view) == bytes(region.nbytes)
        with pytest.raises(errors.GrantRevoked):
            window.read()
        window.close()
    assert bench.grants == []


def test_a_deny_that_races_the_free_of_its_pages_leaves_nothing_granted(
    bench: hyplink.Bench,
) -> None:
    memory = bench.vm(3).memory
    for _ in range(ROUNDS):
        region = region_of(bench)
        memory.grant(2, region)
        window = bench.vm(2).map(region)
        deny = functools.partial(memory.deny, 2, region)
        denied, freed = at_once(bench, deny, region.close)
        assert freed is None
        assert denied is None or isinstance(denied, errors.BadArgument | errors.NotPermitted)
        assert bytes(window.view) == bytes(PAGE)
        assert bytes(region.view) in (b"\x05" * PAGE, bytes(PAGE))  # freed: nobody's data any more
        assert bench.grants == []
        window.close()


@pytest.mark.parametrize("victim", [2, 3])
def test_a_deny_that_races_a_death_ends(bench: hyplink.Bench, victim: int) -> None:
    for _ in range(3):
        with bench.vm(3).application() as app:
            region = app.memory.alloc(2 * PAGE)
            region.view[:] = b"\x05" * region.nbytes
            for vm in (2, 4):
                app.memory.grant(vm, region)
            windows = {vm: bench.vm(vm).map(region) for vm in (2, 4)}
            deny = functools.partial(app.memory.deny, 2, region)
            denied, killed = at_once(bench, deny, bench.vm(victim).kill)
            assert killed is None
            assert denied is None or (victim == 3 and isinstance(denied, errors.PeerDied))
            windows[2].wait_revoked()
            assert bytes(windows[2].view) == bytes(region.nbytes)
            if victim == 3:
                windows[4].wait_revoked()
            else:
                assert windows[4].read() == bytes(region.view) == b"\x05" * region.nbytes
        with contextlib.suppress(errors.Busy):
            bench.vm(victim).boot()


def test_memory_that_was_given_back_comes_to_nobody_with_what_was_in_it(
    bench: hyplink.Bench,
) -> None:
    """An application's, an importer's, or of a life before."""
    addresses = set()
    for end in ("free", "close", "kill"):
        for _ in range(3):
            with bench.vm(3).application() as app:
                region = app.memory.alloc(4 * PAGE)
                assert region.address not in addresses
                addresses.add(region.address)
                assert bytes(region.view) == bytes(region.nbytes)
                app.memory.grant(2, region, "rw")
                window = bench.vm(2).map(region, writable=True)
                assert bytes(window.view) == bytes(region.nbytes)
                window.view[:] = b"\x77" * window.nbytes
                if end == "free":
                    region.close()
                elif end == "kill":
                    bench.vm(3).kill()
            window.close()
            if end == "kill":
                bench.vm(3).boot()
