"""Findings in a text that a user wrote: place, caret, hint.

Shared by the board reader and the IDL compiler, so that both speak alike. Standard library only.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any, Literal

__all__ = ["Diagnostic", "Note", "render", "render_all"]


@dataclasses.dataclass(frozen=True, slots=True, order=True)
class Note:
    """A second place that explains a finding."""

    file: str
    line: int
    column: int
    message: str
    length: int = 1


@dataclasses.dataclass(frozen=True, slots=True, order=True)
class Diagnostic:
    """One finding. ``line`` and ``column`` count from 1; line 0 means the whole file."""

    file: str
    line: int
    column: int
    code: str
    message: str
    length: int = 1
    hint: str = ""
    notes: tuple[Note, ...] = ()
    severity: Literal["error", "warning"] = "error"

    def to_json(self) -> dict[str, Any]:
        """Plain data for ``--json``."""
        return dataclasses.asdict(self)


def _excerpt(text: str | None, line: int, column: int, length: int) -> list[str]:
    if text is None or line < 1:
        return []
    lines = text.splitlines()
    if line > len(lines):
        return []
    source = lines[line - 1]
    column = min(max(column, 1), len(source) + 1)
    lead = "".join("\t" if ch == "\t" else " " for ch in source[: column - 1])
    room = max(1, min(length, len(source) - column + 1))
    return [f"    {source}", f"    {lead}{'^' * room}"]


def render(finding: Diagnostic, sources: Mapping[str, str]) -> str:
    """One finding as text: ``file:line:column: severity[code]: message``, the line, a caret, a hint."""
    place = f"{finding.file}:{finding.line}:{finding.column}" if finding.line else finding.file
    out = [f"{place}: {finding.severity}[{finding.code}]: {finding.message}"]
    out += _excerpt(sources.get(finding.file), finding.line, finding.column, finding.length)
    if finding.hint:
        out.append(f"    hint: {finding.hint}")
    for note in finding.notes:
        out.append(f"{note.file}:{note.line}:{note.column}: note: {note.message}")
        out += _excerpt(sources.get(note.file), note.line, note.column, note.length)
    return "\n".join(out)


def render_all(findings: Iterable[Diagnostic], sources: Mapping[str, str]) -> str:
    """All findings in the order of the text, one after another."""
    return "\n".join(render(f, sources) for f in sorted(findings))
