"""Generated code, compiled once per session."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import types
from collections.abc import Callable
from pathlib import Path

import pytest

from hyplink import idl

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parent.parent)]

from idl_places import DATA, GLES2, HERE, ROOT  # noqa: E402 (its folder has just been added)

STRICT = ["-std=c++20", "-Wall", "-Wextra", "-Wconversion", "-Wshadow", "-Werror"]


@pytest.fixture
def golden() -> Callable[[Path, str], None]:
    """Compare a text with a file; with HYPLINK_REWRITE_GOLDEN set, write the file instead."""

    def compare(path: Path, text: str) -> None:
        if os.environ.get("HYPLINK_REWRITE_GOLDEN"):
            path.parent.mkdir(exist_ok=True)
            path.write_text(text, encoding="utf-8")
        assert path.is_file(), f"no golden {path.name}; set HYPLINK_REWRITE_GOLDEN and read it"
        assert text == path.read_text(encoding="utf-8")

    return compare


@pytest.fixture(scope="session")
def everything() -> types.ModuleType:
    return idl.load(DATA / "everything.vidl")


@pytest.fixture(scope="session")
def generated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Python package and C++ headers for every interface of the tests."""
    out = tmp_path_factory.mktemp("generated") / "stubs"
    files = [DATA / "everything.vidl", DATA / "shapes.vidl", GLES2]
    from hyplink.idl.cli import main

    assert main(["gen", *map(str, files), "-o", str(out), "--lang", "cpp,py,json"]) == 0
    (out / "__init__.py").write_text("")
    return out


Driver = Callable[[str], list[str]]


@pytest.fixture(scope="session")
def driver(generated: Path, tmp_path_factory: pytest.TempPathFactory) -> Driver:
    """Commands for cpp/driver.cpp in, its answers out; sanitizers watch every access."""
    compiler = shutil.which("g++") or shutil.which("c++")
    assert compiler, "a C++ compiler is needed: apt-get install g++"
    program = tmp_path_factory.mktemp("driver") / "driver"
    command = [
        compiler,
        *STRICT,
        "-O1",
        "-fsanitize=address,undefined",
        "-fno-sanitize-recover=all",
    ]
    command += ["-I", str(ROOT / "src/cpp"), "-I", str(generated), str(HERE / "cpp/driver.cpp")]
    built = subprocess.run([*command, "-o", str(program)], capture_output=True, text=True)
    assert built.returncode == 0, built.stderr

    def run(commands: str) -> list[str]:
        done = subprocess.run([program], input=commands, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout.splitlines()

    return run
