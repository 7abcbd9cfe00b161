"""Generated calls that lend and give vUmem buffers between two VMs: C++, C of 64 and 32 bits, and Python."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from idl_places import HERE

import hyplink
from hyplink.idl.cli import main
from vm_programs import Compiler, Program, Runner

pytestmark = [pytest.mark.hyplink_dts("vogl"), pytest.mark.hyplink_backend("process")]
BUILD = Path(os.environ.get("HYPLINK_BUILD_DIR", HERE.parent.parent / ".build" / "dev"))
FRAMES = HERE / "vm/frames.vidl"

Start = Callable[..., Program]


@pytest.fixture(scope="module")
def compiler(tmp_path_factory: pytest.TempPathFactory) -> tuple[Compiler, Path]:
    out = tmp_path_factory.mktemp("buffers")
    assert main(["gen", str(FRAMES), "-o", str(out), "--lang", "c"]) == 0
    for name in ("buffers_server.c", "buffers_client.c", "lender.h"):
        (out / name).write_text((HERE / "c" / name).read_text())
    (out / "said.h").write_text((HERE.parent / "vrpq/said.h").read_text())
    return Compiler(out, "hyplink"), out


@pytest.fixture
def start(bench: hyplink.Bench, compiler: tuple[Compiler, Path]) -> Iterator[Start]:
    """Starts the server (VM 2) or the client (VM 3) in a language."""
    runner = Runner(bench, compiler[0])

    def start(role: str, language: str, *words: str) -> Program:
        vm = 2 if role == "server" else 3
        if language == "cpp":
            return runner.run(vm, str(BUILD / f"tests/idl/vm/vm_frames_{role}"), *words)
        source = compiler[1] / f"buffers_{role}.c"
        return runner.c(vm, source, *words, bits=int(language.removeprefix("c")))

    with runner.stack:
        yield start


PAIRS = [
    ("cpp", "cpp"),
    ("c64", "c64"),
    ("cpp", "c64"),
    ("c64", "cpp"),
    ("cpp", "c32"),
    ("c32", "cpp"),
    ("c32", "c64"),
]


@pytest.mark.parametrize(("server", "client"), PAIRS, ids=lambda pair: str(pair))
def test_buffers_are_lent_given_and_given_back(start: Start, server: str, client: str) -> None:
    serving = start("server", server)
    assert serving.line() == "server"
    assert start("client", client).rest() == ["ok"]
    # The name of a freed buffer ended the channel, not the server.
    assert serving.line() == "served: corrupt"
    assert start("client", client).rest() == ["ok"]


@pytest.mark.parametrize(("server", "client"), PAIRS, ids=lambda pair: str(pair))
def test_large_parameters_travel_in_a_buffer_through_a_port_that_is_too_small(
    start: Start, server: str, client: str
) -> None:
    serving = start("server", server)
    assert serving.line() == "server"
    for _ in range(2):
        assert start("client", client, "large").rest() == ["ok"]
        assert serving.line() == "served: peer_dead"


@pytest.mark.parametrize("language", ["cpp", "c64", "c32"])
def test_a_client_that_gave_a_buffer_to_a_server_that_dies_is_told(
    start: Start, bench: hyplink.Bench, language: str
) -> None:
    assert start("server", language).line() == "server"
    client = start("client", language, "wait")
    assert client.line() == "ready"
    bench.vm(2).kill()
    assert client.rest() == ["ok"]


@pytest.mark.parametrize("language", ["cpp", "c64", "c32"])
def test_a_client_that_dies_with_a_buffer_given_leaves_the_server_whole(
    start: Start, bench: hyplink.Bench, language: str
) -> None:
    serving = start("server", language)
    assert serving.line() == "server"
    assert start("client", language, "wait").line() == "ready"
    bench.vm(3).kill()
    assert serving.line() == "served: peer_dead"
    bench.vm(3).boot()
    assert start("client", language).rest() == ["ok"]


@pytest.fixture
def conformance(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The Python server and client of the same interface."""
    monkeypatch.syspath_prepend(str(HERE.parent / "conformance"))
    import test_call_buffers

    yield test_call_buffers
    sys.modules.pop("test_call_buffers", None)


@pytest.mark.parametrize("language", ["cpp", "c64", "c32"])
def test_a_python_server_takes_buffers_of_every_client(
    start: Start, bench: hyplink.Bench, conformance: Any, language: str
) -> None:
    from hyplink import buffers

    served = conformance.frames().serve("vogl0", conformance.make_server())
    bench.vm(2).start(buffers.serve(served, conformance.Memory))
    assert start("client", language).rest() == ["ok"]
    assert start("client", language, "large").rest() == ["ok"]


@pytest.mark.parametrize("language", ["cpp", "c64", "c32"])
def test_a_python_client_gives_buffers_to_every_server(
    start: Start, bench: hyplink.Bench, conformance: Any, language: str
) -> None:
    assert start("server", language).line() == "server"
    client = conformance.Client(bench)
    frame, other = client.alloc(), client.alloc()
    frame.map()[:2] = b"\1\2"
    assert client.calls.sum(frame) == 3
    assert client.calls.touch(frame, 6) == 4096
    client.calls.fill(frame, 300)
    assert client.wait_filled() == (frame, 300)
    assert bytes(frame.map()[:4]) == (300).to_bytes(4, "little")
    assert client.calls.keep(frame) == 1
    assert client.calls.keep(other) == 2
    client.calls.give_back(5)
    assert client.wait_filled() == (other, 10)
    assert client.calls.sum(other) == 5
    client.close()


@pytest.mark.parametrize("language", ["cpp", "c64", "c32"])
def test_a_python_clients_large_parameters_reach_every_server(
    start: Start, bench: hyplink.Bench, language: str
) -> None:
    from hyplink import buffers, idl

    assert start("server", language).line() == "server"
    frames, mine = idl.load(FRAMES), buffers.ClientBuffers()
    with (
        bench.vm(3).application() as application,
        application.umem("vogl0").session() as memory,
        frames.session(application.rpq("vogl0")) as session,
        session.channel(parameter_bytes=8192) as channel,
        memory.alloc(b"131072") as room,
        mine.table(channel, large=room) as table,
    ):
        client = frames.Client(channel, buffers=table)
        for i in range(40):
            client.upload(60_000, bytes([i]) * 60_000)
        assert (client.uploaded(), client.mixed()) == (39 * 60_000, 0)
        client.words([3] * 10_000)
        assert client.uploaded() == 30_000
        assert client.both(30_000, b"\x01" * 30_000, 4000, [2.0] * 4000) == 38_000
