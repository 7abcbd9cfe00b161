"""vUmem: whose memory it is, who may do what, and what is answered. PVUG 3.2; vlx-facts 3."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import mmap
from collections.abc import Iterator
from typing import Any

import pytest
from conformance_lib import EVERYWHERE
from umem_lib import PAGE, Pair, anonymous

from hyplink import errors
from hyplink.testing import background
from hyplink.umem import ORDINARY, Attribute, CacheOp, Command, Memory

pytestmark = EVERYWHERE

TINY_PDEV = """
&vm2_vdevs { be: vogl@be { compatible = "vogl"; info = "vumem-pdev=2K"; server; }; };
&vm3_vdevs { vogl@fe { peer-phandle = <&be>; client; }; };
"""


@pytest.fixture
def pair(bench: Any) -> Iterator[Pair]:
    pair = Pair(bench)
    yield pair
    pair.close()


# --- memory ---------------------------------------------------------------------------------------


def works_with(pair: Pair, array: Any) -> None:
    """Both sides see the same bytes, and what was written stays with the server."""
    array[:5] = b"hello"
    buffer = pair.alloc(array)
    view = buffer.map()
    assert bytes(view[:5]) == b"hello"
    view[PAGE + 1 : PAGE + 6] = b"world"
    assert bytes(array[PAGE + 1 : PAGE + 6]) == b"world"
    array[1] = 77
    assert view[1] == 77
    del view
    pair.free(buffer)
    assert bytes(array[PAGE + 1 : PAGE + 6]) == b"world"


def test_what_a_client_writes_stands_in_the_servers_own_array(pair) -> None:
    works_with(pair, anonymous(3))


def test_memory_made_for_it_is_lent_without_a_copy_and_stays_the_servers(pair) -> None:
    memory = Memory(2 * PAGE)
    works_with(pair, memoryview(memory))
    assert pair.client_device.profile().buffers_now == 0


def test_a_static_array_of_a_program_can_be_lent(pair) -> None:
    raw = (ctypes.c_char * (4 * PAGE))()
    start = -ctypes.addressof(raw) % PAGE
    works_with(pair, memoryview(raw).cast("B")[start : start + 2 * PAGE])


def test_a_numpy_array_can_be_lent(pair) -> None:
    numpy = pytest.importorskip("numpy")
    raw = numpy.zeros(4 * PAGE, "u1")
    start = -raw.ctypes.data % PAGE
    works_with(pair, memoryview(raw[start : start + 2 * PAGE]))


def test_memory_of_which_a_part_was_lent_before_can_be_lent_whole(pair) -> None:
    array = anonymous(6)
    pair.free(pair.alloc(memoryview(array)[PAGE : 3 * PAGE]))
    works_with(pair, array)


def test_a_mapped_file_is_lent_through_the_file(pair, tmp_path) -> None:
    path = tmp_path / "frames"
    path.write_bytes(bytes(4 * PAGE))
    with path.open("r+b") as file, mmap.mmap(file.fileno(), 2 * PAGE, offset=PAGE) as mapped:
        works_with(pair, mapped)
    assert path.read_bytes()[PAGE + PAGE + 1 :][:5] == b"world"


def test_the_size_is_rounded_up_to_pages(pair) -> None:
    array = anonymous(2)
    buffer = pair.alloc(memoryview(array)[: PAGE + 1])
    assert buffer.nbytes == 2 * PAGE
    pair.free(buffer)


def test_one_array_may_stand_behind_several_buffers(pair) -> None:
    array = anonymous(4)
    whole = pair.alloc(array)
    part = pair.alloc(memoryview(array)[PAGE : 3 * PAGE])
    whole.map()[PAGE] = 5
    assert part.map()[0] == 5
    pair.free(whole)
    part.map()[1] = 6
    assert array[PAGE + 1] == 6
    pair.free(part)
    assert array[PAGE : PAGE + 2] == b"\x05\x06"


@pytest.mark.parametrize("wrong", ["not at a page", "not writable", "larger than its mapping"])
def test_memory_that_cannot_be_lent_is_refused_on_both_sides(pair, wrong) -> None:
    array = anonymous(2)
    if wrong == "not at a page":
        memory: Any = memoryview(array)[8:PAGE]
    elif wrong == "not writable":
        libc = ctypes.CDLL(None)
        place = ctypes.addressof(ctypes.c_char.from_buffer(array))
        assert libc.mprotect(ctypes.c_void_p(place), ctypes.c_size_t(PAGE), 1) == 0
        memory = array
    else:
        place = ctypes.addressof(ctypes.c_char.from_buffer(array))
        memory = (ctypes.c_char * (1 << 30)).from_address(place)

    def respond(_: Any) -> None:
        with pytest.raises(errors.BadArgument):
            pair.server.respond(memory)

    with pytest.raises(errors.BadArgument):
        pair.asking(lambda: pair.session.alloc(), respond)
    pair.free(pair.alloc(anonymous(1)))  # and nothing is out of step


def test_a_buffer_without_memory_is_a_buffer_that_cannot_be_mapped(pair) -> None:
    buffer = pair.alloc(None)
    assert (buffer.nbytes, buffer.is_mappable) == (0, False)
    with pytest.raises(errors.BadArgument, match="no memory"):
        buffer.map()
    pair.free(buffer)


@pytest.mark.hyplink_dts(TINY_PDEV)
def test_more_chunks_than_fit_the_pdev_name_the_property_to_raise(pair) -> None:
    fits = (1024 - 128 - 160) // 16 * 64 * 1024
    pair.free(pair.alloc(Memory(fits)))

    def respond(_: Any) -> None:
        with pytest.raises(errors.MessageTooLong, match="raise vumem-pdev"):
            pair.server.respond(Memory(fits + 1))

    with pytest.raises(errors.MessageTooLong, match="raise vumem-pdev"):
        pair.asking(lambda: pair.session.alloc(), respond)
    pair.free(pair.alloc(Memory(PAGE)))


# --- the server program ---------------------------------------------------------------------------


def test_receive_and_respond_alternate_strictly(pair) -> None:
    with pytest.raises(errors.BadArgument, match="no request"):
        pair.server.respond()
    asked = background(pair.bench, pair.session.alloc)
    pair.server.receive()
    with pytest.raises(errors.BadArgument, match="not responded"):
        pair.server.receive()
    pair.server.respond()
    with pytest.raises(errors.BadArgument, match="no request"):
        pair.server.respond()
    pair.free(asked.result())


def test_two_server_operations_at_a_time_are_refused(pair) -> None:
    waiting = background(pair.bench, lambda: pair.server.receive(timeout=None))
    refused: Any = None
    while not isinstance(refused, errors.Busy):  # EINVAL: the other one has not begun
        with pytest.raises((errors.Busy, errors.BadArgument)) as raised:
            pair.server.respond()
        refused = raised.value
    with pytest.raises(errors.Busy):
        pair.server.receive()
    asked = background(pair.bench, pair.session.alloc)
    assert waiting.result().command is Command.ALLOC
    pair.server.respond()
    pair.free(asked.result())


def test_a_device_has_one_server(pair) -> None:
    with (
        pair.bench.vm(2).application() as other,
        pytest.raises(errors.Busy, match="has a server"),
    ):
        other.umem("vogl0").server()
    pair.server.close()
    with pair.server_device.server() as second:
        assert second.is_open


def test_buffer_numbers_begin_at_one_are_reused_and_must_be_echoed(pair) -> None:
    first, second = pair.alloc(None), pair.alloc(None)
    assert (first.id, second.id) == (1, 2)
    pair.free(first)
    assert pair.alloc(None).id == 1

    def respond(request: Any) -> None:
        assert request.buffer == 3
        with pytest.raises(errors.BadArgument, match="the request says 3"):
            pair.server.respond(buffer=4)

    with pytest.raises(errors.BadArgument):
        pair.asking(pair.session.alloc, respond)


def test_the_argument_goes_both_ways_as_long_as_the_client_gave_it(pair) -> None:
    buffer = pair.alloc(None, b"x" * 128, argument=b"abc")
    assert buffer.argument == b"abc" + bytes(125)
    assert pair.alloc(None, b"12", argument=b"abc").argument == b"ab"
    with pytest.raises(errors.BadArgument, match="at most 128"):
        pair.session.alloc(b"x" * 129)

    def respond(_: Any) -> None:
        with pytest.raises(errors.BadArgument, match="at most 128"):
            pair.server.respond(argument=b"x" * 129)

    with pytest.raises(errors.BadArgument):
        pair.asking(pair.session.alloc, respond)


@pytest.mark.parametrize(
    ("answered", "seen"),
    [(errno.ENOMEM, errno.ENOMEM), (errno.ENOSPC, errno.ENOSPC), (-5, 22), (5000, 22)],
)
def test_the_servers_error_is_an_errno_or_einval(pair, answered, seen) -> None:
    with pytest.raises(errors.LinkError) as raised:
        pair.asking(pair.session.alloc, pair.failing(answered))
    assert raised.value.errno == seen


def test_who_asks_is_said_with_the_request(pair) -> None:
    def respond(request: Any) -> None:
        assert (request.vm, request.app) == (3, pair.client_application.id)
        pair.server.respond()

    pair.asking(pair.session.alloc, respond)


# --- sessions -------------------------------------------------------------------------------------


def test_while_there_is_a_master_session_it_alone_allocates(pair) -> None:
    with pair.bench.vm(3).application() as other:
        master = other.umem("vogl0").session(master=True)
        assert (master.is_master, pair.session.is_master) == (True, False)
        with pytest.raises(errors.NotPermitted, match="master"):
            pair.session.alloc()
        with pytest.raises(errors.Busy, match="master"):
            pair.client_device.session(master=True)
        pair.free(pair.alloc(None, session=master))
        master.close()
        pair.free(pair.alloc(None))
        pair.client_device.session(master=True).close()


def test_a_session_waits_for_a_server(bench) -> None:
    with bench.vm(3).application() as client, bench.vm(2).application() as server:
        creating = background(bench, lambda: client.umem("vogl0").session(timeout=None))
        with server.umem("vogl0").server():
            assert creating.result().is_alive


def test_a_session_that_is_given_up_leaves_nothing_behind(bench) -> None:
    with bench.vm(3).application() as client, bench.vm(2).application() as server:
        for _ in range(3):
            with pytest.raises(errors.DeadlineExceeded):
                client.umem("vogl0").session(master=True, timeout=0.02)
        with server.umem("vogl0").server():
            assert client.umem("vogl0").session(master=True).is_alive


def test_what_a_session_allocated_goes_with_it(pair) -> None:
    session = pair.client_device.session()
    buffers = [pair.alloc(None, session=session) for _ in range(3)]
    session.close()
    for _ in buffers:
        assert pair.server.receive().command is Command.FREE
        pair.server.respond()
    with pytest.raises(errors.HandleClosed):
        buffers[0].free()
    assert pair.server_device.profile(server=True).buffers_now == 0


# --- buffers --------------------------------------------------------------------------------------


def test_a_buffer_is_mapped_once_in_a_process(pair) -> None:
    buffer = pair.alloc(Memory(PAGE))
    assert buffer.map() is buffer.map()
    other = pair.client_device.session()
    again = pair.asking(lambda: other.register(buffer.token), *pair.fine(Command.REGISTER))
    with pytest.raises(errors.Busy, match="has mapped"):
        again.map()
    buffer.unmap()
    with pytest.raises(errors.BadArgument, match="not mapped"):
        buffer.unmap()
    again.map()


def test_a_buffer_of_another_application_is_reached_by_its_token_and_registration(pair) -> None:
    memory = Memory(PAGE)
    buffer = pair.alloc(memory)
    buffer.map()[:3] = b"abc"
    with pair.bench.vm(3).application() as other:
        device = other.umem("vogl0")
        with pytest.raises(errors.BadArgument, match="token"):
            device.import_buffer(bytes(16))
        imported = device.import_buffer(buffer.token)
        with pytest.raises(errors.NotPermitted, match="register"):
            imported.map()
        with pytest.raises(errors.BadArgument, match="not registered"):
            imported.unregister()
        session = device.session()
        pair.asking(lambda: imported.register(session), *pair.fine(Command.REGISTER))
        with pytest.raises(errors.Busy):
            imported.register(session)
        assert bytes(imported.map()[:3]) == b"abc"
        assert (imported.id, imported.is_allocator, buffer.is_allocator) == (1, False, True)
        imported.map()[3] = 4
        assert buffer.map()[3] == memoryview(memory)[3] == 4
        # The last one who has it decides when it is freed.
        buffer.free()
        imported.map()[4] = 5
        assert memoryview(memory)[4] == 5
        pair.asking(imported.free, *pair.fine(Command.UNREGISTER, Command.FREE))


def test_registering_can_be_refused_by_the_server(pair) -> None:
    buffer = pair.alloc(Memory(PAGE))
    second = pair.client_device.session()
    with pytest.raises(errors.LinkError) as raised:
        pair.asking(lambda: second.register(buffer.token), pair.failing(errno.EACCES))
    assert raised.value.errno == errno.EACCES
    pair.free(buffer)


def test_a_client_application_that_ends_gives_everything_back_in_order(pair) -> None:
    other = pair.bench.vm(3).application()
    mine = pair.alloc(Memory(PAGE))
    session = other.umem("vogl0").session()
    pair.alloc(Memory(PAGE), session=session).map()
    shared = pair.asking(lambda: session.register(mine.token), *pair.fine(Command.REGISTER))
    shared.map()
    other.close()
    seen = []
    for _ in range(2):
        request = pair.server.receive()
        seen.append((request.command, request.buffer))
        pair.server.respond()
    assert sorted(seen) == [(Command.FREE, 2), (Command.UNREGISTER, 1)]
    pair.free(mine)


def test_control_commands(pair) -> None:
    buffer = pair.alloc(None, b"")

    def respond(request: Any) -> None:
        assert (request.command, request.argument) == (Command.CONTROL, b"question")
        pair.server.respond(argument=b"answer")

    assert pair.asking(lambda: buffer.control(b"question"), respond) == b"answer\0\0"
    with pytest.raises(errors.BadArgument, match="at most 128"):
        buffer.control(bytes(129))
    with pytest.raises(errors.LinkError) as raised:
        pair.asking(lambda: buffer.control(b"?"), pair.failing(errno.ENOTTY))
    assert raised.value.errno == errno.ENOTTY
    assert buffer.private == 0
    buffer.private = 1 << 40
    assert pair.client_device.import_buffer(buffer.token).private == 1 << 40
    with pytest.raises(errors.BadArgument, match="command 6"):
        buffer._core.control_local(6, 0, 1.0)


def test_cache_control_is_local_or_remote_or_nothing_by_the_attributes(pair) -> None:
    device = pair.client_device

    def counts() -> tuple[int, int]:
        profile = device.profile()
        return profile.cache_local, profile.cache_remote

    plain = pair.alloc(Memory(PAGE))
    with pytest.raises(errors.BadArgument, match="not mapped"):
        plain.cache(CacheOp.TO_MEMORY)
    plain.map()
    for wrong in (0, 16, 32):
        with pytest.raises(errors.BadArgument, match="operations"):
            plain.cache(CacheOp(wrong))
    plain.cache(CacheOp.TO_MEMORY | CacheOp.TO_DEVICE)
    assert counts() == (1, 0)
    synced = pair.alloc(
        Memory(PAGE), attributes=ORDINARY | Attribute.DEVICE_SYNC | Attribute.MEMORY_SYNC
    )
    synced.map()
    synced.cache(CacheOp.FROM_MEMORY)
    assert counts() == (2, 0)
    synced.cache(CacheOp.TO_DEVICE)
    assert counts() == (2, 1)
    synced.cache(CacheOp.TO_DEVICE | CacheOp.LOCAL)
    assert counts() == (3, 1)
    outer = pair.alloc(
        Memory(PAGE), attributes=ORDINARY | Attribute.OUTER_CACHE | Attribute.MEMORY_SYNC
    )
    outer.map()
    outer.cache(CacheOp.TO_MEMORY)
    assert counts() == (3, 2)


def test_an_allocation_that_is_given_up_is_freed_when_it_is_answered(pair) -> None:
    with pytest.raises(errors.DeadlineExceeded):
        pair.session.alloc(timeout=0.02)
    assert pair.server.receive().command is Command.ALLOC
    pair.server.respond(Memory(PAGE))
    request = pair.server.receive()
    assert (request.command, request.buffer) == (Command.FREE, 1)
    pair.server.respond()
    assert pair.alloc(None).id == 1


def test_the_counters(pair) -> None:
    buffer = pair.alloc(Memory(2 * PAGE))
    buffer.map()
    client = pair.client_device.profile()
    server = pair.server_device.profile(server=True)
    assert (client.sessions, client.allocs, client.maps) == (1, 1, 1)
    assert (client.buffers_now, client.bytes_now) == (1, 2 * PAGE)
    assert (server.sessions, server.allocs, server.bytes_now) == (1, 1, 2 * PAGE)
    pair.client_device.profile(reset=True)
    client = pair.client_device.profile()
    assert (client.allocs, client.maps, client.buffers_now) == (0, 0, 1)
    pair.free(buffer)


# --- views ----------------------------------------------------------------------------------------


def test_unmapping_under_a_live_view_is_a_buffer_error(pair) -> None:
    numpy = pytest.importorskip("numpy")
    memory = Memory(PAGE)
    buffer = pair.alloc(memory)
    array = numpy.frombuffer(buffer.map(), "u4")
    array[1] = 0x01020304
    assert bytes(memoryview(memory)[4:8]) == b"\4\3\2\1"
    for refused in (buffer.unmap, buffer.free, buffer.close):
        with pytest.raises(BufferError):
            refused()
    array[2] = 7  # still there
    del array
    part = buffer.map()[8:12]
    with pytest.raises(BufferError, match="1 live"):
        buffer.unmap()
    assert bytes(part) == b"\7\0\0\0"
    del part
    pair.free(buffer)


def test_a_forgotten_buffer_keeps_its_memory_while_a_view_of_it_lives(pair) -> None:
    view = pair.alloc(Memory(PAGE)).map()
    pair.buffers.clear()
    view[0] = 1
    assert view[0] == 1
    with contextlib.suppress(errors.DeadlineExceeded):
        pair.server.receive(timeout=0)  # nobody asked to free it
        pytest.fail("it was freed under a view")
