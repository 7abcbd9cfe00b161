"""Khronos registry XML (gl.xml, egl.xml) to a draft.

What the registry says is taken as it is; what it leaves open (a size written ``COMPSIZE``, a
sentinel list, what happens with client memory) comes from an overlay, a table of hand-written facts
beside this file. What neither knows is imported as ``@custom(client)`` and reported.
"""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from dataclasses import dataclass, field

from hyplink.idl.importers.draft import Draft, Enum, Hook, Interface, Procedure
from hyplink.idl.importers.lengths import Length, read_length
from hyplink.idl.importers.overlay import Overlay

__all__ = ["Command", "Param", "Registry", "import_khronos", "read_registry"]

#: C type -> (VIDL type, the C face's own spelling is that very type).
_TYPES = {
    "GLenum": ("u32", True),
    "GLboolean": ("u8", True),
    "GLbitfield": ("u32", True),
    "GLbyte": ("i8", True),
    "GLubyte": ("u8", True),
    "GLshort": ("i16", True),
    "GLushort": ("u16", True),
    "GLint": ("i32", True),
    "GLuint": ("u32", True),
    "GLsizei": ("i32", True),
    "GLfloat": ("f32", True),
    "GLclampf": ("f32", True),
    "GLdouble": ("f64", True),
    "GLfixed": ("i32", True),
    "GLint64": ("i64", True),
    "GLuint64": ("u64", True),
    "GLintptr": ("ssize", False),
    "GLsizeiptr": ("ssize", False),
    "GLsync": ("address", False),
    "EGLint": ("i32", True),
    "EGLBoolean": ("u32", True),
    "EGLenum": ("u32", True),
    "EGLAttrib": ("ssize", False),
    "EGLTime": ("u64", False),
    "EGLClientBuffer": ("address", False),
    "EGLConfig": ("address", False),
    "EGLContext": ("address", False),
    "EGLDisplay": ("address", False),
    "EGLImage": ("address", False),
    "EGLSurface": ("address", False),
    "EGLSync": ("address", False),
    "EGLNativeDisplayType": ("address", False),
    "EGLNativePixmapType": ("address", False),
    "EGLNativeWindowType": ("address", False),
}
_SIGNED = {"i8", "i16", "i32", "i64", "ssize"}


@dataclass(slots=True)
class Param:
    name: str
    ctype: str  # as in C, without the name: "const void *"
    base: str  # "void", "GLint"
    group: str
    length: Length | None

    @property
    def stars(self) -> int:
        return self.ctype.count("*")

    @property
    def const(self) -> bool:
        return "const" in self.ctype


@dataclass(slots=True)
class Command:
    name: str
    result: str
    group: str
    params: list[Param]


@dataclass(slots=True)
class Registry:
    """One feature set: its commands in order and the enumerants it requires."""

    api: str
    commands: list[Command]
    #: group -> [(name, value)], in order of the file.
    groups: dict[str, list[tuple[str, int]]]
    values: dict[str, int] = field(default_factory=dict)


def read_registry(text: str, api: str, version: str) -> Registry:
    """What ``api`` has up to ``version``.

    Raises:
        ValueError: the text is no registry, or has no such API or version.
    """
    try:
        root = ElementTree.fromstring(text)
    except ElementTree.ParseError as error:
        raise ValueError(f"not XML: {error}") from None
    features = [f for f in root.iter("feature") if f.get("api") == api]
    if not features:
        known = sorted({f.get("api", "") for f in root.iter("feature")})
        raise ValueError(
            f"no API '{api}' here" + (f"; there are {', '.join(known)}" if known else "")
        )
    numbers = [f.get("number", "") for f in features]
    if version not in numbers:
        raise ValueError(f"no version {version} of {api}; there are {', '.join(numbers)}")
    wanted: dict[str, None] = {}
    enumerants: dict[str, None] = {}
    for feature in features:
        if _number(feature.get("number", "")) > _number(version):
            continue
        for change in feature:
            # `remove` belongs to profiles that this API does not have.
            if change.tag == "require" and change.get("profile") in (None, "common", "core"):
                names = sorted(c.get("name", "") for c in change.iter("command"))
                wanted.update(dict.fromkeys(names))
                enumerants.update(dict.fromkeys(e.get("name", "") for e in change.iter("enum")))
    declared: dict[str, Command] = {}
    for element in root.iterfind("commands/command"):
        command = _command(element)
        declared.setdefault(command.name, command)
    missing = [name for name in wanted if name not in declared]
    if missing:
        raise ValueError(f"required but not declared: {', '.join(missing)}")
    values, groups = _enumerants(root, api, enumerants)
    return Registry(api, [declared[name] for name in wanted], groups, values)


