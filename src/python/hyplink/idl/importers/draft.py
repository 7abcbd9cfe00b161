"""A description on its way to VIDL text: what every importer makes and ``write`` prints.

    draft = Draft("vogl.gles2", (2, 0))
    draft.interfaces.append(Interface("gles2", 2, procedures=[...]))
    text = write(draft)

Declarations are VIDL text already (``in u32 names[max(n, 0)] max 4K``): the importers know C, this
file knows only where things stand.
"""

from __future__ import annotations

import textwrap
from dataclasses import dataclass, field

__all__ = ["Draft", "Enum", "Hook", "Interface", "Procedure", "Struct", "write"]

_WIDTH = 100


@dataclass(slots=True)
class Hook:
    """Why a procedure needs a line of C that no generator writes."""

    procedure: str
    reason: str


@dataclass(slots=True)
class Enum:
    name: str
    base: str
    members: list[tuple[str, int]]
    open: bool = True
    doc: str = ""


@dataclass(slots=True)
class Struct:
    name: str
    members: list[str]
    doc: str = ""


@dataclass(slots=True)
class Procedure:
    """``kind`` with everything in front of the name: ``async``, ``sync i32``, ``callback async``."""

    name: str
    kind: str
    params: list[str] = field(default_factory=list)
    clauses: list[str] = field(default_factory=list)
    doc: str = ""
    #: How the C face gets it: "" generated, "custom" by hand, "before" generated after a look.
    hook: str = ""
    ordinal: int = 0


@dataclass(slots=True)
class Interface:
    name: str
    group: int
    procedures: list[Procedure] = field(default_factory=list)
    attributes: list[str] = field(default_factory=list)
    #: Text in front of the procedures, such as a state block.
    head: str = ""
    doc: str = ""


@dataclass(slots=True)
class Draft:
    module: str
    version: tuple[int, int] = (1, 0)
    doc: str = ""
    #: VIDL text behind the module line: constants, functions.
    preamble: str = ""
    handles: list[str] = field(default_factory=list)
    enums: list[Enum] = field(default_factory=list)
    structs: list[Struct] = field(default_factory=list)
    interfaces: list[Interface] = field(default_factory=list)
    hooks: list[Hook] = field(default_factory=list)
    #: What was left out of the original, one line each.
    skipped: list[str] = field(default_factory=list)


def write(draft: Draft) -> str:
    """The VIDL text; the same draft always gives the same bytes."""
    out = ["idl 1;", ""]
    out += _doc(draft.doc)
    out += [f"module {draft.module} version {draft.version[0]}.{draft.version[1]};", ""]
    out += [*draft.handles, ""] if draft.handles else []
    for enum in draft.enums:
        out += [*_enum(enum), ""]
    if draft.preamble:
        out += [draft.preamble.strip("\n"), ""]
    for struct in draft.structs:
        out += [*_doc(struct.doc), f"struct {struct.name} {{"]
        out += [f"    {member};" for member in struct.members]
        out += ["}", ""]
    for interface in draft.interfaces:
        out += [*_interface(interface), ""]
    return "\n".join(out).rstrip("\n") + "\n"


def _doc(text: str, indent: str = "") -> list[str]:
    lines: list[str] = []
    for paragraph in text.strip().split("\n") if text.strip() else []:
        wrapped = textwrap.wrap(paragraph, _WIDTH - len(indent) - 4) or [""]
        lines += [f"{indent}/// {line}".rstrip() for line in wrapped]
    return lines


def _enum(enum: Enum) -> list[str]:
    width = max(len(name) for name, _ in enum.members)
    head = f"enum {enum.name} : {enum.base}{' open' if enum.open else ''} {{"
    digits = "{:#06x}" if enum.base.startswith("u") else "{}"
    return [
        *_doc(enum.doc),
        head,
        *(f"    {name:{width}} = {digits.format(value)};" for name, value in enum.members),
        "}",
    ]


def _interface(interface: Interface) -> list[str]:
    out = [*_doc(interface.doc), *interface.attributes]
    out.append(f"interface {interface.name} group {interface.group} {{")
    if interface.head:
        out += [*textwrap.indent(interface.head.strip("\n"), "    ").split("\n"), ""]
    for procedure in interface.procedures:
        out += _doc(procedure.doc, "    ")
        out += _procedure(procedure)
    out.append("}")
    return out


def _procedure(procedure: Procedure) -> list[str]:
    head = f"    {procedure.kind} {procedure.name}("
    tail = f") = {procedure.ordinal}"
    line = head + ", ".join(procedure.params) + tail
    if len(line) <= _WIDTH - 1:
        lines = [line]
    else:
        lines = [head]
        lines += [f"        {param}," for param in procedure.params]
        lines[-1] = lines[-1][:-1] + tail
    if procedure.clauses:
        on_one = lines[-1] + " " + " ".join(procedure.clauses)
        if len(on_one) <= _WIDTH - 1:
            lines[-1] = on_one
        else:
            lines += [f"        {clause}" for clause in procedure.clauses]
    lines[-1] += ";"
    return lines
