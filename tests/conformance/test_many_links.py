"""10,000 vlinks on one board: everything linear, nothing per link that a process runs out of."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from conformance_lib import REAL_TIME, works

import hyplink
from hyplink import board
from hyplink.testing import connect_rpq

MANY = 10_000


@pytest.fixture(scope="module")
def boards() -> dict[int, board.Board]:
    """Boards of so many links, each link a session's worth of vRPQ."""
    made = {}
    for count in (10, MANY // 2, MANY):
        servers = "\n".join(
            f'be{i}: vogl@be{i} {{ compatible = "vogl"; info = "vrpq-pmem=64K"; server; }};'
            for i in range(count)
        )
        clients = "\n".join(
            f"vogl@fe{i} {{ peer-phandle = <&be{i}>; client; }};" for i in range(count)
        )
        made[count] = board.load(f"&vm2_vdevs {{\n{servers}\n}};\n&vm3_vdevs {{\n{clients}\n}};\n")
    return made


def descriptors(pid: int) -> int:
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


def shared_mappings(pid: int) -> int:
    return Path(f"/proc/{pid}/maps").read_text().count("/memfd:hyplink")


def resident(pid: int) -> int:
    """Bytes of memory: private, and shared counted by share."""
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) * 1024
    raise AssertionError("no Pss")


@contextlib.contextmanager
def running(of: board.Board, backend: str) -> Iterator[hyplink.Bench]:
    with hyplink.Bench(of, backend=backend, timeout=60) as bench:
        for link in bench.links.values():
            link.wait_on()
        yield bench


@REAL_TIME
def test_ten_thousand_links_are_all_on_and_the_last_one_works(
    backend, boards, record_testsuite_property
) -> None:
    usage: dict[int, tuple[int, int, int]] = {}
    for count in (10, MANY // 2, MANY):
        began = time.monotonic()
        with running(boards[count], backend) as bench:
            seconds = time.monotonic() - began
            processes = {os.getpid(), *(vm.pid for vm in bench.vms.values() if vm.pid)}
            usage[count] = (
                sum(map(resident, processes)),
                max(map(descriptors, processes)),
                max(map(shared_mappings, processes)),
            )
            if count == MANY:
                assert sum(link.is_on for link in bench.links.values()) == MANY
                with connect_rpq(bench, f"vogl{MANY - 1}") as pair:
                    works(pair)
                record_testsuite_property(f"boot_seconds_{backend}", round(seconds, 2))
    few, half, many = usage[10], usage[MANY // 2], usage[MANY]
    per_link = (many[0] - half[0]) / (MANY // 2)
    record_testsuite_property(f"bytes_per_idle_link_{backend}", round(per_link))
    # Not one descriptor per link; mappings grow with the memory, in chunks, not with the links.
    assert many[1] - few[1] < MANY // 100
    assert many[2] - few[2] < MANY // 100
    assert per_link > 0
    if os.environ.get("HYPLINK_SANITIZE"):
        return  # its books are several times what they are about, and grow by steps of their own
    assert per_link <= 64 << 10
    # Linear: the second half costs what the first did.
    first_half = (half[0] - few[0]) / (MANY // 2 - 10)
    assert per_link < 2 * first_half + 1024
