"""The server's VM dies in the middle of a frame: the client's context is lost, the client is not."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

import hyplink
from hyplink import vogl

sys.path.append(str(Path(__file__).parent.parent))

from vogl_programs import LIMIT, Programs

#: VM 2 has the graphics, VM 3 the programs.
pytestmark = [pytest.mark.hyplink_dts("vogl.dts"), pytest.mark.hyplink_backend("process")]


def test_a_killed_server_is_a_lost_context_and_the_next_one_serves_the_same_program(
    programs: Programs, bench: hyplink.Bench, tmp_path: Path
) -> None:
    server = vogl.serve(bench.vm(2))
    with server, vogl.run(bench.vm(3), [programs("survivor"), tmp_path / "x"]) as program:
        assert program.readline(timeout=LIMIT) == "drawing"
        bench.vm(2).kill()
        assert program.readline(timeout=LIMIT) == "lost 0x300e"
        assert program.readline(timeout=LIMIT) == "pixel 9 location -1 string none error 0"
        assert program.readline(timeout=LIMIT) == "current 0"
        assert program.readline(timeout=LIMIT) == "lost 0x300e"
        assert program.readline(timeout=LIMIT) == "let go"
        bench.vm(2).boot()
        with vogl.serve(bench.vm(2)):
            assert program.read(timeout=LIMIT).splitlines() == [
                "drawing again",
                "pixel 255 error 0",
            ]


def test_a_client_that_dies_leaves_the_server_to_the_next(
    programs: Programs, bench: hyplink.Bench, server: vogl.Program, tmp_path: Path
) -> None:
    for _ in range(2):
        with vogl.run(bench.vm(3), [programs("survivor"), tmp_path / "x"]) as program:
            assert program.readline(timeout=LIMIT) == "drawing"
            bench.vm(3).kill()
            bench.vm(3).boot()
