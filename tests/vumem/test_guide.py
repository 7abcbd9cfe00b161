"""The guide's listings of vUmem, client and server, each in its VM."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import hyplink

HERE = Path(__file__).parent
pytestmark = [pytest.mark.hyplink_dts("vogl"), pytest.mark.hyplink_backend("process")]


@pytest.mark.parametrize(("server_bits", "client_bits"), [(64, 64), (32, 64), (64, 32)])
def test_the_listings_share_buffers_and_either_side_may_be_killed(
    bench: hyplink.Bench, runner: Any, server_bits: int, client_bits: int
) -> None:
    server = runner.c(2, HERE / "guide_server.c", bits=server_bits)
    assert server.line() == "server"
    client = runner.c(3, HERE / "guide_client.c", bits=client_bits)
    said = [client.line() for _ in range(4)]
    assert said == ["buffer 1", "buffer 1", "allocs 3, frees 3, now 0", "mapped"]
    assert [server.line() for _ in range(3)] == ["free 1: pages", "free 1: array", "free 1: array"]
    bench.vm(2).kill()
    assert client.rest() == ["server gone, 0 there", "ok"]


def test_a_server_hears_of_the_end_of_the_client_vm(bench: hyplink.Bench, runner: Any) -> None:
    server = runner.c(2, HERE / "guide_server.c")
    assert server.line() == "server"
    client = runner.c(3, HERE / "guide_client.c")
    while client.line() != "mapped":
        pass
    bench.vm(3).kill()
    assert server.rest()[-2:] == ["client gone", "destroyed 0, again 9"]
