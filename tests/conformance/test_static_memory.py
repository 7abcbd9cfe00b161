"""Static shared regions (document 003, 2.1.1): memory that the tree gives to the VMs it names, and to no others."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import pytest
from conformance_lib import EVERYWHERE, PROCESS

import hyplink
from hyplink import errors
from hyplink.nkddi import Nkddi

PAGE = 4096
MEGABYTE = 1 << 20
LOW = 0xD000_0000
HIGH = 0x8_0000_0000


def io_memory(pa: int, size: int, ipa: int | None = None, more: str = "vl,allow-sharing;") -> str:
    at = f"ipa-base = <{ipa >> 32:#x} {ipa & 0xFFFFFFFF:#x}>;" if ipa is not None else ""
    return f"""
        vl,io-memory@{ipa or pa:x}-{size:x} {{
            compatible = "vl,io-memory";
            reg = <0x0 {pa:#x} {size:#x}>;
            vl,attributes = <VDT_S2PTE_UPPER_MEM VDT_S2PTE_LOWER_MEM>;
            {at} {more}
        }};"""


#: VM 2 sees both regions where they are; VM 3 the first one elsewhere; VM 4 the second half of the first and the first
#: half of the second one; VM 5 only memory of its own.
BOARD = f"""
&invalid_region {{ reg = <0 0xd0000000 0x04000000>, <0 0xd4000000 0x04000000>; }};
&vm2_vplatform {{ {io_memory(LOW, 64 * MEGABYTE)} {io_memory(LOW + 64 * MEGABYTE, 64 * MEGABYTE)} }};
&vm3_vplatform {{ {io_memory(LOW, 64 * MEGABYTE, HIGH)} }};
&vm4_vplatform {{ {io_memory(LOW + 32 * MEGABYTE, 64 * MEGABYTE)} }};
&vm5_vplatform {{ {io_memory(0xE000_0000, PAGE, more="")} }};
"""

pytestmark = [EVERYWHERE, pytest.mark.hyplink_dts(BOARD)]


def mapped(bench: hyplink.Bench, vm: int, address: int, nbytes: int) -> memoryview:
    with Nkddi(bench.vm(vm).application()) as nk:
        return nk.map(address, nbytes)


def test_two_vms_see_the_same_bytes_each_at_the_address_its_tree_gives(
    bench: hyplink.Bench,
) -> None:
    mine = mapped(bench, 2, LOW, 64 * MEGABYTE)
    theirs = mapped(bench, 3, HIGH, 64 * MEGABYTE)
    mine[5 * MEGABYTE : 5 * MEGABYTE + 5] = b"frame"
    theirs[-3:] = b"end"
    assert bytes(theirs[5 * MEGABYTE : 5 * MEGABYTE + 5]) == b"frame"
    assert bytes(mine[-3:]) == b"end"
    assert mine.nbytes == theirs.nbytes == 64 * MEGABYTE


def test_code_inside_the_vms_shares_it_too(bench: hyplink.Bench) -> None:
    def write(app: Any) -> None:
        with Nkddi(app) as nk:
            nk.map(LOW + PAGE, 6)[:] = b"inside"

    def read(app: Any) -> bytes:
        with Nkddi(app) as nk:
            return bytes(nk.map(HIGH + PAGE, 6))

    bench.vm(2).start(write).result()
    assert bench.vm(3).start(read).result() == b"inside"


def test_a_region_that_others_share_in_part_is_one_piece_for_its_vm(bench: hyplink.Bench) -> None:
    whole = mapped(bench, 2, LOW, 128 * MEGABYTE)  # two nodes, one behind the other
    half = mapped(bench, 4, LOW + 32 * MEGABYTE, 64 * MEGABYTE)
    first = mapped(bench, 3, HIGH, 64 * MEGABYTE)
    edge = 32 * MEGABYTE  # of VM 4's view: where the second region begins
    half[edge - 2 : edge + 2] = b"seam"
    assert bytes(whole[64 * MEGABYTE - 2 : 64 * MEGABYTE + 2]) == b"seam"
    assert bytes(first[-2:]) == b"se"
    whole[0] = 7
    assert first[0] == 7
    assert half[0] == 0


@pytest.mark.parametrize(
    ("vm", "address", "nbytes"),
    [
        (5, LOW, PAGE),  # not named by the tree
        (3, LOW, PAGE),  # named, but it sees the region elsewhere
        (3, HIGH - 1, PAGE),
        (3, HIGH + 64 * MEGABYTE - 1, 2),  # across the end
        (3, HIGH + 64 * MEGABYTE, 1),
        (4, LOW, PAGE),  # of the same region, but not its part
        (4, LOW + 96 * MEGABYTE - 1, 2),
    ],
)
def test_what_the_tree_does_not_give_cannot_be_mapped(
    bench: hyplink.Bench, vm: int, address: int, nbytes: int
) -> None:
    with (
        Nkddi(bench.vm(vm).application()) as nk,
        pytest.raises(errors.HyplinkError, match=r"no memory at|object ends after") as raised,
    ):
        nk.map(address, nbytes)
    assert isinstance(raised.value, OSError)


@PROCESS
def test_no_descriptor_opens_more_than_its_vm_may_see(bench: hyplink.Bench) -> None:
    """VM 3 holds an object for each part that is shared differently, never one with more in it."""

    def sizes(app: Any) -> set[int]:
        with Nkddi(app) as nk:
            nk.map(HIGH, PAGE)[0] = 1
            found = set()
            for link in Path("/proc/self/fd").iterdir():
                # That of this very listing is gone, and others may come and go.
                with contextlib.suppress(FileNotFoundError):
                    if "io-memory" in str(link.readlink()):
                        found.add(link.stat().st_size)
            return found

    assert bench.vm(3).start(sizes).result() == {32 * MEGABYTE}


def test_contents_outlive_every_vm(bench: hyplink.Bench) -> None:
    mapped(bench, 2, LOW, PAGE)[:4] = b"kept"
    bench.vm(2).kill()
    bench.vm(3).kill()
    bench.vm(3).boot()
    assert bytes(mapped(bench, 3, HIGH, 4)) == b"kept"
    bench.vm(2).boot()
    assert bytes(mapped(bench, 2, LOW, 4)) == b"kept"


def test_a_view_stays_good_when_the_other_vm_dies(bench: hyplink.Bench) -> None:
    theirs = mapped(bench, 3, HIGH, PAGE)
    mapped(bench, 2, LOW, PAGE)[:4] = b"last"
    bench.vm(2).kill()
    assert bytes(theirs[:4]) == b"last"
    theirs[:4] = b"mine"
    bench.vm(2).boot()
    assert bytes(mapped(bench, 2, LOW, 4)) == b"mine"


def test_communication_memory_never_lies_inside_a_static_region(bench_factory: Any) -> None:
    bench = bench_factory(
        BOARD
        + f"&vm3_vplatform {{ {io_memory(0xE400_0000, 64 * MEGABYTE, 0x1_0000_0000, '')} }};"
        + """
        &vm2_vdevs { be: vogl@be { compatible = "vogl"; server; }; };
        &vm3_vdevs { vogl@fe { peer-phandle = <&be>; client; }; };
        """
    )
    with Nkddi(bench.vm(3).application()) as nk:
        assert all(link.address >= HIGH + 64 * MEGABYTE for link in nk.vlinks())
        nk.map(0x1_0000_0000, 64 * MEGABYTE)[0] = 1


@PROCESS
def test_memory_without_sharing_is_refused_by_the_hypervisor_too() -> None:
    """The board reader says so first, with the place; this is the hypervisor's own check."""
    from hyplink import _core

    board = hyplink.board.load(BOARD)
    spec = board.to_spec()
    spec["vms"] = [
        [vm, name, imports, [[*r[:3], False, r[4]] for r in regions]]
        for vm, name, imports, regions in spec["vms"]
    ]
    program = Path(hyplink.__file__).parent / "hyplink-vm"
    with pytest.raises(errors.HyplinkError, match="does not allow sharing"):
        _core.Bench(spec, "thread", None, str(program), 2.0)
