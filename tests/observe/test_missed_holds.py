"""A keeper that does not run while somebody else loses the pages.

Where it may only read it is not waited for, and that is said. Where it may write nobody asks it.
"""

from __future__ import annotations

import os
import select
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import hyplink
from hyplink import observe
from hyplink.trace import EventKind
from stopping import stopped

PAGE = 4096
BOARD = """
&vm2_vplatform { vm-memory@3 { compatible = "vl,vm-memory"; vl,vm-id = <3>; }; };
&vm3_vplatform { };
&vm4_vplatform { vm-memory@3 { compatible = "vl,vm-memory"; vl,vm-id = <3>; }; };
"""


def test_a_stopped_keeper_is_named_with_the_pages_it_did_not_hold() -> None:
    with (
        hyplink.Bench.from_dts(BOARD, backend="process", timeout=60) as bench,
        observe.serve(bench) as observer,
    ):
        memory = bench.vm(3).memory
        region = memory.alloc(2 * PAGE)
        region.view[:] = b"\x05" * region.nbytes
        for vm in (2, 4):
            memory.grant(vm, region, "r")
        bench.vm(4).map(region)
        said, say = os.pipe()
        ordered, order = os.pipe()
        path = f"/proc/{os.getpid()}/fd"
        keeper = bench.vm(2).start(keep(f"{path}/{say}", f"{path}/{ordered}", region.pages()))
        while not select.select([said], [], [], 0.2)[0]:
            assert not keeper.done(), keeper.result()
        pid = int(os.read(said, 20))
        assert bench.missed_holds == []
        with stopped(pid):
            memory.deny(4, region, "r")
        region.view[:] = b"\x06" * region.nbytes
        os.write(order, b"x")
        assert keeper.result() == b"\x06" * region.nbytes
        assert [tuple(missed) for missed in bench.missed_holds] == [(3, 2, 1)]
        (event,) = [each for each in bench.trace if each.kind is EventKind.HOLD_MISSED]
        assert (event.a, event.b, event.c) == (2 | 3 << 16, region.address, region.nbytes)
        which = f"{observer.address.pid}.{observer.address.number}"
        command = [sys.executable, "-m", "hyplink", "stat", "--grants", "--bench", which]
        text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        assert "VM 2 did not hold in time 1 range that VM 3 denied to others" in text
        for fd in (said, say, ordered, order):
            os.close(fd)


def huge_pages() -> bool:
    """Whether this machine gives memfds huge pages: of those it may be necessary to ask who keeps them."""
    for setting in Path("/sys/kernel/mm/transparent_hugepage").glob("**/shmem_enabled"):
        if not any(f"[{word}]" in setting.read_text() for word in ("never", "deny", "inherit")):
            return True
    return False


@pytest.mark.skipif(huge_pages(), reason="pages cannot be moved where memfds have huge pages")
def test_a_stopped_keeper_of_writable_pages_neither_delays_a_deny_nor_misses_anything() -> None:
    with hyplink.Bench.from_dts(BOARD, backend="process", timeout=60) as bench:
        memory = bench.vm(3).memory
        region = memory.alloc(2 * PAGE)
        region.view[:] = b"\x05" * region.nbytes
        for vm in (2, 4):
            memory.grant(vm, region, "rw")
        lost = bench.vm(4).map(region, writable=True)
        said, say = os.pipe()
        ordered, order = os.pipe()
        path = f"/proc/{os.getpid()}/fd"
        keeper = bench.vm(2).start(keep(f"{path}/{say}", f"{path}/{ordered}", region.pages()))
        while not select.select([said], [], [], 0.2)[0]:
            assert not keeper.done(), keeper.result()
        with stopped(int(os.read(said, 20))):
            memory.deny(4, region, "rw")
            lost.wait_revoked()
            region.view[:] = b"\x06" * region.nbytes
        os.write(order, b"x")
        assert keeper.result() == b"\x06" * region.nbytes
        assert bench.missed_holds == []
        assert bytes(lost.view) == bytes(region.nbytes)
        for fd in (said, say, ordered, order):
            os.close(fd)


def keep(say: str, ordered: str, pages: tuple[int, int]) -> Callable[[Any], bytes]:
    """Map, say who one is, and show all of it when told to."""

    def body(app: Any) -> bytes:
        window = app.memory.map(*pages)
        window.read(0, 1)  # asks its kernel, which knows of the window from then on
        with open(say, "wb", buffering=0) as out, open(ordered, "rb", buffering=0) as orders:
            out.write(f"{os.getpid()}".encode())
            orders.read(1)
        return bytes(window.read(0, pages[1]))

    return body
