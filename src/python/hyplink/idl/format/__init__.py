"""The one layout of an interface text.

Only blanks and line ends move: the sequence of words and comments stays, so the model does, too.
A body of an enum, struct or table that was written on one line stays there while it fits; blank
lines between statements stay (one at most). Everything else has one form.
"""

from __future__ import annotations

from hyplink.errors import IdlError
from hyplink.idl.findings import Findings
from hyplink.idl.format.layout import WIDTH, layout
from hyplink.idl.format.words import content
from hyplink.idl.parser import parse_file

__all__ = ["WIDTH", "format_text"]


def format_text(text: str, filename: str = "<text>") -> str:
    """``text`` in its layout.

    Raises:
        IdlError: the text does not parse; nothing that is misunderstood is moved about.
    """
    findings = Findings()
    parse_file(filename, text, findings)
    if findings:
        raise IdlError("\n" + findings.text(), tuple(findings.sorted()))
    result = layout(text)
    if content(result) != content(text):
        message = f"{filename}: formatting would change more than blanks; the file stays as it is"
        raise AssertionError(message)
    return result
