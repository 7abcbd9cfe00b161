"""C declarations, read far enough to import them: structs, unions, enums, prototypes.

Preprocessed first (``pcpp``), then cut into tokens. What is not understood (inline functions,
attributes of compilers) is stepped over, up to the next ``;`` or ``}``.
"""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

__all__ = ["CEnum", "CFunction", "CMember", "CRecord", "CType", "Declarations", "read_c"]


@dataclass(slots=True)
class CType:
    """``name`` is a builtin or a typedef, or ``record``/``enum`` says what; pointers are counted."""

    name: str
    stars: int = 0
    const: bool = False
    dims: list[int] = field(default_factory=list)
    function: bool = False


@dataclass(slots=True)
class CMember:
    name: str
    type: CType


@dataclass(slots=True)
class CRecord:
    name: str
    union: bool
    members: list[CMember]


@dataclass(slots=True)
class CEnum:
    name: str
    members: list[tuple[str, int]]


@dataclass(slots=True)
class CFunction:
    name: str
    result: CType
    params: list[CMember]


@dataclass(slots=True)
class Declarations:
    typedefs: dict[str, CType] = field(default_factory=dict)
    records: dict[str, CRecord] = field(default_factory=dict)
    enums: dict[str, CEnum] = field(default_factory=dict)
    functions: dict[str, CFunction] = field(default_factory=dict)
    constants: dict[str, int] = field(default_factory=dict)
    #: Files of the names above: a header's own things are told from those it includes.
    origin: dict[str, str] = field(default_factory=dict)


def read_c(path: Path, include: Sequence[str] = (), defines: Sequence[str] = ()) -> Declarations:
    """Everything a header declares, with what it includes.

    Raises:
        ValueError: it cannot be preprocessed or ends inside a declaration.
    """
    return _Reader(_preprocess(path, include, defines)).read()


def _preprocess(path: Path, include: Sequence[str], defines: Sequence[str]) -> str:
    from pcpp import Action, OutputDirective, Preprocessor

    class Quiet(Preprocessor):  # type: ignore[misc]  # pcpp has no types
        def on_error(self, file: str, line: int, message: str) -> None:
            problems.append(f"{file}:{line}: {message}")

        def on_include_not_found(self, *arguments: object) -> None:
            # A system header: its types are known by name.
            raise OutputDirective(Action.IgnoreAndRemove)

    problems: list[str] = []
    reader = Quiet()
    reader.assume_encoding = "latin-1"  # comments of old headers
    for folder in [str(path.parent), *include]:
        reader.add_path(folder)
    for define in ["__STDC__ 1", *defines]:
        reader.define(define.replace("=", " ", 1))
    reader.parse(path.read_text(encoding="utf-8", errors="replace"), str(path))
    out = io.StringIO()
    reader.write(out)
    if problems:
        raise ValueError(problems[0])
    return out.getvalue()


_TOKEN = re.compile(
    r"""(?P<line>^[ \t]*\#[ \t]*line[ \t]+\d+[ \t]*"(?P<file>[^"\n]*)".*$) | (?P<skip>^[ \t]*\#.*$|\s+)
      | (?P<word>[A-Za-z_]\w*) | (?P<number>0[xX][0-9A-Fa-f]+|\d+(?:\.\d*)?)[uUlLfF]*
      | (?P<text>"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*') | (?P<mark><<|>>|\.\.\.|.)""",
    re.VERBOSE | re.MULTILINE,
)
_QUALIFIERS = {"const", "volatile", "restrict", "extern", "static", "inline", "register"}
_QUALIFIERS |= {"__extension__", "__inline", "__restrict", "__const"}
_BUILTIN = {
    "void",
    "char",
    "short",
    "int",
    "long",
    "signed",
    "unsigned",
    "float",
    "double",
    "_Bool",
}


class _Stop(Exception):
    """This declaration is not understood."""


