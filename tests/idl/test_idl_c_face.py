"""What the C face promises beyond the bytes: c/face.c, each of its promises a test, 64 and 32 bits."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
from idl_clib import HERE, SANITIZE, compile_c, require

from hyplink.idl.cli import main

PROMISES = re.findall(r"PROMISE\((\w+)\),", (HERE / "c/face.c").read_text())


@pytest.fixture(scope="module", params=["-m64", "-m32"])
def face(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    require("gcc", request.param)
    out = tmp_path_factory.mktemp("face")
    assert main(["gen", str(HERE / "c/cface.vidl"), "-o", str(out), "--lang", "c"]) == 0
    sources = [HERE / "c/face.c", HERE / "c/loop.c", *sorted(out.glob("*.c"))]
    return compile_c(out / "face", sources, "-O0", *SANITIZE, request.param)


@pytest.mark.parametrize("promise", PROMISES)
def test_the_c_face_promises(face: Path, promise: str) -> None:
    done = subprocess.run([face, promise], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_what_c_cannot_say_is_refused_with_its_place(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = tmp_path / "t.vidl"
    source.write_text(
        "idl 1;\nmodule t.t version 1.0;\nstruct P { i32 x; }\n"
        'interface I group 1 { sync P get() = 1 @c(type: "const struct p*"); }\n'
    )
    assert main(["gen", str(source), "-o", str(tmp_path / "out"), "--lang", "c"]) == 1
    assert "get (line 4): a result of 'const struct p*'" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
