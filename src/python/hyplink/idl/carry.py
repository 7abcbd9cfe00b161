"""Take run-time loaded stubs along to another interpreter.

Classes of a loaded interface are pickled by name; the other side must have the module under the same name first.
The generated source travels, not the objects.
"""

from __future__ import annotations

import linecache
import sys
import types

__all__ = ["loaded_sources", "restore"]

_PREFIX = "hyplink.idl.loaded."


def loaded_sources() -> list[tuple[str, str, str]]:
    """(module name, file name, source) of everything `load` has made here; packages have no source."""
    found = []
    for name, module in sorted(sys.modules.items()):
        if not name.startswith(_PREFIX):
            continue
        filename = getattr(module, "__hyplink_file__", "")
        found.append((name, filename, "".join(linecache.getlines(filename)) if filename else ""))
    return found


def restore(sources: list[tuple[str, str, str]]) -> None:
    """Make those modules importable here. Sorted by name, so a package comes before its modules."""
    for name, _, source in sources:
        if name in sys.modules:
            continue
        module = types.ModuleType(name)
        package = name.rpartition(".")[0]
        if not source:
            module.__path__ = []
        module.__package__ = package if source else name
        sys.modules[name] = module
        parent = sys.modules.get(package)
        if parent is not None:
            setattr(parent, name.rpartition(".")[2], module)
    for name, filename, source in sources:
        module = sys.modules[name]
        if source and not hasattr(module, "__hyplink_file__"):
            linecache.cache[filename] = (
                len(source),
                None,
                source.splitlines(keepends=True),
                filename,
            )
            module.__dict__["__hyplink_file__"] = filename
            exec(compile(source, filename, "exec"), module.__dict__)
