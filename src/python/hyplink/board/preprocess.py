"""``#include``, ``#define`` and ``#if`` in device trees, by pcpp.

pcpp reads a text token by token, which takes many seconds for a board of 10,000 links. So the text
between two directives is handed over as one made-up word (a *run*). pcpp still decides whether it
is reached and which macros hold at that point; when it reaches the run, only the lines that name a
macro go through pcpp's expansion, the rest is copied. Copying also keeps lines and columns.
"""

from __future__ import annotations

import copy
import io
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from pcpp.parser import Action, OutputDirective  # type: ignore[import-untyped,unused-ignore]
from pcpp.preprocessor import Preprocessor  # type: ignore[import-untyped,unused-ignore]

from hyplink.board.findings import Findings, Place
from hyplink.board.text import FlatText, SourceFile

__all__ = ["INCLUDE_DIR", "preprocess"]

#: Directory with the files that ship with the package; always the last one searched.
INCLUDE_DIR = Path(__file__).parent / "skeleton"

_WORDS = [
    "include",
    "define",
    "undef",
    "ifdef",
    "ifndef",
    "if",
    "elif",
    "else",
    "endif",
    "pragma",
    "error",
    "warning",
]
_DIRECTIVE = re.compile(
    rf"^[ \t]*#[ \t]*(?:{'|'.join(_WORDS)})(?![\w,.+*#?@-])(?:\\\n|[^\n])*", re.MULTILINE
)
_DTC_INCLUDE = re.compile(r'^([ \t]*)/include/([ \t]*"[^"\n]*")', re.MULTILINE)
_IDENTIFIER = re.compile(r"[A-Za-z_]\w*")
_SMALL_SHIFT = re.compile(r"<<\s*(?:[0-9]|[1-5][0-9]|6[0-3])(?![\w.])")
_RUN = "hyplink_text_run_"
_DEPTH = 40


def _balanced(text: str) -> Iterator[tuple[int, int]]:
    """Split a text into lines, but not inside parentheses: a macro call may span lines."""
    begin = depth = 0
    for line in re.finditer(r"[^\n]*(?:\n|\Z)", text):
        words = line.group()
        if "(" in words or ")" in words:
            depth = max(0, depth + words.count("(") - words.count(")"))
        if depth == 0 and line.end() > begin:
            yield begin, line.end()
            begin = line.end()
    if begin < len(text):
        yield begin, len(text)


