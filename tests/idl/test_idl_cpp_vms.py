"""Generated C++ between two VMs over real channels, alone and with Python on the other side."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from idl_places import HERE

import hyplink
from hyplink import errors, idl
from vm_programs import Program

pytestmark = [pytest.mark.hyplink_dts("vogl"), pytest.mark.hyplink_backend("process")]
BUILD = Path(os.environ.get("HYPLINK_BUILD_DIR", HERE.parent.parent / ".build" / "dev"))
RICH = HERE / "data/rich.vidl"


class Programs:
    """Starts the programs of tests/idl/vm inside VMs."""

    def __init__(self, bench: hyplink.Bench) -> None:
        self._bench = bench
        self.started: list[Program] = []

    def _run(self, vm: int, name: str, *words: str) -> Program:
        path = BUILD / "tests/idl/vm" / name
        assert path.exists(), f"{path} is not built: sh tests/run.sh"
        self.started.append(Program(self._bench, vm, [str(path), *words]))
        return self.started[-1]

    def server(self) -> Program:
        program = self._run(2, "vm_rich_server")
        assert program.line() == "server"
        return program

    def client(self, *words: str) -> Program:
        return self._run(3, "vm_rich_client", *words)


@pytest.fixture
def programs(bench: hyplink.Bench) -> Iterator[Programs]:
    made = Programs(bench)
    yield made
    for program in made.started:
        program.lines.close()


def test_client_and_server_in_cpp_tell_the_whole_story(programs: Programs) -> None:
    server = programs.server()
    assert programs.client().rest() == ["ok"]
    told = {server.line() for _ in range(3)}
    # One channel broke a rule; what the session still held went with it.
    assert told == {"served: corrupt", "served: peer_dead", "session over, 1 handles"}


def test_a_client_that_does_not_look_loses_callbacks_and_stalls_nobody(programs: Programs) -> None:
    programs.server()
    assert programs.client("slow").rest() == ["ok"]


def test_a_block_that_breaks_a_rule_ends_its_channel_and_the_server_goes_on(
    programs: Programs,
) -> None:
    server = programs.server()
    assert programs.client("break").rest() == ["ok"]
    assert [server.line(), server.line()] == ["served: corrupt", "session over, 0 handles"]
    assert programs.client().rest() == ["ok"]


def test_who_speaks_another_version_is_refused_and_hears_so(programs: Programs) -> None:
    server = programs.server()
    assert programs.client("refuse").rest() == ["ok"]
    told = [server.line() for _ in range(4 * 2 + 3 * 2)]
    assert told[:8] == ["refused: version", "session over, 0 handles"] * 4
    assert told[8:] == ["served: peer_dead", "session over, 0 handles"] * 3


def test_a_server_that_is_killed_ends_every_wait_of_its_client(
    bench: hyplink.Bench, programs: Programs
) -> None:
    programs.server()
    client = programs.client("wait")
    assert client.line() == "ready"
    bench.vm(2).kill()
    assert client.rest() == ["ok"]


# -- Python on one side ------------------------------------------------------------------------------


def test_a_python_client_and_a_cpp_server_understand_each_other(
    bench: hyplink.Bench, programs: Programs
) -> None:
    programs.server()
    rich = idl.load(RICH)
    with rich.session(bench.vm(3).rpq("vogl0")) as session, session.channel() as channel:
        client = rich.Client(channel)
        client.set_scale(5, True)
        client.scaled(3, bytes(15))
        assert client.name_of(1000) == "3:15"
        client.maybe(3, [1, 2, 3], "x", rich.Rect(0, 0, 5, 6), 9, rich.Options())
        assert client.name_of(1001) == "3 a3 sx r5 v9 o7,8"
        client.words(["one", "", "eighteen"])
        assert client.name_of(1002) == "[one][][eighteen]"
        store = client.open("a")
        for name, fault in (("full", rich.Fault.NO_ROOM), ("broken", rich.Fault.BROKEN)):
            with pytest.raises(rich.FaultError) as caught:
                client.open(name)
            assert caught.value.status == fault
        client.drop_item(client.add(store, 1))
        client.close(store)
        a, numbers, rect = client.both(4, 2, [10, 20], rich.Rect(0, 0, 1, 2))
        assert (a, list(numbers), rect) == (5, [20, 40], rich.Rect(0, 0, 2, 1))
        seen: list[Any] = []
        client.watch(lambda *a: seen.append(a[:2]), None, 1)
        assert client.limit("progress 2") == 2
        assert seen == [(0, "step"), (1, "step")]
        client.ask(lambda number, _: client.limit("seven of them") if number == 7 else number * 2)
        assert client.limit("question 21") == 42
        assert client.limit("question 7") == 13
        with pytest.raises(errors.LinkError) as broken:
            client.add(store, 1)
        assert isinstance(broken.value, errors.CorruptRing)
    other = rich.hello()[:16] + bytes(8)  # the same version with another text
    with (
        bench.vm(3).rpq("vogl0").session(info=other) as session,
        session.channel() as channel,
        pytest.raises(errors.VersionMismatch),
    ):
        rich.Client(channel).reply_data(1)


def make_handler() -> Any:
    """What rich_handler.hpp and vm_rich_server.cpp do, in Python."""
    rich = idl.load(RICH)

    class Handler(rich.Handler):  # type: ignore[misc, name-defined]
        last = ""
        name = "first"
        progress: Any = None
        question: Any = None

        def set_scale(self, ctx: Any, value: int, twice: bool) -> None: ...

        def picked(self, ctx: Any, mode: Any, n: int, data: Any) -> None: ...

        def addressed(self, ctx: Any, where: int, modes: Any) -> None: ...

        def lend(self, ctx: Any, b: Any, tag: int) -> None: ...

        def give(self, ctx: Any, b: Any, other: Any) -> None: ...

        def trade(self, ctx: Any, b: Any) -> int:
            return 0

        def scaled(self, ctx: Any, n: int, data: Any) -> None:
            self.last = f"{n}:{len(data)}"

        def maybe(self, ctx: Any, n: int, a: Any, s: Any, r: Any, v: Any, o: Any) -> None:
            self.last = str(n)
            self.last += " -" if a is None else f" a{len(a)}"
            self.last += " -" if s is None else f" s{s}"
            self.last += " -" if r is None else f" r{r.w}"
            self.last += " -" if v is None else f" v{v}"
            self.last += " -" if o is None else f" o{o.width},{o.depth}"

        def listed(self, ctx: Any, attribs: Any) -> None:
            self.last = str(len(attribs))

        def counted(self, ctx: Any, values: Any) -> None:
            self.last = f"{len(values)},{values[-1]}"

        def rows(self, ctx: Any, width: int, row: Any) -> None:
            self.last = "".join(f"{value} " for one in row for value in one)

        def words(self, ctx: Any, word: Any) -> None:
            self.last = "".join(f"[{one}]" for one in word)

        def upload(self, ctx: Any, n: int, data: Any) -> None:
            self.last = f"{n},{data[-1]}"

        def open(self, ctx: Any, name: str) -> Any:
            if name in ("full", "broken"):
                raise rich.FaultError(rich.Fault.NO_ROOM if name == "full" else rich.Fault.BROKEN)
            if name == "busy":
                raise OSError(errno.EBUSY, "busy")
            return object()

        def add(self, ctx: Any, s: Any, size: int) -> Any:
            return object()

        def drop_item(self, ctx: Any, i: Any) -> None: ...

        def close(self, ctx: Any, s: Any) -> None: ...

        def use(self, ctx: Any, s: Any, i: Any) -> None: ...

        def reply_data(self, ctx: Any, seed: int) -> Any:
            return seed, [7] * seed

        def capped(self, ctx: Any, cap: int, room: int) -> Any:
            return [-5] * (cap // 2), "n" * max(0, room - 1)

        def name_of(self, ctx: Any, id: int) -> str:
            return self.name if id < 1000 else self.last

        def maybe_name(self, ctx: Any, id: int) -> str | None:
            return "there" if id else None

        def rename(self, ctx: Any, id: int, name: str) -> None:
            self.name = name

        def both(self, ctx: Any, a: int, n: int, list_: Any, r: Any) -> Any:
            for i in range(n):
                list_[i] *= 2
            return a + 1, rich.Rect(r.x, r.y, r.h, r.w)

        def options(self, ctx: Any, n: int) -> Any:
            return rich.Options(width=n, depth=3, limit=1 << 40), b"\x09" * n

        def watch(self, ctx: Any, p: Any, every: int) -> None:
            self.progress = p

        def ask(self, ctx: Any, q: Any) -> None:
            self.question = q

        def limit(self, ctx: Any, what: str) -> int:
            verb, _, number = what.partition(" ")
            if verb == "progress":
                for i in range(int(number)):
                    self.progress(i, "step")
            elif verb == "question":
                return int(self.question(int(number))) & 0xFFFFFFFF
            elif verb == "tick":
                ctx.tick(int(number), rich.Options())
            else:
                return len(what)
            return int(number)

    return Handler()


def test_a_cpp_client_and_a_python_server_understand_each_other(
    bench: hyplink.Bench, programs: Programs
) -> None:
    handler = make_handler()
    bench.vm(2).start(idl.load(RICH).serve("vogl0", handler))
    assert programs.client().rest() == ["ok"]


def test_a_python_server_refuses_what_a_cpp_server_refuses(
    bench: hyplink.Bench, programs: Programs
) -> None:
    bench.vm(2).start(idl.load(RICH).serve("vogl0", make_handler()))
    assert programs.client("refuse").rest() == ["ok"]
    assert programs.client("break").rest() == ["ok"]
