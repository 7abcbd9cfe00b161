"""Back ends: every language writes only what changed; third parties read the JSON model."""

from __future__ import annotations

import dataclasses
import json
import os
import shlex
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from hyplink.idl import model as model_module
from hyplink.idl.backend_process import BackendError, command_of
from hyplink.idl.backends import LANGUAGES
from hyplink.idl.cli import main
from hyplink.idl.commands import gen
from hyplink.idl.front import compile_file
from hyplink.idl.markdown import generate
from hyplink.idl.model_doc import model_doc

HERE = Path(__file__).parent
GLES2 = HERE.parent.parent / "src/python/hyplink/idl/examples/gles2.vidl"
LISTING = f"{shlex.quote(sys.executable)} {shlex.quote(str(HERE / 'backends/listing.py'))}"


@pytest.mark.parametrize("language", sorted(LANGUAGES))
def test_a_second_generation_touches_nothing(language: str, tmp_path: Path) -> None:
    dep = tmp_path / "x.d"
    command = ["gen", str(GLES2), "-o", str(tmp_path / "out"), "--lang", language]
    command += ["--depfile", str(dep), "--depfile-target", "x.stamp"]
    assert main(command) == 0
    files = [p for p in tmp_path.rglob("*") if p.is_file()]
    assert len(files) > 1
    for path in files:
        os.utime(path, ns=(1, 1))
    assert main(command) == 0
    assert {path.stat().st_mtime_ns for path in files} == {1}
    assert [p for p in tmp_path.rglob("*") if p.is_file()] == files
    assert dep.read_text() == f"x.stamp: {GLES2}\n"


@pytest.mark.parametrize("language", sorted(LANGUAGES))
def test_what_will_be_written_can_be_asked(
    language: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["gen", str(GLES2), "-o", str(tmp_path / "out"), "--lang", language]
    assert main([*command, "--list"]) == 0
    listed = capsys.readouterr().out.split()
    assert not (tmp_path / "out").exists()
    assert main(command) == 0
    assert sorted(listed) == sorted(str(p) for p in (tmp_path / "out").rglob("*") if p.is_file())


def test_the_help_names_every_language(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["gen", "--help"])
    text = capsys.readouterr().out
    assert gen.LANGUAGE_NAMES.split(", ") == sorted(LANGUAGES)
    assert gen.LANGUAGE_NAMES in " ".join(text.split())


def test_a_back_end_of_a_third_party_reads_the_model(tmp_path: Path) -> None:
    assert main(["gen", str(GLES2), "-o", str(tmp_path), "--backend", LISTING]) == 0
    assert [p.name for p in tmp_path.rglob("*") if p.is_file()] == ["gles2.txt"]
    lines = (tmp_path / "lists/gles2.txt").read_text().splitlines()
    assert "2.2 async gles2.uniform4f 24 0" in lines


def test_own_languages_go_along_by_name(tmp_path: Path) -> None:
    command = ["gen", str(GLES2), "-o", str(tmp_path), "--lang", "md", "--backend", LISTING]
    assert main(command) == 0
    assert sorted(p.name for p in tmp_path.rglob("*") if p.is_file()) == ["gles2.md", "gles2.txt"]


def test_an_executable_or_a_module_is_a_back_end() -> None:
    assert command_of("sh -x") == ["sh", "-x"]
    assert command_of("some.module --fast") == [sys.executable, "-m", "some.module", "--fast"]
    with pytest.raises(BackendError, match="neither"):
        command_of("./no/such/program")


@pytest.mark.parametrize(
    ("script", "message"),
    [
        ("import sys; sys.exit('no procedures, no files')", "no procedures, no files"),
        ("print('hello')", "did not answer"),
        ("print('[]')", "did not answer"),
        ("""print('{"files": {"../x": "y"}}')""", "is no file below"),
        ("""print('{"files": {"/x": "y"}}')""", "is no file below"),
        ("""print('{"files": {"x": 3}}')""", "is no file below"),
    ],
)
def test_a_back_end_that_fails_writes_nothing(
    script: str, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    backend = f"{shlex.quote(sys.executable)} -c {shlex.quote(script)}"
    out = tmp_path / "out"
    assert main(["gen", str(GLES2), "-o", str(out), "--backend", backend]) == 1
    assert message in capsys.readouterr().err
    assert not out.exists()


def test_the_model_is_described_field_by_field(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["gen", "--model-doc"]) == 0
    text = capsys.readouterr().out
    assert text == model_doc()
    for name in set(model_module.__all__) - {"Scalar", "SCALARS", "MODEL_VERSION"}:
        assert f"## {name}\n" in text
        for field in dataclasses.fields(getattr(model_module, name)):
            assert f"| `{field.name}` |" in text


def test_the_json_model_has_no_other_keys(tmp_path: Path) -> None:
    assert main(["gen", str(GLES2), "-o", str(tmp_path), "--lang", "json"]) == 0
    data = json.loads((tmp_path / "gles2.json").read_text())
    fields = {field.name for field in dataclasses.fields(model_module.Model)}
    assert set(data) == fields | {"vidl_model"}


def test_gen_without_files_is_wrong_usage() -> None:
    with pytest.raises(SystemExit) as info:
        main(["gen"])
    assert info.value.code == 2


def test_the_reference_reads_as_agreed(golden: Callable[[Path, str], None]) -> None:
    (text,) = generate(compile_file(GLES2).require()).values()
    golden(HERE / "golden/gles2.md", text)


def test_the_reference_of_every_form_can_be_written() -> None:
    for path in sorted((HERE / "data").glob("*.vidl")):
        compiled = compile_file(path)
        model = compiled.require()
        (text,) = generate(model).values()
        for interface in model.interfaces:
            for proc in (*interface.procedures, *interface.callbacks):
                assert f"</a>{proc.name}\n" in text
                assert f"{proc.request.max:,}" in text
