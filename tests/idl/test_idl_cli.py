"""``hyplink idl`` as scripts and build systems see it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from hyplink.idl.cli import main

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
GOOD = "idl 1; module t.good version 1.0; const u32 A = 1;\n"
BAD = "idl 1; module t.bad version 1.0; const u32 A = B;\n"


def put(path: Path, text: str) -> str:
    path.write_text(text)
    return str(path)


def test_check_is_silent_and_0_when_all_is_fine(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["check", put(tmp_path / "a.vidl", GOOD)]) == 0
    assert capsys.readouterr() == ("", "")


def test_check_answers_1_and_shows_every_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = [put(tmp_path / f"{n}.vidl", BAD) for n in "ab"]
    assert main(["check", *files]) == 1
    text = capsys.readouterr().err
    assert f"{files[0]}:1:48: error[VIDL0040]" in text
    assert files[1] in text
    assert "2 findings" in text


def test_check_speaks_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "--format", "json", put(tmp_path / "a.vidl", BAD)]) == 1
    data = json.loads(capsys.readouterr().out)
    assert data["ok"] is False
    assert data["findings"][0]["code"] == "VIDL0040"


def test_check_speaks_sarif(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = put(tmp_path / "a.vidl", BAD + "const u32 A = 2;\n")
    assert main(["check", "--format", "sarif", file]) == 1
    log = json.loads(capsys.readouterr().out)
    assert log["version"] == "2.1.0"
    (run,) = log["runs"]
    first, second = run["results"]
    assert [first["ruleId"], second["ruleId"]] == ["VIDL0040", "VIDL0021"]
    where = first["locations"][0]["physicalLocation"]
    assert where["artifactLocation"]["uri"] == file
    assert where["region"] == {"startLine": 1, "startColumn": 48, "endColumn": 49}
    assert second["relatedLocations"][0]["message"]["text"] == "the first one is here"
    rules = run["tool"]["driver"]["rules"]
    assert [r["id"] for r in rules] == ["VIDL0021", "VIDL0040"]
    assert rules[second["ruleIndex"]]["shortDescription"]["text"] == "Two things with one name."


def test_check_without_findings_is_an_empty_sarif_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["check", "--format", "sarif", put(tmp_path / "a.vidl", GOOD)]) == 0
    assert json.loads(capsys.readouterr().out)["runs"][0]["results"] == []


def test_gen_writes_nothing_when_a_file_is_bad(tmp_path: Path) -> None:
    files = [put(tmp_path / "a.vidl", GOOD), put(tmp_path / "b.vidl", BAD)]
    assert main(["gen", *files, "-o", str(tmp_path / "out")]) == 1
    assert not (tmp_path / "out").exists()


def test_gen_refuses_an_unknown_language_with_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = put(tmp_path / "a.vidl", GOOD)
    assert main(["gen", file, "-o", str(tmp_path), "--lang", "cobol"]) == 2
    said = capsys.readouterr().err
    assert "no language cobol" in said
    assert "cpp" in said


def test_two_files_that_would_write_one_file_are_refused(tmp_path: Path) -> None:
    (tmp_path / "x").mkdir()
    one = put(tmp_path / "a.vidl", GOOD)
    two = put(tmp_path / "x" / "a.vidl", GOOD.replace("A = 1", "A = 2"))
    assert main(["gen", one, two, "-o", str(tmp_path / "out")]) == 1


def test_the_module_runs_as_a_program_and_usage_is_2() -> None:
    env = {**os.environ, "PYTHONPATH": str(ROOT / "src/python")}
    done = subprocess.run([sys.executable, "-m", "hyplink.idl"], env=env, capture_output=True)
    assert done.returncode == 2


def test_the_depfile_names_imports(tmp_path: Path) -> None:
    out = tmp_path / "out"
    source = HERE / "data" / "everything.vidl"
    dep = tmp_path / "x.d"
    assert main(["gen", str(source), "-o", str(out), "--lang", "cpp", "--depfile", str(dep)]) == 0
    target, _, inputs = dep.read_text().partition(": ")
    assert target == str(out / "everything.hpp")
    assert inputs.split() == sorted([str(source), str(source.parent / "shapes.vidl")])


@pytest.mark.skipif(not shutil.which("cmake"), reason="cmake is not installed")
def test_cmake_builds_with_the_helper_and_rebuilds_only_after_a_change(tmp_path: Path) -> None:
    for name in ("everything", "shapes"):
        shutil.copy(HERE / "data" / f"{name}.vidl", tmp_path)
    (tmp_path / "main.cpp").write_text('#include "everything.hpp"\nint main() { return 0; }\n')
    (tmp_path / "CMakeLists.txt").write_text(
        f"""cmake_minimum_required(VERSION 3.20)
