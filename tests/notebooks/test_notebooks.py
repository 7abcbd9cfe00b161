"""Every notebook runs from top to bottom in an empty directory; its last cell asserts."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from ctypes.util import find_library
from pathlib import Path

import pytest

from hyplink import vogl

ROOT = Path(__file__).parents[2]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))

RUN = """
import sys, nbclient, nbformat
book = nbformat.read(sys.argv[1], as_version=4)
nbclient.NotebookClient(book, timeout=120, kernel_name="python3").execute(cwd=".")
nbformat.write(book, "run.ipynb")
"""


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs_from_top_to_bottom(path: Path, tmp_path: Path) -> None:
    if path.stem == "01_vogl":
        if vogl.problem():
            pytest.skip(vogl.problem())
        if find_library("EGL_mesa") is None:
            pytest.skip("no Mesa here (Debian: libegl-mesa0 libgles2 libgl1-mesa-dri)")
        if os.environ.get("HYPLINK_SANITIZE"):
            pytest.skip("its program is compiled without the runtime that the libraries need")
    done = subprocess.run(
        [sys.executable, "-c", RUN, str(path)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    book = json.loads((tmp_path / "run.ipynb").read_text())
    shown = [out for cell in book["cells"] for out in cell.get("outputs", [])]
    pictures = [out for out in shown if "image/svg+xml" in out.get("data", {})]
    assert len(pictures) >= 3, "the board, the bench and the timeline draw themselves"


def test_there_is_a_quickstart() -> None:
    assert [path.name for path in NOTEBOOKS][:1] == ["00_quickstart.ipynb"]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_small_enough_to_read_on_the_web(path: Path) -> None:
    assert path.stat().st_size <= 200_000
