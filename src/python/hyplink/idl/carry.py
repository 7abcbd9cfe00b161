"""Take run-time loaded stubs along to another interpreter.

Classes of a loaded interface are pickled by name; the other side finds the module under the same name. The generated
source travels, not the objects, and is executed when it is first imported: what one program loaded and its guest does
not use costs that guest nothing and cannot fail in it.
"""

from __future__ import annotations

import importlib.machinery
import linecache
import sys
import types
from collections.abc import Sequence

__all__ = ["PACKAGE", "loaded_sources", "restore"]

#: Where loaded modules live: in a package for each interface, named by its digest.
PACKAGE = "hyplink.idl.loaded"


def loaded_sources() -> list[tuple[str, str, str]]:
    """(module name, file name, source) of everything `load` has made here; packages have no source."""
    found = []
    for name, module in sorted(sys.modules.items()):
        if not name.startswith(f"{PACKAGE}."):
            continue
        filename = getattr(module, "__hyplink_file__", "")
        found.append((name, filename, getattr(module, "__hyplink_source__", "")))
    return found


class _Carried:
    """Imports what came along: a finder, and its loader.

    Without their abstract classes, whose import takes longer than all others of a guest.
    """

    def __init__(self, sources: list[tuple[str, str, str]]) -> None:
        self._sources = {PACKAGE: ("", "")}
        self._sources |= {name: (filename, source) for name, filename, source in sources}

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: types.ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if name not in self._sources:
            return None
        package = not self._sources[name][1]
        return importlib.machinery.ModuleSpec(name, self, is_package=package)  # type: ignore[arg-type]

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> None:
        """As usual."""

    def exec_module(self, module: types.ModuleType) -> None:
        filename, source = self._sources[module.__name__]
        if source:
            execute(module, filename, source)


def execute(module: types.ModuleType, filename: str, source: str) -> None:
    """Make a module of a generated source that is in no file."""
    # Tracebacks through generated code show its lines.
    linecache.cache[filename] = (len(source), None, source.splitlines(keepends=True), filename)
    module.__dict__["__hyplink_file__"] = filename
    module.__dict__["__hyplink_source__"] = source
    exec(compile(source, filename, "exec"), module.__dict__)


def restore(sources: list[tuple[str, str, str]]) -> None:
    """Make those modules importable here."""
    sys.meta_path.append(_Carried(sources))
