"""The compiled programs, and a server in VM 2."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import hyplink
from hyplink import vogl

sys.path.append(str(Path(__file__).parent.parent))

from vogl_programs import DIRECT, LIMIT, Programs


@pytest.fixture(scope="session")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Programs:
    """The compiler; skips where there is nothing to compile against or to draw with."""
    if vogl.problem():
        pytest.skip(vogl.problem())
    made = Programs(tmp_path_factory.mktemp("vogl"))
    probe = made.folder / "direct"
    done = subprocess.run(
        [made("errors"), probe], env=DIRECT, capture_output=True, text=True, timeout=LIMIT
    )
    if done.returncode != 0:
        pytest.skip(
            "no OpenGL ES without a screen here (Debian: libegl-mesa0 libgles2 libgl1-mesa-dri): "
            + done.stderr.strip()
        )
    return made


@pytest.fixture
def server(programs: Programs, bench: hyplink.Bench) -> Iterator[vogl.Program]:
    with vogl.serve(bench.vm(2)) as running:
        yield running
