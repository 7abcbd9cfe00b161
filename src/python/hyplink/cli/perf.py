"""``hyplink perf``: run the measuring programs of a build."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hyplink.display.tables import text_table

__all__ = ["add_command"]

_EPILOG = """\
examples:
  hyplink perf                          everything that is built
  hyplink perf ring bell --passes 9
  hyplink perf --build .build/dev --json

The programs belong to a checkout: build it with `sh tests/run.sh`. They are looked for in --build,
in HYPLINK_BUILD_DIR, and in .build/* of the checkout. Figures are medians of several passes; each is
compared with a limit that was measured in the same passes. Keep the machine quiet meanwhile.
"""
#: What an installed package knows of; a checkout may have more.
_KNOWN = ("bell", "call", "ring")


def add_command(subparsers: Any) -> None:
    """Add ``perf`` to the command line."""
    parser = subparsers.add_parser(
        "perf",
        help="measure",
        description="Run the measuring programs and print what they found.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("programs", nargs="*", metavar="PROGRAM", help="such as ring; default: all")
    parser.add_argument("--build", type=Path, metavar="DIR", help="a build directory")
    parser.add_argument("--passes", type=int, metavar="N", help="passes of each (default: its own)")
    parser.add_argument("--scale", type=float, metavar="F", help="times the number of rounds")
    parser.add_argument("--same-core", action="store_true", help="both sides on one core")
    parser.add_argument("--json", action="store_true", help="one JSON object on standard output")
    parser.set_defaults(run=_run)


def _checkouts() -> Iterator[Path]:
    """Where sources may be: above the current directory, and above an editable install."""
    for start in (Path.cwd(), Path(__file__).resolve().parent):
        for folder in (start, *start.parents):
            if (folder / "tests" / "perf" / "measure.hpp").is_file():
                yield folder
                break


def _builds(options: argparse.Namespace) -> Iterator[Path]:
    if options.build is not None:
        yield options.build
        return
    if named := os.environ.get("HYPLINK_BUILD_DIR"):
        yield Path(named)
    for root in _checkouts():
        # Without sanitizers: their figures say nothing.
        yield from sorted(
            (root / ".build").glob("*"), key=lambda folder: (folder.name != "dev", folder.name)
        )


def _programs(options: argparse.Namespace) -> dict[str, Path | None]:
    """Name -> program; None where there is no program of that name."""
    found: dict[str, Path | None] = {}
    for build in _builds(options):
        for path in sorted((build / "tests" / "perf").glob("perf_*")):
            if path.is_file() and os.access(path, os.X_OK):
                found.setdefault(path.name.removeprefix("perf_"), path)
    for root in _checkouts():
        for source in sorted((root / "tests" / "perf").glob("perf_*.py")):
            found.setdefault(source.stem.removeprefix("perf_"), source)
        for source in (root / "tests" / "perf").glob("perf_*.cpp"):
            found.setdefault(source.stem.removeprefix("perf_"), None)
    for name in _KNOWN:
        found.setdefault(name, None)
    if options.programs:
        names = [name.removeprefix("perf_") for name in options.programs]
        return {name: found.get(name) for name in names}
    return dict(sorted(found.items()))


def _measure(path: Path, options: argparse.Namespace) -> dict[str, Any]:
    command = [str(path), "--json"]
    if path.suffix == ".py":
        command.insert(0, sys.executable)
    if options.passes is not None:
        command += ["--passes", str(options.passes)]
    if options.scale is not None:
        command += ["--scale", str(options.scale)]
    if options.same_core:
        command.append("--same-core")
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        return {"state": "failed", "error": f"exit status {done.returncode}"}
    try:
        return {"state": "measured", **json.loads(done.stdout)}
    except (ValueError, TypeError):
        return {"state": "failed", "error": "its output is not one JSON object"}


def _run(options: argparse.Namespace) -> int:
    results: dict[str, dict[str, Any]] = {}
    programs = _programs(options)
    for name, path in programs.items():
        if path is None:
            results[name] = {"state": "absent", "error": "not built; sh tests/run.sh builds it"}
        else:
            print(f"hyplink perf: {name} …", file=sys.stderr)
            results[name] = _measure(path, options)
        if not options.json:
            print(_text(name, results[name]), flush=True)
    states = [result["state"] for result in results.values()]
    status = 1 if "failed" in states else 0
    # What was asked for by name has to be there; of everything, something.
    if status == 0 and ("absent" in states if options.programs else "measured" not in states):
        status = 3
    if options.json:
        print(json.dumps({"ok": status == 0, "programs": results}))
    return status


def _row(figure: dict[str, Any]) -> list[str]:
    if "median" not in figure:  # a peer that did not run
        return [str(figure["name"]), "failed", "", "", "", ""]
    return [
        str(figure["name"]),
        f"{figure['median']:,.6g}",
        str(figure["unit"]),
        f"{figure['lowest']:,.6g} .. {figure['highest']:,.6g}",
        f"{figure['ratio']:.2f} × {figure['limit']}" if "ratio" in figure else "",
        _verdict(figure),
    ]


def _text(name: str, result: dict[str, Any]) -> str:
    if result["state"] != "measured":
        return f"{name}: {result['state']}: {result['error']}\n"
    facts = [f"{result[key]} {key}" for key in ("cores", "passes") if key in result]
    facts += [str(result[key]) for key in ("model", "kernel") if key in result]
    rows = [_row(figure) for figure in result.get("figures", ())]
    table = text_table(["", "median", "", "lowest .. highest", "ratio", "goal"], rows)
    return f"{name}: {', '.join(facts)}\n{table}\n"


def _verdict(figure: dict[str, Any]) -> str:
    if "goal" not in figure:
        return ""
    sign = "≥" if str(figure["unit"]).endswith("/s") else "≤"
    return f"{sign} {figure['goal']:g} {'met' if figure.get('met') else 'missed'}"
