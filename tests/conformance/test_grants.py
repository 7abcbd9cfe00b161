"""Page granting (document 003, 2.1.2): memory that a VM lets others map, and takes back."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from conformance_lib import EVERYWHERE, PROCESS, REAL_TIME, journal

import hyplink
from hyplink import errors, rpq

PAGE = 4096

#: VMs 2, 4 and 5 accept memory of VM 3; VM 2 and VM 3 share a vlink. VM 3 accepts none.
BOARD = """
&vm2_vdevs {
    be: vogl@be { compatible = "vogl"; info = "vrpq-reqs=256,vrpq-pmem=64K"; server; };
    be5: vogl@be5 { compatible = "vogl"; info = "vrpq-reqs=256,vrpq-pmem=64K"; server; };
};
&vm3_vdevs { vogl@fe { peer-phandle = <&be>; client; }; };
&vm5_vdevs { vogl@fe { peer-phandle = <&be5>; client; }; };
&vm2_vplatform { vm-memory@3 { compatible = "vl,vm-memory"; vl,vm-id = <3>; }; };
&vm4_vplatform { vm-memory@3 { compatible = "vl,vm-memory"; vl,vm-id = <3>; }; };
&vm5_vplatform { vm-memory@3 { compatible = "vl,vm-memory"; vl,vm-id = <3>; }; };
"""

pytestmark = [EVERYWHERE, pytest.mark.hyplink_dts(BOARD)]


def ranges(bench: hyplink.Bench, importer: int = 2) -> list[tuple[int, int, str, str]]:
    return [
        (g.address, g.nbytes, g.access, g.state) for g in bench.grants if g.importer == importer
    ]


def test_what_is_granted_is_one_memory_for_both(bench: hyplink.Bench) -> None:
    region = bench.vm(3).memory.alloc(3 * PAGE)
    region.view[:5] = b"hello"
    assert bench.grants == []
    bench.vm(3).grant(bench.vm(2), region, "rw")
    (grant,) = bench.grants
    assert (grant.exporter, grant.importer, grant.access, grant.state) == (3, 2, "rwc", "offered")
    assert grant.level == ("memfd" if bench.backend == "process" else "cooperative")
    window = bench.vm(2).map(region, writable=True)
    assert ranges(bench) == [(region.address, 3 * PAGE, "rwc", "active")]
    assert bytes(window.view[:5]) == b"hello"
    window.view[0] = ord("H")
    region.view[PAGE] = 7
    assert bytes(region.view[:5]) == b"Hello"
    assert window.view[PAGE] == 7
    assert not window.revoked
    window.close()
    assert ranges(bench) == [(region.address, 3 * PAGE, "rwc", "offered")]


def test_after_a_deny_the_importer_reads_zeroes_and_the_exporter_keeps_its_data(
    bench: hyplink.Bench,
) -> None:
    region = bench.vm(3).memory.alloc(2 * PAGE)
    region.view[:] = b"\x05" * (2 * PAGE)
    address = region.address
    bench.vm(3).grant(2, region)
    window = bench.vm(2).map(region)
    assert bytes(window.view) == b"\x05" * (2 * PAGE)
    bench.vm(3).deny(2, region)
    assert bytes(window.view) == bytes(2 * PAGE)
    region.view[0] = 6
    assert window.view[0] == 0
    assert bytes(region.view[1:]) == b"\x05" * (2 * PAGE - 1)
    assert region.address == address
    assert bench.grants == []
    window.wait_revoked()
    assert window.revoked == 2 * PAGE
    with pytest.raises(errors.GrantRevoked):
        window.check()
    with pytest.raises(errors.AccessDenied):
        bench.vm(2).map(region)
    assert [record.event for record in journal(bench, "grant", "deny")] == ["grant", "deny"]


def test_a_read_grant_gives_a_view_that_cannot_be_written(bench: hyplink.Bench) -> None:
    region = bench.vm(3).memory.alloc(PAGE)
    bench.vm(3).grant(2, region, "r")
    window = bench.vm(2).map(region)
    assert window.view.readonly
    with pytest.raises(TypeError):
        window.view[0] = 1
    with pytest.raises(errors.AccessDenied, match="for writing"):
        bench.vm(2).map(region, writable=True)


def test_a_part_is_denied_and_the_rest_stays(bench: hyplink.Bench) -> None:
    memory = bench.vm(3).memory
    region = memory.alloc(5 * PAGE)
    region.view[:] = b"\x05" * (5 * PAGE)
    memory.grant(2, region, "rw")
    window = bench.vm(2).map(region, writable=True)
    middle = (region.address + 2 * PAGE, PAGE)
    memory.deny(2, middle, "rw")
    assert ranges(bench) == [
        (region.address, 2 * PAGE, "rwc", "active"),
        (region.address + 3 * PAGE, 2 * PAGE, "rwc", "active"),
    ]
    window.wait_revoked()
    assert [window.view[page * PAGE] for page in range(5)] == [5, 5, 0, 5, 5]
    window.view[4 * PAGE] = 9
    assert region.view[4 * PAGE] == 9
    with pytest.raises(errors.BadArgument, match="not granted"):
        memory.deny(2, region, "rw")
    assert window.view[0] == 5  # a deny that fails takes nothing
    region.view[0] = 8
    assert window.view[0] == 8
    memory.grant(2, middle, "rw")  # a hole may be granted again
    memory.deny(2, region, "rw")
    assert bench.grants == []


def test_a_grant_that_makes_no_sense_is_refused_and_changes_nothing(bench: hyplink.Bench) -> None:
    memory = bench.vm(3).memory
    region = memory.alloc(4 * PAGE)
    at = region.address
    bad: list[tuple[type[Exception], int, Any, str]] = [
        (errors.BadArgument, 2, (at + 1, PAGE), "r"),  # not whole pages
        (errors.BadArgument, 2, (at, PAGE + 1), "r"),
        (errors.BadArgument, 2, (at, 0), "r"),
        (errors.BadArgument, 2, (at, (1 << 64) - PAGE), "r"),
        (errors.BadArgument, 2, [(at, 2 * PAGE), (at + PAGE, PAGE)], "r"),  # overlap in a call
        (errors.BadArgument, 2, [(at, PAGE), (at, PAGE)], "r"),
        (errors.BadArgument, 2, [], "r"),
        (errors.BadArgument, 2, [(at, PAGE)] * 9, "r"),
        (errors.BadArgument, 2, region, "w"),  # nobody writes without reading
        (errors.BadArgument, 2, region, "c"),
        (errors.BadArgument, 2, region, "x"),
        (errors.BadArgument, 3, region, "r"),  # to oneself
        (errors.BadArgument, 17, region, "r"),  # no such VM
        (errors.NotPermitted, 2, (at - PAGE, PAGE), "r"),  # not one's own
        (errors.NotPermitted, 2, (at, 5 * PAGE), "r"),
        (errors.NotPermitted, 2, (0x1000, PAGE), "r"),
    ]
    for kind, to, pages, access in bad:
        with pytest.raises(kind):
            memory.grant(to, pages, access)
        assert bench.grants == []
    memory.grant(2, region)
    assert len(bench.grants) == 1


def test_all_or_nothing_is_granted(bench: hyplink.Bench) -> None:
    memory = bench.vm(3).memory
    region = memory.alloc(4 * PAGE)
    at = region.address
    memory.grant(2, (at + 3 * PAGE, PAGE))
    with pytest.raises(errors.Busy):
        memory.grant(2, [(at, PAGE), (at + PAGE, PAGE), (at + 3 * PAGE, PAGE)])
    assert ranges(bench) == [(at + 3 * PAGE, PAGE, "rc", "offered")]
    with pytest.raises(errors.BadArgument):
        memory.deny(2, [(at + 3 * PAGE, PAGE), (at, PAGE)])
    assert ranges(bench) == [(at + 3 * PAGE, PAGE, "rc", "offered")]


def test_many_ranges_are_granted_denied_and_asked_for_in_one_call(bench: hyplink.Bench) -> None:
    memory = bench.vm(3).memory
    region = memory.alloc(200 * PAGE)
    every_other = [(region.address + page * PAGE, PAGE) for page in range(0, 200, 2)]
    memory.grant(2, [*every_other[5:], *every_other[:5]], "rw")
    assert ranges(bench) == [(at, PAGE, "rwc", "offered") for at, _ in every_other]
    assert bench.vm(2).memory.verify(3, every_other, "rw")
    with pytest.raises(errors.Busy):  # the last one: nothing is granted
        memory.grant(4, [*((at + PAGE, PAGE) for at, _ in every_other[:-1]), every_other[0]], "r")
    assert len(bench.grants) == 100
    window = bench.vm(2).map(every_other[50], writable=True)
    window.view[0] = 9
    with pytest.raises(errors.BadArgument):  # the last one: nothing is denied
        memory.deny(2, [*every_other, (region.address + PAGE, PAGE)], "rw")
    assert window.view[0] == 9
    assert len(bench.grants) == 100
    memory.deny(2, every_other, "rw")
    assert bench.grants == []
    assert window.view[0] == 0
    assert region.view[100 * PAGE] == 9
    with pytest.raises(errors.BadArgument, match="8192"):
        memory.grant(2, [(region.address + page * PAGE, PAGE) for page in range(9000)])


@REAL_TIME
def test_two_applications_of_a_vm_grant_many_ranges_at_the_same_time(bench: hyplink.Bench) -> None:
    with bench.vm(3).application() as one, bench.vm(3).application() as other:
        regions = [app.memory.alloc(60 * PAGE) for app in (one, other)]
        lists = [
            [(region.address + page * PAGE, PAGE) for page in range(0, 60, 2)] for region in regions
        ]

        def turn(app: rpq.Application, pages: list[tuple[int, int]]) -> None:
            for _ in range(4):
                app.memory.grant(2, list(pages))
                app.memory.deny(2, list(pages))
            app.memory.grant(2, list(pages))

        threads = [
            threading.Thread(target=turn, args=item)
            for item in zip((one, other), lists, strict=True)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert [at for at, *_ in ranges(bench)] == sorted(at for pages in lists for at, _ in pages)
        one.close()  # its grants alone
        assert [at for at, *_ in ranges(bench)] == [at for at, _ in lists[1]]


def test_granting_twice_and_overlaps_are_busy(bench: hyplink.Bench) -> None:
    memory = bench.vm(3).memory
    region = memory.alloc(4 * PAGE)
    at = region.address
    memory.grant(2, (at, 2 * PAGE))
    with pytest.raises(errors.Busy, match="already"):
        memory.grant(2, (at, 2 * PAGE))
    with pytest.raises(errors.Busy, match="already"):
        memory.grant(2, (at + PAGE, 2 * PAGE))
    with pytest.raises(errors.Busy, match="part of it"):
        memory.grant(4, (at + PAGE, PAGE))
    with pytest.raises(errors.Busy, match="other rights"):
        memory.grant(4, (at, 2 * PAGE), "rw")
    memory.grant(4, (at, 2 * PAGE))


def test_an_importer_needs_its_vm_memory_node(bench: hyplink.Bench) -> None:
    region = bench.vm(2).memory.alloc(PAGE)
    with pytest.raises(errors.AccessDenied, match=r"vl,vm-memory node with vl,vm-id = <2>"):
        bench.vm(2).grant(3, region)


def test_a_deny_needs_the_flags_of_the_grant(bench: hyplink.Bench) -> None:
    memory = bench.vm(3).memory
    region = memory.alloc(PAGE)
    memory.grant(2, region, "rw")
    for access in ("r", "rwcd", "rwd"):
        with pytest.raises(errors.BadArgument):
            memory.deny(2, region, access)
    with pytest.raises(errors.BadArgument):
        memory.deny(4, region, "rw")
    memory.deny(2, region, "rw")
    with pytest.raises(errors.BadArgument):
        memory.deny(2, region, "rw")


def test_a_grant_for_dma_alone_cannot_be_mapped(bench: hyplink.Bench) -> None:
    memory = bench.vm(3).memory
    region = memory.alloc(PAGE)
    memory.grant(2, region, "rd")
    with pytest.raises(errors.AccessDenied):
        bench.vm(2).map(region)
    assert bench.vm(2).memory.verify(3, region, "rd")
    assert not bench.vm(2).memory.verify(3, region, "r")
    memory.deny(2, region, "rd")
    memory.grant(2, region, "rcd")
    assert bytes(bench.vm(2).map(region).view[:1]) == b"\0"


def test_the_importer_can_ask_what_it_was_granted(bench: hyplink.Bench) -> None:
    memory, asking = bench.vm(3).memory, bench.vm(2).memory
    region = memory.alloc(4 * PAGE)
    pages = (region.address, 2 * PAGE)
    assert not asking.verify(3, pages)
    memory.grant(2, pages)
    assert asking.verify(3, pages)
    assert asking.verify(3, (region.address + PAGE, PAGE))
    assert not asking.verify(3, region)
    assert not asking.verify(3, pages, "rw")
    assert not asking.verify(4, pages)
    assert not bench.vm(4).memory.verify(3, pages)
    memory.deny(2, (region.address, PAGE))
    assert not asking.verify(3, pages)


def test_a_level_that_cannot_be_given_is_refused_with_the_reason(bench: hyplink.Bench) -> None:
    memory = bench.vm(3).memory
    region = memory.alloc(PAGE)
    if bench.backend == "thread":
        for level in ("memfd", "broker"):
            with pytest.raises(errors.Unsupported, match=f"level {level}.*one address space"):
                memory.grant(2, region, level=level)
        memory.grant(2, region, level="cooperative")
    else:
        memory.grant(2, region, level="memfd")
    assert len(bench.grants) == 1


def test_what_is_freed_is_taken_back(bench: hyplink.Bench) -> None:
    region = bench.vm(3).memory.alloc(PAGE)
    region.view[0] = 5
    bench.vm(3).grant(2, region)
    window = bench.vm(2).map(region)
    assert window.view[0] == 5
    region.close()
    assert window.view[0] == 0
    assert region.view[0] == 5  # private now
    assert bench.grants == []
    window.wait_revoked()


def test_nobody_waits_for_a_window_that_is_closed(bench: hyplink.Bench) -> None:
    region = bench.vm(3).memory.alloc(PAGE)
    bench.vm(3).grant(2, region)
    window = bench.vm(2).map(region)
    window.close()
    with pytest.raises(errors.HandleClosed):
        window.wait_revoked()


@REAL_TIME
def test_a_window_that_is_closed_lets_go_who_waits_for_it(bench: hyplink.Bench) -> None:
    region = bench.vm(3).memory.alloc(PAGE)
    bench.vm(3).grant(2, region)
    window = bench.vm(2).map(region)
    heard: list[errors.LinkError] = []

    def wait() -> None:
        try:
            window.wait_revoked(timeout=None)
        except errors.LinkError as why:
            heard.append(why)

    waiting = threading.Thread(target=wait)
    waiting.start()
    window.close()
    waiting.join()
    assert isinstance(heard[0], errors.Cancelled | errors.HandleClosed)


def test_the_end_of_the_exporting_application_takes_its_grants_back(bench: hyplink.Bench) -> None:
    with bench.vm(3).application() as exporter:
        region = exporter.memory.alloc(PAGE)
        region.view[0] = 5
        exporter.memory.grant(2, region)
        window = bench.vm(2).map(region)
        assert window.view[0] == 5
    assert window.view[0] == 0
    assert region.view[0] == 5  # private now
    assert bench.grants == []


def test_another_application_of_the_vm_cannot_grant_it(bench: hyplink.Bench) -> None:
    region = bench.vm(3).memory.alloc(PAGE)
    with bench.vm(3).application() as other, pytest.raises(errors.NotPermitted):
        other.memory.grant(2, region)


def test_a_dead_exporter_loses_its_grants_after_the_links_went_off(bench: hyplink.Bench) -> None:
    bench.link("vogl0").wait_on()
    region = bench.vm(3).memory.alloc(PAGE)
    region.view[0] = 5
    bench.vm(3).grant(2, region)
    window = bench.vm(2).map(region)
    bench.vm(3).kill()
    window.wait_revoked()
    assert window.view[0] == 0
    assert bench.grants == []
    # The order of the document: the survivor's end goes OFF, then the memory is taken.
    records = journal(bench, "link_state", "grant_revoked")
    kinds = [(record.event, record.a, record.b) for record in records]
    off = max(
        i for i, (event, a, b) in enumerate(kinds) if event == "link_state" and a == 0 and b == 0
    )
    taken = next(i for i, (event, _, _) in enumerate(kinds) if event == "grant_revoked")
    assert off < taken
    bench.vm(3).boot()
    bench.link("vogl0").wait_on()
    with pytest.raises(errors.AccessDenied):
        bench.vm(2).map(region)


def test_a_shut_down_exporter_loses_its_grants(bench: hyplink.Bench) -> None:
    bench.link("vogl0").wait_on()
    region = bench.vm(3).memory.alloc(PAGE)
    region.view[0] = 5
    bench.vm(3).grant(2, region)
    window = bench.vm(2).map(region)
    bench.vm(3).shutdown()
    window.wait_revoked()
    assert window.view[0] == 0
    assert bench.grants == []


def test_an_importer_that_dies_has_nothing_mapped_and_may_map_again(bench: hyplink.Bench) -> None:
    region = bench.vm(3).memory.alloc(PAGE)
    region.view[0] = 5
    bench.vm(3).grant(2, region)
    window = bench.vm(2).map(region)
    bench.vm(2).kill()
    assert ranges(bench) == [(region.address, PAGE, "rc", "offered")]
    window.wait_revoked()
    assert window.view[0] == 0
    assert region.view[0] == 5
    bench.vm(2).boot()
    assert bench.vm(2).map(region).view[0] == 5


def test_views_outlive_what_they_show(bench: hyplink.Bench) -> None:
    region = bench.vm(3).memory.alloc(PAGE)
    bench.vm(3).grant(2, region, "rw")
    window = bench.vm(2).map(region, writable=True)
    views = (region.view, window.view)
    region.close()
    window.close()
    bench.close()
    for view in views:
        view[0] = 1
        assert len(bytes(view)) == PAGE


@REAL_TIME
def test_no_write_is_lost_while_pages_are_granted_and_denied(bench: hyplink.Bench) -> None:
    memory = bench.vm(3).memory
    region = memory.alloc(64 * PAGE)
    stop = threading.Event()
    counted = 0

    def write() -> None:
        nonlocal counted
        cells = region.view.cast("Q")
        while not stop.is_set():
            for cell in range(0, len(cells), 512):
                cells[cell] += 1
            counted += 1

    writer = threading.Thread(target=write)
    writer.start()
    try:
        turn = 0
        while turn < 60 or not counted:
            assert writer.is_alive()
            access = "rw" if turn % 2 else "r"
            memory.grant(2, region, access)
            memory.deny(2, region, access)
            turn += 1
    finally:
        stop.set()
        writer.join()
    assert [region.view.cast("Q")[cell] for cell in range(0, 64 * 512, 512)] == [counted] * 64


@PROCESS
def test_code_inside_the_vms_grants_and_maps(bench: hyplink.Bench) -> None:
    def exporter(app: Any) -> bytes:
        with app.rpq("vogl0").session() as session, session.channel() as channel:
            region = app.memory.alloc(4096)
            region.view[:4] = b"ping"
            app.memory.grant(2, region, "rw")
            channel.call_bytes(1, region.address.to_bytes(8, "little"), 0)
            app.memory.deny(2, region, "rw")
            return bytes(region.view[:4])

    def importer(app: Any) -> bytes:
        with app.rpq("vogl0").accept() as session, session.accept() as channel:
            (request,) = channel.receive()
            window = app.memory.map(int.from_bytes(request.params, "little"), 4096, writable=True)
            seen = bytes(window.view[:4])
            window.view[:4] = b"pong"
            channel.acknowledge()
            window.wait_revoked()
            return seen + bytes(window.view[:4])

    serving = bench.vm(2).start(importer)
    asking = bench.vm(3).start(exporter)
    assert asking.result() == b"pong"
    assert serving.result() == b"ping\0\0\0\0"
