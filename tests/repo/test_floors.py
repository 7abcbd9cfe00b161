"""Each floor uses the ones below it: includes and imports are compared with one table."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

# Lowest first. A folder of src/cpp/hyplink may include itself and what stands before it.
CPP = ("base", "sys", "mem", "ring", "hyp", "guest", "app", "backend", "compat", "vogl", "dev")
# Files directly in src/cpp/hyplink (the program) and bindings/ stand above all of them.
CPP_TOP = "above all floors"

# Lowest first. A module may import its own row and the rows before it.
PYTHON = (
    {"errors", "arguments", "units", "diagnostics", "closing", "bells", "timeouts", "display"},
    {"_core"},
    {"board", "grants", "memory", "running"},
    {
        "idl",
        "rpq",
        "pipe",
        "_pipe_streams",
        "upipe",
        "dev",
        "mq",
        "rpc",
        "ipc",
        "umem",
        "buffers",
        "ion",
        "dma",
        "event",
        "eth",
        "blk",
        "virtio",
        "ntb",
        "nkddi",
    },
    {"guest", "_app"},  # code that runs inside a VM, and how it starts there
    {"trace", "stats"},
    {"vm", "link"},
    {"observe"},
    {"bench"},
    {"compare"},
    {"testing", "pytest_plugin", "cli", "demo", "doctor", "perf", "examples", "vogl"},
    {"hyplink", "__main__"},  # the package's own front: re-exports
)
# Usable without the compiled module: nothing they import leads there.
WITHOUT_CORE = (
    "errors",
    "arguments",
    "units",
    "diagnostics",
    "timeouts",
    "display",
    "board",
    "idl",
)

INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]')


# --- C++ ------------------------------------------------------------------------------------------


def cpp_files(root: Path) -> Iterator[Path]:
    for folder in (root / "src/cpp/hyplink", root / "bindings"):
        for path in sorted(folder.rglob("*")):
            if path.suffix in {".cpp", ".hpp", ".h", ".c"}:
                yield path


def cpp_floor(root: Path, path: Path) -> str:
    home = root / "src/cpp/hyplink"
    if not path.is_relative_to(home) or path.parent == home:
        return CPP_TOP
    return path.relative_to(home).parts[0]


def cpp_offences(root: Path) -> Iterator[str]:
    order = {floor: rank for rank, floor in enumerate((*CPP, CPP_TOP))}
    for path in cpp_files(root):
        floor = cpp_floor(root, path)
        if floor not in order:
            yield f"{path.relative_to(root)}: folder {floor} is not in the table"
            continue
        for number, line in enumerate(path.read_text().splitlines(), start=1):
            match = INCLUDE.match(line)
            if match is None:
                continue
            quote, name = match.groups()
            target = root / "src/cpp" / name
            if quote == '"' and (path.parent / name).exists():
                target = (path.parent / name).resolve()
            elif not name.startswith("hyplink/"):
                continue
            used = cpp_floor(root, target)
            if order.get(used, len(order)) > order[floor]:
                yield f"{path.relative_to(root)}:{number}: {floor} includes {name} of {used}"


def test_cpp_includes_point_downwards(root: Path) -> None:
    found = list(cpp_offences(root))
    assert not found, "\n".join(found)


def test_an_upward_include_is_found(tmp_path: Path) -> None:
    for floor in ("base", "ring"):
        (tmp_path / "src/cpp/hyplink" / floor).mkdir(parents=True)
    (tmp_path / "src/cpp/hyplink/ring/b.hpp").write_text('#include "hyplink/base/a.hpp"\n')
    (tmp_path / "src/cpp/hyplink/base/a.hpp").write_text("\n#include <hyplink/ring/b.hpp>\n")
    assert list(cpp_offences(tmp_path)) == [
        "src/cpp/hyplink/base/a.hpp:2: base includes hyplink/ring/b.hpp of ring"
    ]


def test_the_build_knows_the_same_floors_in_the_same_order(root: Path) -> None:
    listed = re.search(
        r"set\(HYPLINK_FLOORS ([^)]+)\)", (root / "src/cpp/CMakeLists.txt").read_text()
    )
    assert listed is not None
    assert tuple(listed[1].split()) == CPP


# Below the backends nothing starts a thread, sleeps or forks: whoever runs the code decides that.
RUNNING = re.compile(
    r"\b(std::j?thread\b(?!::id)|std::async|pthread_create|sleep_for|sleep_until"
    r"|u?sleep\(|nanosleep|fork\()"
)


def test_nothing_below_the_backends_starts_or_sleeps(root: Path) -> None:
    below = CPP[: CPP.index("backend")]
    found = [
        f"{path.relative_to(root)}:{number}: {match[0]}"
        for path in cpp_files(root)
        if cpp_floor(root, path) in below and cpp_floor(root, path) != "sys"
        for number, line in enumerate(path.read_text().splitlines(), start=1)
        if (match := RUNNING.search(line.split("//")[0]))
    ]
    assert not found, "\n".join(found)


# --- Python ---------------------------------------------------------------------------------------


def imported(path: Path, package: Path) -> Iterator[tuple[int, str]]:
    """(line, dotted name) of all that a file imports, also inside functions and for types."""
    dots = ("hyplink", *path.relative_to(package).parent.parts)
    for node in ast.walk(ast.parse(path.read_text(), path)):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name
        elif isinstance(node, ast.ImportFrom):
            base = list(dots[: len(dots) - node.level + 1]) if node.level else []
            base += [node.module] if node.module else []
            for alias in node.names:
                yield node.lineno, ".".join([*base, alias.name])


def module_of(dotted: str, package: Path) -> str | None:
    """The row entry that a dotted name belongs to; None when it is not ours."""
    parts = dotted.split(".")
    if parts[0] != "hyplink":
        return None
    if len(parts) == 1:
        return "hyplink"
    name = parts[1]
    known = set().union(*PYTHON)
    exists = (package / name).is_dir() or (package / f"{name}.py").exists()
    return name if name in known or exists else "hyplink"  # an attribute of the package itself


def python_uses(package: Path) -> Iterator[tuple[Path, int, str, str]]:
    """(file, line, using module, dotted name) of every import in the package."""
    for path in sorted(package.rglob("*.py")):
        first = path.relative_to(package).parts[0].removesuffix(".py")
        user = "hyplink" if first == "__init__" else first
        for line, name in imported(path, package):
            yield path, line, user, name


def python_offences(package: Path) -> Iterator[str]:
    order = {name: rank for rank, row in enumerate(PYTHON) for name in row}
    for path, line, user, dotted in python_uses(package):
        place = f"{path.relative_to(package)}:{line}"
        used = module_of(dotted, package)
        if user not in order:
            yield f"{place}: {user} is not in the table"
        elif used is None:
            if order[user] == 0 and dotted.split(".")[0] not in sys.stdlib_module_names:
                yield f"{place}: {user} imports {dotted}, which is not the standard library"
        elif order.get(used, len(PYTHON)) > order[user]:
            yield f"{place}: {user} imports {dotted} of a higher floor"


def test_python_imports_point_downwards(root: Path) -> None:
    found = list(python_offences(root / "src/python/hyplink"))
    assert not found, "\n".join(found)


def test_the_board_reader_and_the_idl_compiler_do_without_the_compiled_module(root: Path) -> None:
    package = root / "src/python/hyplink"
    uses: dict[str, set[str]] = {}
    for _, _, user, dotted in python_uses(package):
        uses.setdefault(user, set()).add(module_of(dotted, package) or "")
    for start in WITHOUT_CORE:
        reached, waiting = set(), [start]
        while waiting:
            name = waiting.pop()
            if name not in reached:
                reached.add(name)
                waiting += uses.get(name, ())
        assert "_core" not in reached, f"{start} leads to _core through {sorted(reached)}"


def files_used(path: Path, package: Path) -> Iterator[Path]:
    """The files of the package that one of them imports, also inside functions and for types."""
    for _, dotted in imported(path, package):
        parts = dotted.split(".")
        if parts[0] != "hyplink":
            continue
        while parts[1:]:  # the longest part of the name that is a file; the rest is a name in it
            found = package.joinpath(*parts[1:])
            for file in (found.with_suffix(".py"), found / "__init__.py"):
                if file.exists() and file != path:
                    yield file
            if found.with_suffix(".py").exists() or (found / "__init__.py").exists():
                break
            parts.pop()


def circles(package: Path) -> list[list[str]]:
    """Sets of files each of which leads to all others of its set."""
    uses = {path: set(files_used(path, package)) for path in package.rglob("*.py")}
    reach = {path: set(used) for path, used in uses.items()}
    waiting = set(uses)
    while waiting:  # until nothing new is reached
        path = waiting.pop()
        wider = reach[path].union(*(reach[used] for used in uses[path]))
        if wider != reach[path]:
            reach[path] = wider
            waiting.update(user for user, used in uses.items() if path in used)
    found = {
        frozenset(other for other in reach[path] if path in reach[other])
        for path in uses
        if path in reach[path]
    }
    return sorted(sorted(str(path.relative_to(package)) for path in one) for one in found)


def test_no_files_import_each_other_in_a_circle(root: Path) -> None:
    assert circles(root / "src/python/hyplink") == []


def test_a_circle_of_imports_is_found(tmp_path: Path) -> None:
    (tmp_path / "idl").mkdir()
    (tmp_path / "idl/__init__.py").write_text("from hyplink.idl.a import b\n")
    (tmp_path / "idl/a.py").write_text("def f():\n    from hyplink import bench\n")
    (tmp_path / "bench.py").write_text("from hyplink.idl.a import f\nimport hyplink.errors\n")
    (tmp_path / "errors.py").write_text("")
    assert circles(tmp_path) == [["bench.py", "idl/a.py"]]


def test_an_upward_import_is_found(tmp_path: Path) -> None:
    (tmp_path / "idl").mkdir()
    (tmp_path / "errors.py").write_text("import yaml\n")
    (tmp_path / "bench.py").write_text("")
    (tmp_path / "idl/__init__.py").write_text("def f():\n    from ..bench import Bench\n")
    assert list(python_offences(tmp_path)) == [
        "errors.py:1: errors imports yaml, which is not the standard library",
        "idl/__init__.py:2: idl imports hyplink.bench.Bench of a higher floor",
    ]
