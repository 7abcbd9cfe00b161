"""Names: from the interface's spelling to each language's, without collisions."""

from __future__ import annotations

import keyword
import re
from functools import cache

__all__ = ["cpp_name", "enumerator_name", "pascal", "python_name", "snake", "stem_of"]

_HUMP = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")

_CPP_WORDS = frozenset(
    [
        "alignas",
        "alignof",
        "and",
        "and_eq",
        "asm",
        "auto",
        "bitand",
        "bitor",
        "bool",
        "break",
        "case",
        "catch",
        "char",
        "char8_t",
        "char16_t",
        "char32_t",
        "class",
        "compl",
        "concept",
        "const",
        "consteval",
        "constexpr",
        "constinit",
        "const_cast",
        "continue",
        "co_await",
        "co_return",
        "co_yield",
        "decltype",
        "default",
        "delete",
        "do",
        "double",
        "dynamic_cast",
        "else",
        "enum",
        "explicit",
        "export",
        "extern",
        "false",
        "float",
        "for",
        "friend",
        "goto",
        "if",
        "inline",
        "int",
        "long",
        "mutable",
        "namespace",
        "new",
        "noexcept",
        "not",
        "not_eq",
        "nullptr",
        "operator",
        "or",
        "or_eq",
        "private",
        "protected",
        "public",
        "register",
        "reinterpret_cast",
        "requires",
        "return",
        "short",
        "signed",
        "sizeof",
        "static",
        "static_assert",
        "static_cast",
        "struct",
        "switch",
        "template",
        "this",
        "thread_local",
        "throw",
        "true",
        "try",
        "typedef",
        "typeid",
        "typename",
        "union",
        "unsigned",
        "using",
        "virtual",
        "void",
        "volatile",
        "wchar_t",
        "while",
        "xor",
        "xor_eq",
        "std",
        "hyplink",
        "rpq",
        "wire",
        "errno",
        "assert",
        "stdin",
        "stdout",
        "stderr",
        "unix",
        "linux",
        "NULL",
        "EOF",
        "TRUE",
        "FALSE",
        "DEBUG",
        "ERROR",
        "offsetof",
        "major",
        "minor",
    ]
)
#: Names that generated Python functions use themselves; everything else of theirs begins with "_".
_PYTHON_WORDS = frozenset(
    [
        "self",
        "timeout",
        "aio",
        "len",
        "bytes",
        "range",
        "memoryview",
        "int",
        "str",
        "bool",
        "float",
        "tuple",
        "list",
        "object",
        "handler",
    ]
)
_ENUM_WORDS = frozenset(["mro", "name", "value", "names", "values"])


@cache
def snake(name: str) -> str:
    """``getUniformLocation`` and ``get_uniform_location`` both to the latter."""
    return _HUMP.sub("_", name).lower()


def pascal(name: str) -> str:
    """``get_error`` to ``GetError``; capitals that are there stay."""
    return "".join(part[:1].upper() + part[1:] for part in name.split("_") if part)


def cpp_name(name: str) -> str:
    return name + "_" if name in _CPP_WORDS else name


@cache
def python_name(name: str) -> str:
    """A parameter, member or procedure in Python."""
    name = snake(name)
    return name + "_" if keyword.iskeyword(name) or name in _PYTHON_WORDS else name


def enumerator_name(name: str) -> str:
    """An enumerator in Python."""
    return name + "_" if keyword.iskeyword(name) or name in _ENUM_WORDS else name


def stem_of(path: str) -> str:
    """The module name that a file generates to."""
    base = path.replace("\\", "/").rsplit("/", 1)[-1]
    base = base.rsplit(".", 1)[0] if "." in base else base
    stem = re.sub(r"\W", "_", base) or "module"
    return stem + "_" if stem[0].isdigit() or keyword.iskeyword(stem) else stem