project(x CXX)
set(CMAKE_CXX_STANDARD 20)
set(HYPLINK_IDL_COMMAND "{sys.executable}" -m hyplink.idl)
include("{ROOT}/src/python/hyplink/idl/cmake/hyplink_idl.cmake")
add_executable(x main.cpp)
target_include_directories(x PRIVATE "{ROOT}/src/cpp")
hyplink_add_idl(x FILES everything.vidl shapes.vidl LANGUAGES cpp py json md)
"""
    )
    env = {**os.environ, "PYTHONPATH": str(ROOT / "src/python")}
    build = tmp_path / "build"

    def run(*command: str) -> str:
        done = subprocess.run(command, env=env, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    run("cmake", "-S", str(tmp_path), "-B", str(build), "-DCMAKE_CXX_FLAGS=-O0")
    assert "Building CXX" in run("cmake", "--build", str(build))
    again = run("cmake", "--build", str(build))
    assert "Building CXX" not in again
    assert "Stubs from" not in again
    shapes = tmp_path / "shapes.vidl"
    shapes.write_text(shapes.read_text().replace("MOST = 8", "MOST = 9"))
    third = run("cmake", "--build", str(build))
    assert "Stubs from everything.vidl" in third
    assert "Building CXX" in third


SMALL = """idl 1;
module t.small version 1.0;
interface small group 9 { async put(u32 n) = 1; sync u32 count() = 2 on_lost 0; }
"""


@pytest.mark.skipif(
    not (shutil.which("cmake") and shutil.which("ninja")), reason="cmake or ninja is not installed"
)
def test_cmake_compiles_the_sources_that_a_language_writes(tmp_path: Path) -> None:
    put(tmp_path / "small.vidl", SMALL)
    (tmp_path / "CMakeLists.txt").write_text(
        f"""cmake_minimum_required(VERSION 3.20)
project(x C)
set(CMAKE_C_STANDARD 99)
set(HYPLINK_IDL_COMMAND "{sys.executable}" -m hyplink.idl)
include("{ROOT}/src/python/hyplink/idl/cmake/hyplink_idl.cmake")
add_library(x STATIC)
target_include_directories(x PUBLIC "{ROOT}/src/cpp")
hyplink_add_idl(x FILES small.vidl LANGUAGES c cpp py)
"""
    )
    env = {**os.environ, "PYTHONPATH": str(ROOT / "src/python")}
    build = tmp_path / "build"

    def run(*command: str) -> str:
        done = subprocess.run(command, env=env, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    # make would touch what a command may have written; ninja looks.
    run("cmake", "-G", "Ninja", "-S", str(tmp_path), "-B", str(build))
    assert "small_client.c" in run("cmake", "--build", str(build))
    made = {path: path.stat().st_mtime_ns for path in (build / "x_idl").iterdir()}
    assert {"small.h", "small.hpp", "small.py"} <= {path.name for path in made}
    put(tmp_path / "small.vidl", SMALL + "// Only a comment.\n")
    again = run("cmake", "--build", str(build))
    assert "Stubs from small.vidl" in again
    assert "Building C " not in again
    touched = [p.name for p, at in made.items() if p.stat().st_mtime_ns != at]
    assert set(touched) <= {"small.stamp"}
