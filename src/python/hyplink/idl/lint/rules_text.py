"""Names and docs."""

from __future__ import annotations

import re

from hyplink.idl.lint.core import Rule, Subject, own_types, procedures_of
from hyplink.idl.model import Struct, Table

__all__ = ["TEXT_RULES"]

_PASCAL = re.compile(r"[A-Z][A-Za-z0-9]*\Z")
_UPPER = re.compile(r"[A-Z][A-Z0-9]*(_[A-Z0-9]+)*\Z")
_SNAKE = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*\Z")


def _naming(subject: Subject) -> None:
    model = subject.model
    for constant in model.constants:
        if not _UPPER.match(constant.name):
            subject.say(constant.name, f"constant '{constant.name}' is not in UPPER_CASE")
    for enum in model.own_enums():
        name = enum.name.rpartition(".")[2]
        for member in enum.members:
            if not _UPPER.match(member.name):
                message = f"enumerator '{member.name}' is not in UPPER_CASE"
                subject.say(f"{name}.{member.name}", message)
    for kind, name, _ in own_types(model):
        if kind != "sizefn":
            _pascal(subject, name, kind)
    holders: list[Struct | Table] = [*model.structs.values(), *model.tables.values()]
    for holder in holders:
        if holder.module == model.module:
            for slot in holder.slots:
                _snake(subject, f"{holder.name.rpartition('.')[2]}.{slot.name}", "member")
    for interface in model.interfaces:
        # Behind a C face names are those of the header that is being replaced.
        if "c" in interface.attributes:
            continue
        for proc in procedures_of(interface):
            path = f"{interface.name}.{proc.name}"
            _snake(subject, path, "procedure")
            for name in proc.params:
                _snake(subject, f"{path}.{name}", "parameter")


def _pascal(subject: Subject, name: str, what: str) -> None:
    if not _PASCAL.match(name):
        subject.say(name, f"{what} '{name}' is not in PascalCase")


def _snake(subject: Subject, path: str, what: str) -> None:
    name = path.rpartition(".")[2]
    if not _SNAKE.match(name):
        hint = "names of a C interface are left alone: say '@c(header: \"…\")' at the interface"
        subject.say(
            path,
            f"{what} '{name}' is not in snake_case",
            hint if what in ("procedure", "parameter") else "",
        )


def _docs(subject: Subject) -> None:
    model = subject.model
    for kind, name, doc in own_types(model):
        if not doc:
            subject.say(name, f"{kind} '{name}' has no doc comment")
    for interface in model.interfaces:
        if not interface.doc:
            subject.say(interface.name, f"interface '{interface.name}' has no doc comment")
        for proc in procedures_of(interface):
            if not proc.doc:
                path = f"{interface.name}.{proc.name}"
                subject.say(path, f"'{proc.name}' has no doc comment")


TEXT_RULES = (
    Rule(
        "LINT01",
        "naming",
        "Types are PascalCase, constants and enumerators UPPER_CASE, procedures and parameters\n"
        "snake_case: the generators turn these into each language's own style without collisions.\n"
        "Interfaces that stand behind a C header, @c(header: …), keep the header's names.",
        _naming,
    ),
    Rule(
        "LINT02",
        "missing-doc",
        "A '///' comment in front of an interface, a procedure or a type goes into the stubs, into\n"
        "help() and into the Markdown reference. Say what the name and the types do not: units,\n"
        "limits, what a failure means.",
        _docs,
    ),
)
