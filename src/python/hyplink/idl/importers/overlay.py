"""Hand-written facts about an API, beside its registry: a TOML file.

```toml
module = "vogl.gles2"      # and version, interface, group, header, strip, doc
preamble = '''...'''       # VIDL: constants and sizefns
state = '''...'''          # VIDL: the interface's state block
enums = ["PixelStoreParameter"]   # groups to declare although no parameter has them
plain = ["Boolean"]        # groups to leave as numbers
[extend]                   # group = enumerants that the registry forgot in it
[limits]                   # list, bytes, string, text, reply: what `max` says
[on_lost]                  # result type = value
[sentinel]                 # element type = "until ..."
[procedure.glReadPixels]   # sync, custom, before, doc, clauses, param = { name = "declaration" }
[[hidden]]                 # name, kind, params, clauses, doc: procedures that C does not have
```

A fact that meets nothing in the registry is an error: facts do not outlive what they are about.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hyplink.idl.importers.draft import Procedure

__all__ = ["Facts", "Overlay", "overlay_of", "read_overlay"]

_KEYS = {
    "module", "version", "interface", "group", "header", "strip", "doc", "preamble", "state",
    "enums", "plain", "extend", "limits", "on_lost", "sentinel", "procedure", "hidden",
}  # fmt: skip
_FACT_KEYS = {"sync", "custom", "before", "doc", "clauses", "param"}


@dataclass(slots=True)
class Facts:
    """What is known of one procedure."""

    sync: bool = False
    custom: str = ""
    before: str = ""
    doc: str = ""
    clauses: list[str] = field(default_factory=list)
    params: dict[str, str] = field(default_factory=dict)
    asked: set[str] = field(default_factory=set)

    def param(self, name: str) -> str:
        self.asked.add(name)
        return self.params.get(name, "")


class Overlay:
    """One file, or the defaults for an API without one."""

    def __init__(self, data: dict[str, Any], where: str) -> None:
        unknown = sorted(set(data) - _KEYS)
        if unknown:
            raise ValueError(f"{where}: unknown key '{unknown[0]}'")
        self.where = where
        self.module: str = data.get("module", "imported")
        major, minor = str(data.get("version", "1.0")).split(".")
        self.version = (int(major), int(minor))
        self.interface: str = data.get("interface", self.module.rpartition(".")[2])
        self.group: int = data.get("group", 1)
        self.header: str = data.get("header", "")
        self.strip: str = data.get("strip", "")
        self.doc: str = data.get("doc", "")
        self.preamble: str = data.get("preamble", "")
        self.state: str = data.get("state", "")
        self.enums: list[str] = data.get("enums", [])
        self.plain: list[str] = data.get("plain", [])
        self.extend: dict[str, list[str]] = data.get("extend", {})
        limits = data.get("limits", {})
        self.list_max: str = limits.get("list", "4K")
        self.bytes_max: str = limits.get("bytes", "64M")
        self.string_max: str = limits.get("string", "1K")
        self.text_max: str = limits.get("text", "64K")
        self.reply_max: str = limits.get("reply", "256")
        self.sentinel: dict[str, str] = data.get("sentinel", {})
        self._on_lost: dict[str, str] = data.get("on_lost", {})
        self._facts = {name: self._read(name, f) for name, f in data.get("procedure", {}).items()}
        self._met: set[str] = set()
        self.hidden = [
            Procedure(
                h["name"], h["kind"], h["params"], ["@hidden", *h.get("clauses", [])], h["doc"]
            )
            for h in data.get("hidden", [])
        ]

    def _read(self, name: str, data: dict[str, Any]) -> Facts:
        unknown = sorted(set(data) - _FACT_KEYS)
        if unknown:
            raise ValueError(f"{self.where}: {name}: unknown key '{unknown[0]}'")
        return Facts(
            data.get("sync", False),
            data.get("custom", ""),
            data.get("before", ""),
            data.get("doc", ""),
            data.get("clauses", []),
            data.get("param", {}),
        )

    def procedure(self, name: str) -> Facts:
        self._met.add(name)
        return self._facts.get(name) or Facts()

    def on_lost(self, ctype: str) -> str:
        return self._on_lost.get(ctype, "0")

    def require_used(self) -> None:
        """Every fact met its procedure and its parameter."""
        for name, facts in self._facts.items():
            if name not in self._met:
                raise ValueError(f"{self.where}: there is no procedure {name} in this version")
            for param in facts.params:
                if param not in facts.asked:
                    raise ValueError(f"{self.where}: {name} has no parameter '{param}'")


def read_overlay(path: Path) -> Overlay:
    try:
        with path.open("rb") as stream:
            return Overlay(tomllib.load(stream), path.name)
    except tomllib.TOMLDecodeError as error:
        raise ValueError(f"{path}: {error}") from None


def overlay_of(api: str, version: str) -> Overlay:
    """The shipped overlay of an API version, or defaults."""
    path = Path(__file__).with_name(f"{api}-{version}.toml")
    if path.exists():
        return read_overlay(path)
    name = "".join(c if c.isalnum() else "_" for c in api)
    prefix = "EGL_" if api == "egl" else "GL_"
    sentinel = {"EGLint": "until 0x3038 step 2", "EGLAttrib": "until 0x3038 step 2"}
    return Overlay({"module": f"khronos.{name}", "strip": prefix, "sentinel": sentinel}, api)
