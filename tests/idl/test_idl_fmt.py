"""``hyplink idl fmt``: only blanks move, and a second run moves nothing."""

from __future__ import annotations

import io
import json
import random
import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hyplink.errors import IdlError
from hyplink.idl.cli import main
from hyplink.idl.findings import Findings
from hyplink.idl.format import WIDTH, format_text
from hyplink.idl.format.layout import layout
from hyplink.idl.format.words import content
from hyplink.idl.front import compile_file, compile_text
from hyplink.idl.lexer import pieces
from hyplink.idl.model_json import to_json
from hyplink.idl.parser import parse_file

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
FILES = sorted(
    path
    for folder in ("tests/idl/data", "tests/idl/format", "src/python/hyplink")
    for path in (ROOT / folder).rglob("*.vidl")
)


def parses(text: str) -> bool:
    findings = Findings()
    parse_file("a.vidl", text, findings)
    return not findings


def stirred(text: str, seed: int) -> str:
    """The same words and comments with other blanks; no line end comes or goes."""
    chance = random.Random(seed)
    out = []
    for kind, piece in pieces(text):
        if kind == "blank":
            out.append(chance.choice([" ", "  ", "\t", "     "]))
        elif kind == "punct":
            out.append(chance.choice(["", "", " "]) + piece + chance.choice(["", "", " "]))
        elif kind == "newline":
            out.append(chance.choice(["", " "]) + "\n" + chance.choice(["", "  ", "\t"]))
        else:
            out.append(piece)
    return "".join(out)


def shaken(text: str, seed: int) -> str:
    """The same words and comments with line ends anywhere."""
    chance = random.Random(seed)
    out = []
    for kind, piece in pieces(text):
        if kind == "blank" and chance.random() < 0.2:
            out.append("\n" * chance.randint(1, 3))
        elif kind == "punct" and chance.random() < 0.1:
            out.append(piece + "\n")
        else:
            out.append(piece)
    return "".join(out)


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.name)
def test_a_second_run_moves_nothing(path: Path) -> None:
    once = layout(path.read_text())
    assert layout(once) == once


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.name)
def test_words_and_comments_stay(path: Path) -> None:
    text = path.read_text()
    assert content(layout(text)) == content(text)


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.name)
def test_the_model_stays(path: Path) -> None:
    before = compile_file(path)
    if not before.ok:
        pytest.skip("only its layout is of interest")
    text = format_text(path.read_text(), str(path))
    after = compile_text(text, str(path)).require()
    before_lines = re.sub(r'"line": \d+', "", to_json(before.require()))
    assert re.sub(r'"line": \d+', "", to_json(after)) == before_lines


@given(st.sampled_from(FILES), st.integers())
@settings(deadline=None)
def test_blanks_make_no_difference(path: Path, seed: int) -> None:
    text = path.read_text()
    other = stirred(text, seed)
    assert layout(other) == layout(text)


@given(st.sampled_from(FILES), st.integers())
@settings(deadline=None)
def test_line_ends_anywhere_are_survived(path: Path, seed: int) -> None:
    text = shaken(path.read_text(), seed)
    once = layout(text)
    assert content(once) == content(text)
    assert layout(once) == once


@pytest.mark.parametrize("path", sorted((HERE / "bad").glob("*.vidl")), ids=lambda p: p.name)
def test_what_does_not_parse_is_left_alone(path: Path) -> None:
    text = path.read_text()
    if parses(text):
        assert content(format_text(text)) == content(text)
    else:
        with pytest.raises(IdlError):
            format_text(text)


def test_the_layout_is_the_one_in_the_tree() -> None:
    """Read tests/idl/format/*.vidl to see the style; the crooked file becomes the straight one."""
    crooked = (HERE / "format/crooked.vidl").read_text()
    straight = (HERE / "format/straight.vidl").read_text()
    assert layout(crooked) == straight
    assert layout(straight) == straight


def test_lines_stay_within_the_width_where_words_allow() -> None:
    text = layout((HERE / "data/everything.vidl").read_text())
    assert max(map(len, text.splitlines())) <= WIDTH


GOOD = "idl 1; module t.good version 1.0;\nconst   u32 A=1;\n"
STRAIGHT = "idl 1;\nmodule t.good version 1.0;\nconst u32 A = 1;\n"


def put(path: Path, text: str) -> str:
    path.write_text(text)
    return str(path)


def test_fmt_rewrites_a_file_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    name = put(tmp_path / "a.vidl", GOOD)
    assert main(["fmt", name]) == 0
    assert Path(name).read_text() == STRAIGHT
    assert capsys.readouterr().out == f"laid out {name}\n"
    assert main(["fmt", name]) == 0
    assert capsys.readouterr().out == ""


def test_check_changes_nothing_and_answers_1(tmp_path: Path) -> None:
    name = put(tmp_path / "a.vidl", GOOD)
    assert main(["fmt", "--check", name]) == 1
    assert Path(name).read_text() == GOOD
    assert main(["fmt", "--check", put(tmp_path / "b.vidl", STRAIGHT)]) == 0


def test_diff_shows_what_would_change(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    name = put(tmp_path / "a.vidl", GOOD)
    assert main(["fmt", "--diff", name]) == 0
    assert "+const u32 A = 1;\n" in capsys.readouterr().out
    assert Path(name).read_text() == GOOD


def test_fmt_lists_changes_as_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    name = put(tmp_path / "a.vidl", GOOD)
    assert main(["fmt", "--check", "--json", name]) == 1
    assert json.loads(capsys.readouterr().out) == {"ok": True, "changed": [name]}


def test_a_broken_file_stays_and_answers_1(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    name = put(tmp_path / "a.vidl", "idl 1; module t.bad version 1.0; const u32 = 1;")
    assert main(["fmt", name]) == 1
    assert "a.vidl:1:" in capsys.readouterr().err
    assert main(["fmt", str(tmp_path / "none.vidl")]) == 1


def test_standard_input_goes_to_standard_output(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(GOOD))
    assert main(["fmt", "-"]) == 0
    assert capsys.readouterr().out == STRAIGHT
    assert main(["fmt", "-", "a.vidl"]) == 2
