"""What a mechanism's code includes of other mechanisms.

An installed package has no C++ sources, so what they say is kept in ``dependencies.json``; a test compares the two, and
``python -m hyplink.compare.dependencies ROOT`` writes it anew from a checkout.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

from hyplink.compare.mechanisms import MECHANISMS, Mechanism

__all__ = ["depends_on", "find", "kept"]

_KEPT = Path(__file__).with_name("dependencies.json")
_INCLUDE = re.compile(r'^\s*#\s*include\s*"hyplink/([^"]+)"', re.MULTILINE)
#: Below every mechanism; named only by those that stand on nothing else.
_HYPERVISOR = "hypervisor"


def _owner(path: str) -> str:
    """The mechanism a file belongs to; empty for what belongs to none."""
    for name, mechanism in MECHANISMS.items():
        if path.startswith(mechanism.sources):
            return name
    return ""


def find(root: Path) -> dict[str, list[str]]:
    """Read the sources of a checkout: mechanism -> mechanisms that its files include."""
    home = root / "src" / "cpp" / "hyplink"
    found: dict[str, set[str]] = {name: set() for name in MECHANISMS}
    for path in sorted(home.rglob("*.[ch]pp")):
        inside = path.relative_to(home).as_posix()
        if name := _owner(inside):
            used = {_owner(included) for included in _INCLUDE.findall(path.read_text())}
            found[name] |= used - {name, ""}
    return {name: sorted(used) or [_HYPERVISOR] for name, used in found.items()}


def kept() -> dict[str, list[str]]:
    """What was found when the package was made."""
    known: dict[str, list[str]] = json.loads(_KEPT.read_text())
    return known


def depends_on(mechanism: Mechanism) -> tuple[str, ...]:
    """What it stands on."""
    return tuple(kept()[mechanism.name])


if __name__ == "__main__":
    _KEPT.write_text(json.dumps(find(Path(sys.argv[1])), indent=2) + "\n")
