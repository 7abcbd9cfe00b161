"""vION (document 001, 3.6): buffers by global ids, mapped in several VMs at once, whoever dies."""

from __future__ import annotations

import contextlib
import os
import select
from typing import Any

import pytest
from conformance_lib import EVERYWHERE, PROCESS

import hyplink
from hyplink import errors
from hyplink.ion import Ion
from hyplink.testing import eventually

BOARD = """
&vm2_vdevs {
    a: vrpc@a { compatible = "vrpc"; info = "vion"; server; };
    vrpc@b { peer-phandle = <&b>; client; info = "vion,1K"; };
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
MEGABYTE = 1 << 20
pytestmark = [EVERYWHERE, pytest.mark.hyplink_dts(BOARD)]


@pytest.fixture
def devices(bench: hyplink.Bench) -> Any:
    with contextlib.ExitStack() as stack:
        yield {vm: stack.enter_context(bench.vm(vm).ion()) for vm in (2, 3, 4)}


def test_a_buffer_of_one_vm_is_the_same_memory_in_others(devices: dict[int, Ion]) -> None:
    mine = devices[2].alloc(4 * MEGABYTE)
    mine.map()[:5] = b"frame"
    ident = mine.share()
    assert mine.share() == ident == mine.id
    theirs = [devices[vm].import_buffer(ident) for vm in (3, 4)]
    assert [bytes(buffer.map()[:5]) for buffer in theirs] == [b"frame"] * 2
    assert {buffer.nbytes for buffer in theirs} == {4 * MEGABYTE}
    theirs[0].map()[-3:] = b"end"
    assert bytes(mine.map()[-3:]) == bytes(theirs[1].map()[-3:]) == b"end"


def test_the_same_calls_work_within_one_vm(bench: hyplink.Bench, devices: dict[int, Ion]) -> None:
    mine = devices[2].alloc(4096)
    ident = mine.share()
    with bench.vm(2).application() as other, other.ion() as ion:
        theirs = ion.import_buffer(ident)
        theirs.map()[:4] = b"here"
        mine.close()  # the importer keeps it
        assert bytes(theirs.map()[:4]) == b"here"
        with ion.import_buffer(ident) as again:
            assert bytes(again.map()[:4]) == b"here"
        theirs.close()
        with pytest.raises(errors.NotFound):
            ion.import_buffer(ident)


def test_code_inside_the_vms_passes_frames(bench: hyplink.Bench, devices: dict[int, Ion]) -> None:
    def consume(app: Any) -> bytes:
        with app.ion() as ion:
            buffer = ion.import_buffer(ident)
            seen = bytes(buffer.map()[:6])
            buffer.map()[:4] = b"done"
            return seen

    frame = devices[2].alloc(MEGABYTE)
    ident = frame.share()
    frame.map()[:6] = b"inside"
    assert bench.vm(3).start(consume).result() == b"inside"
    assert bytes(frame.map()[:6]) == b"donede"


@pytest.mark.parametrize("ident", [0, 1, 2 << 56, (2 << 56) + 12345, (3 << 56) + 1, 2**64 - 1])
def test_an_id_that_was_never_given_names_nothing(devices: dict[int, Ion], ident: int) -> None:
    with pytest.raises((errors.NotFound, errors.NoSuchLink)):
        devices[4].import_buffer(ident)


def test_no_link_leads_from_one_client_to_the_other(devices: dict[int, Ion]) -> None:
    mine = devices[3].alloc(4096)
    ident = mine.share()
    assert bytes(devices[2].import_buffer(ident).map()[:1]) == b"\0"
    with pytest.raises(errors.NoSuchLink, match="VM 3"):
        devices[4].import_buffer(ident)


def test_a_buffer_lives_until_its_last_importer_lets_go(devices: dict[int, Ion]) -> None:
    mine = devices[2].alloc(4096)
    ident = mine.share()
    first, second = (devices[3].import_buffer(ident) for _ in range(2))
    other = devices[4].import_buffer(ident)
    view = mine.map()
    mine.close()
    first.close()
    other.close()
    second.map()[:4] = b"mine"
    assert bytes(view[:4]) == b"mine"
    with devices[3].import_buffer(ident) as again:
        assert bytes(again.map()[:4]) == b"mine"
    with devices[4].import_buffer(ident) as again:  # its kernel has to ask for it
        assert bytes(again.map()[:4]) == b"mine"
    second.close()
    # The release travels behind it on the same link.
    with pytest.raises(errors.NotFound):
        devices[3].import_buffer(ident)


def test_an_importers_death_gives_its_buffers_back(
    bench: hyplink.Bench, devices: dict[int, Ion]
) -> None:
    mine = devices[2].alloc(4096)
    ident = mine.share()
    theirs = devices[3].import_buffer(ident)
    theirs.map()[:4] = b"last"
    bench.vm(3).kill()
    assert bytes(mine.map()[:4]) == b"last"
    bench.vm(3).boot()
    with bench.vm(3).ion() as ion, ion.import_buffer(ident) as again:
        assert bytes(again.map()[:4]) == b"last"
    mine.close()
    with bench.vm(3).ion() as ion, pytest.raises(errors.NotFound):
        ion.import_buffer(ident)


def test_what_only_a_dead_importer_had_is_nobodys(
    bench: hyplink.Bench, devices: dict[int, Ion]
) -> None:
    mine = devices[2].alloc(4096)
    ident = mine.share()
    theirs = devices[3].import_buffer(ident)
    mine.close()
    devices[4].import_buffer(ident).close()  # it lives as long as VM 3 has it
    bench.vm(3).kill()
    bench.vm(3).boot()
    with bench.vm(3).ion() as ion, pytest.raises(errors.NotFound):
        ion.import_buffer(ident)  # waits for the link, which went down with VM 3
    with pytest.raises(errors.NotFound):
        devices[4].import_buffer(ident)
    theirs.close()


def test_the_exporters_death_takes_the_memory_away(
    bench: hyplink.Bench, devices: dict[int, Ion]
) -> None:
    mine = devices[2].alloc(MEGABYTE)
    mine.map()[:] = b"\x5a" * MEGABYTE
    ident = mine.share()
    theirs = devices[3].import_buffer(ident)
    view = theirs.map()
    copy = os.dup(theirs.fileno())
    try:
        bench.vm(2).kill()
        assert not any(view), "a dead VM's data"
        assert not any(os.pread(copy, MEGABYTE, 0)), "through a kept descriptor"
        bench.vm(2).boot()
        with pytest.raises(errors.NotFound):
            devices[3].import_buffer(ident)  # waits for the link: the news came before
        assert theirs.is_lost
        fresh = bench.vm(2).ion().alloc(4096)
        new = fresh.share()
        assert new != ident
        devices[3].import_buffer(new).close()
    finally:
        os.close(copy)


def test_a_dead_application_keeps_no_buffer(bench: hyplink.Bench, devices: dict[int, Ion]) -> None:
    with bench.vm(2).application() as app:
        mine = app.ion().alloc(4096)
        ident = mine.share()
        theirs = devices[3].import_buffer(ident)
        theirs.map()[:2] = b"ok"
    # Its exporter has left; who has it keeps it.
    assert bytes(theirs.map()[:2]) == b"ok"
    theirs.close()
    with pytest.raises(errors.NotFound):
        devices[3].import_buffer(ident)


def test_a_descriptor_can_be_mapped_passed_and_polled(devices: dict[int, Ion]) -> None:
    import mmap

    mine = devices[2].alloc(4096)
    theirs = devices[3].import_buffer(mine.share())
    with mmap.mmap(theirs.fileno(), 4096) as mapped:
        mapped[:5] = b"again"
    assert bytes(mine.map()[:5]) == b"again"
    poll = select.poll()
    poll.register(theirs, select.POLLIN)
    assert poll.poll(0)


def test_what_can_be_cut_short_is_not_exported(devices: dict[int, Ion]) -> None:
    """An importer that touches it would be ended by SIGBUS."""
    buffer = devices[2].alloc(4096)
    with pytest.raises(OSError, match=r"Operation not permitted|Invalid argument"):
        os.ftruncate(buffer.fileno(), 0)


def test_a_vm_without_such_a_link_has_no_device(bench_factory: Any) -> None:
    bench = bench_factory(
        '&vm2_vdevs { a: vrpc@a { compatible = "vrpc"; info = "other"; server; }; };'
        '&vm3_vdevs { vrpc@a { peer-phandle = <&a>; client; info = "other"; }; };'
    )
    with pytest.raises(errors.NoSuchLink, match="vion"):
        bench.vm(2).ion()


@PROCESS
def test_importing_and_dying_again_and_again_leaves_nothing(
    bench: hyplink.Bench, devices: dict[int, Ion]
) -> None:
    mine = devices[2].alloc(16 * 4096)
    ident = mine.share()

    def import_and_die(app: Any) -> None:
        import os
        import signal

        app.ion().import_buffer(ident).map()[0] += 1
        os.kill(os.getpid(), signal.SIGKILL)

    for _ in range(20):
        with pytest.raises(errors.HyplinkError):
            bench.vm(3).start(import_and_die).result()
    assert mine.map()[0] == 20
    mine.close()

    def is_stale() -> bool:
        try:
            devices[3].import_buffer(ident).close()
        except errors.NotFound:
            return True
        return False

    eventually(bench, is_stale, timeout=60)  # once its kernel has heard of the last death
