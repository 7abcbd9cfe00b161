"""Tools that execute an interface: dump, mock, record and replay, the caller."""

from __future__ import annotations

import types
from pathlib import Path
from typing import Any

import pytest
from idl_loop import Loop
from idl_wirelib import Recorder

from hyplink import idl
from hyplink.errors import IdlError
from hyplink.idl.cli import main

DATA = Path(__file__).parent / "data"
GLES = DATA.parent.parent.parent / "src/python/hyplink/idl/examples/gles2.vidl"
SOURCES = (
    "03000000" "02000000" "1000000010000000" "200000000c000000" "3000000001000000"
    "766f6964206d61696e28297b00000000" "7d00000000000000"
)  # fmt: skip


@pytest.fixture(scope="module")
def gles() -> types.ModuleType:
    return idl.load(GLES)


# -- dump ------------------------------------------------------------------------------------------


def test_a_dump_names_every_byte(capsys: pytest.CaptureFixture[str]) -> None:
    file = str(DATA / "glslice.vidl")
    assert main(["dump", file, "--proc", "glShaderSource", "--hex", SOURCES]) == 0
    lines = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert lines == [
        "+0x00 03 00 00 00 Shader shader = 3 slot 3 gen 0",
        "+0x04 02 00 00 00 i32 count = 2 in 0..1024",
        "+0x08 10 00 00 00 10 00 00 00 part source off 0x10, 2 x {off,len}",
        "+0x10 20 00 00 00 0c 00 00 00 part source[0] off 0x20 len 12",
        "+0x18 30 00 00 00 01 00 00 00 part source[1] off 0x30 len 1",
        '+0x20 "void main(){" 00 00 00 00 NUL, zero padding to 8',
        '+0x30 "}" 00 00 00 00 00 00 00 NUL, zero padding to 8',
    ]


@pytest.mark.parametrize(
    ("patch", "value", "rule", "name"),
    [
        (4, "05000000", "D5", "source"),
        (4, "ffffffff", "D7", "count"),
        (8, "18000000", "D3", "source"),
        (0x18, "31000000", "D3", "source[1]"),
        (0x2D, "01", "D7", "source[0]"),
        (0, "00000000", "D13", "shader"),
    ],
)
def test_a_dump_says_which_rule_breaks_where(patch: int, value: str, rule: str, name: str) -> None:
    block = bytearray.fromhex(SOURCES)
    change = bytes.fromhex(value)
    block[patch : patch + len(change)] = change
    model = idl.compile_file(DATA / "glslice.vidl").require()
    found = idl.dump(model, "glslice.glShaderSource", bytes(block))
    assert (rule, name) in [(row.rule, row.name) for row in found.broken]
    assert f"breaks {rule}" in found.text()


def test_a_dump_of_any_bytes_ends(gles: types.ModuleType) -> None:
    import random

    model = idl.compile_file(DATA / "everything.vidl").require()
    noise = random.Random(1)
    for interface in model.interfaces:
        for proc in interface.procedures:
            for size in (0, 7, 16, 64, 200):
                data = noise.randbytes(size)
                for reply in (False, True):
                    idl.dump(model, f"{interface.name}.{proc.name}", data, reply=reply).text()


def test_every_vector_has_a_dump_without_a_broken_rule() -> None:
    model = idl.compile_file(DATA / "everything.vidl").require()
    names = {p.name for p in model.interfaces[0].procedures}
    seen = 0
    for line in (DATA.parent / "golden" / "vectors.txt").read_text().splitlines():
        name, _, block = line.partition(" ")
        if name in names and not block.startswith("error") and block != "-":
            found = idl.dump(model, f"Everything.{name}", bytes.fromhex(block))
            assert found.broken == [], found.text()
            seen += 1
    assert seen > 10


def test_a_dump_of_an_unknown_procedure_is_wrong_usage(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["dump", str(GLES), "--proc", "nothing", "--hex", ""]) == 2
    assert "no procedures 'nothing'; there are gles2.clear_color" in capsys.readouterr().err


# -- mock ------------------------------------------------------------------------------------------


def test_a_mock_answers_the_least_that_is_allowed(gles: types.ModuleType) -> None:
    server = idl.mock(gles)
    client = gles.Client(Loop(gles.gles2_bind, server))
    assert client.get_error() is gles.GlError.NO_ERROR
    assert client.read_pixels(0, 0, 2, 1, gles.PixelFormat.RGB) == bytes(6)
    assert client.get_string() == ""
    assert [name for name, _ in server.calls] == ["get_error", "read_pixels", "get_string"]


def test_a_mock_says_what_it_was_told(gles: types.ModuleType) -> None:
    answers: dict[str, Any] = {
        "get_error": gles.GlError.INVALID_VALUE,
        "get_uniform_location": lambda program, name: program + len(name),
        "get_string": OSError(5, "broken"),
    }
    client = gles.Client(Loop(gles.gles2_bind, idl.mock(gles, answers)))
    assert client.get_error() is gles.GlError.INVALID_VALUE
    assert client.get_uniform_location(3, "u_mvp") == 8
    with pytest.raises(OSError, match="EIO"):
        client.get_string()
    with pytest.raises(LookupError, match="no procedure nothing"):
        idl.mock(gles, {"nothing": 1})


