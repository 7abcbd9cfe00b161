"""The guards of tests/conftest.py notice what they are there for."""

from __future__ import annotations

import mmap
import os
import signal
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest


@pytest.fixture
def guard(request: pytest.FixtureRequest) -> ModuleType:
    """tests/conftest.py itself."""
    for plugin in request.config.pluginmanager.get_plugins():
        if isinstance(plugin, ModuleType) and hasattr(plugin, "source_stamp"):
            return plugin
    raise LookupError("tests/conftest.py is not loaded")


@pytest.fixture
def left(guard: ModuleType, monkeypatch: pytest.MonkeyPatch) -> Callable[[], str]:
    monkeypatch.setattr(guard, "SETTLE_SECONDS", 0.02)
    before = guard.snapshot()
    return lambda: "\n".join(guard.leaks(before))


def test_nothing_left_is_nothing_found(left: Callable[[], str]) -> None:
    assert left() == ""


def test_a_descriptor_is_noticed(left: Callable[[], str], tmp_path: Path) -> None:
    (tmp_path / "forgotten").touch()
    with (tmp_path / "forgotten").open():
        assert "files: 1 × " in left()
        assert "forgotten" in left()


def test_a_mapping_is_noticed_after_its_descriptor_is_closed(left: Callable[[], str]) -> None:
    fd = os.memfd_create("hyplink-lost")
    os.ftruncate(fd, 4096)
    with mmap.mmap(fd, 4096):
        os.close(fd)
        assert "/memfd:hyplink-lost" in left()


def test_a_thread_is_noticed(left: Callable[[], str]) -> None:
    stop = threading.Event()
    thread = threading.Thread(target=stop.wait, name="straggler")
    thread.start()
    try:
        assert "straggler" in left()
    finally:
        stop.set()
        thread.join()


def test_a_zombie_is_noticed(left: Callable[[], str]) -> None:
    with subprocess.Popen(["true"]) as child:
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        assert "zombie" in left()


def test_an_orphan_is_noticed(left: Callable[[], str]) -> None:
    script = "sleep 60 >/dev/null 2>&1 & echo $!"
    pid = int(
        subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=True).stdout
    )
    try:
        assert f"processes: 1 × {pid} sleep 60" in left()
    finally:
        os.kill(pid, signal.SIGKILL)


def test_the_stamp_is_the_one_the_build_computes(
    guard: ModuleType, root: Path, tmp_path: Path
) -> None:
    (tmp_path / "src/cpp/a").mkdir(parents=True)
    (tmp_path / "bindings").mkdir()
    for name in (
        "src/cpp/a/b.cpp",
        "src/cpp/a/B.hpp",
        "src/cpp/a.h",
        "src/cpp/a/c.txt",
        "bindings/m.cpp",
    ):
        (tmp_path / name).write_text(name)
    out = tmp_path / "stamp.cpp"
    script = root / ".config/cmake/stamp.cmake"
    subprocess.run(["cmake", f"-DROOT={tmp_path}", f"-DOUT={out}", "-P", script], check=True)
    assert f'"{guard.source_stamp(tmp_path)}"' in out.read_text()
