"""``hyplink idl lint``: each rule speaks where it should, and is silent when told so."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from hyplink.idl.cli import main
from hyplink.idl.front import compile_text
from hyplink.idl.lint import RULES, lint_compiled

HEAD = "idl 1;\nmodule t.lint version 1.2;\n"
NAMES = "/// Doc.\ninterface thing group 3 {\n    /// Doc.\n    %s = 1;\n}\n"
C_FACE = '@c(header: "x.h")\n' + NAMES
MOST = "const u32 MOST = 8;\n"

# rule, a text that it speaks about, the word it points at, the same text mended
CASES = [
    ("naming", "const u32 most = 1;\n", "most", "const u32 MOST = 1;\n"),
    ("naming", "enum E : u8 { off = 0; }\n", "off", "enum E : u8 { OFF = 0; }\n"),
    ("naming", "struct Pair_t { u8 a; }\n", "Pair_t", "struct Pair { u8 a; }\n"),
    ("naming", "struct Pair { u8 Left; }\n", "Left", "struct Pair { u8 left; }\n"),
    ("naming", NAMES % "async doIt()", "doIt", NAMES % "async do_it()"),
    ("naming", NAMES % "async set(u32 inValue)", "inValue", NAMES % "async set(u32 value)"),
    ("naming", NAMES % "async doIt()", "doIt", C_FACE % "async doIt()"),
    ("missing-doc", "enum E : u8 { A = 0; }\n", "E", "/// Doc.\nenum E : u8 { A = 0; }\n"),
    (
        "missing-doc",
        "interface thing group 1 { }\n",
        "thing",
        "/// A.\ninterface thing group 1 { }\n",
    ),
    (
        "missing-doc",
        '@c(header: "x.h")\ninterface thing group 1 { }\n',
        "thing",
        '/// A.\n@c(header: "x.h")\ninterface thing group 1 { }\n',
    ),
    (
        "no-range",
        NAMES % "async put(u32 n, bytes data[n] max 64)",
        "n",
        NAMES % "async put(u32 n in 0..64, bytes data[n] max 64)",
    ),
    (
        "large-copy",
        NAMES % "async put(u32 n in 0..1M, bytes data[n] max 1M @copy)",
        "data",
        NAMES % "async put(u32 n in 0..1M, bytes data[n] max 1M @zero_copy)",
    ),
    ("sync-without-result", NAMES % "sync void clear()", "clear", NAMES % "async clear()"),
    ("sync-without-result", NAMES % "sync void clear()", "clear", NAMES % "sync void finish()"),
    (
        "no-on-lost",
        C_FACE % "sync u32 take(u32 n)",
        "take",
        C_FACE.replace("1;", "1 on_lost 0;") % "sync u32 take(u32 n)",
    ),
    ("no-on-lost", C_FACE % "sync u32 take(u32 n)", "take", NAMES % "sync u32 take(u32 n)"),
    (
        "cacheable",
        NAMES % "sync void get_version(out string text max 16)",
        "get_version",
        NAMES % "sync void next_event(out string text max 16)",
    ),
    (
        "unused-constant",
        MOST + NAMES % "async put(u32 n)",
        "MOST",
        MOST + NAMES % "async put(u32 n in 0..MOST)",
    ),
    (
        "unused-type",
        "enum Mode : u8 { A = 0; }\n" + NAMES % "async put(u32 n)",
        "Mode",
        "enum Mode : u8 { A = 0; }\n" + NAMES % "async put(Mode n)",
    ),
]


def findings(text: str, only: str):
    compiled = compile_text(HEAD + text, "a.vidl")
    assert compiled.ok, compiled.findings.text()
    return lint_compiled(compiled, "a.vidl", HEAD + text, [only])


@pytest.mark.parametrize(("rule", "text", "word", "mended"), CASES, ids=lambda v: str(v)[:20])
def test_a_rule_points_at_the_word_and_is_content_with_the_mended_text(
    rule: str, text: str, word: str, mended: str
) -> None:
    found = findings(text, rule)
    assert found, rule
    line = (HEAD + text).splitlines()[found[0].line - 1]
    assert line[found[0].column - 1 :].startswith(word)
    assert found[0].severity == "warning"
    assert not findings(mended, rule)


def test_every_rule_is_tried_and_explains_itself() -> None:
    tried = {rule for rule, *_ in CASES} | {"unused-import"}
    assert tried == set(RULES)
    assert all(len(rule.explanation) > 60 for rule in RULES.values())
    assert len({rule.code for rule in RULES.values()}) == len(RULES)


def test_unused_imports_are_found(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "b.vidl").write_text("idl 1; module t.b version 1.0; const u32 A = 1;\n")
    text = 'import "b.vidl" as b;\nconst u32 C = %s;\n'
    file = tmp_path / "a.vidl"
    file.write_text(HEAD + text % "1")
    assert main(["lint", "--only", "unused-import", str(file)]) == 1
    assert "a.vidl:3:8: warning[LINT20 unused-import]" in capsys.readouterr().err
    file.write_text(HEAD + text % "b.A")
    assert main(["lint", "--only", "LINT20", str(file)]) == 0


@pytest.mark.parametrize(
    "text",
    [
        "const u32 most = 1;  // lint: allow(naming)\n",
        "// lint: allow(missing-doc, naming)\nconst u32 most = 1;\n",
        "// Historic. lint: allow(LINT01)\n/// Doc.\nconst u32 most = 1;\n",
        "const u32 most = 1;\n// lint: allow-file(naming)\n",
    ],
)
def test_a_comment_silences_a_rule(text: str) -> None:
    assert not findings(text, "naming")


@pytest.mark.parametrize(
    "text",
    [
        "const u32 most = 1;  // lint: allow(missing-doc)\n",
        "// lint: allow(naming)\nconst u32 A = 1;\nconst u32 most = 1;\n",
    ],
)
def test_a_comment_silences_nothing_else(text: str) -> None:
    assert findings(text, "naming")


def test_lint_speaks_json_and_explains(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "a.vidl"
    file.write_text(HEAD + "const u32 most = 1;\n")
    assert main(["lint", "--json", str(file)]) == 1
    data = json.loads(capsys.readouterr().out)
    assert data["findings"][0]["code"] == "LINT01 naming"
    assert main(["lint", "--rules"]) == 0
    assert "LINT01  naming" in capsys.readouterr().out
    assert main(["lint", "--explain", "no-range"]) == 0
    assert "worst case" in capsys.readouterr().out
    assert main(["explain", "LINT10"]) == 0
    assert "worst case" in capsys.readouterr().out
    assert main(["explain", "LINT99"]) == 2
    assert main(["lint", "--explain", "no-such"]) == 2
    assert main(["lint"]) == 2
    file.write_text("idl 1; module t.bad version 1.0; const u32 A = B;")
    assert main(["lint", str(file)]) == 1
