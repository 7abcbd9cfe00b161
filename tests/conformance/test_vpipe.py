"""vPipe and vUpipe (document 001 3.2, 3.3): one way only, and one of them without copies."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from conformance_lib import EVERYWHERE

import hyplink
from hyplink import errors
from hyplink.pipe import PollEvents
from hyplink.testing import background, eventually
from hyplink.upipe import Upipe

BOARD = """
&vm2_vdevs {
    be: vpipe@be { compatible = "vpipe"; info = "64"; server; };
    ue: vupipe@ue { compatible = "vupipe"; info = "64"; server; };
    de: vpipe@de { compatible = "vpipe"; server; };
};
&vm3_vdevs {
    vpipe@fe { peer-phandle = <&be>; client; };
    vupipe@fe { peer-phandle = <&ue>; client; };
    vpipe@df { peer-phandle = <&de>; client; };
};
"""
GONE = PollEvents.ERR | PollEvents.HUP
pytestmark = [EVERYWHERE, pytest.mark.hyplink_dts(BOARD)]


# --- vPipe ----------------------------------------------------------------------------------------


def test_the_server_reads_what_the_client_writes(pipe_pair) -> None:
    reader, writer = pipe_pair.one, pipe_pair.two
    assert writer.write(b"one way") == 7
    assert reader.in_waiting == 7
    assert reader.read(7) == b"one way"
    assert (reader.capacity, writer.capacity) == ((64 - 8, 0), (0, 64 - 8))


@pytest.mark.parametrize(("vm", "mode"), [(2, "w"), (2, "r+"), (3, "r"), (3, "r+")])
def test_an_end_is_opened_for_what_it_can_do_only(bench, vm: int, mode: str) -> None:
    with pytest.raises(PermissionError):
        bench.vm(vm).pipe("vpipe0", mode)


def test_without_a_size_a_page_less_eight_bytes_fit(bench) -> None:
    waiting = background(bench, lambda: bench.vm(2).pipe("vpipe1", "r"))
    with bench.vm(3).pipe("vpipe1", "w") as writer, waiting.result(timeout=60) as reader:
        assert writer.capacity == (0, 4088)
        assert reader.capacity == (4088, 0)


def test_a_read_waits_for_all_and_the_end_comes_after_the_data(bench, pipe_pair) -> None:
    reading = background(bench, lambda: pipe_pair.one.read(100))
    data = bytes(range(90))
    assert pipe_pair.two.write(data) == 90
    pipe_pair.two.close()
    assert reading.result(timeout=60) == data
    assert pipe_pair.one.read(1) == b""
    assert pipe_pair.one.poll() == GONE


def test_writing_to_nobody_is_a_broken_pipe(bench, pipe_pair) -> None:
    bench.vm(2).kill()
    eventually(bench, lambda: not pipe_pair.two.connected)
    with pytest.raises(BrokenPipeError):
        pipe_pair.two.write(b"x")


# --- vUpipe ---------------------------------------------------------------------------------------


@pytest.fixture
def ends(bench: hyplink.Bench) -> Iterator[tuple[Upipe, Upipe]]:
    """(reader, writer)"""
    with bench.vm(2).application() as one, bench.vm(3).application() as two:
        waiting = background(bench, lambda: one.upipe("vupipe0"))
        with two.upipe("vupipe0") as writer, waiting.result(timeout=60) as reader:
            yield reader, writer


def put(writer: Upipe, data: bytes) -> None:
    writer.available_room(len(data))
    area = writer.map()
    for at, byte in enumerate(data, start=writer.offset):
        area[at % writer.nbytes] = byte
    writer.notify_write(len(data))


def take(reader: Upipe, count: int) -> bytes:
    reader.available_data(count)
    area = reader.map()
    data = bytes(area[(reader.offset + i) % reader.nbytes] for i in range(count))
    reader.notify_read(count)
    return data


def test_both_map_the_same_area_of_the_configured_size(ends) -> None:
    reader, writer = ends
    assert reader.nbytes == writer.nbytes == len(reader.map()) == len(writer.map()) == 64
    assert reader.reads
    assert not writer.reads
    writer.map()[10:14] = b"here"
    assert bytes(reader.map()[10:14]) == b"here", "no copy, no call"
    assert reader.map().readonly


def test_bytes_go_round_the_area(ends) -> None:
    reader, writer = ends
    for number in range(20):
        data = bytes([number]) * 40
        put(writer, data)
        assert take(reader, 40) == data
    assert reader.offset == writer.offset == 20 * 40 % 64


def test_waiting_for_data_ends_when_there_is_enough(bench, ends) -> None:
    reader, writer = ends
    waiting = background(bench, lambda: reader.available_data(10))
    put(writer, b"12345")
    with pytest.raises(errors.DeadlineExceeded):
        waiting.result(timeout=0.05)
    put(writer, b"67890!")
    assert waiting.result(timeout=60) == 11


def test_waiting_for_room_ends_when_there_is_enough(bench, ends) -> None:
    reader, writer = ends
    put(writer, bytes(64))
    waiting = background(bench, lambda: writer.available_room(10))
    take(reader, 5)
    with pytest.raises(errors.DeadlineExceeded):
        waiting.result(timeout=0.05)
    take(reader, 5)
    assert waiting.result(timeout=60) == 10


def test_what_there_is_not_cannot_be_notified(ends) -> None:
    reader, writer = ends
    with pytest.raises(errors.BadArgument):
        reader.notify_read(1)
    with pytest.raises(errors.BadArgument):
        writer.notify_write(65)
    with pytest.raises(errors.BadArgument):
        writer.available_room(65)
    with pytest.raises(errors.BadArgument):
        reader.available_data(65)


def test_the_other_ends_calls_are_refused(ends) -> None:
    reader, writer = ends
    for call in (
        lambda: reader.available_room(1),
        lambda: reader.notify_write(1),
        lambda: writer.available_data(1),
        lambda: writer.notify_read(1),
    ):
        with pytest.raises(errors.HandleClosed):
            call()


def test_without_waiting_there_is_what_there_is(bench) -> None:
    waiting = background(bench, lambda: bench.vm(2).upipe("vupipe0", nonblock=True))
    with (
        bench.vm(3).upipe("vupipe0", nonblock=True) as writer,
        waiting.result(timeout=60) as reader,
    ):
        assert reader.available_data(1) is None
        assert writer.available_room(64) == 64
        put(writer, bytes(60))
        assert writer.available_room(5) is None
        assert reader.available_data(1) == 60
        assert (reader.poll(), writer.poll()) == (PollEvents.IN, PollEvents.OUT)


def test_the_end_comes_after_the_data_and_the_writer_is_told(bench, ends) -> None:
    reader, writer = ends
    put(writer, b"last")
    writer.close()
    eventually(bench, lambda: not reader.connected)
    assert reader.available_data(10) == 4
    assert take(reader, 4) == b"last"
    assert reader.available_data(1) == 0


@pytest.mark.parametrize("victim", [2, 3])
def test_a_vm_that_dies_ends_what_waits(bench, ends, victim: int) -> None:
    reader, writer = ends
    put(writer, bytes(64))
    if victim == 2:
        waiting = background(bench, lambda: writer.available_room(1))
        bench.vm(2).kill()
        with pytest.raises(BrokenPipeError):
            waiting.result(timeout=60)
    else:
        take(reader, 64)
        waiting = background(bench, lambda: reader.available_data(1))
        bench.vm(3).kill()
        assert waiting.result(timeout=60) == 0


def test_the_kinds_are_not_mixed_up(bench) -> None:
    waiting = background(bench, lambda: bench.vm(3).pipe("vupipe0", "w"))
    with pytest.raises(errors.BadArgument, match="vupipe0"):
        bench.vm(2).pipe("vupipe0", "r")
    with pytest.raises(errors.BadArgument, match="vupipe0"):
        waiting.result(timeout=60)
