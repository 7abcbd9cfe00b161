"""The table of hostile cases names tests that there are."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

TESTS = Path(__file__).parents[1]
TABLE = TESTS / "hostile/README.md"
#: `file.py::name`, then perhaps more names of the same file; or `check_program`: "case", "case".
PYTHON = re.compile(r"`(\w+\.py)::(\w+)`((?:, `\w+`)*)")
CHECKS = re.compile(r'`(check_\w+)`: ("[^"]*"(?:, "[^"]*")*)')


def file_of(name: str) -> str:
    (path,) = TESTS.rglob(name)
    return path.read_text()


def named(text: str) -> Iterator[tuple[str, str]]:
    for file, first, more in PYTHON.findall(text):
        for name in (first, *re.findall(r"\w+", more)):
            yield file, name
    for program, cases in CHECKS.findall(text):
        for case in re.findall('"([^"]*)"', cases):
            yield f"{program}.cpp", case


def missing(text: str) -> list[tuple[str, str]]:
    gone = []
    for file, name in named(text):
        # A long title stands in several pieces, one a line.
        source = re.sub(r'"\s*\n\s*"', "", file_of(file))
        wanted = f'"{name}"' if file.startswith("check_") else f"def {name}("
        if wanted not in source:
            gone.append((file, name))
    return gone


def test_every_test_of_the_table_exists() -> None:
    text = TABLE.read_text()
    assert missing(text) == []
    everything = set(named(text))
    assert len(everything) > 80
    assert text.count("::") == len(PYTHON.findall(text))  # nothing is written otherwise


def test_every_case_has_its_line() -> None:
    rows = re.findall(r"^\| ([\d, ]+) \|", TABLE.read_text(), re.MULTILINE)
    assert [int(number) for row in rows for number in row.split(", ")] == list(range(1, 37))


def test_a_name_that_is_gone_is_found() -> None:
    assert missing("`test_ion.py::test_nothing_of_the_kind`") == [
        ("test_ion.py", "test_nothing_of_the_kind")
    ]
    assert missing('`check_bell`: "no such case"') == [("check_bell.cpp", "no such case")]
