"""The grammar of device-tree source, by dtlib, going on after an error.

dtlib is Zephyr's reader; it stops at the first mistake. Here a syntax error is noted and reading
goes on at the next statement of the node, so that a run reports all of them. What a label means
is the business of ``dts.py``.
"""

from __future__ import annotations

import re
from typing import Any, NoReturn

from devicetree import dtlib  # type: ignore[import-untyped,unused-ignore]

from hyplink.board.findings import Findings, Place
from hyplink.board.text import FlatText

__all__ = ["GivenUp", "SyntaxReader", "SyntaxTrouble"]

_MAX_SYNTAX_ERRORS = 50
_MAX_DEPTH = 60
#: dtlib trusts the text in some places: numbers of 5,000 digits, deleting the root node.
_CRASHES = (ValueError, OverflowError, IndexError, KeyError, AttributeError, TypeError)
_BLANKS = re.compile(r"\s*")
_NAME = re.compile(r"[a-zA-Z0-9,._+*?@-][a-zA-Z0-9,._+*#?@-]*")
_MARKS = {mark: dtlib._Token(dtlib._T.MISC, mark) for mark in "{};="}
_STOPS = re.compile(r'"(?:[^"\\]|\\.)*"|[;{}]')


class SyntaxTrouble(Exception):
    """A syntax error at an offset of the flat text."""

    def __init__(self, offset: int, message: str) -> None:
        super().__init__(message)
        self.offset = offset


class GivenUp(Exception):
    """Going on would only produce noise; the finding is already noted."""


