"""C programs compiled against the installed headers, and programs that run inside the VMs of a bench."""

from __future__ import annotations

import contextlib
import math
import os
import select
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Self

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


class Lines:
    """Lines from a pipe, each waited for: who says nothing any more fails the test, and does not stop it."""

    SECONDS = 120.0

    def __init__(self, fd: int, bench: hyplink.Bench) -> None:
        self._fd, self._bench = fd, bench
        self._rest = b""

    def readline(self) -> str:
        """The next line with its end; empty when there is none any more."""
        until = time.monotonic() + self.SECONDS
        while b"\n" not in self._rest:
            poll = select.poll()
            poll.register(self._fd, select.POLLIN)
            left = math.ceil((until - time.monotonic()) * 1000)
            assert poll.poll(max(left, 0)), self._silence()
            piece = os.read(self._fd, 1 << 16)
            if not piece:
                break
            self._rest += piece
        line, end, self._rest = self._rest.partition(b"\n")
        return (line + end).decode()

    def _silence(self) -> str:
        """What may be the cause: the guests of the bench that have failed."""
        said = [f"a program says nothing for {self.SECONDS:g} s"]
        for vm in self._bench.vms.values():
            for guest in vm._guests:
                how = "runs"
                if guest.done():
                    failure = guest.exception()
                    notes = getattr(failure and failure.__cause__, "__notes__", ())
                    how = "\n".join((f"ended: {failure!r}", *notes))
                said.append(f"guest {guest.name} of VM {vm.id} {how}")
        said.append(str(self._bench.trace.tail(20)))
        return "\n".join(said)

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> str:
        if line := self.readline():
            return line
        raise StopIteration

    def read(self) -> str:
        return "".join(self)

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Program:
    """A program inside a VM, and the lines it says."""

    def __init__(self, bench: hyplink.Bench, vm: int, words: list[str]) -> None:
        read, write = os.pipe()
        self.lines = Lines(read, bench)
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


# --- fixtures, for whoever's conftest imports them ----------------------------------------------------


@pytest.fixture(scope="session")
def build_c(tmp_path_factory: pytest.TempPathFactory) -> Compiler:
    """Compiles C programs against the one library."""
    return Compiler(tmp_path_factory.mktemp("programs"), "hyplink")


@pytest.fixture
def runner(bench: hyplink.Bench, build_c: Compiler) -> Iterator[Runner]:
    """Runs programs in the VMs of the bench."""
    made = Runner(bench, build_c)
    with made.stack:
        yield made
