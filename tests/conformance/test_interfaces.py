"""Generated stubs over a real channel: state, handles, failures, versions, callbacks, mocks."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from conformance_lib import EVERYWHERE, REAL_TIME

from hyplink import errors, idl, rpq

pytestmark = EVERYWHERE
#: Callbacks, and refusals that a client sees, are the transport's.
CALLBACKS = pytest.mark.skipif(
    not hasattr(rpq.ClientChannel, "on_callback"), reason="the transport has no callbacks"
)

TEXT = """idl 1; module conf.shop version 1.2;

enum Trouble : i32 { NONE = 0; SOLD_OUT = 4; CLOSED = -2; }
handle Shop : u32;
handle Item : u32 parent Shop;
table Options { 1: u32 width = 7 in 1..64; 2: u32 depth = 8; }

interface shop group 21 {
    state { i32 scale = 1 in 1..8; }

    async set_scale(i32 value in 1..8) = 1 sets state.scale = value;
    sync u32 total(u32 n in 0..64, in u8 data[n * state.scale] max 512) = 2;
    sync u32 joined(i32 count in 0..16, in char word[i < count][nul] max 4K) = 3;

    sync Shop open(string name max 32) = 10 throws Trouble creates;
    sync Item take(Shop s, Options o) = 11 throws Trouble creates;
    sync string name_of(Item i) = 12 max 64;
    sync void close(Shop s) = 13 destroys s;

    async watch(callback progress p?, cookie user) = 20 @notify(now);
    sync u32 work(u32 steps in 0..10000) = 21;
    sync i32 consult(i32 number) = 22;
    async poke(string text max 32) = 23 @notify(now);

