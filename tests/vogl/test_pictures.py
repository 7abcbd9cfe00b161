"""A program's picture through hyplink is the picture of a direct run, pixel for pixel."""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path

import pytest

import hyplink
from hyplink import vogl

sys.path.append(str(Path(__file__).parent.parent))

from vogl_programs import LIBRARIES_32, Programs, run_direct, run_in_vm

#: VM 2 has the graphics, VM 3 the programs.
pytestmark = [pytest.mark.hyplink_dts("vogl.dts"), pytest.mark.hyplink_backend("process")]


@pytest.mark.parametrize(
    "name", ["shaders", "textures", "arrays", "readback", "errors", "queries", "threads"]
)
def test_a_program_leaves_what_it_leaves_in_a_direct_run(
    programs: Programs, bench: hyplink.Bench, server: vogl.Program, tmp_path: Path, name: str
) -> None:
    program = programs(name)
    direct = run_direct(program, tmp_path / "direct")
    through = run_in_vm(bench, program, tmp_path / "through")
    assert through.said == direct.said
    different = [
        i for i, (a, b) in enumerate(zip(through.picture, direct.picture, strict=True)) if a != b
    ]
    assert different == []
    assert len(set(direct.picture)) > 1 or name in ("errors", "queries")


@pytest.mark.parametrize(
    "name", ["shaders", "textures", "arrays", "readback", "queries", "threads"]
)
def test_a_program_of_32_bits_leaves_what_one_of_64_leaves_in_a_direct_run(
    programs: Programs,
    bench: hyplink.Bench,
    server: vogl.Program,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
) -> None:
    """The server has 64 bits. There is no Mesa of 32 bits here to run directly."""
    narrow = programs(name, bits=32)
    direct = run_direct(programs(name), tmp_path / "direct")
    # The loader passes by the libraries of 64 bits that stand in front.
    monkeypatch.setenv("LD_LIBRARY_PATH", str(LIBRARIES_32))
    assert run_in_vm(bench, narrow, tmp_path / "through") == direct


@pytest.mark.hyplink_dts("small.dts")
def test_what_is_larger_than_the_board_is_drawn_and_read_and_refused_as_in_a_direct_run(
    programs: Programs, bench: hyplink.Bench, server: vogl.Program, tmp_path: Path
) -> None:
    direct = run_direct(programs("large"), tmp_path / "direct")
    through = run_in_vm(bench, programs("large"), tmp_path / "through")
    assert through.said == direct.said
    assert hashlib.sha256(through.picture).digest() == hashlib.sha256(direct.picture).digest()
    assert len(set(direct.picture)) > 1


def test_a_program_is_served_again_and_again(
    programs: Programs, bench: hyplink.Bench, server: vogl.Program, tmp_path: Path
) -> None:
    runs = [run_in_vm(bench, programs("arrays"), tmp_path / str(i)) for i in range(3)]
    assert runs[0] == runs[1] == runs[2]


def test_draw_calls_are_posts_and_travel_in_batches(
    programs: Programs, bench: hyplink.Bench, server: vogl.Program, tmp_path: Path
) -> None:
    before = bench.stats
    run_in_vm(bench, programs("frames"), tmp_path / "frames", "1000", "10")
    totals = bench.stats.since(before).totals
    assert totals["posts"] >= 10 * 2000
    assert totals["batches"] < totals["posts"] / 50


def test_a_careless_program_hurts_neither_itself_nor_the_server(
    programs: Programs, bench: hyplink.Bench, server: vogl.Program, tmp_path: Path
) -> None:
    assert "frame: error 0x0000" in run_in_vm(bench, programs("careless"), tmp_path / "x").said
    run_in_vm(bench, programs("shaders"), tmp_path / "y")


def test_without_a_server_the_program_waits_and_then_runs(
    programs: Programs, bench: hyplink.Bench, tmp_path: Path
) -> None:
    program = programs("shaders")
    with vogl.run(bench.vm(3), [program, tmp_path / "late"]) as waiting, vogl.serve(bench.vm(2)):
        assert waiting.read(timeout=120.0) == ""
    assert (tmp_path / "late.rgba").read_bytes() == run_direct(program, tmp_path / "direct").picture


def test_outside_of_a_vm_egl_says_that_it_is_not_initialized(
    programs: Programs, tmp_path: Path
) -> None:
    import os
    import subprocess

    environment = {**os.environ, "LD_LIBRARY_PATH": str(vogl.library_dir())}
    done = subprocess.run(
        [programs("shaders"), tmp_path / "x"], env=environment, capture_output=True, text=True
    )
    assert done.returncode == 2
    assert "eglInitialize: EGL error 0x3001" in done.stderr
    assert "HYPLINK_APP_FD is not set" in done.stderr
