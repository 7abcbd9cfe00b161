"""VIDL: interfaces between VMs, checked on both sides.

    gles = hyplink.idl.load("gles2.vidl")
    gl = gles.Client(channel)
    gl.clear_color(0.0, 0.5, 1.0, 1.0)

``load`` gives stubs at run time; ``hyplink idl gen`` writes the same stubs to files. Imports are
lazy so that checking a file does not pay for generators.
"""

from __future__ import annotations

import os

TYPE_CHECKING = False

if TYPE_CHECKING:
    from typing import Any

    from hyplink.diagnostics import Diagnostic
    from hyplink.idl.backends import generate as generate
    from hyplink.idl.dumping import dump as dump
    from hyplink.idl.front import Compiled as Compiled
    from hyplink.idl.front import compile_file as compile_file
    from hyplink.idl.front import compile_text as compile_text
    from hyplink.idl.loader import load as load
    from hyplink.idl.mocking import mock as mock
    from hyplink.idl.model import Model as Model
    from hyplink.idl.recording import record as record
    from hyplink.idl.recording import replay as replay

__all__ = [
    "Compiled",
    "Model",
    "check",
    "compile_file",
    "compile_text",
    "dump",
    "generate",
    "load",
    "mock",
    "parse",
    "record",
    "replay",
]

_HOME = {
    "Compiled": "front",
    "Model": "model",
    "compile_file": "front",
    "compile_text": "front",
    "dump": "dumping",
    "generate": "backends",
    "load": "loader",
    "mock": "mocking",
    "record": "recording",
    "replay": "recording",
}


def __getattr__(name: str) -> Any:
    home = _HOME.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    value = getattr(importlib.import_module(f"{__name__}.{home}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


def parse(text: str, /, *, filename: str = "<text>") -> Model:
    """The checked model of a text.

    Raises:
        hyplink.errors.IdlError: with every finding.
    """
    from hyplink.idl.front import compile_text

    return compile_text(text, filename).require()


def check(source: str | os.PathLike[str], /) -> list[Diagnostic]:
    """Every finding of a file, in order; an empty list when it is fine."""
    from hyplink.idl.front import compile_file

    return compile_file(source).diagnostics
