"""Every code is explained, and the snippets do what they say."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from hyplink.idl.cli import main
from hyplink.idl.explanations import EXPLANATIONS, whole_text
from hyplink.idl.front import compile_text

BAD = Path(__file__).parent / "bad"


@pytest.mark.parametrize("code", EXPLANATIONS)
def test_a_bad_snippet_gets_exactly_its_code_and_a_good_one_none(code: int) -> None:
    _, _, bad, good = EXPLANATIONS[code]
    found = compile_text(whole_text(bad), "bad.vidl")
    assert {d.code for d in found.diagnostics} == {f"VIDL{code:04d}"}, found.findings.text()
    fine = compile_text(whole_text(good), "good.vidl")
    assert fine.ok, fine.findings.text()


def test_every_code_with_a_bad_file_is_explained() -> None:
    codes = {int(p.stem[:4]) for p in BAD.glob("*.vidl") if p.stem[:4].isdigit()}
    assert codes == set(EXPLANATIONS)


def test_explain_shows_both_snippets_and_the_message(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", "VIDL0049"]) == 0
    out = capsys.readouterr().out
    assert "error[VIDL0049]" in out
    assert "out bytes data[n] max 64" in out
    assert "cap room" in out


@pytest.mark.parametrize("spelling", ["49", "0049", "vidl0049"])
def test_a_code_may_be_spelt_shortly(spelling: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", spelling, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["code"] == "VIDL0049"


def test_an_unknown_code_is_wrong_usage(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", "VIDL9999"]) == 2
    assert "no code" in capsys.readouterr().err


def test_without_a_code_all_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == len(EXPLANATIONS)
