"""What can be wrong with a board: the list of codes, and the collector of one run.

A code never changes its meaning and is never used again for something else: tests, editors and
people's notes refer to it.
"""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Iterable, Sequence
from typing import Literal

from hyplink.diagnostics import Diagnostic, Note, render_all
from hyplink.errors import BoardError

__all__ = ["CODES", "Findings", "Place", "did_you_mean", "known"]

#: Every code with its one-line meaning, in the order of the work: text, tree, links, memory.
CODES: dict[str, str] = {
    "BOARD0001": "the file cannot be read",
    "BOARD0002": "there is nothing in it",
    "BOARD0003": "it is not a device tree",
    "BOARD0004": "the compiled tree is damaged",
    "BOARD0005": "an included file is missing",
    "BOARD0006": "files include each other without end",
    "BOARD0007": "the preprocessor refuses a line",
    "BOARD0008": "a comment is never closed",
    "BOARD0010": "syntax error",
    "BOARD0011": "unknown label",
    "BOARD0012": "one label on two nodes",
    "BOARD0013": "a phandle that cannot be",
    "BOARD0014": "something of device trees that has no use on a board",
    "BOARD0015": "too deep, or too many errors to go on",
    "BOARD0020": "VM id out of range",
    "BOARD0021": "VM id twice",
    "BOARD0022": "no VM there",
    "BOARD0030": "a vdev without a class",
    "BOARD0031": "a name too long or with characters that a name cannot have",
    "BOARD0032": "a property of the wrong type",
    "BOARD0033": "server and client at once",
    "BOARD0034": "a client without a peer",
    "BOARD0035": "a server that nobody uses (warning)",
    "BOARD0036": "two servers in a pair",
    "BOARD0037": "two clients in a pair",
    "BOARD0038": "only one end says what it is",
    "BOARD0039": "a peer of another class",
    "BOARD0040": "two clients of one server",
    "BOARD0041": "the peer is not a vdev",
    "BOARD0042": "its own peer",
    "BOARD0043": "a vdev with neither role nor peer",
    "BOARD0044": "a property that looks misspelt (warning)",
    "BOARD0045": "a vdev written twice (warning)",
    "BOARD0050": "a size that is not a size",
    "BOARD0051": "an info key twice",
    "BOARD0052": "an unknown info key",
    "BOARD0053": "a value outside its limits",
    "BOARD0054": "an info string of the wrong form",
    "BOARD0055": "an info string that nobody reads (warning)",
    "BOARD0060": "a region without a proper reg",
    "BOARD0061": "an unaligned region",
    "BOARD0062": "overlapping regions",
    "BOARD0063": "sharing without vl,allow-sharing",
    "BOARD0064": "a region that is empty or leaves the address space",
    "BOARD0065": "shared memory that is ordinary memory (warning)",
    "BOARD0070": "missing vl,vm-id",
    "BOARD0071": "import of itself",
    "BOARD0072": "the same import twice",
    "BOARD0073": "page granting where IPA is not PA",
}


@dataclasses.dataclass(frozen=True, slots=True)
class Place:
    """A place in a text; ``line`` 0 means the whole file."""

    file: str
    line: int = 0
    column: int = 0
    length: int = 1

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}" if self.line else self.file


class Findings:
    """Everything found in one run, and the texts that the carets point into."""

    def __init__(self) -> None:
        self.found: list[Diagnostic] = []
        self.sources: dict[str, str] = {}
        self._seen: set[Diagnostic] = set()

    def add(
        self,
        code: str,
        place: Place,
        message: str,
        hint: str = "",
        notes: Iterable[tuple[Place, str]] = (),
        severity: Literal["error", "warning"] = "error",
    ) -> None:
        """Note one finding; the same finding twice counts once."""
        if code not in CODES:
            raise KeyError(code)
        finding = Diagnostic(
            place.file,
            place.line,
            place.column,
            code,
            message,
            length=place.length,
            hint=hint,
            notes=tuple(Note(p.file, p.line, p.column, text, p.length) for p, text in notes),
            severity=severity,
        )
        if finding not in self._seen:
            self._seen.add(finding)
            self.found.append(finding)

    def warn(
        self,
        code: str,
        place: Place,
        message: str,
        hint: str = "",
        notes: Iterable[tuple[Place, str]] = (),
    ) -> None:
        """Note something that is allowed but hardly meant."""
        self.add(code, place, message, hint, notes, severity="warning")

    @property
    def errors(self) -> list[Diagnostic]:
        """The findings that keep the board from loading."""
        return [f for f in self.found if f.severity == "error"]

    @property
    def warnings(self) -> list[Diagnostic]:
        """The findings that do not."""
        return sorted(f for f in self.found if f.severity == "warning")

    def raise_errors(self, name: str) -> None:
        """Raise ``BoardError`` with every finding so far if one of them is an error."""
        errors = self.errors
        if not errors:
            return
        count = "one error" if len(errors) == 1 else f"{len(errors)} errors"
        text = render_all(self.found, self.sources)
        raise BoardError(f"{name}: {count} in the board\n{text}", tuple(sorted(self.found)))


def did_you_mean(word: str, choices: Iterable[str]) -> str:
    """A hint with the nearest known name, or nothing."""
    near = difflib.get_close_matches(word, sorted(set(choices)), n=1, cutoff=0.75)
    return f"did you mean {near[0]}?" if near else ""


def known(choices: Sequence[str], limit: int = 8) -> str:
    """``a, b, c`` for a message that says what exists."""
    shown = ", ".join(choices[:limit])
    return shown + (", …" if len(choices) > limit else "")
