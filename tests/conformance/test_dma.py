"""A device that moves memory by itself touches what it may, and nothing else (documents 003 2.1.2, 001 3.6)."""

from __future__ import annotations

import contextlib
import zlib
from collections.abc import Iterator
from typing import Any

import pytest
from conformance_lib import EVERYWHERE, PROCESS, REAL_TIME, journal

import hyplink
from hyplink import dma, errors
from hyplink.testing import eventually

PAGE = 4096
MEGABYTE = 1 << 20
#: VMs 2 and 4 accept memory of VM 3; VMs 2 and 3 pass vION buffers.
BOARD = """
&vm2_vdevs {
    a: vrpc@a { compatible = "vrpc"; info = "vion"; server; };
    vrpc@b { peer-phandle = <&b>; client; info = "vion"; };
};
&vm3_vdevs {
    vrpc@a { peer-phandle = <&a>; client; info = "vion"; };
    b: vrpc@b { compatible = "vrpc"; info = "vion"; server; };
};
&vm2_vplatform { vm-memory@3 { compatible = "vl,vm-memory"; vl,vm-id = <3>; }; };
&vm4_vplatform { vm-memory@3 { compatible = "vl,vm-memory"; vl,vm-id = <3>; }; };
"""
pytestmark = [EVERYWHERE, pytest.mark.hyplink_dts(BOARD)]
DATA = bytes(range(251)) * 1000


@pytest.fixture
def devices(bench: hyplink.Bench) -> Iterator[dict[int, dma.Device]]:
    with contextlib.ExitStack() as stack:
        yield {vm: stack.enter_context(bench.vm(vm).dma()) for vm in (2, 3, 4)}


def fault(job: dma.Job, match: str) -> dma.DmaFault:
    with pytest.raises(dma.DmaFault, match=match) as caught:
        job.result()
    assert job.state == "faulted"
    return caught.value


def until_round(job: dma.Job, rounds: int) -> None:
    while job.rounds < rounds:
        assert job.state == "running"


def test_it_touches_memory_of_its_own_vm_once_that_was_granted_to_it(
    bench: hyplink.Bench, devices: dict[int, dma.Device]
) -> None:
    memory, device = bench.vm(3).memory, devices[3]
    region = memory.alloc(64 * PAGE)
    region.view[: len(DATA)] = DATA
    assert fault(device.checksum(region), "nothing is there").address == region.address
    memory.grant(3, region, "rwd")
    assert device.checksum(region).result() == zlib.crc32(region.view)
    assert device.checksum((region.address + 5, 1000)).result() == zlib.crc32(DATA[5:1005])
    half = region.address + 40 * PAGE
    assert device.copy((region.address + 1, 90_000), (half, 24 * PAGE)).result() == 90_000
    assert bytes(region.view[40 * PAGE : 40 * PAGE + 90_000]) == DATA[1:90_001]
    assert device.fill((half - 3, 5), 0xAA).result() == 5
    assert bytes(region.view[40 * PAGE - 3 : 40 * PAGE + 2]) == b"\xaa" * 5
    memory.deny(3, region, "rwd")
    fault(device.fill(region, 1), "nothing is there")
    assert bytes(region.view[40 * PAGE - 3 : 40 * PAGE + 2]) == b"\xaa" * 5


def test_only_dma_may_be_granted_to_oneself(bench: hyplink.Bench) -> None:
    region = bench.vm(3).memory.alloc(PAGE)
    for access in ("r", "rw", "rcd"):
        with pytest.raises(errors.BadArgument, match="devices"):
            bench.vm(3).grant(3, region, access)
    bench.vm(3).grant(3, region, "rd")
    with pytest.raises(errors.AccessDenied):
        bench.vm(3).map(region)
    with bench.vm(3).application() as other, other.dma() as device:  # not its memory
        fault(device.checksum(region), "nothing is there")