class _Reader(Preprocessor):  # type: ignore[misc,unused-ignore]
    """pcpp with runs, places and collected errors."""

    def __init__(self, findings: Findings, include: Iterable[str], names: _Names) -> None:
        super().__init__()
        self.findings = findings
        self.names = names
        self.files: dict[str, SourceFile] = {}
        self.runs: dict[str, tuple[SourceFile, int, int]] = {}
        #: For each line that pcpp sees of a file, the line it was in the file.
        self.lines: dict[str, list[int]] = {}
        self.stack: list[str] = []
        self.include_token: Any = None
        self.line = 1
        self.line_directive = None
        for path in (*include, str(INCLUDE_DIR)):
            self.add_path(path)

    # -- text in -------------------------------------------------------------------------------

    def parsegen(self, input: str, source: str | None = None, abssource: str | None = None) -> Any:
        """Read one file: its runs are put aside first."""
        key = str(abssource)
        file = self.files[key]
        self.stack.append(key)
        yield from super().parsegen(self._without_runs(file), source, abssource)
        self.stack.pop()

    def _without_runs(self, file: SourceFile) -> str:
        # The blank keeps the length, and with it all offsets: "/include/" has nine characters.
        plain = _DTC_INCLUDE.sub(r"\1#include \2", file.plain)
        out: list[str] = []
        lines = self.lines.setdefault(file.name, [])
        at, line = 0, 1
        for match in (*_DIRECTIVE.finditer(plain), None):
            begin = match.start() if match else len(plain)
            if plain[at:begin].strip():
                name = f"{_RUN}{len(self.runs)}"
                self.runs[name] = (file, at, begin)
                out.append(name)
                lines.append(line)
            line += plain.count("\n", at, begin)
            if match:
                out.append(match.group())
                count = match.group().count("\n")
                lines.extend(range(line, line + count + 1))
                line += count
                at = match.end()
        return "\n".join(out)

    # -- text out ------------------------------------------------------------------------------

    def flatten(self, name: str, file: SourceFile) -> FlatText:
        """The whole text after preprocessing, with the way back to its files."""
        self.files[name] = file
        flat = FlatText()
        self.temp_path.insert(0, str(Path(name).parent))
        for token in self.parsegen("", name, name):
            run = self.runs.get(token.value)
            if run is not None:
                self._emit(flat, *run)
        return flat

    def _emit(self, flat: FlatText, file: SourceFile, begin: int, end: int) -> None:
        text = file.plain[begin:end]
        macros = self.macros
        if macros.keys().isdisjoint(_IDENTIFIER.findall(text)):
            flat.add(text, file, begin)
            return
        copied = 0
        for start, stop in _balanced(text):
            part = text[start:stop]
            if macros.keys().isdisjoint(_IDENTIFIER.findall(part)):
                continue
            flat.add(text[copied:start], file, begin + copied)
            self._expand(flat, file, begin + start, part)
            copied = stop
        flat.add(text[copied:], file, begin + copied)

    def _expand(self, flat: FlatText, file: SourceFile, at: int, part: str) -> None:
        tokens = self.tokenize(part)
        for token in tokens:
            token.source = file
        # A token that is still ours stands where it stood; what a macro made stands behind it.
        behind = at
        for token in super().expand_macros(tokens):
            ours = token.source is file and part.startswith(token.value, token.lexpos)
            if ours:
                behind = at + token.lexpos + len(token.value)
                flat.add(token.value, file, at + token.lexpos)
            else:
                flat.add(token.value, file, behind, linear=False)

    def group_lines(self, input: str, abssource: str) -> Iterator[Any]:
        """Note the line that is being read, for directives that pcpp trips over."""
        for line in super().group_lines(input, abssource):
            self.line = line[0].lineno
            yield line

    def here(self) -> Place:
        """The line that is being read."""
        return self._place(self.line)

    # -- files and errors ----------------------------------------------------------------------

    def include(self, tokens: Any, original_line: Any) -> Any:
        """Remember the directive, for its place."""
        self.include_token = original_line[0]
        yield from super().include(tokens, original_line)

    def on_file_open(self, is_system_include: bool, includepath: str) -> io.StringIO:
        """Open an included file, once it is clear that it is a text and no endless circle."""
        place = self._place(self.include_token.lineno)
        # A file guarded by #ifndef may include itself once more and is then empty.
        if self.stack.count(includepath) > 1 or len(self.stack) > _DEPTH:
            circle = " includes ".join(self.names.show(p) for p in (*self.stack[-2:], includepath))
            self.findings.add("BOARD0006", place, f"this include never ends: {circle}")
            raise OutputDirective(Action.IgnoreAndRemove)
        data = Path(includepath).read_bytes()
        name = self.names.show(includepath)
        try:
            text = data.decode("utf-8-sig").replace("\r\n", "\n")
        except UnicodeDecodeError:
            self.findings.add("BOARD0003", place, f"{name} is not a text")
            raise OutputDirective(Action.IgnoreAndRemove) from None
        self.files[includepath] = add_source(self.findings, name, text)
        return io.StringIO(text)

    def on_include_not_found(
        self, is_malformed: bool, is_system_include: bool, curdir: str, includepath: str
    ) -> None:
        """Report a missing file and go on without it."""
        place = self._place(self.include_token.lineno)
        if is_malformed:
            self.findings.add("BOARD0007", place, "#include needs a file name in quotes or <…>")
        else:
            searched = [] if is_system_include else [curdir or "."]
            searched += [str(p) for p in self.path if str(p) != str(INCLUDE_DIR)]
            self.findings.add(
                "BOARD0005",
                place,
                f"there is no file {includepath} to include",
                "looked in "
                + ", ".join([*(self.names.show(p) for p in searched), "the files of the package"])
                + "; -I adds a directory",
            )
        raise OutputDirective(Action.IgnoreAndRemove)

    def evalexpr(self, tokens: Any) -> Any:
        """Evaluate ``#if``, unless it asks for a number that fills the memory of the machine."""
        words = self.expand_macros([copy.copy(token) for token in tokens])
        text = "".join(token.value for token in words)
        if text.count("<<") != len(_SMALL_SHIFT.findall(text)):
            self.findings.add(
                "BOARD0007", self.here(), "a shift in #if takes a plain number from 0 to 63"
            )
            return 0, None
        return super().evalexpr(tokens)

    def on_error(self, file: str, line: int, msg: str) -> None:
        """Collect what pcpp would print."""
        if msg.startswith("Could not evaluate"):
            msg = "this expression cannot be evaluated"
        self.findings.add("BOARD0007", self._place(line, file), msg)

    def on_directive_unknown(
        self, directive: Any, toks: Any, ifpassthru: bool, precedingtoks: Any
    ) -> bool | None:
        """``#error`` and ``#warning`` are the user's own findings."""
        text = "".join(tok.value for tok in toks)
        place = self._place(directive.lineno)
        if directive.value == "error":
            self.findings.add("BOARD0007", place, f"#error {text}")
        elif directive.value == "warning":
            self.findings.warn("BOARD0007", place, f"#warning {text}")
        return True

    def _place(self, line: int, name: str | None = None) -> Place:
        file = self.files.get(name or "") or self.files[self.stack[-1]]
        lines = self.lines.get(file.name, [])
        return file.line_place(lines[line - 1] if 0 < line <= len(lines) else 1)


