"""Attributes: which exist, where they may stand, what they take."""

from __future__ import annotations

import re

from hyplink.idl import syntax
from hyplink.idl.findings import Findings, nearest

__all__ = ["attribute_names", "check_attributes"]

_NAME = re.compile(r"[A-Za-z][A-Za-z_0-9]*\Z")
_COUNT = re.compile(r"[1-9][0-9]*[KMG]?\Z")

#: name -> (places, key -> pattern of its value). "" is the first value without a key, "2" the second.
_KNOWN: dict[str, tuple[tuple[str, ...], dict[str, re.Pattern[str] | None]]] = {
    "c": (
        ("interface", "procedure", "callback", "parameter"),
        {"header": None, "name": None, "prefix": None, "type": None},
    ),
    "notify": (("procedure",), {"": re.compile("now")}),
    "copy": (("procedure", "callback", "parameter"), {}),
    "zero_copy": (("procedure", "callback", "parameter"), {}),
    "large": (("procedure", "parameter"), {"": _COUNT, "2": re.compile(r"umem\Z")}),
    "cacheable": (("procedure",), {"until": _NAME}),
    "drop_oldest": (("callback",), {"": re.compile(r"[1-9][0-9]{0,5}\Z")}),
    "drop_newest": (("callback",), {}),
    "custom": (("procedure",), {"": re.compile(r"client\Z")}),
    "hidden": (("procedure",), {}),
    "before": (("procedure",), {"": _NAME}),
    "deprecated": (("interface", "procedure", "callback", "parameter"), {"": None}),
}
_WANTED = {
    "notify": "now",
    "large": "64K, umem",
    "cacheable": "until: procedure",
    "drop_oldest": "256",
    "custom": "client",
    "before": "hook",
}
#: What a parameter's ``@c`` cannot say, and what only it and results can.
_C_KEYS = {
    "parameter": frozenset(["type"]),
    "interface": frozenset(["header", "name", "prefix"]),
}
_OPTIONAL = frozenset(["c", "deprecated", "cacheable"])


def check_attributes(
    file: str, where: str, items: list[syntax.Attribute], findings: Findings
) -> dict[str, dict[str, str]]:
    """The good ones as plain data; everything else becomes a finding."""
    if not items:
        return {}
    good: dict[str, dict[str, str]] = {}
    for item in items:
        known = _KNOWN.get(item.name)
        if known is None:
            guess = nearest(item.name, _KNOWN)
            hint = f"did you mean '@{guess}'?" if guess else f"there are {_all()}"
            findings.add(file, item.place, 60, f"unknown attribute '@{item.name}'", hint=hint)
            continue
        places, keys = known
        if where not in places:
            findings.add(
                file,
                item.place,
                62,
                f"'@{item.name}' cannot stand at this {where}",
                hint=f"it belongs to: {', '.join(places)}",
            )
            continue
        if item.name in good:
            findings.add(file, item.place, 68, f"'@{item.name}' is given twice")
            continue
        if item.name == "c" and where in _C_KEYS:
            keys = {k: v for k, v in keys.items() if k in _C_KEYS[where]}
        good[item.name] = _arguments(file, item, keys, findings)
    return good


def attribute_names() -> list[str]:
    return list(_KNOWN)


def _all() -> str:
    return ", ".join(f"@{name}" for name in _KNOWN)


def _arguments(
    file: str,
    item: syntax.Attribute,
    keys: dict[str, re.Pattern[str] | None],
    findings: Findings,
) -> dict[str, str]:
    wanted = _WANTED.get(item.name) or ", ".join(f"{k}: …" if k else "text" for k in keys)
    usage = f"write '@{item.name}({wanted})'" if wanted else f"write '@{item.name}'"
    values: dict[str, str] = {}
    positional = 0
    for key, value in item.args:
        if not key:
            positional += 1
            key = str(positional) if positional > 1 else ""
        pattern = keys.get(key)
        text = value[1:-1] if value.startswith('"') else value
        if key not in keys or (pattern and not pattern.match(text)) or key in values:
            findings.add(file, item.place, 61, f"wrong argument for '@{item.name}'", hint=usage)
            return values
        values[key] = text
    if not values and keys and item.name not in _OPTIONAL:
        findings.add(file, item.place, 61, f"'@{item.name}' needs an argument", hint=usage)
    return values
