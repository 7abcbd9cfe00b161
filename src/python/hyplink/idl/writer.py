"""Indented text, and files that change only when their contents do."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

__all__ = ["Writer", "write_if_changed"]


class Writer:
    """Collects lines."""

    def __init__(self) -> None:
        self._lines: list[str] = []
        self._indent = ""

    def __call__(self, *lines: str) -> None:
        for line in lines:
            self._lines.append(self._indent + line if line else "")

    @contextlib.contextmanager
    def block(self, head: str = "", tail: str = "") -> Iterator[None]:
        """Lines one level deeper, between ``head`` and ``tail``."""
        if head:
            self(head)
        before = self._indent
        self._indent += "    "
        yield
        self._indent = before
        if tail:
            self(tail)

    def text(self) -> str:
        return "\n".join(self._lines) + "\n"


def write_if_changed(path: str, text: str) -> bool:
    """Write ``text``; an equal file keeps its time, so nothing that depends on it is rebuilt."""
    try:
        with open(path, encoding="utf-8", newline="") as stream:
            if stream.read() == text:
                return False
    except (OSError, UnicodeDecodeError):
        pass
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(f"{path}.{os.getpid()}.tmp")
    with open(temporary, "w", encoding="utf-8", newline="") as stream:
        stream.write(text)
    temporary.replace(target)
    return True
