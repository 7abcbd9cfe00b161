"""A guest kernel that misuses the hypercalls of shared memory: each is refused, and nobody else has less or more."""

from __future__ import annotations

import contextlib
import json
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hyplink import VmState, errors
from hyplink.testing import eventually

pytestmark = pytest.mark.hyplink_backend("process")
PAGE = 4096
#: VM 2 is the hostile one. VMs 3 and 4 share vION buffers, too.
BOARD = """
&vm2_vdevs {
    be0: vogl@be0 { compatible = "vogl"; server; };
    be2: vogl@be2 { compatible = "vogl"; server; };
};
&vm3_vdevs {
    vogl@fe0 { peer-phandle = <&be0>; client; };
    vogl@fe1 { peer-phandle = <&be1>; client; };
    ion: vrpc@ion { compatible = "vrpc"; info = "vion"; server; };
};
&vm4_vdevs {
    be1: vogl@be1 { compatible = "vogl"; server; };
    vogl@fe2 { peer-phandle = <&be2>; client; };
    vrpc@ion { peer-phandle = <&ion>; client; info = "vion"; };
};
&vm2_vplatform { vm-memory@3 { compatible = "vl,vm-memory"; vl,vm-id = <3>; }; };
&vm4_vplatform {
    vm-memory@2 { compatible = "vl,vm-memory"; vl,vm-id = <2>; };
    vm-memory@3 { compatible = "vl,vm-memory"; vl,vm-id = <3>; };
};
"""
LEND, VM_DROPPED = 27, 36
ACTS = (
    "grants_what_is_not_its_own",
    "grants_no_whole_pages_and_no_memory",
    "grants_with_sums_that_overflow",
    "grants_overlaps_and_twice",
    "sets_bits_that_mean_nothing",
    "begins_calls_that_it_never_ends",
    "takes_memory_and_grants_without_end",
    "grants_more_than_it_may",
    "maps_and_denies_what_it_was_not_granted",
    "lends_and_borrows_what_it_must_not",
    "takes_back_later",
    "lends_without_end",
)


def records(bench: Any, event: int) -> list[tuple[int, int, int]]:
    """(VM, first and second value) of every record of a kind."""
    every = struct.iter_unpack("<QHHIIIQQ24x", bench.journal_bytes())
    return [(vm, a, b) for _, kind, vm, _, _, a, b, _ in every if kind == event]


@contextlib.contextmanager
def honest(bench: Any, folder: Path) -> Iterator[None]:
    """VM 3 shares with VM 4, and a page with VM 2; what both have is the same in the end."""
    memory = bench.vm(3).memory
    region = memory.alloc(4 * PAGE)
    region.view[:] = b"\x05" * region.nbytes
    first, second, denied, _ = (region.pages(page * PAGE, PAGE) for page in range(4))
    memory.grant(4, first, "rw")
    memory.grant(2, second)
    memory.grant(2, denied)
    memory.deny(2, denied)
    window = bench.vm(4).map(first, writable=True)
    with bench.vm(3).ion() as lends, bench.vm(4).ion() as borrows:
        mine = lends.alloc(PAGE)
        mine.map()[:] = b"\x06" * PAGE
        theirs = borrows.import_buffer(mine.share())
        facts = {
            "granted to others": first[0],
            "granted to us": second[0],
            "denied": denied[0],
            "lent to others": records(bench, LEND)[-1][2],
        }
        (folder / "facts").write_text(json.dumps(facts))
        before = {grant[:5] for grant in bench.grants}
        yield
        assert {grant[:5] for grant in bench.grants if grant.exporter == 3} == before
        assert bytes(region.view) == b"\x05" * region.nbytes
        assert window.read() == b"\x05" * PAGE
        window.view[1] = 6
        assert region.view[1] == 6
        assert bytes(theirs.map()) == bytes(mine.map()) == b"\x06" * PAGE
        assert not theirs.is_lost
        theirs.close()
        mine.close()


@pytest.mark.parametrize("act", ACTS)
def test_a_kernel_that(hostile: Any, tmp_path: Path, act: str) -> None:
    scene = hostile(2, act, boot=False, board=BOARD)
    with honest(scene.bench, tmp_path):
        scene.vm.boot(timeout=60)
        said = scene.word(timeout=300)
        assert said.startswith("fine"), said
        assert scene.vm.state is VmState.RUNNING
        scene.others_are_fine()
        scene.vm.kill()
        eventually(scene.bench, lambda: {grant.exporter for grant in scene.bench.grants} == {3})
    scene.recovers_with_a_good_program()


def test_a_list_of_grants_that_is_shorter_than_it_says_ends_who_sent_it(
    hostile: Any, tmp_path: Path
) -> None:
    scene = hostile(2, "claims_a_longer_list_than_it_sends", boot=False, board=BOARD)
    with honest(scene.bench, tmp_path):
        with contextlib.suppress(errors.PeerDied):  # it may be dead before we look
            scene.vm.boot(timeout=60)
        scene.vm.wait(VmState.DEAD, timeout=60)
        assert [why for _, *why in records(scene.bench, VM_DROPPED)] == [[2, 2]]
        scene.others_are_fine()
    scene.recovers_with_a_good_program()
