"""Texts and places: where a character of the flat, preprocessed text came from.

The flat text is made of pieces. A *linear* piece was copied from a file unchanged, so each of its
characters has its own place; a piece that a macro produced has one place, the macro's name.
"""

from __future__ import annotations

import bisect
import re

from hyplink.board.findings import Place

__all__ = ["FlatText", "SourceFile", "blank_comments"]

_SKIP = re.compile(r'"(?:[^"\\]|\\.)*"|\'(?:[^\'\\\n]|\\.)\'|/\*.*?\*/|//[^\n]*|/\*', re.DOTALL)
_MARKER = re.compile(
    r'^#(?:line)?[ \t]+(\d+)(?:[ \t]+"((?:[^"\\\n]|\\.)*)")?[ \t\d]*$', re.MULTILINE
)
_NOT_NEWLINE = re.compile(r"[^\n]")


def blank_comments(text: str) -> tuple[str, int]:
    """Replace comments by spaces; every other character keeps its place.

    Returns the text and the offset of a comment that is never closed, or -1.
    """
    open_at = -1

    def blank(match: re.Match[str]) -> str:
        nonlocal open_at
        found = match.group()
        if found[0] != "/":
            return found
        if found == "/*":
            open_at = match.start() if open_at < 0 else open_at
            return "  "
        if found.startswith("//"):
            return " " * len(found)
        return _NOT_NEWLINE.sub(" ", found)

    return _SKIP.sub(blank, text), open_at


class SourceFile:
    """One text of the user with its lines.

    A text that already went through a C preprocessor carries line markers (``# 12 "board.dts"``).
    They are honoured: places are those of the file the marker names.
    """

    def __init__(self, name: str, text: str) -> None:
        self.name = name
        self.text = text
        self.plain, self.open_comment = blank_comments(text)
        self._lines: list[int] | None = None
        self._markers: list[tuple[int, int, str]] = []
        self._take_markers()

    def _take_markers(self) -> None:
        name = self.name
        for match in _MARKER.finditer(self.plain):
            name = match.group(2) if match.group(2) is not None else name
            self._markers.append((match.end() + 1, int(match.group(1)), name))
        if self._markers:
            self.plain = _MARKER.sub(lambda m: " " * len(m.group()), self.plain)

    def _line(self, offset: int) -> tuple[int, int]:
        if self._lines is None:
            self._lines = [0, *(m.end() for m in re.finditer("\n", self.text))]
        line = bisect.bisect_right(self._lines, offset)
        return line, offset - self._lines[line - 1] + 1

    def place(self, offset: int, length: int = 1) -> Place:
        """The place of one character of this text."""
        line, column = self._line(max(0, min(offset, len(self.text))))
        if self._markers and offset >= self._markers[0][0]:
            start, number, name = self._markers[
                bisect.bisect_right(self._markers, offset, key=lambda m: m[0]) - 1
            ]
            return Place(name, number + line - self._line(start)[0], column, length)
        return Place(self.name, line, column, length)

    def line_place(self, line: int) -> Place:
        """The place of the first word of a line."""
        lines = self.text.split("\n")
        source = lines[line - 1] if 0 < line <= len(lines) else ""
        body = source.strip()
        column = len(source) - len(source.lstrip()) + 1
        offset = sum(len(text) + 1 for text in lines[: line - 1]) + column - 1
        return self.place(offset, max(1, len(body)))


class FlatText:
    """The text the tree is read from, and the way back to the files."""

    def __init__(self) -> None:
        self._pieces: list[str] = []
        self._starts: list[int] = []
        self._origins: list[tuple[SourceFile, int, bool]] = []
        self._size = 0
        self._text: str | None = None

    def add(self, piece: str, file: SourceFile, offset: int, linear: bool = True) -> None:
        """Append a piece that stands at ``offset`` of ``file``."""
        if piece:
            self._pieces.append(piece)
            self._starts.append(self._size)
            self._origins.append((file, offset, linear))
            self._size += len(piece)
            self._text = None

    def extend(self, other: FlatText) -> None:
        """Append another flat text."""
        self._starts += [start + self._size for start in other._starts]
        self._pieces += other._pieces
        self._origins += other._origins
        self._size += other._size
        self._text = None

    @property
    def text(self) -> str:
        """All pieces joined."""
        if self._text is None:
            self._text = "".join(self._pieces)
        return self._text

    def place(self, offset: int, length: int = 1) -> Place:
        """The place in the user's files of one character of the flat text."""
        if not self._starts:
            return Place("")
        piece = max(0, bisect.bisect_right(self._starts, offset) - 1)
        file, start, linear = self._origins[piece]
        return file.place(start + (offset - self._starts[piece] if linear else 0), length)
