"""Two applications with their NKDDI, and programs that run inside VMs."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

import pytest

import hyplink
from hyplink import nkddi
from hyplink.examples.earlydata import earlydata


@pytest.fixture
def two(bench: hyplink.Bench) -> Iterator[tuple[nkddi.Nkddi, nkddi.Nkddi]]:
    """An application of VM 2 and one of VM 3, both in this process."""
    with contextlib.ExitStack() as stack:
        yield tuple(  # type: ignore[misc]
            stack.enter_context(
                nkddi.Nkddi(stack.enter_context(bench.vm(vm).application())),
            )
            for vm in (2, 3)
        )


def compiler(source: Path, target: Path) -> list[str]:
    library = str(nkddi.library_dir())
    # A sanitizer's runtime has to come with the program: the library alone would bring it too late.
    sanitize = os.environ.get("HYPLINK_SANITIZE", "")
    return [
        *("gcc", "-std=c99", "-D_POSIX_C_SOURCE=200809L", "-O1", "-pedantic"),
        *("-Wall", "-Wextra", "-Wconversion", "-Werror", f"-I{nkddi.include_dir()}"),
        *(
            str(source),
            "-o",
            str(target),
            f"-L{library}",
            "-lhyplink-nkddi",
            f"-Wl,-rpath,{library}",
        ),
        *([f"-fsanitize={sanitize}"] if sanitize else []),
    ]


@pytest.fixture(scope="session")
def build_c(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Path], Path]:
    """Compile a C program against the installed header and library."""
    folder = tmp_path_factory.mktemp("nkddi")

    def build(source: Path) -> Path:
        target = folder / source.stem
        if not target.exists():
            done = subprocess.run(compiler(source, target), capture_output=True, text=True)
            assert done.returncode == 0, done.stderr
        return target

    return build


class Program:
    """A C program inside a VM, and the lines it says."""

    def __init__(self, bench: hyplink.Bench, vm: int, words: list[str]) -> None:
        read, write = os.pipe()
        self.lines: IO[str] = os.fdopen(read)
        try:
            # Descriptor 3 is the way to the VM, the pipe is the next.
            bench._core.run(vm, [*words, "--fd", "4"], [], [write])
        finally:
            os.close(write)

    def line(self) -> str:
        return self.lines.readline().rstrip("\n")

    def rest(self) -> list[str]:
        return self.lines.read().splitlines()


class Runner:
    """Starts programs inside the VMs of a bench of the process backend; closes their pipes at the end."""

    def __init__(self, bench: hyplink.Bench, build: Callable[[Path], Path]) -> None:
        self._bench, self._build = bench, build
        self.stack = contextlib.ExitStack()

    def run(self, vm: int, *words: str) -> Program:
        program = Program(self._bench, vm, list(words))
        self.stack.callback(program.lines.close)
        return program

    def c(self, vm: int, source: Path, *words: str) -> Program:
        return self.run(vm, str(self._build(source)), *words)

    def python(self, vm: int, module: str, *words: str) -> Program:
        return self.run(vm, sys.executable, "-m", module, *words)


@pytest.fixture
def runner(bench: hyplink.Bench, build_c: Callable[[Path], Path]) -> Iterator[Runner]:
    made = Runner(bench, build_c)
    with made.stack:
        yield made


@pytest.fixture
def earlydata_c() -> Path:
    return Path(earlydata.__file__).with_suffix(".c")
