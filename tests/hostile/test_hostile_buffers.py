"""A VM that writes random and crafted values into all that it shares with another for vUmem and vION.

The other VM works meanwhile: it reports, never hangs, keeps nothing, and works with the next honest one. For minutes
with ``-m soak`` (HYPLINK_HOSTILE_SECONDS, 120 for each).
"""

from __future__ import annotations

import collections
import contextlib
import os
import random
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import hyplink
from hyplink import errors, umem
from hyplink.testing import background, eventually

pytestmark = pytest.mark.hyplink_backend("process")
SHORT = float(os.environ.get("HYPLINK_HOSTILE_SHORT", "1.0"))
SECONDS = float(os.environ.get("HYPLINK_HOSTILE_SECONDS", "120"))
MOMENT = 0.02
PAGE = 4096
#: More than what a kernel has open besides, less than one for each of the hundreds of rounds.
SPARE = 40
#: VM 2 and VM 3 with vUmem on vogl0 and vION both ways; VM 4 is the bystander.
BOARD = """
&vm2_vdevs {
    be0: vogl@be0 { compatible = "vogl"; server; };
    be2: vogl@be2 { compatible = "vogl"; server; };
    i: vrpc@i { compatible = "vrpc"; info = "vion"; server; };
    vrpc@j { peer-phandle = <&j>; client; info = "vion"; };
};
&vm3_vdevs {
    vogl@fe0 { peer-phandle = <&be0>; client; };
    vogl@fe1 { peer-phandle = <&be1>; client; };
    vrpc@i { peer-phandle = <&i>; client; info = "vion"; };
    j: vrpc@j { compatible = "vrpc"; info = "vion"; server; };
};
&vm4_vdevs {
    be1: vogl@be1 { compatible = "vogl"; server; };
    vogl@fe2 { peer-phandle = <&be2>; client; };
};
"""
Outcomes = collections.Counter[str]


def held(vm: Any) -> tuple[int, int]:
    """Descriptors and mapped objects of a VM's kernel."""
    folder = Path(f"/proc/{vm.pid}")
    return len(list((folder / "fd").iterdir())), (folder / "maps").read_text().count("memfd:")


@contextlib.contextmanager
def noted(outcomes: Outcomes) -> Iterator[None]:
    """What an operation reports; anything but an error of the library fails the test."""
    try:
        yield
        outcomes["ok"] += 1
    except errors.HyplinkError as error:
        outcomes[type(error).__name__] += 1


def borrows(vm: Any, until: float, outcomes: Outcomes) -> None:
    """A vUmem client whose server writes anything."""
    with vm.application() as application:
        application.timeout = MOMENT
        device = application.umem("vogl0")
        while time.monotonic() < until:
            with noted(outcomes), device.session() as session:
                for _ in range(20):
                    with noted(outcomes), session.alloc(b"please") as buffer:
                        with noted(outcomes):
                            view = buffer.map()
                            view[0] = 1
                            view[len(view) - 1] = 1
                        with noted(outcomes):
                            buffer.control(b"12345678")
                        with noted(outcomes):
                            device.import_buffer(buffer.token).close()


def lends(vm: Any, until: float, outcomes: Outcomes) -> None:
    """A vUmem server whose client writes anything."""
    with vm.application() as application:
        application.timeout = MOMENT
        device = application.umem("vogl0")
        memory: dict[int, Any] = {}
        while time.monotonic() < until:
            with noted(outcomes), device.server() as server:
                memory.clear()
                gone = outcomes["PeerDied"]
                while outcomes["PeerDied"] == gone and time.monotonic() < until:
                    with noted(outcomes):
                        request = server.receive()
                        if request.command is umem.Command.ALLOC:
                            memory[request.buffer] = umem.Memory(4 * PAGE)
                            memoryview(memory[request.buffer])[:] = b"\x5a" * (4 * PAGE)
                        server.respond(memory.get(request.buffer))
                        for mine in memory.values():
                            assert bytes(memoryview(mine)) == b"\x5a" * (4 * PAGE)