class _Reader:
    def __init__(self, text: str) -> None:
        self.tokens: list[tuple[str, str]] = []
        file = ""
        for match in _TOKEN.finditer(text):
            if match["line"]:
                file = match["file"]
            elif not match["skip"]:
                self.tokens.append((match["number"] or match[0], file))
        self.at = 0
        self.found = Declarations()
        self.fresh: set[str] = set()  # structs and enums that the current declaration brings

    # --- tokens ---

    @property
    def now(self) -> str:
        return self.tokens[self.at][0] if self.at < len(self.tokens) else ""

    def take(self) -> str:
        word = self.now
        self.at += 1
        return word

    def accept(self, word: str) -> bool:
        if self.now == word:
            self.at += 1
            return True
        return False

    def expect(self, word: str) -> None:
        if not self.accept(word):
            raise _Stop(f"expected '{word}', found '{self.now}'")

    def skip_group(self) -> None:
        """Behind the bracket that matches the current one."""
        depth = 0
        while self.now:
            word = self.take()
            depth += word in ("(", "[", "{")
            depth -= word in (")", "]", "}")
            if depth == 0:
                return

    # --- declarations ---

    def read(self) -> Declarations:
        while self.now:
            start = self.at
            try:
                self.declaration()
            except _Stop:
                self.at = max(self.at, start)
                self.resynchronise()
        return self.found

    def resynchronise(self) -> None:
        while self.now and not self.accept(";"):
            if self.now == "}":
                self.at += 1
                self.accept(";")
                return
            if self.now in ("(", "[", "{"):
                self.skip_group()
            else:
                self.at += 1

    def declaration(self) -> None:
        if self.accept(";") or self.accept("}"):
            return
        if self.now == "extern" and self.tokens[self.at + 1][0].startswith('"'):
            self.at += 2  # extern "C" {
            self.accept("{")
            return
        typedef = self.accept("typedef")
        self.fresh.clear()
        base = self.specifiers("")
        if self.accept(";"):
            return
        while True:
            name, ctype, params = self.declarator(base)
            if typedef:
                self.found.typedefs[name] = ctype
                self.rename(base, name, ctype)
                self.remember(name)
            elif params is not None and not ctype.function:
                self.found.functions[name] = CFunction(name, ctype, params)
                self.remember(name)
            if not self.accept(","):
                break
        if self.now == "{":
            self.skip_group()
        else:
            self.expect(";")

    def remember(self, name: str) -> None:
        self.found.origin.setdefault(name, self.tokens[min(self.at, len(self.tokens) - 1)][1])

    def rename(self, base: CType, name: str, ctype: CType) -> None:
        """``typedef struct {…} Name``: the typedef is the name that C users know."""
        if ctype.stars or ctype.dims or ctype.function or base.name not in self.fresh:
            return
        tables: tuple[dict[str, CRecord] | dict[str, CEnum], ...] = (
            self.found.records,
            self.found.enums,
        )
        for table in tables:
            if base.name in table and name != base.name:
                item = table.pop(base.name)
                item.name = name
                table[name] = item  # type: ignore[assignment]
                self.found.typedefs[base.name] = CType(name)
                self.found.typedefs.pop(name, None)
            elif base.name == name:
                self.found.typedefs.pop(name, None)

    def specifiers(self, inside: str) -> CType:
        const, words = False, []
        while True:
            word = self.now
            if word in _QUALIFIERS:
                const |= word in ("const", "__const")
                self.at += 1
            elif word in ("__attribute__", "__declspec", "_Alignas"):
                self.at += 1
                self.skip_group()
            elif word in ("struct", "union"):
                words = [self.record(inside)]
            elif word == "enum":
                words = [self.enum()]
            elif word in _BUILTIN or (re.match(r"[A-Za-z_]", word) and not words):
                words.append(self.take())
            else:
                break
        if not words:
            raise _Stop("no type")
        return CType(" ".join(words), const=const)

    def record(self, inside: str) -> str:
        union = self.take() == "union"
        name = (
            self.take()
            if re.match(r"[A-Za-z_]", self.now)
            else f"{inside or 'anonymous'}@{self.at}"
        )
        if not self.accept("{"):
            return name
        members: list[CMember] = []
        while not self.accept("}"):
            if not self.now:
                raise ValueError(f"the text ends inside struct {name}")
            base = self.specifiers(name)
            if self.accept(";"):
                members.append(CMember("", base))
                continue
            while True:
                member, ctype, params = self.declarator(base)
                ctype.function |= params is not None
                if self.accept(":"):
                    raise _Stop("a bit field")
                members.append(CMember(member, ctype))
                if not self.accept(","):
                    break
            self.expect(";")
        self.found.records[name] = CRecord(name, union, members)
        self.fresh.add(name)
        self.remember(name)
        return name

    def enum(self) -> str:
        self.take()
        name = self.take() if re.match(r"[A-Za-z_]", self.now) else f"anonymous@{self.at}"
        if not self.accept("{"):
            return name
        members, value = [], -1
        while not self.accept("}"):
            member = self.take()
            value = self.constant() if self.accept("=") else value + 1
            members.append((member, value))
            self.found.constants[member] = value
            if not self.accept(",") and self.now != "}":
                raise _Stop("an enumerator")
        self.found.enums[name] = CEnum(name, members)
        self.fresh.add(name)
        self.remember(name)
        return name

    def declarator(self, base: CType) -> tuple[str, CType, list[CMember] | None]:
        stars, const = base.stars, base.const
        while self.now == "*" or self.now in _QUALIFIERS:
            stars += self.take() == "*"
        function, name = False, ""
        if self.accept("("):  # (*name)(…)
            while re.fullmatch(r"\*|[A-Za-z_]\w*", self.now):
                word = self.take()
                name = word if word != "*" and word not in _QUALIFIERS else name
                function = True
            while self.now == "[":
                self.skip_group()
            self.expect(")")
        elif re.match(r"[A-Za-z_]", self.now):
            name = self.take()
            if re.match(r"[A-Za-z_]", self.now) and self.now not in _QUALIFIERS | {"__attribute__"}:
                name = self.take()  # the word in front was a calling convention
        dims: list[int] = []
        params: list[CMember] | None = None
        while self.now in ("[", "("):
            if self.now == "(":
                params = self.parameters()
            else:
                self.at += 1
                dims.append(0 if self.now == "]" else self.constant())
                self.expect("]")
        while self.accept("__attribute__"):
            self.skip_group()
        return name, CType(base.name, stars, const, dims, function), params

    def parameters(self) -> list[CMember]:
        self.expect("(")
        found: list[CMember] = []
        while not self.accept(")"):
            if self.accept("..."):
                continue
            base = self.specifiers("")
            name, ctype, params = self.declarator(base)
            ctype.function |= params is not None
            if ctype.dims:  # an array parameter is a pointer
                ctype.stars, ctype.dims = ctype.stars + 1, []
            if not (ctype.name == "void" and not ctype.stars and not ctype.function and not name):
                found.append(CMember(name or f"arg{len(found) + 1}", ctype))
            if not self.accept(",") and self.now != ")":
                raise _Stop("a parameter")
        return found

    # --- constant expressions ---

    def constant(self) -> int:
        words: list[str] = []
        depth, narrow = 0, False
        while self.now and (depth or self.now not in (",", "}", "]", ";")):
            cast = self.cast()
            if cast:
                narrow |= bool(re.search(r"S32$|^int(32_t)?$", cast))
                continue
            word = self.take()
            depth += word in ("(", "[")
            depth -= word in (")", "]")
            if word in self.found.constants:
                word = str(self.found.constants[word])
            elif re.fullmatch(r"'.'", word):
                word = str(ord(word[1]))
            elif not re.fullmatch(r"0[xX][0-9A-Fa-f]+|\d+|[-+*/%()~|&^!]|<<|>>", word):
                raise _Stop(f"'{word}' in a constant")
            words.append({"/": "//", "!": "not"}.get(word) or re.sub(r"^0(\d+)$", r"0o\1", word))
        try:
            # Only numbers and operators are left.
            value = int(eval(" ".join(words), {"__builtins__": {}}))
        except (SyntaxError, ArithmeticError, TypeError):
            raise _Stop("a constant") from None
        return value - (1 << 32) if narrow and value >= 1 << 31 else value

    def cast(self) -> str:
        """The type of ``(type)`` in front of a number, stepped over, or ""."""
        words = [self.tokens[i][0] for i in range(self.at, min(self.at + 3, len(self.tokens)))]
        bracketed = len(words) == 3 and words[0] == "(" and words[2] == ")"
        if bracketed and (words[1] in _BUILTIN or words[1] in self.found.typedefs):
            self.at += 3
            return words[1]
        return ""