def _number(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", text))


def _enumerants(
    root: ElementTree.Element, api: str, wanted: dict[str, None]
) -> tuple[dict[str, int], dict[str, list[tuple[str, int]]]]:
    values: dict[str, int] = {}
    groups: dict[str, list[tuple[str, int]]] = {}
    for block in root.iterfind("enums"):
        for element in block.iterfind("enum"):
            name, value = element.get("name", ""), element.get("value", "")
            if name not in wanted or name in values or element.get("api", api) != api:
                continue
            if not re.fullmatch(r"-?\d+|0x[0-9A-Fa-f]+", value):
                continue  # a cast, a string: no number
            values[name] = int(value, 0)
            if block.get("type") == "bitmask":
                continue  # a sum of members is no member
            for group in (element.get("group") or "").split(","):
                if group:
                    groups.setdefault(group, []).append((name, values[name]))
    return values, groups


def _command(element: ElementTree.Element) -> Command:
    proto = element.find("proto")
    if proto is None:
        raise ValueError("a command without a prototype")
    name = proto.findtext("name") or ""
    result = _ctype(proto)
    return Command(
        name, result, proto.get("group", ""), [_param(p) for p in element.iterfind("param")]
    )


def _ctype(element: ElementTree.Element) -> str:
    text = "".join(t for e, t in _texts(element) if e.tag != "name")
    return re.sub(r"\s*(\*)", r" \1", " ".join(text.split())).replace("* *", "**").strip()


def _texts(element: ElementTree.Element) -> Iterator[tuple[ElementTree.Element, str]]:
    yield element, element.text or ""
    for child in element:
        yield from _texts(child)
        yield element, child.tail or ""


def _param(element: ElementTree.Element) -> Param:
    ctype = _ctype(element)
    base = next((w for w in re.findall(r"\w+", ctype) if w not in ("const", "struct")), "void")
    name = element.findtext("name") or ""
    return Param(name, ctype, base, element.get("group", ""), read_length(element.get("len")))


# --- to VIDL --------------------------------------------------------------------------------------


def import_khronos(registry: Registry, overlay: Overlay) -> Draft:
    """The whole feature set as one interface."""
    return _Import(registry, overlay).draft()


class _Import:
    def __init__(self, registry: Registry, overlay: Overlay) -> None:
        self.registry = registry
        self.overlay = overlay
        self.used: dict[str, None] = {}

    def draft(self) -> Draft:
        overlay = self.overlay
        draft = Draft(overlay.module, overlay.version, overlay.doc, overlay.preamble)
        attributes = [f'@c(header: "{overlay.header}")'] if overlay.header else []
        interface = Interface(overlay.interface, overlay.group, [], attributes, overlay.state)
        for command in self.registry.commands:
            interface.procedures.append(self.procedure(command, draft.hooks))
        interface.procedures += overlay.hidden
        for ordinal, procedure in enumerate(interface.procedures, start=1):
            procedure.ordinal = ordinal
        overlay.require_used()
        draft.enums = [self.enum(group) for group in sorted({*self.used, *overlay.enums})]
        draft.interfaces.append(interface)
        return draft

    def enum(self, group: str) -> Enum:
        members: dict[int, str] = {}
        strip, values = self.overlay.strip, self.registry.values
        added = [(name, values[name]) for name in self.overlay.extend.get(group, [])]
        for name, value in [*self.registry.groups[group], *added]:
            # Two names of one number: the first stands for both.
            short = name.removeprefix(strip)
            members.setdefault(value, f"N{short}" if short[:1].isdigit() else short)
        return Enum(group, "u32", [(n, v) for v, n in members.items()])

    def procedure(self, command: Command, hooks: list[Hook]) -> Procedure:
        facts = self.overlay.procedure(command.name)
        why: list[str] = []
        params = [facts.param(p.name) or self.param(command, p, why) for p in command.params]
        result, clauses = self.result(command, why)
        outputs = result or any(p.startswith(("out ", "inout ")) for p in params)
        kind = f"sync {result or 'void'}" if outputs or facts.sync else "async void"
        hook = ""
        if facts.custom:
            why = [facts.custom]
        if why:
            hook = "custom"
            hooks.append(Hook(command.name, "; ".join(why)))
            clauses.append("@custom(client)")
        elif facts.before:
            hook = "before"
            clauses.append(f"@before({facts.before})")
        return Procedure(command.name, kind, params, [*facts.clauses, *clauses], facts.doc, hook)

    def result(self, command: Command, why: list[str]) -> tuple[str, list[str]]:
        if command.result == "void":
            return "", []
        if "*" in command.result:
            if re.fullmatch(r"const (GLubyte|char) \*", command.result):
                clause = (
                    "" if command.result == "const char *" else f' @c(type: "{command.result}")'
                )
                return "string?", [f"max 64K{clause}"]
            why.append(f"returns a pointer ({command.result})")
            return "address", []
        known = _TYPES.get(command.result)
        if known is None:
            why.append(f"returns {command.result}, which has no meaning in another VM")
            return "address", [f'@c(type: "{command.result}")']
        name = self.scalar(command.result, command.group)
        return name, [f"on_lost {self.overlay.on_lost(command.result)}"] + (
            [f'@c(type: "{command.result}")'] if name != known[0] or not known[1] else []
        )

    def scalar(self, base: str, group: str) -> str:
        vidl = _TYPES[base][0]
        if base == "GLenum" and group in self.registry.groups and group not in self.overlay.plain:
            self.used[group] = None
            return group
        return vidl

    def param(self, command: Command, param: Param, why: list[str]) -> str:
        known = _TYPES.get(param.base)
        if param.stars == 0:
            if known is None:
                why.append(f"'{param.name}' is a {param.base}, which has no meaning in another VM")
                return f'address {param.name} @c(type: "{param.ctype}")'
            name = self.scalar(param.base, param.group)
            spelled = f' @c(type: "{param.base}")' if name != known[0] or not known[1] else ""
            return f"{name} {param.name}{spelled}"
        if param.stars == 1 and (known or param.base in ("void", "GLchar", "char")):
            text = self.pointer(command, param)
            if text:
                return text
            length = param.length
            said = f"the registry says {length.text}" if length else "the registry gives no length"
            why.append(f"'{param.name}': {said}")
        else:
            why.append(f"'{param.name}' is a {param.ctype.replace(' *', '*')}")
        return f'address {param.name} @c(type: "{param.ctype}")'

    def pointer(self, command: Command, param: Param) -> str:
        """A pointer whose length the registry gives, or ""."""
        length, name = param.length, param.name
        if param.base in ("GLchar", "char") and param.const and length is None:
            return f"in string {name} max {self.overlay.string_max}"
        sentinel = self.overlay.sentinel.get(param.base)
        if sentinel and param.const and length is None:
            vidl, own = _TYPES[param.base]
            spelled = "" if own else f' @c(type: "{param.ctype}")'
            return f"in {vidl} {name}[{sentinel}]? max 256{spelled}"
        if length is None:
            return ""
        way = "in" if param.const else "out"
        if length.computed:
            if way == "in":
                return ""
            element = "u8" if param.base == "void" else _TYPES[param.base][0]
            # An array of bytes is void* in C; the header may know better.
            spelled = f' @c(type: "{param.ctype}")' if element == "u8" else ""
            return f"out {element} {name}[reply] max {self.overlay.reply_max}{spelled}"
        element = (
            "" if param.base in ("void", "GLchar", "char") else self.scalar(param.base, param.group)
        )
        spelled = (
            "" if not element or element == _TYPES[param.base][0] else f' @c(type: "{param.ctype}")'
        )
        if length.constant == 1 and way == "out" and element:
            optional = "?" if param.base == "GLsizei" else ""
            return f"out {element} {name}{optional}{spelled}"
        if length.constant is not None and element:
            return f"{way} {element} {name}[{length.constant}]{spelled}"
        known = {p.name: p for p in command.params if p.stars == 0 and p.base in _TYPES}
        if not set(length.names) <= set(known):
            return ""
        signed = {n for n in length.names if _TYPES[known[n].base][0] in _SIGNED}
        expression = length.expression(signed)
        counts = [p for p in command.params if p.ctype == "GLsizei *" and p is not param]
        used = next((p.name for p in counts if p.length and p.length.constant == 1), "")
        if way == "out" and used and length.single:
            most = self.overlay.text_max if not element else self.overlay.list_max
            kind = element or "string"
            return f"out {kind} {name}[cap min({expression}, {most}), len {used}] max {most}"
        if element:
            return f"{way} {element} {name}[{expression}] max {self.overlay.list_max}{_copy(way)}"
        if param.base != "void":
            return ""
        spelled = f' @c(type: "{param.ctype}")'
        return f"{way} bytes {name}[{expression}]? max {self.overlay.bytes_max}{_copy(way)}"


def _copy(way: str) -> str:
    # Lists of names are looked at element by element: from a copy, which the client cannot change.
    return " @copy" if way == "in" else ""
