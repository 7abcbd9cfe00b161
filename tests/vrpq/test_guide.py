"""The guide's listings, client and server, each in its VM."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import hyplink

HERE = Path(__file__).parent
pytestmark = [pytest.mark.hyplink_dts("vogl"), pytest.mark.hyplink_backend("process")]


@pytest.mark.parametrize(("server_bits", "client_bits"), [(64, 64), (64, 32), (32, 64), (32, 32)])
def test_the_listings_exchange_data_and_either_side_may_be_killed(
    bench: hyplink.Bench, runner: Any, server_bits: int, client_bits: int
) -> None:
    def start(vm: int) -> Any:
        source, bits = {
            2: ("guide_server.c", server_bits),
            3: ("guide_client.c", client_bits),
        }[vm]
        program = runner.c(vm, HERE / source, bits=bits)
        assert program.line() == ("server" if vm == 2 else "client")
        return program

    running = {vm: start(vm) for vm in (2, 3)}
    assert running[3].line() == "sum 55, reason 0"
    for victim, survivor in ((2, 3), (3, 2), (2, 3)):
        bench.vm(victim).kill()
        gone = "server gone" if victim == 2 else "client gone after 11 requests"
        assert running[survivor].line() == gone
        bench.vm(victim).boot()
        running[victim] = start(victim)
        assert running[3].line() == "sum 55, reason 0"
