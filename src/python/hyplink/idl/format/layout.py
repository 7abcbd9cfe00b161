"""Statements to lines."""

from __future__ import annotations

from dataclasses import dataclass

from hyplink.idl.format.columns import Row, align
from hyplink.idl.format.flow import flow, inner_comments
from hyplink.idl.format.spacing import joined, ternaries
from hyplink.idl.format.statements import (
    Statement,
    attribute_end,
    skip_attributes,
    statements_of,
)
from hyplink.idl.format.words import Comment, Word, words_of

__all__ = ["WIDTH", "layout"]

WIDTH = 100
_STEP = "    "
_NESTING = {"(": 1, "[": 1, "{": 1, ")": -1, "]": -1, "}": -1}
_CALLS = frozenset(["async", "sync", "callback"])
#: Behind a procedure's ordinal a line may break in front of these.
_CLAUSES = frozenset(
    ["sets", "throws", "creates", "destroys", "on_lost", "since", "timeout", "max"]
)
#: Bodies that may stay on one line.
_SHORT = frozenset(["enum", "struct", "table", "state", "sizefn"])


def layout(text: str) -> str:
    words = words_of(text)
    statements = statements_of(words)
    lines = _lines(statements, "")
    lines += _comments(words[-1].before, "", first=not lines)
    return "\n".join(lines) + "\n"


def _comments(comments: list[Comment], indent: str, *, first: bool) -> list[str]:
    lines: list[str] = []
    for comment in comments:
        if comment.gap and not (first and not lines):
            lines.append("")
        lines.append(indent + comment.text)
    return lines


def _lines(statements: list[Statement], indent: str) -> list[str]:
    """A body's lines; neighbours of one line each share their columns."""
    rows: list[Row] = []
    for statement in statements:
        lead = statement.head[0]
        above = _comments(lead.before, indent, first=not rows)
        if lead.gap and (rows or above):
            above.append("")
        row = _row(statement, indent)
        row.above = above
        rows.append(row)
    return align(rows, WIDTH)


def _row(statement: Statement, indent: str) -> Row:
    words = statement.words()
    start = skip_attributes(statement.head)
    if 0 < start < len(statement.head):
        lines: list[str] = []
        at = 0
        while at < start:
            end = attribute_end(words, at)
            lines += flow(words, at, end, indent, indent + _STEP, lead=at > 0)
            at = end
        rest = Statement(statement.head[start:], statement.body, statement.close, statement.tail)
        first = rest.head[0]
        lines += [indent + c.text for c in first.before]
        row = _row(rest, indent)
        return Row([*lines, *row.lines], comment=row.comment)
    short = statement.body is None or (statement.body and _written_short(statement))
    if short and not inner_comments(words):
        flat = indent + joined(words)
        if len(flat) <= WIDTH:
            return _single(statement, words, indent, flat)
    if statement.body is not None:
        return Row(_with_body(statement, indent))
    return Row(_broken(words, indent, _STEP))


def _written_short(statement: Statement) -> bool:
    if statement.kind not in _SHORT or any(s.body is not None for s in statement.body or []):
        return False
    inner = statement.words()[len(statement.head) :]
    return not any(word.first for word in inner)


def _single(statement: Statement, words: list[Word], indent: str, flat: str) -> Row:
    comment = " ".join(c.text for c in words[-1].after)
    row = Row([flat], comment=comment)
    if statement.body is not None or "\n" in comment:
        return row
    if statement.kind != "sizefn":
        depth = 0
        for index, word in enumerate(words):
            depth += _NESTING.get(word.text, 0)
            if depth == 0 and word.text in ("=", "=>") and index:
                row.column = len(indent + joined(words, 0, index)) + 1
                break
    row.group = "const" if statement.kind == "const" else ""
    return row


def _with_body(statement: Statement, indent: str) -> list[str]:
    assert statement.body is not None
    assert statement.close is not None
    opening = statement.head[-1]
    lines = _broken(statement.head, indent, _STEP)
    inside = _lines(statement.body, indent + _STEP)
    inside += _comments(statement.close.before, indent + _STEP, first=not inside)
    if not inside and not opening.after:
        lines[-1] += "}"
    else:
        lines += [*inside, indent + "}"]
    behind = [c.text for c in statement.close.after]
    lines[-1] = "  ".join([lines[-1], *behind])
    if statement.tail:
        tail = _row(statement.tail, indent)
        text = tail.lines[0].removeprefix(indent)
        if tail.comment:
            tail.lines[-1] += "  " + tail.comment
        if behind and behind[-1].startswith("//"):
            lines += tail.lines
        else:
            glue = "" if text.startswith((";", ",")) else " "
            lines[-1] += glue + text
            if tail.comment and len(tail.lines) == 1:
                lines[-1] += "  " + tail.comment
            lines += tail.lines[1:]
    return lines


@dataclass(slots=True)
class _Cut:
    """The words from ``start`` begin a new line at ``indent`` if they must, or always."""

    start: int
    indent: str
    always: bool = False