def test_rights_of_a_grant_bind_the_device_of_the_importer(
    bench: hyplink.Bench, devices: dict[int, dma.Device]
) -> None:
    memory = bench.vm(3).memory
    region = memory.alloc(4 * PAGE)
    region.view[:] = DATA[: region.nbytes]
    pages = [(region.address + page * PAGE, PAGE) for page in range(4)]
    for page, access in zip(pages, ("r", "rd", "rwd", "rwcd"), strict=True):
        memory.grant(2, page, access)
    seen = {
        pages[0]: ("not for DMA", "not for DMA"),
        pages[1]: ("", "not for writing"),
        pages[2]: ("", ""),
        pages[3]: ("", ""),
    }
    for page, (reading, writing) in seen.items():
        offset = page[0] - region.address
        if reading:
            fault(devices[2].checksum(page), reading)
        else:
            expected = zlib.crc32(region.view[offset : offset + PAGE])
            assert devices[2].checksum(page).result() == expected
        if writing:
            assert fault(devices[2].fill(page, 7), writing).address == page[0]
            assert region.view[offset] == DATA[offset]
        else:
            devices[2].fill(page, 7).result()
            assert bytes(region.view[offset : offset + PAGE]) == b"\x07" * PAGE
        fault(devices[4].checksum(page), "nothing is there")  # of a VM that was granted nothing
        fault(devices[3].checksum(page), "nothing is there")  # nor was the exporter's own


def test_a_job_that_leaves_what_was_granted_faults_there_and_the_journal_says_so(
    bench: hyplink.Bench, devices: dict[int, dma.Device]
) -> None:
    memory = bench.vm(3).memory
    region = memory.alloc(8 * PAGE)
    memory.grant(2, (region.address, 3 * PAGE), "rwd")
    error = fault(devices[2].fill((region.address + 100, 7 * PAGE), 9), "nothing is there")
    assert (error.address, error.done) == (region.address + 3 * PAGE, 3 * PAGE - 100)
    assert bytes(region.view) == bytes(100) + b"\x09" * (3 * PAGE - 100) + bytes(5 * PAGE)
    (record,) = journal(bench, "39")
    assert (record.a, record.b, record.c) == (2 | 1 << 16, error.address, error.done)
    assert f"VM 2's device: fault at {error.address:#x}" in bench.trace.tail()


def test_a_deny_ends_a_job_in_its_midst(
    bench: hyplink.Bench, devices: dict[int, dma.Device]
) -> None:
    memory = bench.vm(3).memory
    region = memory.alloc(256 * PAGE)
    target = memory.alloc(256 * PAGE)
    for access, pages in (("rwd", target), ("rd", region)):
        memory.grant(2, pages, access)
    for job, denied, access in (
        (devices[2].copy(region, target, repeat=True), region, "rd"),
        (devices[2].fill(target, 5, repeat=True), target, "rwd"),
    ):
        until_round(job, 2)
        memory.deny(2, denied, access)
        denied.view[:] = b"\x06" * denied.nbytes  # what the exporter writes now is its own
        error = fault(job, "nothing is there")
        assert denied.address <= error.address < denied.address + denied.nbytes
        assert bytes(denied.view) == b"\x06" * denied.nbytes


def test_a_part_is_denied_under_a_running_job(
    bench: hyplink.Bench, devices: dict[int, dma.Device]
) -> None:
    memory = bench.vm(3).memory
    region = memory.alloc(64 * PAGE)
    memory.grant(2, region, "rwd")
    job = devices[2].fill(region, 5, repeat=True)
    until_round(job, 1)
    part = (region.address + 33 * PAGE, PAGE)
    memory.deny(2, part, "rwd")
    assert fault(job, "nothing is there").address == part[0]


@REAL_TIME
def test_a_device_that_keeps_pages_goes_on_while_another_importer_loses_them(
    bench: hyplink.Bench, devices: dict[int, dma.Device]
) -> None:
    memory = bench.vm(3).memory
    region = memory.alloc(16 * PAGE)
    memory.grant(2, region, "rwd")
    job = devices[2].fill(region, 5, repeat=True)
    for _ in range(10):
        memory.grant(4, region, "rwcd")
        window = bench.vm(4).map(region, writable=True)
        until_round(job, job.rounds + 2)
        assert bytes(window.view) == b"\x05" * region.nbytes
        memory.deny(4, region, "rwcd")
        assert bytes(region.view) == b"\x05" * region.nbytes
        region.view[:] = bytes(region.nbytes)
        until_round(job, job.rounds + 2)  # one that began after that
        assert bytes(region.view) == b"\x05" * region.nbytes
        assert window.view[0] == 0
    job.stop()
    with pytest.raises(errors.Cancelled):
        job.result()


