"""Which words stand apart."""

from __future__ import annotations

from hyplink.idl.format.words import Word

__all__ = ["body_at", "joined", "ternaries"]

_TIGHT_AFTER = frozenset(["(", "[", ".", "..", "@", "!"])
_TIGHT_BEFORE = frozenset([")", "]", ",", ";", ".", ".."])
_CLOSE = {"(": ")", "[": "]", "{": "}"}


def ternaries(words: list[Word]) -> set[int]:
    """Indexes of each ``?`` and ``:`` that form a choice; other ``?`` say nullable."""
    found: set[int] = set()
    levels: list[list[int]] = [[]]
    for index, word in enumerate(words):
        text = word.text
        if text in _CLOSE:
            levels.append([])
        elif text in (")", "]", "}"):
            if len(levels) > 1:
                levels.pop()
        elif text in (",", ";"):
            levels[-1] = []
        elif text == "?":
            levels[-1].append(index)
        elif text == ":" and levels[-1]:
            found |= {levels[-1].pop(), index}
    return found


def _unary(words: list[Word], index: int) -> bool:
    """The ``-`` at ``index`` is a sign: nothing that has a value stands before it."""
    if index == 0:
        return True
    before = words[index - 1]
    if not before.operand:
        return True
    # Two values never follow each other: the second of two is a keyword, as in "on_lost -1".
    if before.kind != "name" or index < 2:
        return False
    earlier = words[index - 2]
    return (
        earlier.operand or earlier.text == "?" or (before.text == "until" and earlier.text == "[")
    )


def _space(words: list[Word], index: int, choices: set[int]) -> bool:
    """A blank stands between the words ``index - 1`` and ``index``."""
    before, word = words[index - 1], words[index]
    a, b = before.text, word.text
    if b in _TIGHT_BEFORE or a in _TIGHT_AFTER:
        return False
    if a == "-" and _unary(words, index - 1):
        return False
    if b == "?":
        return index in choices
    if b == ":":
        return index in choices or words[0].text in ("enum", "handle")
    if a == "{" or b == "}":
        # A set of values is tight, a body on one line is not.
        if a == "{" and b == "}":
            return False
        return body_at(words, index - 1 if a == "{" else index)
    if b == "(":
        if before.kind != "name":
            return True
        return a == "match" and _after_close(words, index) == "{"
    if b == "[":
        return not (before.operand or a == "?")
    return True


def body_at(words: list[Word], index: int) -> bool:
    """The brace at ``index`` belongs to a body (a ``;`` right inside, or nothing), not to a set."""
    step = 1 if words[index].text == "{" else -1
    if step == 1 and words[index + 1].text == "}":
        return True
    depth = 0
    while 0 <= index < len(words):
        text = words[index].text
        if text in _CLOSE:
            depth += step
        elif text in _CLOSE.values():
            depth -= step
        elif text == ";" and depth == 1:
            return True
        if depth == 0:
            return False
        index += step
    return False


def _after_close(words: list[Word], index: int) -> str:
    depth = 0
    for at in range(index, len(words)):
        if words[at].text == "(":
            depth += 1
        elif words[at].text == ")":
            depth -= 1
            if depth == 0:
                return words[at + 1].text if at + 1 < len(words) else ""
    return ""


def joined(words: list[Word], start: int = 0, stop: int | None = None) -> str:
    """The words from ``start`` to ``stop`` of a statement on one line, without their comments."""
    stop = len(words) if stop is None else stop
    choices = ternaries(words)
    out: list[str] = []
    for index in range(start, stop):
        if index > start and _space(words, index, choices):
            out.append(" ")
        out.append(words[index].text)
    return "".join(out)
