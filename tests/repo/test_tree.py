"""The repository is in order: what lies where, no loose ends, scripts parse, tools agree."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

FILES = {"CMakeLists.txt", "LICENSE", "README.md", "pyproject.toml"}
FOLDERS = {"bindings", "notebooks", "src", "tests"}
SCRIPTS = (".ci/run", ".config/setup.sh", "notebooks/demo.sh", "tests/fuzz/run.sh", "tests/run.sh")
TEXT = {".c", ".cmake", ".cpp", ".dts", ".dtsi", ".h", ".hpp", ".md", ".py", ".pyi", ".sh", ".toml"}


def tracked(root: Path) -> list[Path]:
    """What belongs to the project: what git would take; without git, all but what we generate."""
    if shutil.which("git") and (root / ".git").exists():
        command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
        listed = subprocess.run(command, cwd=root, capture_output=True, check=False)
        if listed.returncode == 0:
            names = listed.stdout.decode().split("\0")
            return [root / name for name in names if name and (root / name).is_file()]
    found = []
    for folder, folders, files in os.walk(root):
        folders[:] = [
            name for name in folders if name not in {".git", ".venv", ".build", "__pycache__"}
        ]
        found += [Path(folder, name) for name in files]
    return found


def test_the_visible_top_level_is_fixed(root: Path) -> None:
    seen = {path.relative_to(root).parts[0] for path in tracked(root)}
    assert {name for name in seen if not name.startswith(".")} == FILES | FOLDERS


def test_src_holds_cpp_and_python(root: Path) -> None:
    seen = {
        path.relative_to(root).parts[1]
        for path in tracked(root)
        if path.is_relative_to(root / "src")
    }
    assert seen - {"README.md"} == {"cpp", "python"}


def test_no_work_is_left_marked(root: Path) -> None:
    marker = re.compile(
        r"\b(" + "|".join(["TO" + "DO", "FIX" + "ME", "XX" + "X", "HA" + "CK"]) + r")\b"
    )
    found = [
        f"{path.relative_to(root)}:{number}: {line.strip()}"
        for path in tracked(root)
        if path.suffix in TEXT
        for number, line in enumerate(path.read_text(errors="replace").splitlines(), start=1)
        if marker.search(line)
    ]
    assert not found, "\n".join(found)


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_script_parses(root: Path, name: str) -> None:
    script = root / name
    shell = "bash" if "bash" in script.read_text().splitlines()[0] else "sh"
    done = subprocess.run([shell, "-n", script], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def run_tool(root: Path, tool: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    program = Path(sys.executable).with_name(tool)
    found = program if program.exists() else shutil.which(tool)
    if found is None:
        pytest.skip(f"{tool} is not installed")
    # The tools are not ours to instrument.
    clean = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    return subprocess.run(
        [found, *arguments], cwd=root, env=clean, capture_output=True, text=True, check=False
    )


def complaints(root: Path, tool: str, *arguments: str) -> str:
    done = run_tool(root, tool, *arguments)
    return "" if done.returncode == 0 else done.stdout + done.stderr


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_script_passes_shellcheck(root: Path, name: str) -> None:
    said = complaints(root, "shellcheck", "-x", name)
    assert not said, said


def test_ruff_finds_nothing(root: Path) -> None:
    said = complaints(root, "ruff", "check", "--output-format=concise", ".")
    assert not said, said


def test_python_is_formatted(root: Path) -> None:
    said = complaints(root, "ruff", "format", "--check", ".")
    assert not said, said


def test_types_are_right(root: Path) -> None:
    said = complaints(root, "mypy", "--no-error-summary")
    assert not said, said


def test_cpp_is_formatted(root: Path) -> None:
    # Not the golden files of the generators: their form is the generators' own.
    folders = ("src/cpp", "bindings", "tests/cpp", "tests/perf", "tests/fuzz")
    files = [
        path.relative_to(root).as_posix()
        for path in tracked(root)
        if path.suffix in {".cpp", ".hpp", ".h"}
        and path.relative_to(root).as_posix().startswith(folders)
    ]
    done = run_tool(root, "clang-format", "--dry-run", "--Werror", *files)
    unformatted = set(re.findall(r"^(\S[^:\n]*):\d+:\d+: error", done.stderr, re.MULTILINE))
    assert not unformatted, "run .venv/bin/clang-format -i " + " ".join(sorted(unformatted))
    assert done.returncode == 0, done.stderr
