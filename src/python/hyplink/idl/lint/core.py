"""What a rule is, what it sees, and how comments silence it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from hyplink.diagnostics import Diagnostic
from hyplink.idl.compat.places import Spot, spots_of
from hyplink.idl.front import Compiled
from hyplink.idl.lexer import pieces
from hyplink.idl.model import Interface, Model, Procedure

__all__ = ["RULES", "Rule", "Subject", "lint_compiled", "own_types", "procedures_of", "rule_of"]


@dataclass(slots=True)
class Subject:
    """One file under inspection; rules call ``say``."""

    model: Model
    file: str
    text: str
    spots: dict[str, Spot]
    found: list[Diagnostic] = field(default_factory=list)
    rule: Rule | None = None

    def say(self, path: str, message: str, hint: str = "") -> None:
        """A finding at the thing of this dotted name (or the nearest that encloses it)."""
        assert self.rule is not None
        name = path
        while name and name not in self.spots:
            name = name.rpartition(".")[0]
        spot = self.spots.get(name, Spot(self.file, 1, 1))
        length = len(name.rpartition(".")[2]) or 1
        self.found.append(
            Diagnostic(
                self.file,
                spot.line,
                spot.column,
                f"{self.rule.code} {self.rule.name}",
                message,
                length,
                hint,
                severity="warning",
            )
        )


@dataclass(frozen=True, slots=True)
class Rule:
    """A piece of advice. ``explanation`` says why, and what to do instead."""

    code: str
    name: str
    explanation: str
    check: Callable[[Subject], None]


#: By name; filled by the package.
RULES: dict[str, Rule] = {}


def rule_of(word: str) -> Rule | None:
    """The rule with this code or name."""
    for rule in RULES.values():
        if word.lower() in (rule.code.lower(), rule.name):
            return rule
    return None


def own_types(model: Model) -> Iterator[tuple[str, str, str]]:
    """(kind, name, doc) of every type and function that this file declares."""
    tables: list[tuple[str, Mapping[str, _Named]]] = [
        ("enum", model.enums),
        ("struct", model.structs),
        ("table", model.tables),
        ("handle", model.handles),
        ("umem", model.umems),
        ("sizefn", model.functions),
    ]
    for kind, items in tables:
        for item in items.values():
            if item.module == model.module:
                yield kind, item.name.rpartition(".")[2], item.doc


class _Named(Protocol):
    name: str
    module: str
    doc: str


def procedures_of(interface: Interface) -> Iterator[Procedure]:
    """Procedures, then callbacks."""
    yield from interface.procedures
    yield from interface.callbacks


def lint_compiled(
    compiled: Compiled, file: str, text: str, chosen: list[str] | None = None
) -> list[Diagnostic]:
    """What the rules (all, or those chosen by name) find in one correct file, by place."""
    subject = Subject(compiled.require(), file, text, spots_of(file, text)[1])
    allowed = _allowed(text)
    found: list[Diagnostic] = []
    for rule in RULES.values():
        if chosen is not None and rule.name not in chosen:
            continue
        words = {rule.name, rule.code.lower()}
        subject.rule, subject.found = rule, []
        rule.check(subject)
        for finding in subject.found:
            silent = allowed.get(0, set()) | allowed.get(finding.line, set())
            if not silent & words:
                found.append(finding)
    return sorted(found, key=lambda d: (d.line, d.column, d.code))


_ALLOW = re.compile(r"lint:\s*allow(-file)?\(([^)]*)\)")


def _allowed(text: str) -> dict[int, set[str]]:
    """Line to the rules that a comment silences there; line 0 is the whole file."""
    found: dict[int, set[str]] = {}
    line, code_on_line = 1, False
    waiting: set[str] = set()
    for kind, piece in pieces(text):
        if kind in ("doc", "comment"):
            for match in _ALLOW.finditer(piece):
                words = {word.strip().lower() for word in match[2].split(",")}
                if match[1]:
                    found.setdefault(0, set()).update(words)
                elif code_on_line:
                    found.setdefault(line, set()).update(words)
                else:
                    waiting |= words
        elif kind == "newline":
            if code_on_line:
                waiting = set()
            code_on_line = False
        elif kind != "blank":
            code_on_line = True
            found.setdefault(line, set()).update(waiting)
        line += piece.count("\n")
    return found
