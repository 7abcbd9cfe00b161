"""First drafts of interface files from what others wrote: registries, protocols, C headers.

    made = import_file("gl.xml", api="gles2", version="2.0")
    made.text, made.draft.hooks

An importer never guesses silently: what it cannot express is in ``hooks`` or ``skipped``.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from hyplink.idl.format import format_text
from hyplink.idl.importers.draft import Draft, write

__all__ = ["Imported", "import_file"]


@dataclass(slots=True)
class Imported:
    kind: str
    draft: Draft
    text: str


def import_file(
    path: str | os.PathLike[str],
    *,
    api: str = "",
    version: str = "",
    module: str = "",
    overlay: str | os.PathLike[str] | None = None,
    group: int | None = None,
    include: Sequence[str] = (),
) -> Imported:
    """Read a registry, a Wayland protocol or a C header, told apart by what they hold.

    Raises:
        ValueError: the file is none of these, or asks for something that is not in it.
        OSError: it cannot be read.
    """
    source = Path(path)
    text = source.read_text(encoding="utf-8", errors="replace")
    if source.suffix in (".h", ".hpp"):
        kind, draft = "C header", _header(source, module, group or 1, include)
    elif re.search(r"<registry\b", text):
        kind, draft = "Khronos registry", _registry(text, api, version, overlay, group)
    elif re.search(r"<protocol\b", text):
        from hyplink.idl.importers.wayland import import_wayland

        kind, draft = "Wayland protocol", import_wayland(text, first_group=group or 1)
    else:
        raise ValueError("neither a Khronos registry, a Wayland protocol nor a C header")
    if module:
        draft.module = module
    return Imported(kind, draft, format_text(write(draft), os.fspath(path)))


def _registry(
    text: str, api: str, version: str, overlay: str | os.PathLike[str] | None, group: int | None
) -> Draft:
    from hyplink.idl.importers.khronos import import_khronos, read_registry
    from hyplink.idl.importers.overlay import overlay_of, read_overlay

    if not api or not version:
        raise ValueError("a Khronos registry holds several APIs: say which (--api, --version)")
    facts = read_overlay(Path(overlay)) if overlay else overlay_of(api, version)
    if group is not None:
        facts.group = group
    return import_khronos(read_registry(text, api, version), facts)


def _header(source: Path, module: str, group: int, include: Sequence[str]) -> Draft:
    from hyplink.idl.importers.cheader import import_header
    from hyplink.idl.importers.ctext import read_c

    name = module or re.sub(r"\W", "_", source.stem).lower()
    return import_header(read_c(source, include), module=name, header=source.name, group=group)
