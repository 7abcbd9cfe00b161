"""The words of a text with the comments around them: what a formatter moves."""

from __future__ import annotations

from dataclasses import dataclass, field

from hyplink.idl.lexer import pieces

__all__ = ["Comment", "Word", "content", "words_of"]

_COMMENTS = ("doc", "comment", "open_comment")


@dataclass(slots=True)
class Comment:
    text: str
    #: An empty line stands in front of it.
    gap: bool = False

    @property
    def ends_line(self) -> bool:
        return self.text.startswith("//")


@dataclass(slots=True)
class Word:
    """One token. ``before`` are comments on lines of their own, ``after`` those behind it."""

    text: str
    kind: str
    gap: bool = False
    #: The first of its line.
    first: bool = False
    before: list[Comment] = field(default_factory=list)
    after: list[Comment] = field(default_factory=list)

    @property
    def operand(self) -> bool:
        """A value may end with this word."""
        return self.kind in ("name", "number", "text") or self.text in (")", "]", "}")

    @property
    def commented(self) -> bool:
        return bool(self.before or self.after)


def words_of(text: str) -> list[Word]:
    """All words; the last one is empty and holds the comments at the end."""
    words: list[Word] = []
    breaks = 2
    waiting: list[Comment] = []
    for kind, piece in pieces(text.replace("\r\n", "\n")):
        if kind == "blank":
            continue
        if kind == "newline":
            breaks += 1
            continue
        gap = breaks > 1 and bool(words or waiting)
        if kind in _COMMENTS:
            comment = Comment(_tidy(piece, kind), gap)
            if breaks == 0 and words and not waiting:
                words[-1].after.append(comment)
            else:
                waiting.append(comment)
            breaks = 0
            continue
        words.append(Word(piece, kind, gap, breaks > 0, waiting))
        waiting = []
        breaks = 0
    words.append(Word("", "end", False, True, waiting))
    return words


def _tidy(piece: str, kind: str) -> str:
    piece = piece.rstrip()
    if kind == "doc" and len(piece) > 3 and piece[3] not in " \t/":
        return f"/// {piece[3:]}"
    return piece


def content(text: str) -> list[str]:
    """What formatting must not change: words and comments in their order."""
    found = []
    for kind, piece in pieces(text.replace("\r\n", "\n")):
        if kind in ("blank", "newline"):
            continue
        found.append(_tidy(piece, kind) if kind in _COMMENTS else piece)
    return found
