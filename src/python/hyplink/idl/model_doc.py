"""The JSON model described, from the classes that define it: what a third-party back end reads."""

from __future__ import annotations

import dataclasses
import inspect
import re
import typing

from hyplink.idl import model as _model
from hyplink.idl.model import MODEL_VERSION

__all__ = ["model_doc"]

_HEAD = f"""# The VIDL model, version {MODEL_VERSION}

`hyplink idl gen --lang json` writes it; `hyplink idl gen --backend PROGRAM` hands it to PROGRAM on
standard input and writes the files of the answer, `{{"files": {{"name": "text"}}}}`. The outermost
object is a `Model` with one more key, `vidl_model`: the number above. It changes when a reader would
misunderstand; new keys may come without that.

Optional things are `null` or empty, never left out. Offsets and sizes are bytes; blocks are
little-endian, eight bytes aligned, padding is zero.
"""


def model_doc() -> str:
    """Markdown."""
    lines = [_HEAD]
    names = ["Model", *(name for name in _model.__all__ if name != "Model")]
    for name in names:
        kind = getattr(_model, name)
        if not dataclasses.is_dataclass(kind) or name == "Scalar":
            continue
        lines += [f"## {name}", "", inspect.cleandoc(kind.__doc__ or ""), ""]
        comments = _comments(inspect.getsource(typing.cast(type, kind)))
        lines += ["| key | value | |", "| --- | --- | --- |"]
        for item in dataclasses.fields(kind):
            text = str(item.type).replace("|", "\\|")
            lines.append(f"| `{item.name}` | {text} | {comments.get(item.name, '')} |")
        lines.append("")
    return "\n".join(lines)


def _comments(source: str) -> dict[str, str]:
    """The ``#:`` comments above fields."""
    found: dict[str, str] = {}
    waiting: list[str] = []
    for line in source.splitlines():
        if match := re.match(r"\s*#:\s*(.*)", line):
            waiting.append(match[1])
        else:
            if match := re.match(r"\s*(\w+):", line):
                found[match[1]] = " ".join(waiting).replace("|", "\\|")
            waiting = []
    return found
