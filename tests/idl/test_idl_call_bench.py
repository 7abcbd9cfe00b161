"""``hyplink idl call --bench``: one call into a bench that runs in another process."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

TEXT = """idl 1; module call.desk version 1.0;
enum Colour : u8 { RED = 1; GREEN = 2; }
struct Point { i32 x; i32 y; }
interface desk group 5 {
    sync Colour mix(Colour a, Point at, string name max 32) = 1;
    sync u32 sum(u32 n in 0..64, bytes data[n] max 64, out bytes back[n] max 64) = 2;
    sync Point middle(Point a, Point b) = 3;
    async note(string text max 64) = 4;
    sync string last() = 5 max 64;
    sync u32 broken() = 6;
}
"""

BENCH = """
import sys
import hyplink
from hyplink import idl

desk = idl.load(sys.argv[1])

def make():
    class Desk(desk.Handler):
        text = ""
        def mix(self, a, at, name):
            return desk.Colour.GREEN if at.x == 3 and name == "nine" else a
        def sum(self, n, data, back):
            back[:] = bytes(data)[::-1]
            return sum(data)
        def middle(self, a, b):
            return desk.Point((a.x + b.x) // 2, (a.y + b.y) // 2)
        def note(self, text):
            self.text = text
        def last(self):
            return self.text
        def broken(self):
            raise OSError(16, "busy")
    return Desk()

with hyplink.Bench.from_dts("vogl", backend=sys.argv[2], observe=True) as bench:
    if sys.argv[3] == "served":
        bench.vm(2).start(desk.serve("vogl0", make()))
    print("up", flush=True)
    sys.stdin.read()
"""


class Caller:
    """Makes calls into one running bench."""

    def __init__(self, folder: Path, pid: int) -> None:
        self.file, self.pid = folder / "desk.vidl", pid

    def __call__(self, *words: str, text: str = "") -> tuple[int, list[str], str]:
        done = subprocess.run(
            [
                *(sys.executable, "-m", "hyplink", "idl", "call", str(self.file), *words),
                *("--bench", str(self.pid)),
            ],
            input=text,
            capture_output=True,
            text=True,
            timeout=60,
        )
        return done.returncode, done.stdout.splitlines(), done.stderr

    def answer(self, procedure: str, **arguments: Any) -> Any:
        status, lines, said = self(procedure, "--args", json.dumps(arguments), "--json")
        assert status == 0, said
        (found,) = map(json.loads, lines)
        assert found["procedure"] == procedure
        return found["answer"]


@pytest.fixture
def caller(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Caller]:
    backend, served = getattr(request, "param", ("process", "served"))
    (tmp_path / "desk.vidl").write_text(TEXT)
    with subprocess.Popen(
        [sys.executable, "-c", BENCH, str(tmp_path / "desk.vidl"), backend, served],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as running:
        assert running.stdout is not None
        assert running.stdout.readline() == "up\n"
        yield Caller(tmp_path, running.pid)
        assert running.stdin is not None
        running.stdin.close()
        assert running.wait(timeout=60) == 0


def test_arguments_and_answers_are_json(caller: Caller) -> None:
    assert caller.answer("mix", a="RED", at={"x": 3, "y": 0}, name="nine") == "GREEN"
    assert caller.answer("mix", a=1, at={"x": 4, "y": 0}, name="nine") == "RED"
    assert caller.answer("middle", a={"x": 0, "y": 4}, b={"x": 10, "y": 8}) == {"x": 5, "y": 6}
    assert caller.answer("sum", n=3, data=[1, 2, 3]) == [6, {"base64": "AwIB"}]
    assert caller.answer("sum", n=3, data={"base64": "AwIB"}) == [6, {"base64": "AQID"}]
    assert caller.answer("sum", n=2, data="ab") == [195, {"base64": "YmE="}]


def test_it_is_the_bench_that_runs_and_not_one_of_its_own(caller: Caller) -> None:
    status, lines, _ = caller("note", "--args", "-", "--json", text='{"text": "still here"}')
    assert (status, lines) == (0, ['{"procedure": "note", "answer": null}'])
    assert caller.answer("last") == "still here"
    assert caller("desk.last")[1] == ["last -> 'still here'"]


def test_what_the_server_refuses_is_an_error_object_and_status_1(caller: Caller) -> None:
    status, lines, _ = caller("broken", "--json")
    assert status == 1
    (found,) = map(json.loads, lines)
    assert (found["procedure"], found["error"], found["errno"]) == ("broken", "Busy", 16)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["lst"], "no procedure lst; did you mean last?"),
        (["note", "--args", '{"txt": "a"}'], "no parameter txt; there are text"),
        (["note", "--args", "{"], "--args: Expecting"),
        (["note", "--args", "[1]"], "--args: expected a JSON object"),
        (["note"], "note also takes --arg text=…"),
        (["last", "--device", "vogl7"], "no device vogl7 on that bench; there are vogl0"),
        (["last", "--answer", "last=x"], "--server and --answer are for a fresh bench"),
        (
            ["mix", "--args", '{"a": "BLUE", "at": {"x": 1, "y": 1}, "name": ""}'],
            "a: 'BLUE' is none of RED, GREEN",
        ),
        (
            ["mix", "--args", '{"a": "RED", "at": {"x": 1, "z": 1}, "name": ""}'],
            "at: no parameter z; there are x, y",
        ),
    ],
    ids=lambda value: str(value)[:20],
)
def test_what_was_asked_wrongly_is_said_and_status_2(
    caller: Caller, words: list[str], said: str
) -> None:
    status, _, stderr = caller(*words)
    assert status == 2
    assert said in stderr


def test_another_version_is_refused(caller: Caller) -> None:
    caller.file.write_text(TEXT.replace("version 1.0", "version 2.0"))
    status, lines, _ = caller("last")
    assert status == 1
    assert lines[0].startswith("last: VersionMismatch")


@pytest.mark.parametrize("caller", [("process", "unserved")], indirect=True)
def test_where_nobody_serves_the_wait_ends(caller: Caller) -> None:
    status, _, stderr = caller("last", "--timeout", "0.2")
    assert status == 1
    assert "vogl0" in stderr


@pytest.mark.parametrize("caller", [("thread", "unserved")], indirect=True)
def test_a_bench_of_threads_has_no_applications_elsewhere(caller: Caller) -> None:
    status, _, stderr = caller("last")
    assert status == 1
    assert f"bench {caller.pid}" in stderr


def test_there_is_no_such_bench(caller: Caller) -> None:
    caller.pid = 1
    status, _, stderr = caller("last")
    assert status == 1
    assert "bench '1': not running" in stderr
