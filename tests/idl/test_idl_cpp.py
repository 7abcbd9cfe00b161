"""Generated C++ for the whole language: compiled by both compilers, for 32 and 64 bits."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from compiling import side_by_side

from hyplink.idl.cli import main

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
DATA = HERE / "data"
STRICT = ["-std=c++20", "-Wall", "-Wextra", "-Wconversion", "-Wshadow", "-Werror"]


@pytest.fixture(scope="session")
def headers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """C++ headers of every interface of the tests."""
    out = tmp_path_factory.mktemp("headers")
    assert (
        main(["gen", *map(str, sorted(DATA.glob("*.vidl"))), "-o", str(out), "--lang", "cpp,mock"])
        == 0
    )
    return out


@pytest.mark.parametrize("bits", ["64", "32"])
@pytest.mark.parametrize("compiler", ["g++", "clang++"])
def test_every_template_compiles_without_warnings(
    headers: Path, tmp_path: Path, compiler: str, bits: str
) -> None:
    if not shutil.which(compiler):
        pytest.skip(f"{compiler} is not installed")
    command = [compiler, *STRICT, f"-m{bits}", "-fsyntax-only"]
    command += ["-I", str(ROOT / "src/cpp"), "-I", str(headers)]
    probe = tmp_path / "probe.cpp"
    probe.write_text("#include <vector>\n")
    if subprocess.run([*command, str(probe)], capture_output=True).returncode != 0:
        pytest.skip(f"{compiler} cannot compile for {bits} bits here")
    source = HERE / "cpp" / "instances.cpp"
    done = subprocess.run([*command, str(source)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_no_procedure_takes_more_than_forty_lines_on_a_side(headers: Path) -> None:
    """Checks of one interface with every form; short functions are read, long ones are not."""
    for name in ("glslice", "camera"):
        lines = (headers / f"{name}.hpp").read_text().splitlines()
        begin = [i for i, line in enumerate(lines) if line.startswith("[[gnu::noinline]]")]
        for at in begin:
            length = lines[at:].index("}")
            assert length <= 48, (lines[at], length)


@pytest.fixture(scope="module")
def stories(
    headers: Path, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, tuple[Path, subprocess.CompletedProcess[str]]]:
    """cpp/rich_story.cpp for each width, and what the compiler said."""
    compiler = shutil.which("g++") or shutil.which("clang++")
    assert compiler, "a C++ compiler is needed: apt-get install g++"
    out = tmp_path_factory.mktemp("story")

    def compiled(bits: str) -> tuple[Path, subprocess.CompletedProcess[str]]:
        program = out / f"story-{bits}"
        command = [compiler, *STRICT, f"-m{bits}", "-O0", "-I", str(ROOT / "src/cpp")]
        command += ["-I", str(headers), str(HERE / "cpp" / "rich_story.cpp"), "-o", str(program)]
        for extra in (["-fsanitize=address,undefined", "-fno-sanitize-recover=all"], []):
            done = subprocess.run([*command, *extra], capture_output=True, text=True)
            if done.returncode == 0:
                break
        return program, done

    return side_by_side(compiled, ["64", "32"])


@pytest.mark.parametrize("bits", ["64", "32"])
def test_client_server_and_callbacks_tell_one_story(
    stories: dict[str, tuple[Path, subprocess.CompletedProcess[str]]], bits: str
) -> None:
    """State, shapes, handles, kept answers, buffers, callbacks, hello: see cpp/rich_story.cpp."""
    program, done = stories[bits]
    if done.returncode != 0 and bits == "32" and "error:" not in done.stderr:
        pytest.skip("the compiler cannot build for 32 bits here")
    assert done.returncode == 0, done.stderr
    ran = subprocess.run([program], capture_output=True, text=True)
    assert (ran.returncode, ran.stdout) == (0, "good\n"), ran.stderr
