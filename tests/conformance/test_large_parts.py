"""`@large` parameters in a buffer that the client keeps: where they travel, when, and what liars get. MODEL, IDL."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import pytest
from conformance_lib import EVERYWHERE
from test_call_buffers import Client, Memory, frames, make_server

from hyplink import buffers, errors
from hyplink.idl.linked import UmemRef

pytestmark = EVERYWHERE

ROOM = 128 << 10
#: More than half of a port of 8 KiB: it can only have travelled beside it.
BIG = 60_000


class Large(Client):
    """A client whose channel has a small port and a buffer for large parts."""

    def __init__(self, bench: Any) -> None:
        super().__init__(bench)
        self.room = self.alloc(ROOM)
        self.narrow, self.beside, self.large = self.small(self.room)

    def small(self, room: Any) -> tuple[Any, Any, Any]:
        channel = self.session.channel(parameter_bytes=8192)
        self.channels.append(channel)
        table = self.buffers.table(channel, large=room)
        return channel, table, frames().Client(channel, buffers=table)

    def sends(self, table: Any) -> Any:
        """A client of a small port with whatever it takes for its buffers."""
        self.channels.append(self.session.channel(parameter_bytes=8192))
        return frames().Client(self.channels[-1], buffers=table)

    def close(self) -> None:
        self.beside.close()
        super().close()


@pytest.fixture
def client(bench: Any) -> Iterator[Large]:
    bench.vm(2).start(buffers.serve(frames().serve("vogl0", make_server()), Memory))
    client = Large(bench)
    yield client
    with contextlib.suppress(errors.HyplinkError):
        client.close()


# --- where they travel ----------------------------------------------------------------------------


def test_a_large_part_travels_in_the_buffer_and_a_small_one_in_its_block(client: Large) -> None:
    client.large.upload(1023, b"\x01" * 1023)
    assert client.large.uploaded() == 1023
    assert bytes(client.room.map()[:1024]) == bytes(1024)
    client.large.upload(BIG, b"\x02" * BIG)
    assert client.large.uploaded() == 2 * BIG
    assert bytes(client.room.map()[:BIG]) == b"\x02" * BIG
    client.large.upload(1024, b"\x03" * 1024)
    assert client.large.uploaded() == 3 * 1024


def test_without_a_buffer_what_is_larger_than_the_port_is_refused(client: Large) -> None:
    inside = client.sends(None)
    with pytest.raises(errors.MessageTooLong):
        inside.upload(BIG, bytes(BIG))
    inside.upload(2000, b"\x01" * 2000)
    assert inside.uploaded() == 2000


def test_one_copy_on_the_way_in_is_counted(client: Large) -> None:
    before = client.narrow.stats
    client.large.upload(BIG, bytes(BIG))
    client.narrow.notify()
    after = client.narrow.stats
    assert after["copies"] - before["copies"] == 2  # the part, and the block that names it
    assert BIG <= after["copied_bytes"] - before["copied_bytes"] < BIG + 64


def test_the_buffers_room_is_used_again_when_the_server_is_done_and_not_before(
    client: Large,
) -> None:
    for i in range(60):
        client.large.upload(BIG, bytes([i]) * BIG)
    assert client.large.uploaded() == 59 * BIG
    assert client.large.mixed() == 0


def test_large_parts_of_one_request_lie_apart_or_one_goes_inside(client: Large) -> None:
    a, b = b"\x01" * 30_000, [2.0] * 10_000
    assert client.large.both(len(a), a, len(b), b) == 30_000 + 20_000
    assert client.large.both(0, None, len(b), b) == 20_000
    assert client.large.both(len(a), a, 0, []) == 30_000
    with client.alloc(32 << 10) as room:
        channel, table, calls = client.small(room)
        with channel, table:
            assert calls.both(len(a), a, 500, [2.0] * 500) == 31_000
            with pytest.raises(errors.MessageTooLong):
                calls.both(len(a), a, len(b), b)
            assert calls.both(0, None, 7_000, [2.0] * 7_000) == 14_000


def test_a_length_that_only_the_sender_knows_travels_with_the_buffer(client: Large) -> None:
    client.large.words([7] * 20_000)
    assert client.large.uploaded() == 7 * 20_000
    client.large.words([7] * 3)
    assert client.large.uploaded() == 21


def test_each_channel_has_a_buffer_of_its_own(client: Large) -> None:
    with client.alloc(ROOM) as room:
        channel, table, calls = client.small(room)
        with channel, table:
            for i in range(10):
                client.large.upload(BIG, bytes([i]) * BIG)
                calls.upload(BIG, bytes([100 + i]) * BIG)
            assert client.large.mixed() == calls.mixed() == 0


# --- when there is none ---------------------------------------------------------------------------


def test_what_never_fits_the_buffer_travels_inside(client: Large) -> None:
    with client.alloc(4096) as room:
        channel = client.session.channel()
        client.channels.append(channel)
        table = client.buffers.table(channel, large=room)
        calls = frames().Client(channel, buffers=table)
        calls.upload(4097, b"\x05" * 4097)
        assert calls.uploaded() == 5 * 4097
        assert bytes(room.map()) == bytes(4096)
        calls.upload(4096, b"\x06" * 4096)
        assert calls.uploaded() == 6 * 4096
        assert bytes(room.map()) == b"\x06" * 4096
        table.close()


@pytest.mark.parametrize("how", ["free", "unmap", "detach", "give"])
def test_after_the_buffer_is_gone_parts_travel_inside(client: Large, how: str) -> None:
    client.large.upload(3000, b"\x01" * 3000)
    assert client.large.uploaded() == 3000
    if how == "free":
        client.room.free()
    elif how == "unmap":
        client.room.unmap()
    elif how == "detach":
        client.buffers.detach(client.room)
    else:
        assert client.calls.keep(client.room) == 1
    client.large.upload(3000, b"\x02" * 3000)
    assert client.large.uploaded() == 6000
    with pytest.raises(errors.MessageTooLong):
        client.large.upload(BIG, bytes(BIG))
    assert client.large.uploaded() == 6000


def test_large_parts_need_to_know_their_channel(client: Large) -> None:
    with pytest.raises(errors.BadArgument, match="of a channel"):
        client.buffers.table(large=client.room)


def test_when_the_server_dies_whoever_waits_for_room_is_told(bench: Any, client: Large) -> None:
    client.large.upload(BIG, bytes(BIG))
    assert client.large.uploaded() == 0
    bench.vm(2).kill()
    bench.link("vogl0").wait_off()

    def upload_much() -> None:
        for _ in range(5):
            client.large.upload(BIG, bytes(BIG))

    with pytest.raises(errors.PeerDied):
        upload_much()


# --- liars ----------------------------------------------------------------------------------------


class Liar:
    """A table that names whatever it was told to."""

    def __init__(self, reference: UmemRef) -> None:
        self.name = reference

    def place(self, data: memoryview, first: bool, /) -> UmemRef:
        return self.name


def tell(calls: Any, nbytes: int = 2048) -> int:
    calls.upload(nbytes, bytes(nbytes))
    return int(calls.uploaded())


def refused(client: Large, name: UmemRef) -> None:
    """The server ends the channel for it, and only that."""
    calls = client.sends(Liar(name))
    with pytest.raises((errors.CorruptRing, errors.PeerDied)):
        tell(calls)
    client.channels.pop().close()
    assert client.large.mixed() == 0


def test_a_buffer_that_is_named_honestly_by_hand_is_taken(client: Large) -> None:
    name = client.buffers.attach(client.room)
    client.room.map()[64 : 64 + 2048] = b"\x01" * 2048
    calls = client.sends(Liar(name._replace(offset=64, length=2048)))
    assert tell(calls) == 2048


def test_wrong_lengths_and_places_are_refused(client: Large) -> None:
    name = client.buffers.attach(client.room)
    for offset, length in (
        (0, 2047),
        (0, 2049),
        (0, ROOM),
        (0, 0),  # a name without bytes is a name
        (ROOM - 2047, 2048),
        (ROOM, 2048),
        ((1 << 64) - 8, 2048),
        (8, (1 << 64) - 8),
    ):
        refused(client, name._replace(offset=offset, length=length))


def test_freed_foreign_and_invented_buffers_are_refused(bench: Any, client: Large) -> None:
    frame = client.alloc()
    name = client.buffers.attach(frame)._replace(length=2048)
    frame.free()
    refused(client, name)
    other = Client(bench)
    with other.alloc() as theirs:
        refused(client, other.buffers.attach(theirs)._replace(length=2048))
    other.close()
    mine = client.buffers.attach(client.room)
    refused(client, mine._replace(generation=mine.generation + 1, length=2048))
    refused(client, UmemRef(0xFFFFFFFF, 1, 0, 2048))


def test_a_buffer_that_was_given_away_is_refused_until_it_is_back(client: Large) -> None:
    with client.alloc() as frame:
        name = client.buffers.attach(frame)
        assert client.calls.keep(frame) == 1
        refused(client, name._replace(length=2048))
        client.calls.give_back(5)
        client.wait_filled()
        calls = client.sends(Liar(name._replace(length=2048)))
        assert tell(calls) == 5


def test_a_server_without_buffers_refuses_what_names_one(bench: Any) -> None:
    bench.vm(2).start(frames().serve("vogl0", make_server()))
    with (
        frames().session(bench.vm(3).rpq("vogl0")) as session,
        session.channel() as channel,
    ):
        calls = frames().Client(channel, buffers=Liar(UmemRef(1, 1, 0, 2048)))
        with pytest.raises((errors.CorruptRing, errors.PeerDied)):
            tell(calls)
