"""Each mistake has a code, a place and a text: one small bad file per mistake, named after it.

``HYPLINK_REGENERATE=1`` writes the expected texts anew; read the difference before you keep it.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

import hyplink.board
from hyplink.diagnostics import render_all

BAD = Path(__file__).parent / "bad"
FILES = sorted(BAD.glob("*.dts"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_mistake_is_answered_with_its_place(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(BAD)
    _, findings = hyplink.board.check(path.name)
    text = render_all(findings.found, findings.sources) + "\n"
    expected = path.with_suffix(".txt")
    if os.environ.get("HYPLINK_REGENERATE"):
        expected.write_text(text, encoding="utf-8")
    assert text == expected.read_text(encoding="utf-8")
    assert findings.found
    assert {finding.file for finding in findings.found} <= {path.name, path.stem + ".dtsi"}


def test_each_code_has_a_bad_file() -> None:
    texts = "".join(path.read_text(encoding="utf-8") for path in BAD.glob("*.txt"))
    # A damaged .dtb and a file that is not there have tests of their own.
    missing = {code for code in hyplink.board.CODES if f"[{code}]" not in texts}
    assert missing == {"BOARD0001", "BOARD0004"}
