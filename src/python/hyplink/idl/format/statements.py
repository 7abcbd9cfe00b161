"""Words grouped into statements and bodies, without knowing what any statement means."""

from __future__ import annotations

from dataclasses import dataclass, field

from hyplink.idl.format.spacing import body_at
from hyplink.idl.format.words import Word

__all__ = ["Statement", "statements_of"]


@dataclass(slots=True)
class Statement:
    """``head`` up to ``;`` or ``{``; with a body also its statements, ``}`` and what follows."""

    head: list[Word] = field(default_factory=list)
    body: list[Statement] | None = None
    close: Word | None = None
    tail: Statement | None = None

    def words(self) -> list[Word]:
        """All words in order."""
        found = list(self.head)
        for inner in self.body or []:
            found += inner.words()
        if self.close:
            found.append(self.close)
        if self.tail:
            found += self.tail.words()
        return found

    @property
    def kind(self) -> str:
        """The word that says what it is, behind attributes."""
        start = skip_attributes(self.head)
        return self.head[start].text if start < len(self.head) else ""


def skip_attributes(words: list[Word]) -> int:
    """The index behind the attributes that ``words`` begin with."""
    index = 0
    while index < len(words) and words[index].text == "@":
        index = attribute_end(words, index)
    return index


def attribute_end(words: list[Word], index: int) -> int:
    """The index behind the attribute whose ``@`` is at ``index``."""
    index += 2
    if index < len(words) and words[index].text == "(":
        depth = 0
        while index < len(words):
            depth += {"(": 1, ")": -1}.get(words[index].text, 0)
            index += 1
            if depth == 0:
                break
    return index


def statements_of(words: list[Word]) -> list[Statement]:
    """The statements of a whole text; ``words`` ends with the empty word."""
    found: list[Statement] = []
    index = 0
    while index < len(words) - 1:
        statement, index = _statement(words, index)
        found.append(statement)
    return found


def _statement(words: list[Word], index: int) -> tuple[Statement, int]:
    result = Statement()
    depth = 0
    while index < len(words) - 1:
        word = words[index]
        result.head.append(word)
        index += 1
        if depth == 0 and word.text == ";":
            break
        if depth == 0 and word.text == "{" and body_at(words, index - 1):
            return _body(words, index, result)
        if word.text in ("(", "[", "{"):
            depth += 1
        elif word.text in (")", "]", "}"):
            depth -= 1
    return result, index


def _body(words: list[Word], index: int, result: Statement) -> tuple[Statement, int]:
    result.body = []
    while index < len(words) - 1 and words[index].text != "}":
        inner, index = _statement(words, index)
        result.body.append(inner)
    result.close = words[index]
    index += 1
    # Behind a match the statement goes on; behind a declaration only a ';' may follow.
    is_match = len(result.head) > 1 and result.head[-2].text == ")" and result.kind != "interface"
    if words[index].text == ";":
        result.tail = Statement([words[index]])
        index += 1
    elif is_match and words[index].text not in ("}", ""):
        result.tail, index = _statement(words, index)
    return result, index
