"""One broken block for each rule of each procedure, in C++ for 64 and 32 bits, under sanitizers."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from hyplink import idl
from hyplink.idl.cli import main

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
DATA = HERE / "data"
FILES = ["everything", "rich", "glslice", "camera", "whole"]
STRICT = ["-std=c++20", "-Wall", "-Wextra", "-Wconversion", "-Wshadow", "-Werror"]
SANITIZERS = ["-fsanitize=address,undefined", "-fno-sanitize-recover=all"]

sys.path.insert(0, str(HERE))

from compiling import side_by_side  # noqa: E402
from idl_negative_driver import driver_source  # noqa: E402
from negative_cases import Request, good_request, negative_cases  # noqa: E402


def line(request: Request, *, callback: bool) -> str:
    numbers = f"{int(callback)} {int(request.is_call)} {request.out_bytes}"
    return f"{request.ident:x} {numbers} {request.block.hex() or '-'}\n"


@pytest.fixture(scope="module")
def models() -> list[idl.Model]:
    return [idl.compile_file(DATA / f"{name}.vidl").require() for name in FILES]


@pytest.fixture(scope="module")
def programs(
    tmp_path_factory: pytest.TempPathFactory, models: list[idl.Model]
) -> dict[str, Path | str]:
    """A driver for each width, or why there is none; compiled side by side."""
    out = tmp_path_factory.mktemp("negative")
    files = [str(p) for p in sorted(DATA.glob("*.vidl"))]
    assert main(["gen", *files, "-o", str(out), "--lang", "cpp,mock"]) == 0
    source = out / "driver.cpp"
    source.write_text(driver_source(models))
    compiler = shutil.which("g++") or shutil.which("c++")
    assert compiler, "a C++ compiler is needed: apt-get install g++"

    def compiled(bits: str) -> Path | str:
        built = out / f"driver-{bits}"
        # The 32-bit sanitizer library is not everywhere.
        for extra in (SANITIZERS, []):
            command = [compiler, *STRICT, f"-m{bits}", "-O0", *extra, str(source)]
            command += ["-I", str(ROOT / "src/cpp"), "-I", str(out), "-o", str(built)]
            done = subprocess.run(command, capture_output=True, text=True)
            if done.returncode == 0:
                return built
            if bits != "32":
                break
        return done.stderr

    return side_by_side(compiled, ["64", "32"])


@pytest.fixture(scope="module", params=["64", "32"])
def program(request: pytest.FixtureRequest, programs: dict[str, Path | str]) -> Path:
    made = programs[request.param]
    if isinstance(made, Path):
        return made
    if request.param == "32" and ("bits/c++config.h" in made or "cannot find" in made):
        pytest.skip("the compiler cannot build for 32 bits here")
    raise AssertionError(made)


def answers(program: Path, lines: str) -> list[str]:
    done = subprocess.run([program], input=lines, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_every_good_block_is_accepted(program: Path, models: list[idl.Model]) -> None:
    names, lines = [], ""
    for model in models:
        for interface in model.interfaces:
            for callback, procs in enumerate((interface.procedures, interface.callbacks)):
                for proc in procs:
                    names.append(f"{interface.name}.{proc.name}")
                    lines += line(good_request(model, interface, proc), callback=bool(callback))
    found = dict(zip(names, answers(program, lines), strict=True))
    wrong = {name: answer for name, answer in found.items() if answer.startswith("reject")}
    assert not wrong


def test_every_broken_block_is_refused_by_its_rule(program: Path, models: list[idl.Model]) -> None:
    cases, lines = [], ""
    for model in models:
        for interface in model.interfaces:
            for callback, procs in enumerate((interface.procedures, interface.callbacks)):
                for proc in procs:
                    for case in negative_cases(model, interface, proc):
                        cases.append((f"{interface.name}.{proc.name}: {case.name}", case))
                        lines += line(case.request, callback=bool(callback))
    wrong = []
    for (name, case), answer in zip(cases, answers(program, lines), strict=True):
        expected = f"reject D{case.rule} {case.field} {case.offset}"
        if answer != expected:
            wrong.append(f"{name}: expected {expected}, got {answer}")
    assert len(cases) > 500
    assert not wrong, "\n".join([f"{len(wrong)} of {len(cases)}", *wrong[:40]])
