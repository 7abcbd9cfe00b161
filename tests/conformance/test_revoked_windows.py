"""What an importer finds in a window whose pages were taken back, and how it asks."""

from __future__ import annotations

import contextlib
import hashlib
import os
import threading
from typing import Any

import pytest
from conformance_lib import EVERYWHERE, PROCESS, REAL_TIME

import hyplink
from hyplink import errors

PAGE = 4096
BOARD = """
&vm2_vdevs { be: vogl@be { compatible = "vogl"; info = "vrpq-reqs=256,vrpq-pmem=64K"; server; }; };
&vm3_vdevs { vogl@fe { peer-phandle = <&be>; client; }; };
&vm2_vplatform { vm-memory@3 { compatible = "vl,vm-memory"; vl,vm-id = <3>; }; };
&vm4_vplatform { vm-memory@3 { compatible = "vl,vm-memory"; vl,vm-id = <3>; }; };
"""
pytestmark = [EVERYWHERE, pytest.mark.hyplink_dts(BOARD)]


def test_reading_a_denied_part_raises_and_the_rest_is_read(bench: hyplink.Bench) -> None:
    memory = bench.vm(3).memory
    region = memory.alloc(3 * PAGE)
    region.view[:] = b"\x05" * region.nbytes
    memory.grant(2, region)
    window = bench.vm(2).map(region)
    assert window.read() == b"\x05" * region.nbytes
    window.check()
    memory.deny(2, (region.address + PAGE, PAGE))
    for part in ((), (PAGE,), (PAGE - 1, 2), (2 * PAGE - 1, 1), (PAGE + 5, 9)):
        with pytest.raises(errors.GrantRevoked):
            window.read(*part)
        with pytest.raises(errors.GrantRevoked):
            window.check(*part)
    assert window.revoked == PAGE  # who has asked has heard
    assert window.read(7, PAGE - 7) == b"\x05" * (PAGE - 7)
    assert window.read(2 * PAGE) == b"\x05" * PAGE
    assert window.read(5, 0) == b""
    for offset, nbytes in ((3 * PAGE, 1), (0, 3 * PAGE + 1), (1 << 62, 1)):
        with pytest.raises(errors.BadArgument):
            window.read(offset, nbytes)
        with pytest.raises(errors.BadArgument):
            window.check(offset, nbytes)


def test_what_is_granted_anew_has_to_be_mapped_anew(bench: hyplink.Bench) -> None:
    memory, importer = bench.vm(3).memory, bench.vm(2)
    region = memory.alloc(PAGE)
    region.view[:] = b"\x05" * PAGE
    memory.grant(2, region)
    old = importer.map(region)
    memory.deny(2, region)
    old.wait_revoked()
    memory.grant(2, region)
    assert importer.memory.verify(3, region)
    with pytest.raises(errors.GrantRevoked):
        old.read()
    assert old.view[0] == 0
    assert importer.map(region).read() == b"\x05" * PAGE


def test_a_denied_window_takes_writes_that_reach_nobody(bench: hyplink.Bench) -> None:
    memory = bench.vm(3).memory
    region = memory.alloc(PAGE)
    region.view[:] = b"\x05" * PAGE
    memory.grant(2, region, "rw")
    window = bench.vm(2).map(region, writable=True)
    memory.deny(2, region, "rw")
    window.view[:] = b"\x09" * PAGE
    assert bytes(region.view) == b"\x05" * PAGE
    with pytest.raises(errors.GrantRevoked):
        window.read()


@pytest.mark.parametrize("victim", [2, 3])
def test_after_a_death_the_window_says_that_it_is_gone(bench: hyplink.Bench, victim: int) -> None:
    bench.link("vogl0").wait_on()
    memory = bench.vm(3).memory
    region = memory.alloc(PAGE)
    region.view[:] = b"\x05" * PAGE
    memory.grant(2, region)
    window = bench.vm(2).map(region)
    bench.vm(victim).kill()
    window.wait_revoked()
    assert bytes(window.view) == bytes(PAGE)
    with pytest.raises(errors.GrantRevoked):
        window.read()
    with pytest.raises(errors.GrantRevoked):
        window.check()


def test_a_closed_window_says_so(bench: hyplink.Bench) -> None:
    region = bench.vm(3).memory.alloc(PAGE)
    bench.vm(3).grant(2, region)
    window = bench.vm(2).map(region)
    window.close()
    with pytest.raises(errors.HandleClosed):
        window.read()
    with pytest.raises(errors.HandleClosed):
        window.check()


