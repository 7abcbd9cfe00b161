"""``gen --lang md``: a reference to read, with everything that a peer has to know.

Signatures, docs, ranges, what a request weighs at most, and where each byte lies.
"""

from __future__ import annotations

from hyplink.idl.markdown.reference import reference
from hyplink.idl.model import Model

__all__ = ["generate"]


def generate(model: Model) -> dict[str, str]:
    """One file, ``STEM.md``."""
    return {f"{model.stem}.md": reference(model)}
