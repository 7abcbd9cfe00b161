"""Where the things of a contract stand in their files."""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

from hyplink.idl.findings import Findings
from hyplink.idl.parser import parse_file

__all__ = ["Spot", "spots_of"]


class Spot(NamedTuple):
    """A place in a file; both numbers count from 1."""

    file: str
    line: int
    column: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}"


def spots_of(file: str, text: str) -> tuple[str, dict[str, Spot]]:
    """The file's module, and by dotted name the place of everything that has a name."""
    tree = parse_file(file, text, Findings())
    found: dict[str, Spot] = {}
    _walk(tree, "", file, found)
    return tree.module, found


def _walk(node: object, prefix: str, file: str, found: dict[str, Spot]) -> None:
    # Whatever the language grows: a node with a name and a place is a thing to point at.
    if not dataclasses.is_dataclass(node):
        return
    for item in dataclasses.fields(node):
        value = getattr(node, item.name)
        for child in value if isinstance(value, list) else ():
            name = getattr(child, "name", None)
            place = getattr(child, "place", None)
            if isinstance(name, str) and place:
                path = f"{prefix}{name}"
                found.setdefault(path, Spot(file, place[0], place[1]))
                _walk(child, f"{path}.", file, found)
