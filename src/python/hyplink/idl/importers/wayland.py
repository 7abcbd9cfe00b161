"""Wayland protocol XML to a draft: requests are procedures, events are callbacks.

Objects become typed handles, the first parameter of each procedure; a request with a new object
returns it. What VIDL has no word for (descriptors, an object of a type known only at run time) is
imported as the nearest number under ``@custom(client)`` and reported.
"""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass

from hyplink.idl.importers.draft import Draft, Enum, Hook, Interface, Procedure

__all__ = ["import_wayland"]

_SCALARS = {"int": "i32", "uint": "u32", "fixed": "i32"}


def import_wayland(text: str, *, first_group: int = 1) -> Draft:
    """A whole protocol; its interfaces get groups from ``first_group`` on.

    Raises:
        ValueError: the text is no protocol.
    """
    try:
        root = ElementTree.fromstring(text)
    except ElementTree.ParseError as error:
        raise ValueError(f"not XML: {error}") from None
    if root.tag != "protocol":
        raise ValueError(f"not a Wayland protocol: the root is <{root.tag}>")
    name = (root.get("name") or "protocol").replace("-", "_")
    newest = max((int(i.get("version", "1")) for i in root.iter("interface")), default=1)
    draft = Draft(f"wayland.{name}", (1, newest), f"The Wayland protocol '{name}'.")
    known = [i.get("name", "") for i in root.iter("interface")]
    foreign = sorted({a.get("interface", "") for a in root.iter("arg")} - {"", *known})
    draft.handles = [f"handle {_object(n)} : u32;" for n in [*known, *foreign]]
    readers = [
        _Interface(draft, e, g) for g, e in enumerate(root.iter("interface"), start=first_group)
    ]
    for reader in readers:
        for enum in reader.element.iter("enum"):
            reader.enum(enum)
    draft.interfaces = [reader.read() for reader in readers]
    return draft


def _object(interface: str) -> str:
    return "".join(part.capitalize() for part in interface.split("_"))


@dataclass(slots=True)
class _Interface:
    draft: Draft
    element: ElementTree.Element
    group: int

    @property
    def name(self) -> str:
        return self.element.get("name", "")

    def read(self) -> Interface:
        result = Interface(self.name, self.group, doc=_summary(self.element))
        for ordinal, request in enumerate(self.element.iterfind("request"), start=1):
            result.procedures.append(self.message(request, ordinal, ""))
        for ordinal, event in enumerate(self.element.iterfind("event"), start=1):
            result.procedures.append(self.message(event, ordinal, "callback "))
        return result

    def enum(self, element: ElementTree.Element) -> None:
        # A bit mask's sums are no members: those travel as numbers.
        if element.get("bitfield") == "true":
            return
        members: dict[int, str] = {}
        for entry in element.iterfind("entry"):
            name = entry.get("name", "").upper()
            members.setdefault(
                int(entry.get("value", "0"), 0), f"N{name}" if name[:1].isdigit() else name
            )
        name = self.enum_name(element.get("name", ""))
        self.draft.enums.append(
            Enum(name, "u32", [(n, v) for v, n in members.items()], doc=_summary(element))
        )

    def enum_name(self, reference: str) -> str:
        owner, _, own = reference.rpartition(".")
        return _object(owner or self.name) + _object(own)

    def message(self, element: ElementTree.Element, ordinal: int, way: str) -> Procedure:
        name = element.get("name", "")
        params, result = [f"{_object(self.name)} self"], ""
        why: list[str] = []
        for arg in element.iterfind("arg"):
            made = arg.get("type") == "new_id" and not way
            if made and arg.get("interface"):
                result = _object(arg.get("interface", ""))
            else:
                params += self.arg(arg, why)
                if made:
                    result = "u32"
        clauses = []
        if element.get("since"):
            clauses.append(f"since 1.{element.get('since')}")
        if element.get("type") == "destructor" and not way:
            clauses.append("destroys self")
        if result and result != "u32":
            clauses.append("creates")
        kind = f"sync {result}" if result else "async void"
        if way:
            # The client's face has one function a callback; names are shared with the procedures.
            name = f"on_{name}"
        hook = ""
        if why:
            hook = "custom"
            self.draft.hooks.append(Hook(f"{self.name}.{name}", "; ".join(why)))
            clauses += ["@custom(client)"] if not way else []
        return Procedure(name, way + kind, params, clauses, _summary(element), hook, ordinal)

    def arg(self, arg: ElementTree.Element, why: list[str]) -> list[str]:
        name, kind = arg.get("name", ""), arg.get("type", "")
        name = f"{name}_" if name == "self" else name
        if kind in _SCALARS:
            enum = self.find_enum(arg.get("enum", ""))
            return [f"{enum or _SCALARS[kind]} {name}"]
        if kind == "string":
            return [f"in string {name}{'?' if arg.get('allow-null') else ''} max 4K"]
        if kind == "array":
            return [f"u32 {name}_bytes", f"in bytes {name}[{name}_bytes] max 64K @copy"]
        if kind == "fd":
            why.append(f"'{name}' is a file descriptor")
            return [f"u32 {name}"]
        if kind in ("object", "new_id") and arg.get("interface"):
            kind = _object(arg.get("interface", ""))
            return [f"in {kind} {name}?" if arg.get("allow-null") else f"{kind} {name}"]
        if kind == "new_id":
            why.append(f"'{name}' is an object of a type that is known only at run time")
            return ["in string interface_name max 256", "u32 interface_version"]
        why.append(f"'{name}' is an object of any type")
        return [f"u32 {name}"]

    def find_enum(self, reference: str) -> str:
        name = self.enum_name(reference) if reference else ""
        return name if any(e.name == name for e in self.draft.enums) else ""


def _summary(element: ElementTree.Element) -> str:
    description = element.find("description")
    return description.get("summary", "") if description is not None else ""
