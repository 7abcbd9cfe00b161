"""Restarts of exporters and importers (document 003, 2.1.2): what is revoked when, and in which order."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from conformance_lib import EVERYWHERE, OFF, ON, PROCESS, journal

import hyplink
from hyplink import errors
from hyplink.nkddi import Nkddi
from hyplink.testing import connect_rpq, eventually

PAGE = 4096
EXPORTER, IMPORTER = 3, 2

#: VM 2 serves two vlinks of VM 3: one its kernel drives, one its applications do. VM 5 imports, without a vlink.
BOARD = """
&vm2_vdevs {
    be: vogl@be { compatible = "vogl"; info = "vrpq-reqs=256,vrpq-pmem=64K"; server; };
    raw: vearlydata@be { compatible = "vearlydata"; server; };
};
&vm3_vdevs {
    vogl@fe { peer-phandle = <&be>; client; };
    vearlydata@fe { peer-phandle = <&raw>; client; };
};
&vm2_vplatform { vm-memory@3 { compatible = "vl,vm-memory"; vl,vm-id = <3>; }; };
&vm5_vplatform { vm-memory@3 { compatible = "vl,vm-memory"; vl,vm-id = <3>; }; };
"""
pytestmark = [EVERYWHERE, pytest.mark.hyplink_dts(BOARD)]


def steps(bench: hyplink.Bench) -> list[tuple[Any, ...]]:
    """What the hypervisor did, in its order: ends of links, VMs, grants that were taken."""
    told: list[tuple[Any, ...]] = []
    for record in journal(bench, "link_state", "link_forced", "vm_state", "grant_revoked"):
        if record.event == "vm_state":
            told.append(("vm", record.c, record.a))
        elif record.event == "grant_revoked":
            told.append(("revoked", record.a >> 16, record.a & 0xFFFF))
        else:
            told.append((record.event, record.link, record.a, record.b))
    return told


def importer_went_off(told: list[tuple[Any, ...]], link: int) -> int:
    """Where the end of VM 2 (the server) left the vlink last."""
    return max(i for i, step in enumerate(told) if step == ("link_state", link, 0, OFF))


@contextlib.contextmanager
def held_on(bench: hyplink.Bench) -> Iterator[None]:
    """An application of VM 2 and one of VM 3 take their vlink ON; the importer's never lets go."""
    with (
        bench.vm(IMPORTER).application() as here,
        bench.vm(EXPORTER).application() as there,
        Nkddi(here) as mine,
        Nkddi(there) as theirs,
    ):
        (server,), (client,) = (nk.vlinks("vearlydata") for nk in (mine, theirs))
        for state in ("RESET", "ON"):
            for link in (server, client):
                assert link.set_state(state) == state
        yield


@pytest.mark.parametrize("end", ["kill", "shutdown"])
def test_the_old_grants_go_after_the_links_and_the_next_life_begins_with_none(
    bench: hyplink.Bench, end: str
) -> None:
    """Again and again: the importer uses the vlink and the pages when the exporter ends."""
    for _ in range(3):
        bench.link("vogl0").wait_on()
        region = bench.vm(EXPORTER).memory.alloc(PAGE)
        region.view[:] = b"\x05" * PAGE
        for vm in (IMPORTER, 5):
            bench.vm(EXPORTER).grant(vm, region)
        windows = [bench.vm(vm).map(region) for vm in (IMPORTER, 5)]
        with contextlib.suppress(errors.PeerDied, errors.HandleClosed), connect_rpq(bench, "vogl0"):
            getattr(bench.vm(EXPORTER), end)()
        bench.vm(EXPORTER).boot()
        bench.link("vogl0").wait_on()
        for window in windows:
            window.wait_revoked()
            assert bytes(window.view) == bytes(PAGE)
        eventually(bench, lambda: bench.grants == [])
    told = steps(bench)
    off = importer_went_off(told, 0)
    last = [i for i, step in enumerate(told) if step[0] == "revoked"][-2:]
    up = max(i for i, step in enumerate(told) if step == ("link_state", 0, 0, ON))
    assert off < last[0] < last[1] < up


def test_an_importer_that_does_not_let_go_loses_its_end_at_the_deadline_and_then_the_pages(
    bench_factory: Callable[..., hyplink.Bench],
) -> None:
    bench = bench_factory(cleanup_grace=0.2)
    with held_on(bench):
        region = bench.vm(EXPORTER).memory.alloc(PAGE)
        region.view[:] = b"\x05" * PAGE
        bench.vm(EXPORTER).grant(IMPORTER, region)
        window = bench.vm(IMPORTER).map(region)
        bench.vm(EXPORTER).kill()
        window.wait_revoked()
        assert bytes(window.view) == bytes(PAGE)
        eventually(bench, lambda: bench.grants == [])
        told = steps(bench)
        raw = next(step[1] for step in told if step[0] == "link_state" and step[3] == ON)
        dead = told.index(("vm", EXPORTER, hyplink.VmState.DEAD))
        taken = told.index(("revoked", EXPORTER, IMPORTER))
        forced = [i for i, step in enumerate(told) if step[0] == "link_forced" and i > dead]
        assert forced, told
        assert told[forced[-1]][1:3] in {(raw, 0), (1, 0), (0, 0)}
        assert dead < forced[-1] < taken


