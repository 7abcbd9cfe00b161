"""Whatever somebody types: the compiler answers with findings and places, it never breaks."""

from __future__ import annotations

import random
import re
from pathlib import Path

import pytest

from hyplink.idl.front import compile_text
from hyplink.idl.model_json import to_json

DATA = Path(__file__).parent / "data"
NAMES = ["whole", "glslice", "camera", "pixels"]
PIECES = re.compile(r'\s+|//[^\n]*|\w+|"[^"\n]*"|.')


def mutate(rng: random.Random, pieces: list[str], pool: list[str]) -> str:
    """Remove, replace, insert, swap and repeat words."""
    text = list(pieces)
    for _ in range(rng.randint(1, 4)):
        what, at = rng.randrange(5), rng.randrange(len(text))
        if what == 0:
            del text[at]
        elif what == 1:
            text[at] = rng.choice(pool)
        elif what == 2:
            text.insert(at, rng.choice(pool))
        elif what == 3:
            other = rng.randrange(len(text))
            text[at], text[other] = text[other], text[at]
        else:
            text[at:at] = text[at : at + rng.randrange(1, 20)]
    return "".join(text)


@pytest.mark.parametrize("name", NAMES)
def test_mutated_texts_are_answered(name: str) -> None:
    rng = random.Random(name)
    pieces = PIECES.findall((DATA / f"{name}.vidl").read_text())
    pool = sorted({p for p in pieces if not p.isspace() and not p.startswith("//")})
    for _ in range(60):
        text = mutate(rng, pieces, pool)
        found = compile_text(text, str(DATA / "mutated.vidl"))
        found.findings.text()
        lines = text.split("\n")
        for finding in found.diagnostics:
            if finding.file.endswith("mutated.vidl"):
                assert 1 <= finding.line <= len(lines), text
                assert 1 <= finding.column <= len(lines[finding.line - 1]) + 1, text
        if found.ok:
            to_json(found.require())


def test_a_text_that_ends_anywhere_is_answered() -> None:
    text = (DATA / "whole.vidl").read_text()
    for cut in range(0, len(text), 97):
        compile_text(text[:cut], str(DATA / "cut.vidl")).findings.text()


@pytest.mark.parametrize(
    "text",
    ["(" * 5000, "-" * 5000, "{" * 5000, "match (" * 500, "a ? " * 5000, "@c(" * 2000, "[" * 3000],
    ids=["parentheses", "signs", "braces", "matches", "questions", "attributes", "brackets"],
)
def test_deep_nesting_ends_in_a_finding(text: str) -> None:
    head = "idl 1;\nmodule t.deep version 1.0;\n"
    for around in ("const u32 A = {};", "interface A group 1 {{ async a(u32 x{}) = 1; }}", "{}"):
        assert not compile_text(head + around.format(text)).ok
