"""Khronos registries: every procedure of an API is described, and what needs a hand is said."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

import hyplink.idl
from hyplink.idl.front import compile_file, compile_text
from hyplink.idl.importers import import_file
from hyplink.idl.importers.overlay import Overlay
from hyplink.idl.importers.report import report_json

HERE = Path(__file__).parent
GLES2 = HERE / "gles2.xml"


def test_gles2_is_described_whole_with_three_hooks() -> None:
    facts = report_json(import_file(GLES2, api="gles2", version="2.0"))
    assert facts["procedures"] == 142
    assert facts["generated"] == 139
    assert [hook["procedure"] for hook in facts["hooks"]] == [  # type: ignore[attr-defined]
        "glDrawElements",
        "glGetVertexAttribPointerv",
        "glVertexAttribPointer",
    ]


def test_the_installed_registry_gives_the_same_text_as_the_cut() -> None:
    installed = Path("/usr/share/khronos-api/gl.xml")
    if not installed.exists():
        pytest.skip("the Debian package khronos-api is not installed")
    cut = import_file(GLES2, api="gles2", version="2.0").text
    assert import_file(installed, api="gles2", version="2.0").text == cut


def test_without_an_overlay_every_open_length_becomes_a_hook_with_its_reason() -> None:
    draft = import_file(GLES2, api="gles2", version="2.0", overlay=HERE / "bare.toml").draft
    reasons = {hook.procedure: hook.reason for hook in draft.hooks}
    assert (
        reasons["glTexImage2D"] == "'pixels': the registry says COMPSIZE(format,type,width,height)"
    )
    assert reasons["glShaderSource"] == "'string' is a const GLchar*const*"
    assert reasons["glGetVertexAttribPointerv"] == "'pointer' is a void**"
    assert len(reasons) == 8


def test_counts_are_lengths_and_negative_ones_are_left_to_the_server() -> None:
    text = import_file(GLES2, api="gles2", version="2.0").text
    assert "in f32 value[max(count, 0) * 16]" in text
    assert "out string infoLog[cap min(max(bufSize, 0), 16M), len length] max 16M" in text
    assert "out i32 data[reply] max 256" in text


@pytest.mark.parametrize(
    ("api", "version", "words"),
    [
        ("gles9", "2.0", "no API 'gles9' here; there are gles2"),
        ("gles2", "7.0", "no version 7.0 of gles2; there are 2.0"),
        ("", "", "say which (--api, --version)"),
    ],
)
def test_what_is_not_in_the_registry_is_said(api: str, version: str, words: str) -> None:
    with pytest.raises(ValueError, match=re.escape(words)):
        import_file(GLES2, api=api, version=version)


@pytest.mark.parametrize(
    ("facts", "words"),
    [
        ({"procedure": {"glOops": {"sync": True}}}, "no procedure glOops"),
        (
            {"procedure": {"glClear": {"param": {"maks": "u32 mask"}}}},
            "glClear has no parameter 'maks'",
        ),
        ({"procedure": {"glClear": {"snyc": True}}}, "glClear: unknown key 'snyc'"),
        ({"grup": 2}, "unknown key 'grup'"),
    ],
)
def test_a_fact_that_meets_nothing_is_an_error(facts: dict[str, object], words: str) -> None:
    from hyplink.idl.importers.khronos import import_khronos, read_registry

    registry = read_registry(GLES2.read_text(), "gles2", "2.0")
    with pytest.raises(ValueError, match=re.escape(words)):
        import_khronos(registry, Overlay(facts, "facts.toml"))


def command(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "hyplink.idl", "import", *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_command_reports_as_text_and_as_json(tmp_path: Path) -> None:
    out = tmp_path / "gles2.vidl"
    arguments = (GLES2, "--api", "gles2", "--version", "2.0", "-o", out)
    text = command(*arguments, "--report")
    assert text.returncode == 0
    assert text.stdout.startswith("142 procedures: 139 generated whole, 3 with a hook\n")
    assert json.loads(command(*arguments, "--json").stdout)["custom"] == 3
    assert out.read_text() == import_file(GLES2, api="gles2", version="2.0").text


def test_the_command_fails_with_a_sentence(tmp_path: Path) -> None:
    broken = tmp_path / "broken.xml"
    broken.write_text("<registry><oops></registry>")
    result = command(broken, "--api", "gles2", "--version", "2.0")
    assert result.returncode == 1
    assert "not XML" in result.stderr
    assert command(tmp_path / "absent.xml").returncode == 1


def test_the_shipped_interface_is_what_the_import_writes_and_checks() -> None:
    shipped = Path(hyplink.idl.__file__).parent.parent / "vogl" / "gles2.vidl"
    assert import_file(GLES2, api="gles2", version="2.0").text == shipped.read_text()
    assert compile_file(shipped).diagnostics == []


def test_an_import_without_facts_checks_too() -> None:
    text = import_file(GLES2, api="gles2", version="2.0", overlay=HERE / "bare.toml").text
    assert compile_text(text).diagnostics == []


@pytest.mark.parametrize(("api", "version"), [("gles2", "3.2"), ("gles1", "1.0"), ("gl", "4.6")])
def test_every_larger_registry_imports_and_checks(api: str, version: str) -> None:
    installed = Path("/usr/share/khronos-api/gl.xml")
    if not installed.exists():
        pytest.skip("the Debian package khronos-api is not installed")
    assert compile_text(import_file(installed, api=api, version=version).text).diagnostics == []


def test_egl_is_described_with_one_hook() -> None:
    made = import_file(HERE / "egl.xml", api="egl", version="1.4")
    assert [hook.procedure for hook in made.draft.hooks] == ["eglGetProcAddress"]
    assert report_json(made)["procedures"] == 34
    assert compile_text(made.text).diagnostics == []
