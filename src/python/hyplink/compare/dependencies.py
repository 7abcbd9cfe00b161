"""What a mechanism's code includes, or in Python imports, of other mechanisms.

An installed package has no C++ sources, so what they say is kept in ``dependencies.json``; a test compares the two, and
``python -m hyplink.compare.dependencies ROOT`` writes it anew from a checkout. A file that a mechanism shares with its
kin is its own; what it takes from a file of several others is a dependency on those that have it to themselves.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

from hyplink.compare.mechanisms.base import Mechanism
from hyplink.compare.mechanisms.every import MECHANISMS

__all__ = ["depends_on", "find", "kept"]

_KEPT = Path(__file__).with_name("dependencies.json")
_INCLUDE = re.compile(r'^\s*#\s*include\s*"hyplink/([^"]+)"', re.MULTILINE)
#: Below every mechanism; named only by those that stand on nothing else.
_HYPERVISOR = "hypervisor"
_IMPORT = re.compile(r"^\s*from hyplink\.?(\w*) import ([\w, ]+)", re.MULTILINE)


def _owner(path: str) -> str:
    """The mechanism that a file belongs to alone; empty for what belongs to none or to several."""
    owners = [name for name, mechanism in MECHANISMS.items() if path.startswith(mechanism.sources)]
    return owners[0] if len(owners) == 1 else ""


def _used(path: Path) -> set[str]:
    text = path.read_text()
    if path.suffix != ".py":
        return set(_INCLUDE.findall(text))
    return {
        f"python/{module}.py"
        for package, names in _IMPORT.findall(text)
        for module in ([package] if package else names.replace(" ", "").split(","))
    }


def find(root: Path) -> dict[str, list[str]]:
    """Read the sources of a checkout: mechanism -> mechanisms that its files use."""
    home = root / "src" / "cpp" / "hyplink"
    package = root / "src" / "python" / "hyplink"
    files = {path.relative_to(home).as_posix(): path for path in home.rglob("*.[ch]pp")}
    files |= {f"python/{path.name}": path for path in package.glob("*.py")}
    found = {}
    for name, mechanism in MECHANISMS.items():
        own = [path for inside, path in files.items() if inside.startswith(mechanism.sources)]
        used = set().union(*map(_used, own))
        others = {_owner(inside) for inside in used if not inside.startswith(mechanism.sources)}
        found[name] = sorted(others - {""}) or [_HYPERVISOR]
    return found


def kept() -> dict[str, list[str]]:
    """What was found when the package was made."""
    known: dict[str, list[str]] = json.loads(_KEPT.read_text())
    return known


def depends_on(mechanism: Mechanism) -> tuple[str, ...]:
    """What it stands on."""
    return tuple(kept()[mechanism.name])


if __name__ == "__main__":
    _KEPT.write_text(json.dumps(find(Path(sys.argv[1])), indent=2) + "\n")
