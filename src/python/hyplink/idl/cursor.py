"""Walking over tokens: expecting, complaining, getting back on the road."""

from __future__ import annotations

from hyplink.idl.findings import Findings, Place, nearest
from hyplink.idl.lexer import Token, tokenize

__all__ = ["Cursor", "Lost"]

#: A line that begins with one of these and a name is a new declaration, whatever went wrong before.
_STARTERS = frozenset(
    [
        "async",
        "sync",
        "enum",
        "struct",
        "interface",
        "const",
        "reserved",
        "sizefn",
        "table",
        "umem",
        "handle",
    ]
)


class Lost(Exception):
    """The rest of this declaration makes no sense; the finding is already recorded."""


class Cursor:
    """A position in a token list."""

    def __init__(self, file: str, text: str, findings: Findings) -> None:
        self.file = file
        self.findings = findings
        self.tokens = tokenize(file, text, findings)
        self.index = 0
        self.token = self.tokens[0]

    def peek(self, ahead: int = 1) -> Token:
        return self.tokens[min(self.index + ahead, len(self.tokens) - 1)]

    def take(self) -> Token:
        """Return the present token and move on; the last token stays."""
        token = self.token
        if self.index < len(self.tokens) - 1:
            self.index += 1
            self.token = self.tokens[self.index]
        return token

    def at(self, kind: str) -> bool:
        return self.token.kind == kind

    def at_word(self, word: str) -> bool:
        return self.token.kind == "name" and self.token.text == word

    def accept(self, kind: str) -> bool:
        if self.token.kind != kind:
            return False
        self.take()
        return True

    def accept_word(self, word: str) -> bool:
        if not self.at_word(word):
            return False
        self.take()
        return True

    # -- complaining -----------------------------------------------------------------------------

    def error(self, place: Place, code: int, message: str, hint: str = "") -> None:
        self.findings.add(self.file, place, code, message, hint=hint)

    def missing(
        self, what: str, code: int = 10, hint: str = "", opened: Token | None = None
    ) -> None:
        """Complain that ``what`` is absent, where a reader would put it."""
        found = f"'{self.token.text}'" if self.token.text else "the end of the file"
        message = f"expected {what}"
        place = self.token.place
        if self.index:
            before = self.tokens[self.index - 1]
            message += f" after '{before.text}'"
            if before.line != self.token.line:
                place = (before.line, before.column + len(before.text), 1)
        note = (opened.place, f"'{opened.text}' was opened here") if opened else None
        self.findings.add(self.file, place, code, f"{message}, found {found}", hint=hint, note=note)

    def expect(self, kind: str, what: str = "") -> Token:
        if self.token.kind != kind:
            self.missing(what or f"'{kind}'")
            raise Lost
        return self.take()

    def expect_name(self, what: str) -> Token:
        if self.token.kind != "name":
            self.missing(what)
            raise Lost
        if self.token.text == "_":
            self.error(self.token.place, 5, "'_' is no name", "it is the pattern for anything")
        return self.take()

    def expect_word(self, word: str) -> Token:
        if not self.at_word(word):
            hint = ""
            if self.at("name") and nearest(self.token.text, [word]):
                hint = f"did you mean '{word}'?"
            self.missing(f"'{word}'", hint=hint)
            raise Lost
        return self.take()

    def expect_close(self, kind: str, opened: Token) -> None:
        if self.token.kind != kind:
            self.missing(f"'{kind}'", 11, opened=opened)
            raise Lost
        self.take()

    def expect_end_of(self, what: str) -> None:
        """A ``;``. Forgotten at the end of a line it is reported and assumed."""
        if self.accept(";"):
            return
        self.missing(f"';' at the end of {what}" if self.at("end") else "';'")
        before = self.tokens[self.index - 1]
        if self.at("}") or (before.line != self.token.line and not self.at("end")):
            return
        raise Lost

    # -- recovery --------------------------------------------------------------------------------

    def skip(self) -> None:
        """Go behind the next ``;`` or in front of the ``}`` that closes the present body."""
        depth = 0
        while not self.at("end"):
            token = self.token
            first = self.index == 0 or self.tokens[self.index - 1].line != token.line
            if first and token.text in _STARTERS and self.peek().kind == "name":
                return
            if token.kind == "{":
                depth += 1
            elif token.kind == "}":
                if depth == 0:
                    return
                depth -= 1
                if depth == 0:
                    self.take()
                    return
            elif token.kind == ";" and depth == 0:
                self.take()
                return
            self.take()