class SyntaxReader(dtlib.DT):  # type: ignore[misc,unused-ignore]
    """Reads a tree from a flat text; errors go to ``findings``."""

    def __init__(self, flat: FlatText, findings: Findings, name: str) -> None:
        # dtlib's own constructor insists on a file of one piece, so its steps are taken here.
        self.flat = flat
        self.findings = findings
        self.filename = name
        self._include_path: list[str] = []
        self._force = False
        self._file_contents = flat.text
        self._tok_i = self._tok_end_i = 0
        self._filestack: list[Any] = []
        self.alias2node: dict[str, Any] = {}
        self._lexer_state = 0
        self._saved_token: Any = None
        self._lineno = 1
        self._root: Any = None
        self.memreserves: list[Any] = []
        self.phandle2node: dict[int, Any] = {}
        self._name_at: dict[int, int] = {}
        self._again_at: dict[int, int] = {}
        self._body_at: dict[int, list[int]] = {}
        self._value_at: dict[int, int] = {}
        self._open: list[int] = []
        self._errors = 0
        self._wide = False

    def _next_token(self) -> Any:
        # A short way for blanks, single marks and plain names, nine tenths of all tokens: dtlib
        # tries up to twenty patterns on each of them. Everything else goes the long way.
        saved = self._saved_token
        if saved is not None:
            self._saved_token = None
            return saved
        text = self._file_contents
        blanks = _BLANKS.match(text, self._tok_end_i)
        at = blanks.end() if blanks else self._tok_end_i
        self._tok_end_i = at
        mark = text[at : at + 1]
        token = _MARKS.get(mark)
        if token is not None:
            if mark != "=" or text[at + 1 : at + 2] != "=":
                self._tok_i = at
                self._tok_end_i = at + 1
                if mark in "{;":
                    self._lexer_state = dtlib._EXPECT_PROPNODENAME
                return token
        elif self._lexer_state == dtlib._EXPECT_PROPNODENAME:
            name = _NAME.match(text, at)
            if name is not None and text[name.end() : name.end() + 1] != ":":
                self._tok_i = at
                self._tok_end_i = name.end()
                self._lexer_state = dtlib._DEFAULT
                return dtlib._Token(dtlib._T.PROPNODENAME, name.group())
        return super()._next_token()

    # -- errors --------------------------------------------------------------------------------

    def _parse_error(self, s: object) -> NoReturn:
        raise SyntaxTrouble(self._tok_i, str(s))

    def _note(self, error: SyntaxTrouble) -> None:
        self._errors += 1
        text, offset, message = self._file_contents, error.offset, str(error)
        if offset >= len(text.rstrip()):
            notes = []
            if self._open:
                notes = [(self.flat.place(self._open[-1]), "this { is still open")]
            end = max(0, len(text.rstrip()) - 1)
            self.findings.add(
                "BOARD0010", self.flat.place(end), "the text ends too early", message, notes
            )
            raise GivenUp
        word = re.compile(r"[\w,.+*#?@-]+|\S").match(text, offset)
        found = word.group() if word else text[offset]
        place = self.flat.place(offset, len(found))
        hint = ""
        if (
            re.search(r"expected ';'(?: or ','|, not)", message)
            or "expected '{', '=', or" in message
        ):
            # The user forgot something at the end of the statement before, so point there.
            end = len(text[:offset].rstrip())
            place = self.flat.place(max(0, end - 1))
            message = f"; expected after this, before {found!r}"
            hint = "a statement ends with ;"
        elif message == "malformed value":
            message, hint = (
                f"{found!r} is not a value",
                'values are "text", <numbers>, [bytes] or &label',
            )
        elif "does not fit in 32 bits" in message:
            hint = "write it as two cells, the upper one first: <0x8 0x00000000>"
        elif "<unknown token>" in message or message.startswith("expected"):
            message = f"{message.partition(', not')[0]}, found {found!r}"
        self.findings.add("BOARD0010", place, message, hint)
        if self._errors >= _MAX_SYNTAX_ERRORS:
            self.findings.add("BOARD0015", place, f"{self._errors} syntax errors: gave up here")
            raise GivenUp

    # -- grammar with recovery -----------------------------------------------------------------

    def _parse_header(self) -> None:
        # Fragments are put behind a skeleton, so "/dts-v1/" may come again in an included file.
        while self._peek_token().id == dtlib._T.DTS_V1:
            self._next_token()
            self._expect_token(";")
        if self._peek_token().id == dtlib._T.PLUGIN:
            self._unsupported("/plugin/")

    def _unsupported(self, what: str) -> NoReturn:
        place = self.flat.place(self._tok_i, len(what))
        self.findings.add("BOARD0014", place, f"{what} has no use on a board")
        raise GivenUp

    def _parse_incbin(self, prop: Any) -> None:
        self._unsupported("/incbin/")

    def _enter_file(self, filename: str) -> None:
        self._parse_error("expected /include/ on a line of its own")

    def _parse_dt(self) -> None:
        while True:
            before = self._tok_end_i
            try:
                super()._parse_dt()
                return
            except SyntaxTrouble as error:
                if "no root node" in str(error):
                    self.findings.add(
                        "BOARD0003", Place(self.filename), "there is no root node: / { … };"
                    )
                    raise GivenUp from None
                self._note(error)
                self._skip_to_next(max(error.offset, before))
            except _CRASHES as bug:
                self._note(SyntaxTrouble(self._tok_i, f"unusable here: {bug}"))
                self._skip_to_next(max(self._tok_i, before))

    def _skip_to_next(self, offset: int) -> None:
        """Go to the next statement at the top of the text."""
        self._saved_token = None
        self._skip_statement(offset)
        if self._file_contents.startswith("}", self._tok_end_i):
            self._tok_end_i += 1
        semicolon = re.compile(r"\s*;").match(self._file_contents, self._tok_end_i)
        self._tok_end_i = semicolon.end() if semicolon else self._tok_end_i

    def _parse_node(self, node: Any) -> Any:
        brace = self._brace()
        self._remember(node, brace)
        if len(self._open) >= _MAX_DEPTH:
            self.findings.add(
                "BOARD0015", self.flat.place(brace), f"nodes are nested more than {_MAX_DEPTH} deep"
            )
            raise GivenUp
        self._open.append(brace)
        while True:
            try:
                super()._parse_node(node)
                break
            except SyntaxTrouble as error:
                self._note(error)
            except _CRASHES as bug:
                self._note(SyntaxTrouble(self._tok_i, f"unusable here: {bug}"))
            if self._resume(self._tok_i):
                break
        self._open.pop()
        return node

    def _brace(self) -> int:
        if self._saved_token is None:
            self._peek_token()
        return int(self._tok_i)

    def _remember(self, node: Any, brace: int) -> None:
        key = id(node)
        self._body_at.setdefault(key, []).append(brace)
        window = max(0, brace - 200)
        name = self._file_contents[window:brace].rstrip()
        if name.endswith(node.name):
            at = window + len(name) - len(node.name)
            if key not in self._name_at:
                self._name_at[key] = at
            elif not name.endswith(f"&{node.name}"):
                self._again_at.setdefault(key, at)

    def _resume(self, offset: int) -> bool:
        """Find the next statement of this node; true if the node turns out to be closed."""
        text = self._file_contents
        self._saved_token = None
        if text[:offset].rstrip().endswith("}") and not text.startswith("}", offset):
            # "}" without ";": the node is complete and the error belongs to what follows.
            self._tok_end_i = offset
            self._lexer_state = dtlib._EXPECT_PROPNODENAME
            return True
        self._skip_statement(offset)
        # dtlib begins a node with "{", so it is told that it has just seen one.
        self._saved_token = dtlib._Token(dtlib._T.MISC, "{")
        self._lexer_state = dtlib._EXPECT_PROPNODENAME
        return False

    def _skip_statement(self, offset: int) -> None:
        """Go behind the next ";" at this level, or to the "}" that closes it."""
        text, depth = self._file_contents, 0
        for stop in _STOPS.finditer(text, offset):
            mark = stop.group()
            if mark == "{":
                depth += 1
            elif mark == "}":
                if depth == 0:
                    self._tok_i = self._tok_end_i = stop.start()
                    return
                depth -= 1
            elif mark == ";" and depth == 0:
                self._tok_i = self._tok_end_i = stop.end()
                return
        self._tok_i = self._tok_end_i = len(text)

    def _eval_shift(self) -> int:
        value: int = self._eval_add()
        while True:
            left = self._check_token("<<")
            if not left and not self._check_token(">>"):
                return value
            by = self._eval_add()
            if not 0 <= by < 64:
                self._parse_error(f"a shift by {by} is not between 0 and 63")
            value = (value << by) & 0xFFFF_FFFF_FFFF_FFFF if left else value >> by

    # -- values --------------------------------------------------------------------------------

    def _parse_assignment(self, prop: Any) -> None:
        self._value_at[id(prop)] = self._tok_i
        # The guides write a 36-bit address into one cell of ipa-base; it is taken as two.
        self._wide = prop.name == "ipa-base"
        try:
            super()._parse_assignment(prop)
        finally:
            self._wide = False
        if prop.name == "ipa-base" and len(prop.value) % 8 == 0:
            numbers = [
                int.from_bytes(prop.value[i : i + 8], "big") for i in range(0, len(prop.value), 8)
            ]
            if len(numbers) > 1 and max(numbers) < 1 << 32:
                prop.value = b"".join(n.to_bytes(4, "big") for n in numbers)

    def _parse_cells(self, prop: Any, n_bytes: int) -> None:
        super()._parse_cells(prop, 8 if self._wide and n_bytes == 4 else n_bytes)