@REAL_TIME
def test_what_is_read_is_never_a_zero_of_a_deny(bench: hyplink.Bench) -> None:
    """The exporter's bytes are never zero. VM 4 comes and goes meanwhile, so pages are also replaced."""
    memory, importer = bench.vm(3).memory, bench.vm(2)
    region = memory.alloc(4 * PAGE)
    region.view[:] = b"\x05" * region.nbytes
    stop = threading.Event()
    counts = {"read": 0, "revoked": 0, "zeroes": 0}

    def read() -> None:
        while not stop.is_set():
            with contextlib.suppress(errors.AccessDenied):
                window = importer.map(region)
                try:
                    while not stop.is_set():
                        counts["zeroes"] += window.read().count(0)
                        counts["read"] += 1
                except errors.GrantRevoked:
                    counts["revoked"] += 1
                except errors.Busy:
                    pass
                window.close()

    reader = threading.Thread(target=read)
    reader.start()
    try:
        turns = 0
        while turns < 100 or counts["revoked"] < 10 or counts["read"] < 100:
            memory.grant(2, region)
            memory.grant(4, region)
            bench.vm(4).map(region).close()
            for loser in (4, 2) if turns % 2 else (2, 4):
                memory.deny(loser, region)
            turns += 1
    finally:
        stop.set()
        reader.join()
    assert counts["zeroes"] == 0


@REAL_TIME
def test_whatever_uses_a_view_survives_a_deny_in_the_midst(bench: hyplink.Bench) -> None:
    """Code that knows nothing of grants: it hashes, compares, writes it to a file, reads into it."""
    memory, importer = bench.vm(3).memory, bench.vm(2)
    region = memory.alloc(64 * PAGE)
    region.view[:] = b"\x05" * region.nbytes
    box: dict[str, memoryview] = {}
    stop = threading.Event()
    used = 0
    zero = os.open("/dev/zero", os.O_RDONLY | os.O_CLOEXEC)
    null = os.open("/dev/null", os.O_WRONLY | os.O_CLOEXEC)

    def use() -> None:
        nonlocal used
        while not stop.is_set():
            view = box.get("view")
            if view is None:
                continue
            hashlib.sha256(view).digest()
            assert len(view.tobytes()) == region.nbytes
            _ = view == view
            os.write(null, view)
            os.readv(zero, [view[PAGE : 2 * PAGE]])
            view[::PAGE] = b"\x05" * 64
            used += 1

    user = threading.Thread(target=use)
    user.start()
    try:
        turns = 0
        while turns < 40 or used < 20:
            memory.grant(2, region, "rw")
            window = importer.map(region, writable=True)
            box["view"] = window.view
            memory.deny(2, region, "rw")
            assert user.is_alive()
            turns += 1
    finally:
        stop.set()
        user.join()
        os.close(zero)
        os.close(null)


@PROCESS
def test_code_inside_the_importing_vm_is_told_and_lives(bench: hyplink.Bench) -> None:
    def exporter(app: Any) -> int:
        with app.rpq("vogl0").session() as session, session.channel() as channel:
            region = app.memory.alloc(8192)
            region.view[:] = b"\x05" * 8192
            app.memory.grant(2, region)
            channel.call_bytes(1, region.address.to_bytes(8, "little"), 0)
            app.memory.deny(2, (region.address, 4096))
            channel.call_bytes(2, b"", 0)
        return 0

    def importer(app: Any) -> list[Any]:
        said: list[Any] = []
        with app.rpq("vogl0").accept() as session, session.accept() as channel:
            (request,) = channel.receive()
            window = app.memory.map(int.from_bytes(request.params, "little"), 8192)
            said.append(window.read() == b"\x05" * 8192)
            channel.acknowledge()
            channel.receive()
            # Read first: who got no processor for a moment may see zeroes until then.
            said.append(window.read(4096) == b"\x05" * 4096)
            said.append(bytes(window.view) == bytes(4096) + b"\x05" * 4096)
            try:
                window.read()
            except hyplink.errors.GrantRevoked:
                said.append("revoked")
            channel.acknowledge()
        return said

    serving = bench.vm(2).start(importer)
    bench.vm(3).start(exporter).result()
    assert serving.result() == [True, True, True, "revoked"]
