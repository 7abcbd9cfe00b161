"""Declarations that nothing uses."""

from __future__ import annotations

import itertools
from collections import Counter

from hyplink.idl.compat.places import Spot
from hyplink.idl.findings import Findings
from hyplink.idl.lexer import tokenize
from hyplink.idl.lint.core import Rule, Subject, own_types
from hyplink.idl.parser import parse_file

__all__ = ["UNUSED_RULES"]


def _imports(subject: Subject) -> None:
    tree = parse_file(subject.file, subject.text, Findings())
    tokens = tokenize(subject.file, subject.text, Findings())
    used = {
        token.text
        for token, after in itertools.pairwise(tokens)
        if token.kind == "name" and after.kind == "."
    }
    for item in tree.imports:
        if item.alias not in used:
            subject.spots[item.path] = Spot(subject.file, item.place[0], item.place[1])
            subject.say(item.path, f"import '{item.alias}' is not used")


def _count(subject: Subject) -> Counter[str]:
    tokens = tokenize(subject.file, subject.text, Findings())
    return Counter(token.text for token in tokens if token.kind == "name")


def _constants(subject: Subject) -> None:
    # A file without interfaces is there for others; what those use is not seen here.
    if not subject.model.interfaces:
        return
    count = _count(subject)
    for constant in subject.model.constants:
        if count[constant.name] < 2:
            message = f"constant '{constant.name}' is not used in this interface"
            subject.say(constant.name, message)


def _types(subject: Subject) -> None:
    model = subject.model
    if not model.interfaces:
        return
    count = _count(subject)
    for kind, name, _ in own_types(model):
        if count[name] < 2:
            subject.say(name, f"{kind} '{name}' is not used")


UNUSED_RULES = (
    Rule(
        "LINT20",
        "unused-import",
        "An import that nothing names makes every build read, check and depend on another file.",
        _imports,
    ),
    Rule(
        "LINT21",
        "unused-constant",
        "A constant that no length, range or default uses. Programs may still want it: say so with\n"
        "'// lint: allow(unused-constant)'.",
        _constants,
    ),
    Rule(
        "LINT22",
        "unused-type",
        "A type or function that no procedure leads to is in every stub and on no wire.",
        _types,
    ),
)