def _broken(words: list[Word], indent: str, step: str) -> list[str]:
    """A statement (or the head of one) over several lines, if it needs them."""
    if not inner_comments(words) and len(indent + joined(words)) <= WIDTH:
        return flow(words, 0, len(words), indent, indent + step)
    kind = words[skip_attributes(words)].text
    opened, closed = _parentheses(words) if kind in _CALLS or kind == "sizefn" else (0, 0)
    if not opened:
        cuts = _expression(words, 0, indent + step) if kind == "const" else []
        return _cut(words, cuts, indent)
    inner = indent + step
    cut_tail = _expression if kind == "sizefn" else _clauses
    cuts = cut_tail(words, closed, inner)
    end = cuts[0].start if cuts else len(words)
    crowded = inner_comments(words[:end]) if end > closed else True
    if crowded or len(indent + joined(words, 0, end)) > WIDTH:
        cuts = [*_parameters(words, opened, closed, inner), *cuts]
    return _cut(words, cuts, indent)


def _parentheses(words: list[Word]) -> tuple[int, int]:
    """The indexes of the parameter list's parentheses."""
    opened = next((i for i, word in enumerate(words) if word.text == "("), 0)
    depth = 0
    for index in range(opened, len(words)):
        depth += {"(": 1, ")": -1}.get(words[index].text, 0)
        if depth == 0:
            return opened, index
    return 0, 0


def _parameters(words: list[Word], opened: int, closed: int, indent: str) -> list[_Cut]:
    """Plain parameters share lines; each that says more has a line of its own."""
    bounds = [opened]
    depth = 0
    for index in range(opened + 1, closed):
        depth += _NESTING.get(words[index].text, 0)
        if depth == 0 and words[index].text == ",":
            bounds.append(index)
    cuts: list[_Cut] = []
    shared = False
    for start, end in zip(bounds, [*bounds[1:], closed], strict=True):
        if start + 1 >= end:
            continue
        inside = words[start + 1 : end]
        plain = all(word.kind == "name" or word.text == "." for word in inside)
        cuts.append(_Cut(start + 1, indent, always=not (plain and shared)))
        shared = plain
        if len(indent + joined(words, start + 1, end + 1)) > WIDTH:
            cuts += _inside_parameter(words, start + 1, end, indent + _STEP)
    return cuts


def _inside_parameter(words: list[Word], start: int, end: int, indent: str) -> list[_Cut]:
    choices = ternaries(words)
    return [
        _Cut(index, indent)
        for index in range(start, end)
        if (words[index].text == ":" and index in choices)
        or (words[index].text in ("max", "@") and words[index - 1].text in ("]", "?"))
    ]


def _clauses(words: list[Word], closed: int, indent: str) -> list[_Cut]:
    cuts: list[_Cut] = []
    depth = 0
    sets = ""
    for index in range(closed + 1, len(words)):
        text = words[index].text
        depth += _NESTING.get(text, 0)
        if depth:
            continue
        if text == "@" or (words[index].kind == "name" and text in _CLAUSES):
            cuts.append(_Cut(index, indent))
            sets = indent + " " * 5 if text == "sets" else ""
        elif text == "," and sets:
            cuts.append(_Cut(index + 1, sets, always=True))
    several = any(cut.always for cut in cuts)
    for cut in cuts:
        # Several settings stand below each other, so the first begins a line as well.
        cut.always |= several and words[cut.start].text == "sets"
    return cuts


def _expression(words: list[Word], closed: int, indent: str) -> list[_Cut]:
    """Behind the ``=``, and if that is not enough in front of each alternative."""
    for index in range(closed + 1, len(words)):
        if words[index].text == "=":
            break
    else:
        return []
    start = index + 1
    if start < len(words) and words[start].text == "match":
        return []
    cuts = [_Cut(start, indent)]
    if len(indent + joined(words, start)) > WIDTH:
        depth = 0
        choices = ternaries(words)
        for at in range(start, len(words)):
            text = words[at].text
            depth += _NESTING.get(text, 0)
            if depth == 0 and text == ":" and at in choices:
                cuts.append(_Cut(at, indent, always=True))
    return cuts


def _cut(words: list[Word], cuts: list[_Cut], indent: str) -> list[str]:
    """Lines with the cuts that are needed: each unit joins the line before while it fits."""
    lines: list[str] = []
    start, here = 0, indent
    for number, cut in enumerate(cuts):
        end = cuts[number + 1].start if number + 1 < len(cuts) else len(words)
        fits = len(here + joined(words, start, end)) <= WIDTH and not inner_comments(
            words[start:end]
        )
        if cut.always or not fits:
            if cut.start > start:
                lines += flow(words, start, cut.start, here, indent + _STEP, lead=start > 0)
            start, here = cut.start, cut.indent
    lines += flow(words, start, len(words), here, indent + _STEP, lead=start > 0)
    return lines
