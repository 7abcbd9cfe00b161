"""Pictures and large answers in memory that the server lends through vUmem, and without it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import hyplink
from hyplink import umem, vogl

sys.path.append(str(Path(__file__).parent.parent))

from vogl_programs import LIBRARIES_32, LIMIT, Programs, run_direct, run_in_vm

#: VM 2 has the graphics, VM 3 the programs.
pytestmark = [pytest.mark.hyplink_dts("vogl.dts"), pytest.mark.hyplink_backend("process")]

#: Every call that has an answer goes through a buffer.
ALWAYS = ("HYPLINK_VOGL_LENT_FROM=0",)


def profile(bench: hyplink.Bench) -> umem.Profile:
    with bench.vm(3).application() as application:
        return application.umem("vogl0").profile()


@pytest.mark.parametrize("bits", [64, 32])
@pytest.mark.parametrize(
    "name", ["shaders", "textures", "arrays", "readback", "errors", "queries", "threads"]
)
def test_a_picture_in_a_lent_buffer_is_the_picture_of_a_direct_run(
    programs: Programs,
    bench: hyplink.Bench,
    server: vogl.Program,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    bits: int,
) -> None:
    program = programs(name, bits=bits)
    direct = run_direct(programs(name), tmp_path / "direct")
    if bits == 32:  # the loader passes by the libraries of 64 bits that stand in front
        monkeypatch.setenv("LD_LIBRARY_PATH", str(LIBRARIES_32))
    assert run_in_vm(bench, program, tmp_path / "through", environment=ALWAYS) == direct
    assert profile(bench).allocs > 0


@pytest.mark.hyplink_dts("small.dts")
def test_what_is_larger_than_the_board_is_read_from_a_lent_buffer(
    programs: Programs, bench: hyplink.Bench, server: vogl.Program, tmp_path: Path
) -> None:
    assert run_in_vm(bench, programs("large"), tmp_path / "through") == run_direct(
        programs("large"), tmp_path / "direct"
    )
    counted = profile(bench)
    assert counted.allocs > 0
    assert counted.errors == 0


@pytest.mark.hyplink_dts("tiny.dts")
def test_pictures_that_no_buffer_can_hold_come_as_an_out_parameter(
    programs: Programs, bench: hyplink.Bench, server: vogl.Program, tmp_path: Path
) -> None:
    assert run_in_vm(bench, programs("large"), tmp_path / "through") == run_direct(
        programs("large"), tmp_path / "direct"
    )
    assert profile(bench).errors > 0  # it was asked for, and refused


@pytest.fixture
def unlent(programs: Programs, bench: hyplink.Bench) -> Iterator[vogl.Program]:
    """A server whose vUmem device is another program's, who lends nothing for pictures."""
    with (
        bench.vm(2).application() as other,
        other.umem("vogl0").server(),
        vogl.serve(bench.vm(2)) as running,
    ):
        yield running


@pytest.mark.parametrize("name", ["readback", "textures", "threads"])
def test_without_memory_to_lend_pictures_come_as_an_out_parameter(
    programs: Programs, bench: hyplink.Bench, unlent: vogl.Program, tmp_path: Path, name: str
) -> None:
    direct = run_direct(programs(name), tmp_path / "direct")
    assert run_in_vm(bench, programs(name), tmp_path / "through", environment=ALWAYS) == direct
    assert profile(bench).sessions == 0


@pytest.mark.parametrize("environment", [(), ALWAYS], ids=["large ones lent", "all lent"])
def test_a_server_that_dies_in_the_middle_of_a_picture_is_a_lost_context(
    programs: Programs, bench: hyplink.Bench, tmp_path: Path, environment: tuple[str, ...]
) -> None:
    server = vogl.serve(bench.vm(2))
    with (
        server,
        vogl.run(
            bench.vm(3), [programs("reader"), tmp_path / "x"], environment=environment
        ) as program,
    ):
        assert program.readline(timeout=LIMIT) == "reading"
        assert profile(bench).buffers_now > 0
        bench.vm(2).kill()
        assert program.read(timeout=LIMIT).splitlines() == [
            "lost 0x300e",
            "0 bytes changed, error 0",
            "let go",
        ]
    bench.vm(2).boot()
    with vogl.serve(bench.vm(2)):
        direct = run_direct(programs("readback"), tmp_path / "direct")
        assert run_in_vm(bench, programs("readback"), tmp_path / "y", environment=ALWAYS) == direct


def test_a_client_that_dies_in_the_middle_of_a_picture_leaves_nothing_lent(
    programs: Programs, bench: hyplink.Bench, server: vogl.Program, tmp_path: Path
) -> None:
    for _ in range(2):
        with vogl.run(bench.vm(3), [programs("reader"), tmp_path / "x"]) as program:
            assert program.readline(timeout=LIMIT) == "reading"
            bench.vm(3).kill()
            bench.vm(3).boot()
    direct = run_direct(programs("readback"), tmp_path / "direct")
    assert run_in_vm(bench, programs("readback"), tmp_path / "y", environment=ALWAYS) == direct
    assert profile(bench).buffers_now == 0