def test_a_mock_gives_out_handles_that_live() -> None:
    cam = idl.load(DATA / "camera.vidl")
    server = idl.mock(cam)
    client = cam.Client(Loop(cam.camera_bind, server))
    front = client.open("front")
    config = cam.StreamConfig(format=cam.Format.NV12, size=cam.Size(640, 480))
    client.start(client.configure(front, config))
    assert [name for name, _ in server.calls] == ["open", "configure", "start"]


def test_everything_can_be_mocked(everything: types.ModuleType) -> None:
    server = idl.mock(everything, interface="Everything")
    client = everything.EverythingClient(Loop(everything.everything_bind, server))
    assert client.get_box(3).corner == everything.shp.Point(0, 0)
    result = client.several(2)
    assert list(result[3]) == [0, 0]
    assert result[5][0].level is everything.Level.MIDDLE


# -- record and replay -----------------------------------------------------------------------------


def test_a_recorded_session_is_answered_the_same_again(
    gles: types.ModuleType, tmp_path: Path
) -> None:
    file = tmp_path / "a.rec"
    answers = {"get_uniform_location": 4}
    channel = Loop(gles.gles2_bind, idl.mock(gles, answers))
    with idl.record(channel, file, gles) as recorded:
        client = gles.Client(recorded)
        client.uniform4f(1, 0.0, 0.0, 0.0, 1.0)
        assert client.get_uniform_location(1, "u_mvp") == 4
        client.shader_source(1, "void main(){}")
    again = idl.replay(file, Loop(gles.gles2_bind, idl.mock(gles, answers)), gles)
    assert (again.posts, again.calls, again.same) == (2, 1, True)
    other = idl.replay(file, Loop(gles.gles2_bind, idl.mock(gles)), gles)
    (difference,) = other.differences
    assert str(difference) == "1: gles2.get_uniform_location: another answer, from byte 0x0 on"


def test_a_recording_of_another_interface_is_refused(
    gles: types.ModuleType, everything: types.ModuleType, tmp_path: Path
) -> None:
    file = tmp_path / "a.rec"
    idl.record(Recorder(), file, gles).close()
    other = idl.load(text=GLES.read_text().replace("clear_color", "clear_colour"))
    with pytest.raises(IdlError, match="another text"):
        idl.replay(file, Recorder(), other)
    file.write_bytes(file.read_bytes() + b"\1")
    with pytest.raises(IdlError, match="cut short"):
        idl.replay(file, Recorder(), gles)
    file.write_bytes(b"something else entirely")
    with pytest.raises(IdlError, match="no recording"):
        idl.replay(file, Recorder(), gles)


# -- the caller ------------------------------------------------------------------------------------


def test_call_asks_a_mock_on_a_fresh_bench(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    words = ["call", str(GLES), "gles2.get_uniform_location", "get_error"]
    words += ["--arg", "program=3", "--arg", "name=u_mvp", "--answer", "get_error=INVALID_ENUM"]
    file = str(tmp_path / "a.rec")
    assert main([*words, "--record", file]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "get_uniform_location -> 0",
        "get_error -> <GlError.INVALID_ENUM: 1280>",
    ]
    assert main(["replay", str(GLES), file]) == 1
    assert "0 posts, 2 calls, 1 differences" in capsys.readouterr().out
    assert main(["replay", str(GLES), file, "--list"]) == 0
    assert '"u_mvp"' in capsys.readouterr().out


def test_call_asks_a_server_of_the_users(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    server = tmp_path / "server.py"
    server.write_text(
        "from hyplink.demo.interface import make_server  # the demo's\n", encoding="utf-8"
    )
    words = ["call", str(GLES), "viewport", "get_uniform_location", "--server", str(server)]
    words += [
        "--arg",
        "area=Viewport(0, 0, 3, height=4)",
        "--arg",
        "program=1",
        "--arg",
        "name=u_mvp",
    ]
    assert main(words) == 0
    assert "get_uniform_location -> 3" in capsys.readouterr().out


def test_call_says_what_is_missing(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["call", str(GLES), "gles2.get_uniform_location", "--arg", "program=3"]) == 2
    assert "also takes --arg name=…" in capsys.readouterr().err
    assert main(["call", str(GLES), "nothing"]) == 2


def test_mock_lists_what_it_answers_and_runs_a_script(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert main(["mock", str(GLES), "--answer", "get_string=soft"]) == 0
    assert "gles2.get_string -> 'soft'" in capsys.readouterr().out
    script = tmp_path / "client.py"
    script.write_text("def main(client, module):\n    assert client.get_string() == ''\n")
    assert main(["mock", str(GLES), str(script)]) == 0
    assert "get_string()" in capsys.readouterr().out
