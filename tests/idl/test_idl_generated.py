"""What the generators write: stable, warning-free, typed, importable."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from hyplink import idl
from hyplink.idl.cli import main
from hyplink.idl.model import MODEL_VERSION
from hyplink.idl.model_json import from_json, to_json

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
DATA = HERE / "data"
GLES2 = ROOT / "src/python/hyplink/idl/examples/gles2.vidl"
STRICT = ["-std=c++20", "-Wall", "-Wextra", "-Wconversion", "-Wshadow", "-Werror"]

Golden = Callable[[Path, str], None]

#: Instantiates every member of every client, so that warnings in templates appear.
INSTANCES = """
#include "everything.hpp"
#include "gles2.hpp"
using namespace hyplink;
struct Channel {
    Result<std::byte*> begin(std::uint32_t, std::uint32_t);
    Status post();
    Status notify();
    Result<std::byte*> begin_call(std::uint32_t, std::uint32_t, std::uint32_t);
    Result<rpq::ReplyView> call();
};
template class test::everything::EverythingClient<Channel>;
template class test::everything::SecondClient<Channel>;
template class demo::gles2::Gles2Client<Channel>;
"""


def environment(**extra: str) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT / "src/python"), **extra}


@pytest.mark.parametrize("language", ["cpp", "py", "json"])
def test_the_generated_demo_is_the_golden_one(language: str, golden: Golden) -> None:
    """A change in generated code is seen, and read, by a person."""
    ((name, text),) = idl.generate(idl.compile_file(GLES2).require(), language).items()
    golden(HERE / "golden" / f"{name}.golden", text)


def test_generated_files_do_not_depend_on_hash_seed_or_directory(tmp_path: Path) -> None:
    trees = []
    for seed in ("0", "4242"):
        home = tmp_path / f"home{seed}"
        shutil.copytree(DATA, home)
        command = [sys.executable, "-m", "hyplink.idl", "gen", "-o", "out", "--lang"]
        files = sorted(p.name for p in home.glob("*.vidl"))
        for words in (["cpp,json", *files], ["py", "everything.vidl", "shapes.vidl"]):
            subprocess.run(
                [*command, *words], cwd=home, check=True, env=environment(PYTHONHASHSEED=seed)
            )
        trees.append({p.name: p.read_bytes() for p in (home / "out").iterdir()})
    assert len(trees[0]) == 2 * len(files) + 2
    assert trees[0] == trees[1]


def test_a_generator_needs_nothing_but_the_json_model() -> None:
    model = idl.compile_file(DATA / "everything.vidl").require()
    again = from_json(to_json(model))
    for language in ("cpp", "py", "json"):
        assert idl.generate(again, language) == idl.generate(model, language)


def test_a_model_of_another_version_is_refused() -> None:
    text = to_json(idl.parse("idl 1; module t.x version 1.0;")).replace(
        f'"vidl_model": {MODEL_VERSION}', '"vidl_model": 9999'
    )
    with pytest.raises(ValueError, match="model version 9999"):
        from_json(text)


@pytest.mark.parametrize("compiler", ["g++", "clang++"])
def test_generated_cpp_has_no_warnings(generated: Path, tmp_path: Path, compiler: str) -> None:
    if compiler == "clang++" and not shutil.which(compiler):
        pytest.skip("clang++ is not installed; g++ is tested")
    source = tmp_path / "all.cpp"
    source.write_text(INSTANCES)
    command = [
        compiler,
        *STRICT,
        "-fsyntax-only",
        "-I",
        str(ROOT / "src/cpp"),
        "-I",
        str(generated),
    ]
    done = subprocess.run([*command, str(source)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_generated_python_passes_mypy_strict(generated: Path) -> None:
    api = pytest.importorskip("mypy.api", reason="mypy is in the development environment")
    before = os.environ.get("MYPYPATH")
    os.environ["MYPYPATH"] = str(ROOT / "src/python")
    try:
        out, err, status = api.run(
            [
                "--strict",
                "--config-file",
                "",
                "--cache-dir",
                str(generated / ".mypy"),
                str(generated),
            ]
        )
    finally:
        os.environ.pop("MYPYPATH")
        if before is not None:
            os.environ["MYPYPATH"] = before
    assert status == 0, out + err


def test_generated_python_imports_from_inside_a_package(
    generated: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(generated.parent))
    module = importlib.import_module(f"{generated.name}.everything")
    assert module.shp is importlib.import_module(f"{generated.name}.shapes")
    assert {"EverythingClient", "SecondClient", "Box", "LIMIT"} <= set(module.__all__)
    for name in list(sys.modules):
        if name.split(".")[0] == generated.name:
            del sys.modules[name]


def test_generated_python_compiles_without_warnings(generated: Path) -> None:
    for path in sorted(generated.glob("*.py")):
        subprocess.run(
            [
                sys.executable,
                "-W",
                "error",
                "-c",
                f"compile(open({str(path)!r}).read(), 'x', 'exec')",
            ],
            check=True,
        )


def test_comments_of_the_interface_reach_both_languages(generated: Path) -> None:
    for name in ("gles2.hpp", "gles2.py"):
        assert "Replace a shader's text" in (generated / name).read_text()
    assert "All scalars" in (generated / "everything.py").read_text()


def test_the_schema_hash_sees_the_wire_and_not_the_comments() -> None:
    head = "idl 1; module t.h version 1.0; enum E : u8 { A = 1; } "
    base = idl.parse(head + "interface I group 1 { async a(E e) = 1; }").interfaces[0].hash
    doc = idl.parse(head + "\n\n/// Text.\ninterface I group 1 { async a(E e) = 1; }")
    other = idl.parse(head.replace("A = 1", "A = 2") + "interface I group 1 { async a(E e) = 1; }")
    assert doc.interfaces[0].hash == base
    assert other.interfaces[0].hash != base


def test_files_are_rewritten_only_when_their_contents_change(tmp_path: Path) -> None:
    source = tmp_path / "a.vidl"
    source.write_text("idl 1; module t.a version 1.0; const u32 A = 1;\n")
    command = ["gen", str(source), "-o", str(tmp_path / "out"), "--lang", "cpp"]
    assert main(command) == 0
    made = tmp_path / "out" / "a.hpp"
    os.utime(made, ns=(1, 1))
    assert main(command) == 0
    assert made.stat().st_mtime_ns == 1
    source.write_text("idl 1; module t.a version 1.0; const u32 A = 2;\n")
    assert main(command) == 0
    assert made.stat().st_mtime_ns != 1


def test_nothing_in_the_compiler_loads_the_core() -> None:
    code = (
        "import sys, hyplink.idl.cli as c; c.main(['check', sys.argv[1]]);"
        "import hyplink.idl.loader as l; l.load(sys.argv[1]);"
        "assert 'hyplink._core' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code, str(GLES2)], check=True, env=environment())
