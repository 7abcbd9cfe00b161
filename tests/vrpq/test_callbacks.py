"""Callbacks between C programs: in a call and outside of one, with a call from inside, to a slow client."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent
pytestmark = [pytest.mark.hyplink_dts("vogl"), pytest.mark.hyplink_backend("process")]


@pytest.mark.parametrize(("server_bits", "client_bits"), [(64, 64), (64, 32), (32, 64)])
def test_callbacks_reach_the_client_and_a_slow_one_stalls_nobody(
    runner: Any, server_bits: int, client_bits: int
) -> None:
    server = runner.c(2, HERE / "callback_server.c", bits=server_bits)
    client = runner.c(3, HERE / "callback_client.c", bits=client_bits)
    told = client.rest()
    assert told[-1] == "ok"
    assert server.rest() == told
