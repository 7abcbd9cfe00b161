"""Words on a line, with the comments between them."""

from __future__ import annotations

from hyplink.idl.format.spacing import joined
from hyplink.idl.format.words import Word

__all__ = ["flow", "inner_comments"]


def inner_comments(words: list[Word]) -> bool:
    """Comments anywhere but in front of the first word and behind the last."""
    last = len(words) - 1
    return any(
        (word.before and index > 0) or (word.after and index < last)
        for index, word in enumerate(words)
    )


def flow(
    words: list[Word], start: int, stop: int, indent: str, further: str, *, lead: bool = False
) -> list[str]:
    """The words on one line at ``indent``, more lines at ``further`` where comments end a line.

    ``lead`` also writes the comments in front of the first word (a body writes those of its
    statements itself).
    """
    lines: list[str] = []
    prefix, begin = indent, start
    text = ""

    def finish(end: int) -> None:
        nonlocal text
        if end > begin:
            text += ("" if text else prefix) + joined(words, begin, end)

    for index in range(start, stop):
        word = words[index]
        if word.before and (index > start or lead):
            finish(index)
            if text:
                lines.append(text)
                prefix = further
            lines += [prefix + comment.text for comment in word.before]
            text, begin = "", index
        if word.after:
            finish(index + 1)
            begin = index + 1
            text += "".join("  " + comment.text for comment in word.after)
            if word.after[-1].ends_line:
                lines.append(text)
                text, prefix = "", further
            elif begin < stop:
                text += " "
    finish(stop)
    if text:
        lines.append(text)
    return lines
