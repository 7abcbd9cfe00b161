"""The C face between two VMs over the library of vrpq.h: 64 and 32 bits, death, a hostile client."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from idl_places import HERE

import hyplink
from hyplink.idl.cli import main
from vm_programs import Compiler, Runner

pytestmark = [pytest.mark.hyplink_dts("vogl"), pytest.mark.hyplink_backend("process")]


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Compiler, Path]:
    """Sources that name what they include in full: the compiler's command has no folder of ours."""
    out = tmp_path_factory.mktemp("c_vms")
    assert main(["gen", str(HERE / "c/cface.vidl"), "-o", str(out), "--lang", "c"]) == 0
    for name in ("vm_server.c", "vm_client.c"):
        (out / name).write_text((HERE / "c" / name).read_text())
    (out / "said.h").write_text((HERE.parent / "vrpq/said.h").read_text())
    return Compiler(out, "hyplink"), out


@pytest.fixture
def runner(bench: hyplink.Bench, programs: tuple[Compiler, Path]) -> Iterator[Runner]:
    made = Runner(bench, programs[0])
    with made.stack:
        yield made


@pytest.mark.parametrize(("server_bits", "client_bits"), [(64, 64), (64, 32), (32, 64)])
def test_generated_c_talks_between_vms_whatever_their_word_size(
    runner: Runner, programs: tuple[Compiler, Path], server_bits: int, client_bits: int
) -> None:
    server = runner.c(2, programs[1] / "vm_server.c", bits=server_bits)
    client = runner.c(3, programs[1] / "vm_client.c", bits=client_bits)
    assert client.rest() == ["ok"]
    assert [server.line() for _ in range(3)] == [
        "server",
        "hello 0",
        "served: EPIPE, 0 handles left",
    ]


def test_a_server_that_dies_is_told_once_and_calls_answer_their_lost_value(
    runner: Runner, programs: tuple[Compiler, Path], bench: hyplink.Bench
) -> None:
    runner.c(2, programs[1] / "vm_server.c")
    client = runner.c(3, programs[1] / "vm_client.c", "wait")
    assert client.line() == "ready"
    bench.vm(2).kill()
    assert client.rest() == ["ok"]


def test_a_broken_block_ends_its_channel_and_the_server_goes_on(
    runner: Runner, programs: tuple[Compiler, Path]
) -> None:
    server = runner.c(2, programs[1] / "vm_server.c")
    assert runner.c(3, programs[1] / "vm_client.c", "break").rest() == ["ok"]
    assert runner.c(3, programs[1] / "vm_client.c").rest() == ["ok"]
    told = [server.line() for _ in range(6)]
    assert told[:4] == ["server", "hello 0", "rule D7 of padding", told[3]]
    assert told[3].startswith("served: ")
    assert told[4:] == ["hello 0", "served: EPIPE, 0 handles left"]
