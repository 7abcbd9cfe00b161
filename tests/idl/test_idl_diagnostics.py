"""Every mistake has a code, a place and a text that stays."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from hyplink.idl.front import compile_file, compile_text

HERE = Path(__file__).parent
BAD = sorted((HERE / "bad").glob("*.vidl"))
SOURCE = HERE.parent.parent / "src/python/hyplink/idl"
GOOD = "idl 1;\nmodule t.good version 1.0;\n"

Golden = Callable[[Path, str], None]


@pytest.mark.parametrize("path", BAD, ids=[p.stem for p in BAD])
def test_a_bad_file_is_answered_with_the_golden_text(
    path: Path, golden: Golden, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(path.parent)
    found = compile_file(path.name)
    assert not found.ok
    golden(path.with_suffix(".expected"), found.findings.text() + "\n")
    if path.stem[:4].isdigit():
        assert f"VIDL{path.stem[:4]}" in {d.code for d in found.diagnostics}


def test_every_code_in_the_compiler_has_a_golden_text() -> None:
    """A new code without a bad file fails here."""
    codes = set()
    for path in [*SOURCE.glob("*.py")]:
        text = path.read_text()
        calls = r"(?:_error|error|findings\.add)\((?:[^()]|\([^()]*\))*?,\s*(\d{1,2}),"
        codes |= {int(code) for code in re.findall(calls, text)}
        codes |= {int(code) for code in re.findall(r"problem=(\d+)", text)}
        codes |= {int(code) for code in re.findall(r"missing\([^)]*?, (\d\d)[,)]", text)}
    shown = set()
    for path in (HERE / "bad").glob("*.expected"):
        shown |= {int(code) for code in re.findall(r"\[VIDL(\d{4})\]", path.read_text())}
    assert len(codes) > 50
    assert codes <= shown, f"no golden text for {sorted(codes - shown)}"
    named = {int(p.stem[:4]) for p in BAD if p.stem[:4].isdigit()}
    assert shown <= named, f"no file of its own for {sorted(shown - named)}"


def test_findings_come_in_the_order_of_the_text() -> None:
    found = compile_file(HERE / "bad" / "many_mistakes_in_one_run.vidl").diagnostics
    places = [(d.line, d.column) for d in found]
    assert places == sorted(places)
    assert len(found) >= 6


def test_every_finding_points_into_the_text() -> None:
    for path in BAD:
        lines = path.read_text().split("\n")
        for finding in compile_file(path).diagnostics:
            assert 1 <= finding.line <= len(lines), path
            assert 1 <= finding.column <= len(lines[finding.line - 1]) + 1, path


@pytest.mark.parametrize("cut", range(0, 2400, 37))
def test_a_truncated_file_is_answered_and_never_crashes_the_compiler(cut: int) -> None:
    text = (HERE / "data/everything.vidl").read_text()[:cut]
    found = compile_text(text, str(HERE / "data/cut.vidl"))
    assert found.diagnostics or text.rstrip()[-1:] in ("}", ";")


# Each token is a compilation of the whole text: every 7th by default, all of them with -m soak.
@pytest.mark.parametrize(
    "step", [7, pytest.param(1, marks=pytest.mark.soak)], ids=["a sample", "all"]
)
def test_a_file_with_a_token_removed_is_answered_and_never_crashes_the_compiler(step: int) -> None:
    text = (HERE / "data/everything.vidl").read_text()
    pieces = re.findall(r"\w+|\s+|.", text)
    tokens = [index for index, piece in enumerate(pieces) if not piece.isspace()]
    assert len(tokens) > 500
    for index in tokens[::step]:
        short = "".join(pieces[:index] + pieces[index + 1 :])
        compile_text(short, str(HERE / "data/cut.vidl")).findings.text()


def test_a_file_that_cannot_be_read_is_a_finding() -> None:
    found = compile_file("/nowhere/x.vidl")
    assert [d.code for d in found.diagnostics] == ["VIDL0027"]
    assert "/nowhere/x.vidl" in found.findings.text()


def test_one_forgotten_semicolon_gives_one_finding() -> None:
    text = GOOD + "interface A group 1 {\n    async a(u32 x) = 1\n    async b(u32 x) = 2;\n}\n"
    found = compile_text(text).diagnostics
    assert [(d.code, d.line, d.column) for d in found] == [("VIDL0010", 4, 23)]


def test_a_broken_type_is_not_reported_again_at_its_uses() -> None:
    text = GOOD + "enum E : u8 { A = 1 B = 2; }\nstruct S { E e; }\n"
    text += "interface A group 1 { async a(E e, S s) = 1; }\n"
    assert [d.code for d in compile_text(text).diagnostics] == ["VIDL0010"]
