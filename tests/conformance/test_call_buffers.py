"""vUmem buffers as parameters of generated calls: whose they are, who may name them, what deaths do. MODEL, IDL."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from conformance_lib import EVERYWHERE

from hyplink import buffers, errors, idl, umem
from hyplink.idl.linked import UmemRef
from hyplink.testing import eventually

pytestmark = EVERYWHERE

PAGE = 4096
FRAMES = Path(__file__).parents[1] / "idl/vm/frames.vidl"


def frames() -> Any:
    return idl.load(FRAMES)


def make_server() -> Any:
    module = frames()

    class Server(module.Handler):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            self.mine: list[Any] = []
            self.last = 0
            self.odd = 0

        def sum(self, ctx: Any, a: Any, b: Any) -> int:
            return sum(a.data) + (sum(b.data) if b is not None else 0)

        def touch(self, ctx: Any, frame: Any, value: int) -> int:
            frame.data[:] = bytes([value]) * frame.nbytes
            return int(frame.nbytes)

        def fill(self, ctx: Any, frame: Any, value: int) -> None:
            frame.data[:4] = value.to_bytes(4, "little")
            ctx.filled(frame, value)

        def keep(self, ctx: Any, frame: Any) -> int:
            self.mine.append(frame)
            return len(self.mine)

        def give_back(self, ctx: Any, value: int) -> None:
            frame = self.mine.pop()
            frame.data[:4] = value.to_bytes(4, "little")
            looked = ctx.look(frame)
            ctx.filled(frame, value + looked)

        def kept(self, ctx: Any) -> int:
            return sum(frame.data[0] for frame in self.mine)

        def try_to_write(self, ctx: Any, frame: Any) -> bool:
            try:
                frame.data[0] = 1
            except TypeError:
                return False
            return True

        def upload(self, ctx: Any, n: int, data: Any) -> None:
            self.last = sum(data)
            self.odd += len(set(bytes(data))) > 1

        def mixed(self, ctx: Any) -> int:
            return self.odd

        def words(self, ctx: Any, text: Any) -> None:
            self.last = sum(text)

        def both(self, ctx: Any, n: int, a: Any, m: int, b: Any) -> int:
            return int(sum(a or b"") + sum(b))

        def uploaded(self, ctx: Any) -> int:
            return self.last

    return Server()


class Memory:
    """Lends as many bytes as the argument says."""

    def alloc(self, request: umem.Request) -> Any:
        return umem.Memory(int(request.argument))

    def free(self, request: umem.Request) -> None: ...

    def control(self, request: umem.Request) -> bytes:
        return bytes(reversed(request.argument))


class Client:
    """An application of VM 3 with a channel, a vUmem session and buffers to name."""

    def __init__(self, bench: Any) -> None:
        self.application = bench.vm(3).application()
        self.memory = self.application.umem("vogl0").session()
        self.session = frames().session(self.application.rpq("vogl0"))
        self.buffers = buffers.ClientBuffers()
        self.filled: list[Any] = []
        self.channels: list[Any] = []
        self.channel, self.table, self.calls = self.open()

    def open(self) -> tuple[Any, Any, Any]:
        channel, table = self.session.channel(), self.buffers.table()
        self.channels.append(channel)
        calls = frames().Client(channel, buffers=table)
        calls.on_filled(lambda frame, value: self.filled.append((frame, value)))
        calls.on_look(lambda frame: frame.map()[0])
        return channel, table, calls

    def raw(self) -> Any:
        """A channel whose client names whatever it likes."""
        self.channels.append(self.session.channel(parameter_bytes=8192))
        return frames().Client(self.channels[-1])

    def alloc(self, nbytes: int = PAGE) -> Any:
        return self.memory.alloc(b"%d" % nbytes)

    def wait_filled(self) -> tuple[Any, int]:
        while not self.filled:
            self.calls.handle_callbacks(timeout=60)
        found: tuple[Any, int] = self.filled.pop(0)
        return found

    def close(self) -> None:
        self.table.close()
        for channel in self.channels:
            channel.close()  # a client that listens holds its channel, and the channel the client
        self.application.close()


@pytest.fixture
def served(bench: Any) -> Any:
    bench.vm(2).start(buffers.serve(frames().serve("vogl0", make_server()), Memory))
    return bench


@pytest.fixture
def client(served: Any) -> Iterator[Client]:
    client = Client(served)
    yield client
    with contextlib.suppress(errors.HyplinkError):
        client.close()


def refused(client: Client, procedure: str, *arguments: Any) -> None:
    """The server ends the channel for it: rule D13. Its end may be seen before the reason is."""
    calls = client.raw()
    with pytest.raises((errors.CorruptRing, errors.PeerDied)):
        getattr(calls, procedure)(*arguments)
    client.channels.pop().close()


# --- lends ----------------------------------------------------------------------------------------


def test_a_lent_buffer_is_the_same_memory_on_both_sides(client: Client) -> None:
    with client.alloc() as frame:
        frame.map()[:3] = bytes([1, 2, 4])
        assert client.calls.sum(frame) == 7
        assert client.calls.touch(frame, 9) == PAGE
        assert bytes(frame.map()) == b"\x09" * PAGE
        assert client.buffers.has(frame)


def test_a_part_of_a_buffer_may_be_meant(client: Client) -> None:
    with client.alloc() as frame, client.alloc() as other:
        frame.map()[:16] = bytes(range(16))
        other.map()[PAGE - 1] = 5
        assert client.calls.sum(buffers.Part(frame, 4, 3)) == 4 + 5 + 6
        assert client.calls.sum(frame, buffers.Part(other, PAGE - 1, 1)) == sum(range(16)) + 5
        assert client.calls.touch(buffers.Part(frame, 8, 0), 1) == 0
        with pytest.raises(errors.BadGuestAddress):
            client.calls.sum(buffers.Part(frame, PAGE - 1, 2))
        assert client.calls.sum(frame) == sum(range(16))


def test_what_the_interface_lets_the_server_only_read_it_cannot_write(client: Client) -> None:
    with client.alloc() as frame:
        assert client.calls.try_to_write(frame) is False


def test_a_large_part_travels_inside_where_no_buffer_is_kept_for_it(client: Client) -> None:
    client.calls.upload(3000, b"\x02" * 3000)
    assert client.calls.uploaded() == 6000


def test_the_programs_own_control_commands_still_reach_it(client: Client) -> None:
    with client.alloc() as frame:
        assert frame.control(b"abc") == b"cba"
        assert client.calls.sum(frame) == 0
        assert frame.control(b"abc") == b"cba"


# --- gives ----------------------------------------------------------------------------------------


def test_a_buffer_that_was_given_comes_back_with_a_callback(client: Client) -> None:
    with client.alloc() as frame, client.alloc() as other:
        for value in (77, 78, 79):
            client.calls.fill(frame, value)
            assert not client.buffers.has(frame)
            assert client.calls.sum(other) == 0
            assert client.wait_filled() == (frame, value)
            assert client.buffers.has(frame)
            assert frame.map()[0] == value


def test_a_buffer_moves_once(client: Client) -> None:
    with client.alloc() as frame, client.alloc() as other:
        assert client.calls.keep(frame) == 1
        for call in (client.calls.keep, client.calls.sum, client.calls.try_to_write):
            with pytest.raises(errors.NotPermitted, match="given to the other side"):
                call(frame)
        with pytest.raises(errors.BadArgument, match="no vUmem buffer"):
            client.calls.sum(b"bytes")
        assert client.calls.keep(other) == 2  # the channel is as it was
        frame.map()[0], other.map()[0] = 3, 4
        assert client.calls.kept() == 7
        client.calls.give_back(10)
        assert client.wait_filled() == (other, 20)  # and `look` saw the 10
        with pytest.raises(errors.NotPermitted):
            client.calls.sum(frame)
        assert client.calls.sum(other) == 10


def test_what_was_given_on_one_channel_is_not_there_for_another(client: Client) -> None:
    channel, table, calls = client.open()
    with client.alloc() as frame, channel, table:
        assert client.calls.keep(frame) == 1
        with pytest.raises(errors.NotPermitted):
            calls.sum(frame)
        client.calls.give_back(5)
        client.wait_filled()
        assert calls.sum(frame) == 5


def test_what_was_given_comes_back_when_its_channel_ends(served: Any, client: Client) -> None:
    with client.alloc() as frame:
        assert client.calls.keep(frame) == 1
        client.channel.close()
        client.table.close()
        client.channel, client.table, client.calls = client.open()
        assert client.buffers.has(frame)

        def can_be_named() -> bool:
            with contextlib.suppress(errors.Busy):  # the server may not have noticed
                return bool(client.calls.touch(frame, 1) == PAGE)
            return False

        eventually(served, can_be_named)
        assert frame.map()[PAGE - 1] == 1


# --- names ----------------------------------------------------------------------------------------


def test_a_freed_buffer_is_refused_at_home_and_its_name_by_the_server(client: Client) -> None:
    frame = client.alloc()
    name = client.buffers.attach(frame)
    frame.free()
    with pytest.raises(errors.HandleClosed):
        client.calls.sum(frame)
    refused(client, "sum", name)
    with client.alloc() as again:  # the same number in vUmem, another name
        assert again.id == frame.id
        assert client.buffers.attach(again).generation != name.generation
        refused(client, "sum", name)
        assert client.calls.sum(again) == 0


def test_names_that_nobody_gave_lead_nowhere(client: Client) -> None:
    with client.alloc() as frame:
        name = client.buffers.attach(frame)
        for wrong in (
            UmemRef(0, 0, 0, 8),
            UmemRef(name.slot, 0, 0, PAGE),
            UmemRef(name.slot, name.generation + 1, 0, PAGE),
            UmemRef(name.slot + 1, name.generation, 0, PAGE),
            UmemRef(name.slot, name.generation, 0, PAGE + 1),
            UmemRef(name.slot, name.generation, PAGE, 1),
            UmemRef(name.slot, name.generation, (1 << 64) - 8, 16),
            UmemRef(0xFFFFFFFF, 0xFFFFFFFF, 0, 1),
        ):
            refused(client, "sum", wrong)
        assert client.raw().sum(name) == 0


def test_a_buffer_of_another_application_is_refused(served: Any, client: Client) -> None:
    other = Client(served)
    with client.alloc() as frame:
        name = client.buffers.attach(frame)
        assert client.calls.sum(frame) == 0
        refused(other, "sum", name)
        # It may import and register it, as always in vUmem; then it may name it, too.
        with other.memory.register(frame.token) as same:
            frame.map()[0] = 6
            assert other.calls.sum(same) == 6
            same.unregister()
            refused(other, "sum", name)
    other.close()


def test_a_client_that_names_what_it_gave_away_is_refused(client: Client) -> None:
    with client.alloc() as frame:
        name = client.buffers.attach(frame)
        keeper = client.raw()
        assert keeper.keep(name) == 1
        refused(client, "sum", name)
        refused(client, "keep", name)
        assert keeper.kept() == 0  # its channel lives, and the server still has it


def test_a_server_that_knows_no_calls_is_said_so(bench: Any) -> None:
    class Plain:
        def alloc(self, request: umem.Request) -> Any:
            return umem.Memory(PAGE)

        def free(self, request: umem.Request) -> None: ...

    bench.vm(2).start(umem.serve("vogl0", Plain))
    with bench.vm(3).application() as application, application.umem("vogl0").session() as session:
        mine = buffers.ClientBuffers()
        with pytest.raises(errors.Unsupported, match="takes none in calls"):
            mine.attach(session.alloc(b"4096"))


# --- deaths ---------------------------------------------------------------------------------------


def test_when_the_server_dies_with_a_buffer_in_its_hands(served: Any, client: Client) -> None:
    given, mine = client.alloc(), client.alloc()
    view = given.map()
    assert client.calls.sum(mine) == 0
    assert client.calls.keep(given) == 1
    served.vm(2).kill()
    served.link("vogl0").wait_off()
    with pytest.raises(errors.PeerDied):
        client.calls.sum(mine)
    eventually(served, lambda: given.is_lost)  # its kernel hears of the two mechanisms one by one
    for frame in (given, mine):
        with pytest.raises(errors.PeerDied):
            client.calls.sum(frame)
    assert bytes(view) == bytes(PAGE)
    client.close()
    served.vm(2).boot()
    served.vm(2).start(buffers.serve(frames().serve("vogl0", make_server()), Memory))
    again = Client(served)
    with again.alloc() as frame:
        frame.map()[0] = 8
        assert again.calls.sum(frame) == 8
    again.close()


def test_when_the_client_dies_the_server_goes_on_and_old_names_are_nothing(
    served: Any, client: Client
) -> None:
    given = client.alloc()
    given.map()[0] = 1
    name = client.buffers.attach(given)
    assert client.calls.keep(given) == 1
    served.vm(3).kill()
    served.link("vogl0").wait_off()
    with pytest.raises((errors.PeerDied, errors.HandleClosed)):
        client.calls.sum(given)
    served.vm(3).boot()
    again = Client(served)
    refused(again, "sum", name)
    with again.alloc() as frame:
        frame.map()[0] = 2
        assert again.calls.keep(frame) == 2
        assert again.calls.kept() == 3  # what the dead client gave is still the server's to read
    again.close()


def test_an_application_that_dies_takes_its_names_along(served: Any, client: Client) -> None:
    other = Client(served)
    frame = other.alloc()
    name = other.buffers.attach(frame)
    assert other.calls.keep(frame) == 1
    other.close()
    refused(client, "sum", name)
    with client.alloc() as mine:
        assert client.calls.sum(mine) == 0


def test_memory_that_a_handler_holds_outlives_the_buffer(client: Client) -> None:
    frame = client.alloc()
    frame.map()[0] = 7
    assert client.calls.keep(frame) == 1
    frame.free()
    assert client.calls.kept() == 7
    with client.alloc() as other:
        assert client.calls.sum(other) == 0


def test_rpq_servers_without_buffers_refuse_all(bench: Any) -> None:
    bench.vm(2).start(frames().serve("vogl0", make_server()))
    with (
        frames().session(bench.vm(3).rpq("vogl0")) as session,
        session.channel() as channel,
        pytest.raises((errors.CorruptRing, errors.PeerDied)),
    ):
        frames().Client(channel).sum(UmemRef(1, 1, 0, 8))
