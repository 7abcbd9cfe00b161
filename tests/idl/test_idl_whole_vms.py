"""The whole language between two VMs: clients and servers in C++, C and Python, each with each."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from idl_places import HERE

import hyplink
from hyplink import buffers, errors, idl, umem
from hyplink.idl.cli import main
from vm_programs import Compiler, Program

pytestmark = [pytest.mark.hyplink_dts("vogl"), pytest.mark.hyplink_backend("process")]
BUILD = Path(os.environ.get("HYPLINK_BUILD_DIR", HERE.parent.parent / ".build" / "dev"))
WHOLE = HERE / "data/whole.vidl"


def make_handler() -> Any:
    """What vm_whole_server.cpp does, in Python."""
    whole = idl.load(WHOLE)

    class Handler(whole.Handler):  # type: ignore[misc, name-defined]
        last = ""
        reporter: Any = None

        def say(self, *parts: Any) -> None:
            self.last = " ".join(f"{p:g}" if isinstance(p, float) else str(p) for p in parts)

        def scalars(self, ctx: Any, a: Any, b: Any, c: Any, d: Any, e: Any, f: Any, g: Any) -> None:
            self.say(a, b, c, int(d), e, f, g)

        def keywords(self, ctx: Any, *values: Any, **_: Any) -> None:
            numbers = [v for i, v in enumerate(values) if i != 3]
            self.say(numbers[0], sum(numbers[1:-1]), numbers[-1])

        def set_align(self, ctx: Any, to: int, mode: Any) -> None:
            self.say(to, int(mode))

        def upload(self, ctx: Any, width: int, height: int, data: Any) -> None:
            self.say(f"{width}x{height}", -1 if data is None else len(data))

        def image(self, ctx: Any, w: int, h: int, format: Any, type: Any, data: Any) -> None:
            self.say(len(data))

        def sources(self, ctx: Any, text: Any) -> None:
            self.last = "".join(f"{one}|" for one in text)

        def rows(self, ctx: Any, width: int, rows: Any) -> None:
            self.say(len(rows), float(sum(p.x * p.y for row in rows for p in row)))

        def words(self, ctx: Any, name: str, values: Any) -> None:
            self.say(name, sum(values))

        def label(self, ctx: Any, text: str) -> None:
            self.last = text

        def counted(self, ctx: Any, points: Any) -> None:
            self.say(len(points))

        def choose(self, ctx: Any, list_: Any) -> None:
            self.say(-1 if list_ is None else len(list_))

        def fixed(self, ctx: Any, matrix: Any, tag: Any) -> None:
            self.say(float(matrix[15]), chr(tag[0]))

        def maybe(self, ctx: Any, n: int, *rest: Any) -> None:
            self.say(n, "".join(str(int(value is not None)) for value in rest))

        def fetch(self, ctx: Any, room: int) -> Any:
            text = self.last[: room - 1] if room else ""
            return len(self.last), [i * i for i in range(min(room, 3))], text

        def list_(self, ctx: Any) -> Any:
            return 2, [whole.Point(1, 2), whole.Point(3, 4)], "ab"

        def swap(self, ctx: Any, point: Any, n: int, data: Any) -> Any:
            data[:] = bytes(data)[::-1]
            return whole.Point(point.y, point.x), n + 1

        def partly(self, ctx: Any) -> Any:
            return 7, [1, 2], whole.Mode.SLOW

        def version(self, ctx: Any) -> str:
            return "1.3"

        def extension(self, ctx: Any, index: int) -> Any:
            return "ext" if index else None

        def location(self, ctx: Any, name: str) -> int:
            return len(name)

        def open(self, ctx: Any, name: str, options: Any) -> Any:
            if name == "none":
                raise whole.StatusError(whole.Status.NO_MEMORY)
            self.say(name, options.level, float(options.scale), options.weights[3])
            return object()

        def start(self, ctx: Any, device: Any) -> Any:
            return whole.Status.OK, object()

        def stop(self, ctx: Any, queue: Any) -> None: ...

        def close(self, ctx: Any, device: Any) -> None: ...

        def configure(self, ctx: Any, device: Any, options: Any) -> int:
            if options is None:
                raise whole.StatusError(whole.Status.BUSY)
            return int(options.level)

        def submit(self, ctx: Any, queue: Any, frame: Any) -> None:
            zero = whole.Point(0, 0)
            options = whole.Options(
                mode=whole.Mode.FAST, origin=zero, weights=[0] * 4, level=frame.data[0]
            )
            ctx.frame_done(queue, frame, options)

        def sum(self, ctx: Any, frame: Any, second: Any) -> int:
            return sum(frame.data) + (0 if second is None else sum(second.data))

        def bulk(self, ctx: Any, n: int, data: Any) -> None:
            self.say(n, float(sum(data)))

        def on_progress(self, ctx: Any, proc: Any) -> None:
            self.reporter = proc

        def run(self, ctx: Any, proc: Any, rounds: int) -> None:
            total = 0
            for i in range(rounds):
                result, second = proc(f"q{i}")
                total += result * 10 + second
            self.say(total)

        def raw(self, ctx: Any, index: int, pointer: int) -> None:
            self.say(index, pointer)

        def internal(self, ctx: Any, index: int) -> None:
            self.say("internal", index)

        def draw(self, ctx: Any, count: int) -> None:
            for i in range(count):
                self.reporter(i)

    return Handler()


class Lender:
    def alloc(self, request: umem.Request) -> Any:
        return umem.Memory(int(request.argument))

    def free(self, request: umem.Request) -> None: ...


@pytest.fixture(scope="module")
def c_programs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str, int], str]]:
    """The program of a role in C, for so many bits."""
    out = tmp_path_factory.mktemp("whole")
    for text in (WHOLE, HERE / "data/pixels.vidl"):
        assert main(["gen", str(text), "-o", str(out), "--lang", "c"]) == 0
    for name in ("whole_vm_client.c", "whole_vm_server.c", "lender.h"):
        (out / name).write_text((HERE / "c" / name).read_text())
    (out / "said.h").write_text((HERE.parent / "vrpq/said.h").read_text())
    compiler = Compiler(out, "hyplink")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(
            "C_INCLUDE_PATH", str(HERE / "c/headers")
        )  # what the interface names as its own
        yield lambda role, bits: str(compiler(out / f"whole_vm_{role}.c", bits))


@pytest.fixture(params=["cpp", "c64", "c32", "python"])
def served(
    request: pytest.FixtureRequest, bench: hyplink.Bench, c_programs: Callable[[str, int], str]
) -> Iterator[hyplink.Bench]:
    if request.param == "python":
        calls = idl.load(WHOLE).serve("vogl0", make_handler())
        bench.vm(2).start(buffers.serve(calls, Lender))
        yield bench
        return
    program = str(BUILD / "tests/idl/vm/vm_whole_server")
    if request.param != "cpp":
        program = c_programs("server", int(request.param.removeprefix("c")))
    server = Program(bench, 2, [program])
    with server.lines:
        assert server.line() == "server"
        yield bench


@pytest.fixture
def wide(request: pytest.FixtureRequest) -> int:
    """The most that a `size` may be at the server, and an address beyond what it has."""
    return 32 if "c32" in request.node.callspec.id else 64


@pytest.mark.parametrize("bits", [64, 32])
def test_a_c_client_says_and_hears_the_same(
    served: hyplink.Bench, c_programs: Callable[[str, int], str], bits: int
) -> None:
    client = Program(served, 3, [c_programs("client", bits)])
    with client.lines:
        assert client.rest() == ["ok"]


def test_a_cpp_client_says_and_hears_the_same(served: hyplink.Bench, wide: int) -> None:
    client = Program(served, 3, [str(BUILD / "tests/idl/vm/vm_whole_client"), str(wide)])
    with client.lines:
        assert client.rest() == ["ok"]


def test_every_construct_of_the_language_arrives_as_it_was_meant(
    served: hyplink.Bench, wide: int
) -> None:
    whole = idl.load(WHOLE)
    mine = buffers.ClientBuffers()
    with (
        served.vm(3).application() as application,
        application.umem("vogl0").session() as memory,
        whole.session(application.rpq("vogl0")) as session,
        session.channel() as channel,
        mine.table() as table,
    ):
        client = whole.Client(channel, buffers=table)

        def last() -> str:
            length, values, text = client.fetch(64)
            assert (length, list(values)) == (len(text), [0, 1, 4])
            return str(text)

        P, px = whole.Point, whole.px
        most, far = (1 << wide) - 1, 1 << wide * 5 // 8
        client.scalars(255, -(1 << 40), 0.5, True, most, -3, far)
        assert last() == f"255 {-(1 << 40)} 0.5 1 {most} -3 {far}"
        zero, four = P(0, 0), [1, 2, 3, 4]
        options = whole.Options(mode=whole.Mode.SLOW, origin=zero, weights=four, level=7)
        with pytest.raises(whole.StatusError) as thrown:
            client.open("none", options)
        assert thrown.value.status is whole.Status.NO_MEMORY
        device = client.open("front", options)
        assert last() == "front 7 1.5 4"
        client.keywords(1, 2, 3, device, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13)
        assert last() == "1 77 13"
        client.upload(3, 2, bytes(4 * 3 * 2))  # SLOW: four bytes deep
        assert last() == "3x2 24"
        client.set_align(8, whole.Mode.FAST)
        assert last() == "8 1"
        client.upload(3, 2, bytes(4 * 2))  # and now one, to four
        assert last() == "3x2 8"
        client.upload(3, 2)
        assert last() == "3x2 -1"
        client.image(3, 2, px.PixelFormat.RGB, px.PixelType.UNSIGNED_BYTE, bytes(16 + 9))
        assert last() == "25"
        client.sources(["void", "", "main"])
        assert last() == "void||main|"
        client.rows(2, [[P(1, 2), P(3, 4)], [P(5, 6), P(0, 9)]])
        assert last() == "2 44"
        client.words("name", [1, 2, 3])
        assert last() == "name 6"
        client.label("a label")
        assert last() == "a label"
        client.counted([zero, zero])
        assert last() == "2"
        client.choose([whole.Attribute.RED, 8, whole.Attribute.NONE])
        assert last() == "3"
        client.choose()
        assert last() == "-1"
        client.fixed([0.0] * 15 + [2.5], b"tag!")
        assert last() == "2.5 t"
        client.maybe(2)
        assert last() == "2 0000000"
        client.maybe(2, "x", zero, 1, whole.Mode.FAST, [1, 2], [1.0] * 4, device)
        assert last() == "2 1111111"
        found, points, name = client.list_()
        assert (found, list(points), name) == (2, [P(1, 2), P(3, 4)], "ab")
        point, n, data = client.swap(P(1, 2), 3, b"abc")
        assert (point, n, bytes(data)) == (P(2, 1), 4, b"cba")
        first, pair, mode = client.partly()
        assert (first, list(pair), mode) == (7, [1.0, 2.0], whole.Mode.SLOW)
        assert client.version() == client.version() == "1.3"
        assert (client.extension(0), client.extension(1)) == (None, "ext")
        assert client.location("seven..") == 7
        status, queue = client.start(device)
        assert status is whole.Status.OK
        assert client.configure(device, options) == 7
        with pytest.raises(whole.StatusError) as thrown:
            client.configure(device)
        assert thrown.value.status is whole.Status.BUSY
        client.bulk(20_000, [0.5] * 20_000)
        assert last() == "20000 10000"
        client.raw(5, far)
        assert last() == f"5 {far}"
        client.internal(6)
        assert last() == "internal 6"

        seen: list[Any] = []
        client.on_progress(lambda done, user: seen.append((done, user)), "mine")
        with pytest.deprecated_call():
            client.draw(3)
        assert last() == "internal 6"
        assert seen == [(0, "mine"), (1, "mine"), (2, "mine")]
        client.run(lambda question, user: (int(question[1:]), user), 4, 3)
        assert last() == str(10 * (0 + 1 + 2) + 4 * 3)

        done: list[Any] = []
        client.on_frame_done(lambda *given: done.append(given))
        with memory.alloc(b"4096") as frame, memory.alloc(b"4096") as second:
            frame.map()[0], second.map()[4095] = 5, 6
            assert (client.sum(frame), client.sum(frame, second)) == (5, 11)
            client.submit(queue, frame)
            with pytest.raises(errors.NotPermitted):
                client.sum(frame)
            while not done:
                client.handle_callbacks(timeout=60)
            assert done[0][1] is frame
            assert (done[0][0], done[0][2].level) == (queue, 5)
            assert client.sum(frame) == 5
        client.stop(queue)
        client.close(device)
        with pytest.raises(errors.LinkError):
            client.configure(device, options)
