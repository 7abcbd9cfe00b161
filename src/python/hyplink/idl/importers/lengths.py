"""Registry lengths (``count*4``, ``bufSize``, ``COMPSIZE(pname)``) as VIDL expressions."""

from __future__ import annotations

import re

__all__ = ["Length", "read_length"]

_WORD = re.compile(r"[A-Za-z_]\w*")


class Length:
    """``expr`` is VIDL, or None with ``why``; ``names`` are the parameters in it."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.names = _WORD.findall(text)
        self.computed = text.startswith("COMPSIZE")
        self.constant = int(text) if text.isdigit() else None
        self.single = self.names[0] if self.names == [text] else ""

    def expression(self, signed: set[str]) -> str:
        """For C callers a negative count is no size: 0, and the server says what is wrong."""
        tidy = re.sub(r"\s*([*+/-])\s*", r" \1 ", self.text)
        tidy = re.sub(r" \* 1$", "", tidy)
        return _WORD.sub(lambda m: f"max({m[0]}, 0)" if m[0] in signed else m[0], tidy)


def read_length(text: str | None) -> Length | None:
    return Length(text.strip()) if text else None