class _Names:
    """How files are called in messages: as the user would call them."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def show(self, path: str) -> str:
        """A name relative to the package's files or to the working directory, if it is below."""
        for base, prefix in ((INCLUDE_DIR, "<package>/"), (self.directory, "")):
            try:
                return prefix + (str(Path(path).relative_to(base)))
            except ValueError:
                continue
        return path


def add_source(findings: Findings, name: str, text: str) -> SourceFile:
    """Register a text for carets, and look for a comment without an end."""
    findings.sources[name] = text
    file = SourceFile(name, text)
    if file.open_comment >= 0:
        findings.add(
            "BOARD0008", file.place(file.open_comment, 2), "this comment is never closed", "add */"
        )
    return file


def preprocess(
    name: str,
    text: str,
    findings: Findings,
    include: Sequence[str] = (),
    path: Path | None = None,
) -> FlatText:
    """Run one text through the preprocessor; errors go to ``findings``.

    Args:
        name: What the text is called in messages.
        text: The text.
        findings: Collects errors and source texts.
        include: Directories to search, as with ``-I``.
        path: The file it came from; its directory is searched first.
    """
    file = add_source(findings, name, text)
    reader = _Reader(findings, include, _Names(Path.cwd()))
    constants = INCLUDE_DIR / "hyplink" / "vdt.h"
    if path != constants:
        # The fragments in the documents use the constants without including anything.
        for line in constants.read_text(encoding="utf-8").splitlines():
            if line.startswith("#define VDT_"):
                reader.define(line.removeprefix("#define "))
    key = str(path.absolute() if path else Path.cwd() / "<text>")
    try:
        return reader.flatten(key, file)
    except RecursionError:
        findings.add("BOARD0015", Place(name), "macros or includes are nested too deeply")
    except (IndexError, KeyError, ValueError, TypeError, AttributeError, AssertionError):
        # pcpp trips over malformed directives such as "#ifdef" without a name.
        findings.add("BOARD0007", reader.here(), "this directive is not complete")
    return FlatText()