    callback async progress(u32 done, cookie user) = 1 @drop_newest;
    callback async news(string text max 32) = 2 @drop_oldest(4);
    callback sync i32 question(i32 number) = 3 on_lost -1;
}
"""


def shop() -> Any:
    return idl.load(text=TEXT)


def make_server() -> Any:
    module = idl.load(text=TEXT)

    class Named:
        def __init__(self, name: str) -> None:
            self.name = name

    class Server(module.Handler):  # type: ignore[misc, name-defined]
        watcher: Any = None

        def set_scale(self, ctx: Any, value: int) -> None: ...

        def total(self, ctx: Any, n: int, data: Any) -> int:
            return sum(data)

        def joined(self, ctx: Any, word: Any) -> int:
            return len("".join(word))

        def open(self, ctx: Any, name: str) -> Any:
            if name == "closed":
                raise module.TroubleError(module.Trouble.CLOSED)
            return Named(name)

        def take(self, ctx: Any, s: Any, o: Any) -> Any:
            return Named(f"{s.name}:{o.width}x{o.depth}")

        def name_of(self, ctx: Any, i: Any) -> str:
            return str(i.name)

        def close(self, ctx: Any, s: Any) -> None: ...

        def watch(self, ctx: Any, p: Any) -> None:
            self.watcher = p

        def work(self, ctx: Any, steps: int) -> int:
            for step in range(steps):
                if self.watcher is not None:
                    self.watcher(step)
            ctx.news(f"{steps} steps")
            return int(ctx.dropped)

        def poke(self, ctx: Any, text: str) -> None:
            ctx.news(text)

        def consult(self, ctx: Any, number: int) -> int:
            return int(ctx.question(number)) * 10

    return Server()


@pytest.fixture
def served(bench: Any) -> Any:
    bench.vm(2).start(shop().serve("vogl0", make_server()))
    return bench


def session_of(bench: Any) -> Any:
    return shop().session(bench.vm(3).rpq("vogl0"))


def test_state_gives_both_sides_the_same_size(served: Any) -> None:
    with session_of(served) as session, session.channel() as channel:
        client = shop().Client(channel)
        assert client.total(3, bytes([1, 2, 3])) == 6
        client.set_scale(2)
        assert client.total(3, bytes([1, 2, 3, 4, 5, 6])) == 21
        with pytest.raises(errors.BadArgument):
            client.total(3, bytes(3))
        assert client.joined(["one", "", "two"]) == 6


def test_handles_belong_to_the_session_and_not_to_the_channel(served: Any) -> None:
    with session_of(served) as session, session.channel() as one, session.channel() as two:
        first, second = shop().Client(one), shop().Client(two)
        store = first.open("corner")
        item = second.take(store, shop().Options(depth=3))
        assert first.name_of(item) == "corner:7x3"
        first.close(store)
        with pytest.raises(errors.LinkError):
            second.name_of(item)
        # Only the channel that used a dead handle is lost.
        assert first.name_of(first.take(first.open("next"), shop().Options())) == "next:7x8"


def test_a_handle_of_one_session_is_nothing_in_another(served: Any) -> None:
    with session_of(served) as session, session_of(served) as other, session.channel() as channel:
        store = shop().Client(channel).open("mine")
        foreign = shop().Client(other.channel())
        with pytest.raises(errors.LinkError):
            foreign.take(store, shop().Options())


def test_a_declared_failure_reaches_the_caller_as_what_it_is(served: Any) -> None:
    with session_of(served) as session, session.channel() as channel:
        with pytest.raises(shop().TroubleError) as caught:
            shop().Client(channel).open("closed")
        assert caught.value.status is shop().Trouble.CLOSED


@CALLBACKS
@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (("version 1.2", "version 2.0"), "another major version"),
        (("steps in 0..10000", "steps in 0..9999"), "the same version with another text"),
    ],
)
def test_a_client_with_another_interface_is_refused(
    served: Any, change: tuple[str, str], reason: str
) -> None:
    other = idl.load(text=TEXT.replace(*change))
    with other.session(served.vm(3).rpq("vogl0")) as session:
        client = other.Client(session.channel())
        with pytest.raises(errors.VersionMismatch):
            client.work(0)
    with session_of(served) as session, session.channel() as channel:
        assert shop().Client(channel).work(0) == 0


@CALLBACKS
def test_an_older_client_is_served(served: Any) -> None:
    older = idl.load(text=TEXT.replace("version 1.2", "version 1.1"))
    with older.session(served.vm(3).rpq("vogl0"), b"mine") as session, session.channel() as channel:
        assert older.Client(channel).work(0) == 0


@CALLBACKS
def test_a_registered_callback_comes_with_its_cookie_while_a_call_waits(served: Any) -> None:
    with session_of(served) as session, session.channel() as channel:
        client = shop().Client(channel)
        seen: list[Any] = []
        news: list[str] = []
        cookie = object()
        client.watch(lambda done, user: seen.append((done, user)), cookie)
        client.on_news(news.append)
        assert client.work(5) == 0
        while client.handle_callbacks():
            pass
        assert seen == [(number, cookie) for number in range(5)]
        assert news == ["5 steps"]
        client.watch(None)
        client.work(5)
        client.handle_callbacks()
        assert len(seen) == 5


@CALLBACKS
def test_the_server_asks_the_client_inside_a_call(served: Any) -> None:
    with session_of(served) as session, session.channel() as channel:
        client = shop().Client(channel)
        client.on_question(lambda number: number + 1)
        assert client.consult(4) == 50
        assert client.consult(-3) == -20


@CALLBACKS
@REAL_TIME
def test_callbacks_can_be_awaited(served: Any) -> None:
    with session_of(served) as session, session.channel() as channel:
        client = shop().Client(channel)
        news: list[str] = []
        client.on_news(news.append)

        async def run() -> None:
            client.poke("one")
            while len(news) < 1:
                await client.aio.handle_callbacks()
            assert await client.aio.total(2, b"\1\2") == 3

        asyncio.run(run())
        assert news == ["one"]


def test_a_mock_serves_in_a_vm(bench: Any) -> None:
    module = shop()
    bench.vm(2).start(idl.mock(module, {"total": 42}).guest("vogl0"))
    with session_of(bench) as session, session.channel() as channel:
        client = module.Client(channel)
        assert client.total(1, b"x") == 42
        assert client.name_of(client.take(client.open("x"), module.Options())) == ""


def test_a_recorded_session_can_be_asked_again(served: Any, tmp_path: Path) -> None:
    module, file = shop(), tmp_path / "shop.rec"
    with (
        session_of(served) as session,
        session.channel() as channel,
        idl.record(channel, file, module) as recorded,
    ):
        client = module.Client(recorded)
        client.set_scale(3)
        client.total(1, b"abc")
        client.take(client.open("corner"), module.Options())
    with session_of(served) as session, session.channel() as channel:
        again = idl.replay(file, channel, module)
        assert (again.posts, again.calls) == (1, 3)
        assert [str(d) for d in again.differences] == []
