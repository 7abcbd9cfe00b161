"""Run-time loading: the same generated source, executed instead of written."""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import os
import sys
import types

from hyplink.idl.backends import generate
from hyplink.idl.carry import PACKAGE, execute
from hyplink.idl.front import Compiled, compile_file, compile_text
from hyplink.idl.model import Model
from hyplink.idl.model_json import to_json

__all__ = ["load"]


def load(
    source: str | os.PathLike[str] | None = None,
    *,
    text: str | None = None,
    filename: str = "<text>",
) -> types.ModuleType:
    """Stubs for an interface, ready to use: ``load("x.vidl")`` or ``load(text="idl 1; …")``.

    Loading the same interface again returns the same module, so its classes stay equal.

    Args:
        source: path of a file.
        text: the interface itself; ``filename`` then names it in messages and places imports.
        filename: see ``text``.

    Raises:
        hyplink.errors.IdlError: the interface is wrong; every finding is in the message.
        TypeError: neither or both of ``source`` and ``text`` were given.
    """
    if (source is None) == (text is None):
        raise TypeError("load() takes a path or text=, and not both")
    found = compile_file(source) if source is not None else compile_text(text or "", filename)
    return _module_of(found)


def _module_of(found: Compiled) -> types.ModuleType:
    main = found.require()
    models = {**found.imported, main.stem: main}
    text = "".join(to_json(model) for _, model in sorted(models.items()))
    digest = hashlib.sha256(text.encode()).hexdigest()[:16]
    package = f"{PACKAGE}.{digest}"
    name = f"{package}.{main.stem}"
    if name in sys.modules:
        return sys.modules[name]
    with contextlib.suppress(ModuleNotFoundError):  # it came along from another interpreter
        return importlib.import_module(name)
    # A package of its own, because generated files import their siblings relatively.
    parent = types.ModuleType(package)
    parent.__path__ = []
    sys.modules[package] = parent
    made = [package]
    try:
        for stem, model in models.items():
            made.append(f"{package}.{stem}")
            setattr(parent, stem, _execute(f"{package}.{stem}", package, model))
    except BaseException:
        for item in made:
            sys.modules.pop(item, None)
        raise
    return sys.modules[name]


def _execute(name: str, package: str, model: Model) -> types.ModuleType:
    source = generate(model, "py")[f"{model.stem}.py"]
    module = types.ModuleType(name)
    module.__package__ = package
    filename = f"<generated from {model.stem}.vidl {package.rpartition('.')[2]}>"
    module.__dict__["__hyplink_model__"] = model
    sys.modules[name] = module
    execute(module, filename, source)
    return module
