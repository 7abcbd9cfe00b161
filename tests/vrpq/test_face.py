"""Every function and macro of vrpq.h: values, references, refusals, signals."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import hyplink

HERE = Path(__file__).parent
pytestmark = [pytest.mark.hyplink_dts("vogl"), pytest.mark.hyplink_backend("process")]


@pytest.mark.parametrize(("server_bits", "client_bits"), [(64, 64), (64, 32), (32, 64), (32, 32)])
def test_values_references_and_refusals_are_the_same_at_both_ends(
    runner: Any, server_bits: int, client_bits: int
) -> None:
    server = runner.c(2, HERE / "face_server.c", bits=server_bits)
    client = runner.c(3, HERE / "face_client.c", bits=client_bits)
    assert client.rest() == ["ok"]
    assert server.rest() == ["ok"]


def test_one_program_uses_the_names_of_two_headers(bench: hyplink.Bench, runner: Any) -> None:
    def serve(app: Any) -> None:
        with app.rpq("vogl0").accept() as session, session.accept() as channel:
            for request in channel.receive(1):
                number = int.from_bytes(request.params[:4], "little")
                request.out[:4] = (number + 1).to_bytes(4, "little")
            channel.acknowledge()

    served = bench.vm(2).start(serve)
    client = runner.c(3, HERE / "two_faces.c")
    assert client.rest() == ["VM 3, link of VM 2", "answer 42", "VM 3 again"]
    served.result()


def test_a_program_outside_a_vm_is_told_so(build_c: Any) -> None:
    import os
    import subprocess

    environment = {name: value for name, value in os.environ.items() if name != "HYPLINK_APP_FD"}
    done = subprocess.run(
        [build_c(HERE / "guide_client.c")], capture_output=True, text=True, env=environment
    )
    assert done.returncode == 1
    assert "client ends: 107 (HYPLINK_APP_FD is not set" in done.stdout