def test_a_new_life_may_boot_while_the_old_grants_wait_and_its_own_are_told_apart(
    bench_factory: Callable[..., hyplink.Bench],
) -> None:
    bench = bench_factory(cleanup_grace=1.0)
    with held_on(bench):
        old = bench.vm(EXPORTER).memory.alloc(2 * PAGE)
        old.view[:] = b"\x05" * old.nbytes
        bench.vm(EXPORTER).grant(IMPORTER, old, "rw")
        before = bench.vm(IMPORTER).map(old, writable=True)
        bench.vm(EXPORTER).kill()
        with pytest.raises(errors.AccessDenied):  # at once, although it is not taken yet
            bench.vm(IMPORTER).map(old)
        assert not bench.vm(IMPORTER).memory.verify(EXPORTER, old, "rw")
        bench.vm(EXPORTER).boot()
        new = bench.vm(EXPORTER).memory.alloc(2 * PAGE)
        new.view[:] = b"\x06" * new.nbytes
        bench.vm(EXPORTER).grant(IMPORTER, new, "rw")
        after = bench.vm(IMPORTER).map(new, writable=True)
        assert new.address >= old.address + old.nbytes  # an address is never used again
        with pytest.raises(errors.NotPermitted):  # nor are they the new life's to deny or to grant
            bench.vm(EXPORTER).deny(IMPORTER, old.pages(), "rw")
        with pytest.raises(errors.NotPermitted):
            bench.vm(EXPORTER).grant(5, old.pages(), "rw")
        before.wait_revoked()
        before.view[:] = b"\x07" * old.nbytes
        assert bytes(after.view) == bytes(new.view) == b"\x06" * new.nbytes
        assert after.read() == b"\x06" * new.nbytes
        assert [(grant.address, grant.state) for grant in bench.grants] == [(new.address, "active")]


def test_an_importer_that_restarts_has_nothing_mapped_and_keeps_what_it_was_granted(
    bench: hyplink.Bench,
) -> None:
    region = bench.vm(EXPORTER).memory.alloc(2 * PAGE)
    region.view[:] = b"\x05" * region.nbytes
    bench.vm(EXPORTER).grant(IMPORTER, region, "rw")
    for end in ("kill", "shutdown", "kill"):
        old = bench.vm(IMPORTER).map(region, writable=True)
        getattr(bench.vm(IMPORTER), end)()
        assert [grant.state for grant in bench.grants] == ["offered"]
        old.wait_revoked()
        assert bytes(old.view) == bytes(region.nbytes)
        old.view[:] = b"\x07" * region.nbytes  # of the dead one: reaches nobody
        assert bytes(region.view) == b"\x05" * region.nbytes
        bench.vm(IMPORTER).boot()
        with pytest.raises(errors.GrantRevoked):
            old.read()
    assert bench.vm(IMPORTER).map(region).read() == b"\x05" * region.nbytes


@PROCESS
def test_programs_inside_both_vms_see_a_restart_of_the_exporter(bench: hyplink.Bench) -> None:
    def exporter(app: Any) -> None:
        with app.rpq("vogl0").session() as session, session.channel() as channel:
            region = app.memory.alloc(4096)
            region.view[:] = b"\x05" * 4096
            app.memory.grant(2, region)
            channel.call_bytes(1, region.address.to_bytes(8, "little"), 0)
            app.memory.grant(2, app.memory.alloc(4096))  # for all to see: the first one was read
            channel.call_bytes(2, b"", 0, timeout=None)  # until it is killed

    def importer(app: Any) -> list[Any]:
        said: list[Any] = []
        addresses = []
        for life in (1, 2):
            with app.rpq("vogl0").accept(timeout=None) as session, session.accept() as channel:
                (request,) = channel.receive(1)
                addresses.append(int.from_bytes(request.params, "little"))
                window = app.memory.map(addresses[-1], 4096)
                said.append(window.read() == b"\x05" * 4096)
                with contextlib.suppress(errors.PeerDied):  # the first life may have ended by now
                    channel.acknowledge()
                if life == 2:
                    break
                window.wait_revoked(timeout=None)
                said.append(bytes(window.view) == bytes(4096))
        return [*said, addresses[0] < addresses[1]]

    serving = bench.vm(IMPORTER).start(importer)
    bench.vm(EXPORTER).start(exporter)
    eventually(bench, lambda: len(bench.grants) == 2, timeout=60)
    bench.vm(EXPORTER).kill()
    bench.vm(EXPORTER).boot()
    bench.vm(EXPORTER).start(exporter)
    assert serving.result() == [True, True, True, True]