def test_a_producer_and_a_consumer_share_a_buffer_of_vion(
    bench: hyplink.Bench, devices: dict[int, dma.Device]
) -> None:
    with bench.vm(2).ion() as producing, bench.vm(3).ion() as consuming:
        mine = producing.alloc(MEGABYTE)
        theirs = consuming.import_buffer(mine.share())
        with devices[2].attach(mine) as source, devices[3].attach(theirs) as sink:
            for value in (1, 2, 255):
                assert devices[2].fill(source, value).result() == MEGABYTE
                expected = zlib.crc32(bytes([value]) * MEGABYTE)
                assert devices[3].checksum(sink).result() == expected
                assert theirs.map()[-1] == value
            fault(devices[3].checksum(source), "nothing is there")  # each sees its own only
            frame = devices[3].fill(sink, 3, repeat=True)
            until_round(frame, 1)
        assert fault(frame, "nothing is there").done <= MEGABYTE  # detached in its midst
        with devices[3].attach(theirs) as sink:
            bench.vm(2).kill()
            eventually(bench, lambda: theirs.is_lost)
            assert devices[3].checksum(sink).result() == zlib.crc32(bytes(MEGABYTE))


def test_jobs_that_make_no_sense_are_refused(devices: dict[int, dma.Device]) -> None:
    device = devices[2]
    for nonsense in (
        lambda: device.fill((1 << 32, 0), 1),
        lambda: device.fill((1 << 32, PAGE), 256),
        lambda: device.fill(((1 << 64) - 10, 20), 1),
        lambda: device.copy((1 << 32, 2), (1 << 33, 1)),
        lambda: device._core.start(4, 0, 0, 1, 0, False),
        lambda: device._core.start(0, 0, 0, 1, 0, False),
    ):
        with pytest.raises(errors.BadArgument):
            nonsense()
    with pytest.raises(errors.NotFound):
        device._core.look(77)
    with pytest.raises(errors.BadGuestAddress):
        device._core.detach(1 << 32)
    for _ in range(70):  # results nobody asked for make room
        fault(device.fill((1 << 32, PAGE), 1), "nothing is there")


def test_the_end_of_an_application_ends_its_jobs(bench: hyplink.Bench) -> None:
    region = bench.vm(3).memory.alloc(16 * PAGE)
    bench.vm(3).grant(2, region, "rwd")
    with bench.vm(2).application() as app:
        device = app.dma()
        with pytest.raises(errors.Busy):
            app.dma()
        job = device.fill(region, 1, repeat=True)
        until_round(job, 1)
    with pytest.raises(errors.LinkError):
        job.result()
    with bench.vm(2).dma() as other:
        with pytest.raises(errors.NotFound):
            other._core.look(job._number)
        turns = other.checksum(region, repeat=True)

        def nobody_writes() -> bool:
            """Jobs take turns: one that went on would have had some."""
            region.view[:] = b"\x06" * region.nbytes
            until_round(turns, turns.rounds + 2)
            return bytes(region.view) == b"\x06" * region.nbytes

        eventually(bench, nobody_writes)


@pytest.mark.parametrize("victim", [2, 3])
def test_a_death_ends_the_job(bench: hyplink.Bench, victim: int) -> None:
    """Of its own VM: with it. Of the exporter: with a fault."""
    region = bench.vm(3).memory.alloc(16 * PAGE)
    bench.vm(3).grant(2, region, "rwd")
    device = bench.vm(2).dma()
    job = device.fill(region, 5, repeat=True)
    until_round(job, 1)
    bench.vm(victim).kill()
    if victim == 3:
        fault(job, "nothing is there")
    else:
        with pytest.raises(errors.PeerDied):
            job.result()
        region.view[:] = b"\x06" * region.nbytes
        bench.vm(2).boot()
        assert bytes(region.view) == b"\x06" * region.nbytes
    device.close()


@PROCESS
def test_code_inside_a_vm_has_a_device_work_on_what_another_granted(bench: hyplink.Bench) -> None:
    region = bench.vm(3).memory.alloc(16 * PAGE)
    region.view[:] = DATA[: region.nbytes]
    bench.vm(3).grant(2, region, "rwd")
    address, nbytes = region.pages()

    def work(app: Any) -> tuple[int, str]:
        with app.dma() as device:
            seen = device.checksum((address, nbytes)).result()
            device.fill((address, 4096), 8).result()
            try:
                device.fill((address, nbytes + 1), 9).result()
            except hyplink.errors.BadGuestAddress as error:
                return seen, str(error)
        return seen, ""

    seen, said = bench.vm(2).start(work).result()
    assert seen == zlib.crc32(DATA[: region.nbytes])
    assert f"fault at {address + nbytes:#x} after {nbytes} bytes" in said
    assert bytes(region.view) == b"\x09" * nbytes