def exports_and_imports(vm: Any, until: float, outcomes: Outcomes) -> None:
    """Both ends of vION: the other VM's driver asks and answers anything."""
    pick = random.Random(vm.id)
    with vm.application() as application:
        application.timeout = MOMENT
        with application.ion() as ion:
            while time.monotonic() < until:
                with noted(outcomes), ion.alloc(2 * PAGE) as mine:
                    mine.map()[:] = b"\x5a" * (2 * PAGE)
                    mine.share()
                    for _ in range(5):
                        ident = (5 - vm.id) << 56 | pick.getrandbits(40)
                        with noted(outcomes), ion.import_buffer(ident) as theirs:
                            theirs.map()[0] = 1
                    assert bytes(mine.map()) == b"\x5a" * (2 * PAGE)


CASES: dict[str, tuple[int, str, Callable[[Any, float, Outcomes], None]]] = {
    "vUmem client": (2, "scribbles_over_vumem", borrows),
    "vUmem server": (3, "scribbles_over_vumem", lends),
    "vION beside the server": (3, "scribbles_over_vion", exports_and_imports),
    "vION beside the client": (2, "scribbles_over_vion", exports_and_imports),
}


def suffers(hostile: Any, case: str, seconds: float) -> Outcomes:
    vm, act, works = CASES[case]
    scene = hostile(vm, act, board=BOARD)
    scene.expect("scribbling")
    outcomes: Outcomes = collections.Counter()
    before = held(scene.peer)
    works(scene.peer, time.monotonic() + seconds, outcomes)
    # A short run may not come so far; the deadline is for what never comes.
    patience = time.monotonic() + 120
    while not outcomes.total() - outcomes["ok"] and time.monotonic() < patience:
        works(scene.peer, time.monotonic() + 0.2, outcomes)
    assert outcomes.total() > outcomes["ok"], "nothing was ever refused"
    scene.others_are_fine()
    scene.recovers_with_a_good_program()
    nothing_is_left(scene.bench, scene.peer, before)
    buffers_work(scene.bench)
    nothing_is_left(scene.bench, scene.peer, before)
    assert scene.peer.boots == 1
    return outcomes


def nothing_is_left(bench: hyplink.Bench, peer: Any, before: tuple[int, int]) -> None:
    eventually(bench, lambda: not any(end.buffers for end in bench.stats.buffers()), timeout=60)
    for now, then in zip(held(peer), before, strict=True):
        assert now <= then + SPARE


def buffers_work(bench: hyplink.Bench) -> None:
    """Both mechanisms, both VMs honest."""
    with bench.vm(2).application() as one, bench.vm(3).application() as two:
        one.timeout = two.timeout = 60
        with one.umem("vogl0").server() as server:
            memory = umem.Memory(PAGE)

            def serve() -> None:
                for given in (memory, None):
                    server.receive()
                    server.respond(given)

            serving = background(bench, serve)
            with two.umem("vogl0").session() as session:
                buffer = session.alloc()
                buffer.map()[0] = 9
                assert memoryview(memory)[0] == 9
                buffer.free()
            serving.result()
        for lender, borrower in ((one, two), (two, one)):
            with lender.ion() as lends, borrower.ion() as borrows, lends.alloc(PAGE) as mine:
                mine.map()[:4] = b"mine"
                with borrows.import_buffer(mine.share()) as theirs:
                    assert bytes(theirs.map()[:4]) == b"mine"


@pytest.mark.parametrize("case", CASES)
def test_whatever_the_other_vm_writes(hostile: Any, case: str) -> None:
    suffers(hostile, case, SHORT)


@pytest.mark.soak
@pytest.mark.parametrize("case", CASES)
def test_for_minutes(
    hostile: Any, case: str, record_property: Callable[[str, object], None]
) -> None:
    record_property("outcomes", dict(suffers(hostile, case, SECONDS)))
