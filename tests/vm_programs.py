"""C programs compiled against the installed headers, and programs that run inside the VMs of a bench."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from pathlib import Path
from typing import IO

import pytest

import hyplink
from hyplink import nkddi

ROOT = Path(__file__).parent.parent
#: The application's side built by .config/setup.sh for 32 bits, where the compiler can.
LIBRARIES_32 = ROOT / ".build/m32/site/hyplink/lib"


def command(source: Path, target: Path, library: str, bits: int = 64) -> list[str]:
    """How a C program is compiled: strictly, against <package>/include and <package>/lib."""
    folder = str(nkddi.library_dir() if bits == 64 else LIBRARIES_32)
    # A sanitizer's runtime has to come with the program: the library alone would bring it too late.
    sanitize = os.environ.get("HYPLINK_SANITIZE", "")
    return [
        *("gcc", "-std=c99", "-D_POSIX_C_SOURCE=200809L", "-O1", "-pedantic"),
        *("-Wall", "-Wextra", "-Wconversion", "-Werror", f"-I{nkddi.include_dir()}", f"-m{bits}"),
        *(str(source), "-o", str(target), f"-L{folder}", f"-l{library}", f"-Wl,-rpath,{folder}"),
        *([f"-fsanitize={sanitize}"] if sanitize else []),
    ]


class Compiler:
    """Compiles each program once; the test is skipped if this machine cannot for so many bits."""

    def __init__(self, folder: Path, library: str) -> None:
        self._folder, self._library = folder, library

    def __call__(self, source: Path, bits: int = 64) -> Path:
        if bits == 32:
            if not (LIBRARIES_32 / f"lib{self._library}.so").exists():
                pytest.skip("no 32-bit library: .config/setup.sh found no compiler with -m32")
            if os.environ.get("HYPLINK_SANITIZE"):
                pytest.skip("the 32-bit library is built without sanitizers")
        target = self._folder / f"{source.stem}-{bits}"
        if not target.exists():
            words = command(source, target, self._library, bits)
            done = subprocess.run(words, capture_output=True, text=True)
            assert done.returncode == 0, done.stderr
        return target


class Program:
    """A program inside a VM, and the lines it says."""

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

    def __init__(self, bench: hyplink.Bench, build: Compiler) -> None:
        self._bench, self._build = bench, build
        self.stack = contextlib.ExitStack()

    def run(self, vm: int, *words: str) -> Program:
        program = Program(self._bench, vm, list(words))
        self.stack.callback(program.lines.close)
        return program

    def c(self, vm: int, source: Path, *words: str, bits: int = 64) -> Program:
        return self.run(vm, str(self._build(source, bits)), *words)

    def python(self, vm: int, module: str, *words: str) -> Program:
        return self.run(vm, sys.executable, "-m", module, *words)
