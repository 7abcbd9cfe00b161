"""Attributes: which exist, where they may stand, what they take."""

from __future__ import annotations

from hyplink.idl import syntax
from hyplink.idl.findings import Findings, nearest

__all__ = ["check_attributes"]

#: name -> (places, allowed keys; "" is one positional value)
_KNOWN: dict[str, tuple[tuple[str, ...], dict[str, frozenset[str] | None]]] = {
    "c": (("interface", "procedure"), {"header": None, "name": None, "prefix": None}),
    "notify": (("procedure",), {"": frozenset(["now"])}),
    "copy": (("procedure", "parameter"), {}),
    "zero_copy": (("procedure", "parameter"), {}),
    "deprecated": (("interface", "procedure", "parameter"), {"": None}),
}
_OPTIONAL = frozenset(["c", "deprecated"])


def check_attributes(
    file: str, where: str, items: list[syntax.Attribute], findings: Findings
) -> dict[str, dict[str, str]]:
    """The good ones as plain data; everything else becomes a finding."""
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
        good[item.name] = _arguments(file, item, keys, findings)
    return good


def _all() -> str:
    return ", ".join(f"@{name}" for name in _KNOWN)


def _arguments(
    file: str,
    item: syntax.Attribute,
    keys: dict[str, frozenset[str] | None],
    findings: Findings,
) -> dict[str, str]:
    wanted = ", ".join(f"{k}: …" if k else "|".join(sorted(v or ["text"])) for k, v in keys.items())
    usage = f"write '@{item.name}({wanted})'" if wanted else f"write '@{item.name}'"
    values: dict[str, str] = {}
    for key, value in item.args:
        allowed = keys.get(key)
        text = value[1:-1] if value.startswith('"') else value
        if key not in keys or (allowed is not None and text not in allowed) or key in values:
            findings.add(file, item.place, 61, f"wrong argument for '@{item.name}'", hint=usage)
            return values
        values[key] = text
    if not values and keys and item.name not in _OPTIONAL:
        findings.add(file, item.place, 61, f"'@{item.name}' needs an argument", hint=usage)
    return values
