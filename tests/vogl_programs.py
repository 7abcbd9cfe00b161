"""OpenGL ES programs that know nothing of hyplink: run directly, and run in a VM."""

from __future__ import annotations

import dataclasses
import os
import subprocess
from pathlib import Path

import pytest

import hyplink
from hyplink import vogl

HERE = Path(__file__).parent / "vogl"
DIRECT = {**os.environ, "EGL_PLATFORM": "surfaceless", "LIBGL_ALWAYS_SOFTWARE": "1"}
LIMIT = 120.0
#: The client's libraries built by .config/setup.sh for 32 bits, where the compiler can.
LIBRARIES_32 = HERE.parents[1] / ".build/m32/site/hyplink/lib/vogl"


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What a program left: its pictures and what GL said to it."""

    picture: bytes
    said: str


class Programs:
    """Compiles the programs against the stock headers, each once."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __call__(self, name: str, bits: int = 64) -> Path:
        program = self.folder / (name if bits == 64 else f"{name}-{bits}")
        if bits == 32:
            if not (LIBRARIES_32 / "libEGL.so.1").exists():
                pytest.skip("no 32-bit vOGL: .config/setup.sh found no compiler with -m32")
            if os.environ.get("HYPLINK_SANITIZE"):
                pytest.skip("the 32-bit libraries are built without sanitizers")
        if not program.exists():
            words = ["gcc", "-std=c99", "-D_POSIX_C_SOURCE=200809L", "-O1", "-Wall", "-Wextra"]
            words += ["-Wno-unused-function", "-Wno-unused-variable"]
            words += [str(HERE / "programs" / f"{name}.c"), "-o", str(program), "-pthread"]
            words += ["-l:libEGL.so.1", "-l:libGLESv2.so.2"]
            if bits == 32:
                # The arithmetic of 64 bits, so that both programs draw the same.
                words += ["-m32", "-msse2", "-mfpmath=sse", f"-L{LIBRARIES_32}"]
                words += [f"-Wl,-rpath-link,{LIBRARIES_32.parent}"]
            # A sanitizer's runtime has to come with the program: the libraries alone would bring it too late.
            sanitize = os.environ.get("HYPLINK_SANITIZE", "")
            words += [f"-fsanitize={sanitize}"] if sanitize else []
            done = subprocess.run(words, capture_output=True, text=True)
            assert done.returncode == 0, done.stderr
        return program


def outcome(base: Path) -> Outcome:
    return Outcome(base.with_suffix(".rgba").read_bytes(), base.with_suffix(".txt").read_text())


def run_direct(program: Path, base: Path, *words: str) -> Outcome:
    done = subprocess.run(
        [program, base, *words], env=DIRECT, capture_output=True, text=True, timeout=LIMIT
    )
    assert done.returncode == 0, done.stderr
    return outcome(base)


def run_in_vm(
    bench: hyplink.Bench,
    program: Path,
    base: Path,
    *words: str,
    environment: tuple[str, ...] = (),
) -> Outcome:
    with vogl.run(bench.vm(3), [program, base, *words], environment=environment) as running:
        assert running.read(timeout=LIMIT) == ""
    return outcome(base)
