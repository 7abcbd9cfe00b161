"""Text to tokens. Every token knows its place; keywords are plain names until the parser asks."""

from __future__ import annotations

import re
from collections.abc import Iterator

from hyplink.idl.findings import Findings, Place

__all__ = ["Token", "int_value", "nanoseconds", "pieces", "tokenize"]


class Token:
    """``kind`` is ``name``, ``int``, ``float``, ``time``, ``text``, ``end`` or the punctuation itself."""

    __slots__ = ("column", "doc", "kind", "line", "text")

    def __init__(self, kind: str, text: str, line: int, column: int, doc: str = "") -> None:
        self.kind = kind
        self.text = text
        self.line = line
        self.column = column
        self.doc = doc

    @property
    def place(self) -> Place:
        return (self.line, self.column, max(1, len(self.text)))


_PATTERN = re.compile(
    r"""
    (?P<blank>[ \t\r\f]+)
  | (?P<name>[A-Za-z_][A-Za-z_0-9]*)
  | (?P<newline>\n)
  | (?P<doc>///[^\n]*)
  | (?P<comment>//[^\n]*|/\*(?:[^*]|\*(?!/))*\*/)
  | (?P<open_comment>/\*)
  | (?P<number>[0-9](?:[0-9A-Za-z_]|\.(?=[0-9]))*)
  | (?P<text>"(?:[^"\\\n]|\\.)*")
  | (?P<open_text>"[^\n]*)
  | (?P<punct>\.\.|==|!=|<=|>=|=>|&&|\|\||[-+*/%?:;,.(){}\[\]<>=!@|])
  | (?P<other>.)
    """,
    re.VERBOSE | re.DOTALL,
)
_INT = re.compile(r"(?:0[xX][0-9A-Fa-f]+|[0-9]+)[KMG]?\Z")
_FLOAT = re.compile(r"[0-9]+\.[0-9]+(?:[eE][0-9]+)?\Z")
_TIME = re.compile(r"([0-9]+)(ns|us|ms|s)\Z")
_NANOSECONDS = {"ns": 1, "us": 1000, "ms": 1_000_000, "s": 1_000_000_000}
_SUFFIX = {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30}


def int_value(text: str) -> int:
    """The value of an integer token, with its K, M or G."""
    factor = _SUFFIX.get(text[-1], 1)
    return int(text[:-1] if factor > 1 else text, 0) * factor if text.strip("0") else 0


def pieces(text: str) -> Iterator[tuple[str, str]]:
    """(kind, text) of everything in ``text``, blanks and comments as well: joined it is ``text``."""
    for match in _PATTERN.finditer(text):
        yield match.lastgroup or "other", match.group()


def nanoseconds(text: str) -> int:
    """The value of a time token such as ``20ms``."""
    found = _TIME.match(text)
    assert found is not None
    return int(found[1]) * _NANOSECONDS[found[2]]


def tokenize(file: str, text: str, findings: Findings) -> list[Token]:
    """All tokens of ``text``, ended by one ``end`` token. Never raises."""
    tokens: list[Token] = []
    add = tokens.append
    line, start = 1, 0
    doc: list[str] = []
    for match in _PATTERN.finditer(text):
        kind = match.lastgroup
        if kind == "blank":
            continue
        word = match.group()
        if kind == "newline":
            line += 1
            start = match.end()
            continue
        column = match.start() - start + 1
        if kind == "name":
            if word[0] == "_" and len(word) > 1:
                message = f"a name may not begin with an underscore: '{word}'"
                hint = "such names belong to the generated code"
                findings.add(file, (line, column, len(word)), 5, message, hint=hint)
            add(Token("name", word, line, column, "\n".join(doc) if doc else ""))
            if doc:
                doc = []
        elif kind == "punct":
            add(Token(word, word, line, column, "\n".join(doc) if doc else ""))
            if doc:
                doc = []
        elif kind == "number":
            if word.isdecimal() and (word[0] != "0" or len(word) == 1):
                token = Token("int", word, line, column)
            else:
                token = _number(file, word, line, column, findings)
            if doc:
                # In front of a table's field.
                token.doc = "\n".join(doc)
                doc = []
            add(token)
        elif kind == "text":
            add(Token("text", word, line, column))
        elif kind == "doc":
            doc.append(word[3:].removeprefix(" ").rstrip())
        elif kind == "comment":
            breaks = word.count("\n")
            if breaks:
                line += breaks
                start = match.start() + word.rindex("\n") + 1
        elif kind == "open_comment":
            findings.add(file, (line, column, 2), 2, "this comment never ends; expected '*/'")
            break
        elif kind == "open_text":
            message = "this text never ends; expected '\"' before the end of the line"
            findings.add(file, (line, column, len(word)), 3, message)
            add(Token("text", word, line, column))
        else:
            message = f"unexpected character {word!r}"
            findings.add(file, (line, column, 1), 1, message)
    add(Token("end", "", line, len(text) - start + 1))
    return tokens


def _number(file: str, word: str, line: int, column: int, findings: Findings) -> Token:
    if _FLOAT.match(word):
        return Token("float", word, line, column)
    if _TIME.match(word):
        return Token("time", word, line, column)
    octal = len(word) > 1 and word[0] == "0" and word[1].isdigit()
    if not octal and _INT.match(word):
        return Token("int", word, line, column)
    hint = "write 255, 0xFF, 64K, 1M, 2G or 1.5"
    findings.add(file, (line, column, len(word)), 4, f"malformed number '{word}'", hint=hint)
    return Token("int", "0", line, column)
