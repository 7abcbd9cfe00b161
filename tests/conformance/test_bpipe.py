"""vBpipe (document 001 3.1, the guide 3.3): a named pipe between two VMs, as its documents and driver say."""

from __future__ import annotations

import asyncio
import errno
import io
import select
import threading

import pytest
from conformance_lib import EVERYWHERE, REAL_TIME, ctrl_c, journal
from pipe_lib import AVAILABLE, LOOPBACK, TINY, both, opening

import hyplink
from hyplink import errors
from hyplink.pipe import PollEvents
from hyplink.testing import background, connect_pipe, eventually

IN, OUT, GONE = PollEvents.IN, PollEvents.OUT, PollEvents.ERR | PollEvents.HUP
pytestmark = [EVERYWHERE, pytest.mark.hyplink_dts("vbpipe")]
tiny = pytest.mark.hyplink_dts(TINY)


# --- opening --------------------------------------------------------------------------------------


def test_opening_waits_for_the_other_end(bench: hyplink.Bench) -> None:
    waiting = opening(bench, 2)
    with pytest.raises(errors.DeadlineExceeded):
        waiting.result(timeout=0.05)
    other = bench.vm(4).pipe("vbpipe0")
    mine = waiting.result(timeout=60)
    assert mine.connected
    assert other.connected
    assert (mine.peer_vm, other.peer_vm) == (4, 2)


def test_opening_waits_even_if_it_is_told_not_to(bench: hyplink.Bench) -> None:
    with pytest.raises(errors.DeadlineExceeded):
        bench.vm(2).pipe("vbpipe0", nonblock=True, timeout=0.05)
    first, second = both(bench, nonblock=True)
    assert first.nonblock
    assert second.nonblock


@REAL_TIME
def test_a_signal_ends_the_wait_of_an_opening(bench: hyplink.Bench) -> None:
    with ctrl_c():
        bench.vm(2).pipe("vbpipe0", timeout=None)
    both(bench)  # nothing is left of it


def test_who_gave_up_is_no_partner(bench: hyplink.Bench) -> None:
    with pytest.raises(errors.DeadlineExceeded):
        bench.vm(2).pipe("vbpipe0", timeout=0.05)
    with pytest.raises(errors.DeadlineExceeded):
        bench.vm(4).pipe("vbpipe0", timeout=0.05)
    one, two = both(bench)
    one.write(b"hello")
    assert two.read(5) == b"hello"


def test_more_openers_of_one_vm_join_at_once(bench: hyplink.Bench) -> None:
    first, second = both(bench)
    with bench.vm(2).application() as application:
        third = application.pipe("vbpipe0")
        third.write(b"third")
        assert second.read(5) == b"third"
        third.close()
    first.write(b"first")
    assert second.read(5) == b"first"


def test_a_device_that_is_not_there_is_refused_with_those_that_are(bench: hyplink.Bench) -> None:
    assert "vbpipe0" in bench.vm(2).devices()
    with pytest.raises(errors.NoSuchLink, match="vbpipe0"):
        bench.vm(2).pipe("vbpipe9")


def test_one_vlink_alone_is_no_pipe(bench_factory) -> None:
    bench = bench_factory(
        '&vm2_vdevs { be: vbpipe@be { compatible = "vbpipe"; server; }; };'
        "&vm3_vdevs { vbpipe@fe { peer-phandle = <&be>; client; }; };"
    )
    with pytest.raises(errors.LinkError) as failure:
        bench.vm(2).pipe("vbpipe0")
    assert failure.value.errno == errno.ENXIO


@pytest.mark.hyplink_dts(AVAILABLE)
def test_the_tree_names_the_device_and_sizes_each_direction(bench: hyplink.Bench) -> None:
    one, two = both(bench, "talk")
    assert one.capacity == (4096 - 16, 65536 - 16)
    assert two.capacity == (65536 - 16, 4096 - 16)
    assert one.reads_available
    assert not two.reads_available


@pytest.mark.hyplink_dts(LOOPBACK)
def test_both_ends_in_one_vm(bench: hyplink.Bench) -> None:
    waiting = opening(bench, 2, "vbpipe0")
    two = bench.vm(2).pipe("vbpipe1")
    one = waiting.result(timeout=60)
    one.write(b"there")
    assert two.read(5) == b"there"
    two.write(b"back")
    assert one.read(4) == b"back"


# --- transfer -------------------------------------------------------------------------------------


def test_bytes_arrive_in_order_in_both_directions(pipe_pair) -> None:
    pipe_pair.one.write(b"ping")
    pipe_pair.two.write(b"pong!")
    assert pipe_pair.two.read(4) == b"ping"
    assert pipe_pair.one.read(5) == b"pong!"


@tiny
def test_more_than_fits_flows_while_the_other_end_reads(bench, pipe_pair) -> None:
    data = bytes(range(256)) * 40
    writing = background(bench, lambda: pipe_pair.one.write(data))
    assert pipe_pair.two.read(len(data)) == data
    assert writing.result(timeout=60) == len(data)


def test_a_read_waits_until_it_has_all_it_asked_for(bench, pipe_pair) -> None:
    reading = background(bench, lambda: pipe_pair.two.read(8))
    pipe_pair.one.write(b"half")
    with pytest.raises(errors.DeadlineExceeded):
        reading.result(timeout=0.05)
    pipe_pair.one.write(b"full")
    assert reading.result(timeout=60) == b"halffull"


@pytest.mark.hyplink_dts(AVAILABLE)
def test_with_the_policy_a_a_read_returns_what_there_is(bench) -> None:
    one, two = both(bench, "talk")
    two.write(b"some")
    assert one.read(100) == b"some"
    reading = background(bench, lambda: one.read(100))
    two.write(b"more")
    assert reading.result(timeout=60) == b"more"
    # The other direction has the policy of the other end's node.
    one.write(b"some")
    two.timeout = 0.05
    assert two.read(100) == b"some", "the time was over: what came is kept"


def test_time_over_with_nothing_is_said(pipe_pair) -> None:
    pipe_pair.one.timeout = 0.05
    with pytest.raises(errors.DeadlineExceeded):
        pipe_pair.one.read(1)


def test_nothing_asked_for_is_nothing(pipe_pair) -> None:
    assert pipe_pair.one.readinto(bytearray()) == 0
    assert pipe_pair.one.write(b"") == 0


@tiny
def test_a_writer_sleeps_until_there_is_room(bench, pipe_pair) -> None:
    assert pipe_pair.one.write(b"x" * 48) == 48
    writing = background(bench, lambda: pipe_pair.one.write(b"yy"))
    with pytest.raises(errors.DeadlineExceeded):
        writing.result(timeout=0.05)
    assert pipe_pair.two.read(1) == b"x"
    with pytest.raises(errors.DeadlineExceeded):
        writing.result(timeout=0.05)
    assert pipe_pair.two.read(1) == b"x"
    assert writing.result(timeout=60) == 2
    assert pipe_pair.two.read(48) == b"x" * 46 + b"yy"


@REAL_TIME
def test_a_signal_ends_a_read(pipe_pair) -> None:
    pipe_pair.one.timeout = None
    with ctrl_c():
        pipe_pair.one.read(1)
    pipe_pair.two.write(b"z")
    assert pipe_pair.one.read(1) == b"z"


# --- not waiting ----------------------------------------------------------------------------------


@tiny
def test_without_waiting_there_is_what_there_is(bench: hyplink.Bench) -> None:
    with connect_pipe(bench, nonblock=True) as pair:
        assert pair.one.read(5) is None
        pair.two.write(b"abc")
        assert pair.one.read(5) == b"abc"
        pair.two.close()
        pair.two_application.close()
        eventually(bench, lambda: not pair.one.connected)
        assert pair.one.read(5) == b""


@tiny
def test_without_waiting_a_write_up_to_the_capacity_is_all_or_nothing(bench) -> None:
    with connect_pipe(bench, nonblock=True) as pair:
        assert pair.one.write(b"a" * 47) == 47
        assert pair.one.write(b"bb") is None
        assert pair.one.write(b"b") == 1
        assert pair.one.write(b"c") is None
        assert pair.two.read(48) == b"a" * 47 + b"b"
        assert pair.one.write(b"d" * 48) == 48
        assert pair.two.read(100) == b"d" * 48


@tiny
def test_without_waiting_a_write_beyond_the_capacity_may_be_a_part(bench) -> None:
    with connect_pipe(bench, nonblock=True) as pair:
        assert pair.one.write(b"a" * 100) == 48
        assert pair.one.write(b"a" * 100) is None
        assert pair.two.read(8) == b"a" * 8
        assert pair.one.write(b"b" * 100) == 8


@tiny
def test_o_excl_means_that_writes_never_wait(bench) -> None:
    with connect_pipe(bench, exclusive=True) as pair:
        assert pair.one.write(b"a" * 48) == 48
        assert pair.one.write(b"b") is None
        reading = background(bench, lambda: pair.two.read(49))  # reads do
        while pair.one.write(b"b") is None:
            pair.one.poll(OUT, timeout=60)
        assert reading.result(timeout=60) == b"a" * 48 + b"b"


def test_the_flag_can_be_set_later(pipe_pair) -> None:
    pipe_pair.one.nonblock = True
    assert pipe_pair.one.read(1) is None


# --- looking --------------------------------------------------------------------------------------


@tiny
def test_poll_tells_data_and_room(pipe_pair) -> None:
    one, two = pipe_pair.one, pipe_pair.two
    assert (one.poll(), two.poll()) == (OUT, OUT)
    one.write(b"x" * 48)
    assert (one.poll(), two.poll()) == (PollEvents(0), IN | OUT)
    assert two.in_waiting == 48
    two.read(1)
    assert one.poll() == OUT
    assert two.in_waiting == 47


def test_poll_waits_for_what_it_is_asked(bench, pipe_pair) -> None:
    waiting = background(bench, lambda: pipe_pair.one.poll(IN, timeout=60))
    pipe_pair.two.write(b"!")
    assert waiting.result(timeout=60) == IN
    assert pipe_pair.two.poll(IN, timeout=0.01) == PollEvents(0)


def test_once_the_other_end_is_gone_poll_says_so_even_with_data_left(bench, pipe_pair) -> None:
    pipe_pair.two.write(b"left")
    waiting = background(bench, lambda: pipe_pair.one.poll(PollEvents(0), timeout=60))
    pipe_pair.two.close()
    assert waiting.result(timeout=60) == GONE
    assert pipe_pair.one.poll() == GONE
    assert pipe_pair.one.in_waiting == 4
    assert pipe_pair.one.read(10) == b"left"
    assert pipe_pair.one.poll() == GONE


# --- the end --------------------------------------------------------------------------------------


def test_the_end_comes_after_what_was_written(bench, pipe_pair) -> None:
    pipe_pair.two.write(b"last words")
    pipe_pair.two.close()
    eventually(bench, lambda: not pipe_pair.one.connected)
    assert pipe_pair.one.read(4) == b"last"
    assert pipe_pair.one.read(100) == b" words"
    assert pipe_pair.one.read(100) == b""
    assert pipe_pair.one.read(100) == b""


def test_a_waiting_read_gets_the_end(bench, pipe_pair) -> None:
    reading = background(bench, lambda: pipe_pair.one.read(100))
    pipe_pair.two.write(b"part")
    pipe_pair.two.close()
    assert reading.result(timeout=60) == b"part"


def test_writing_to_nobody_is_a_broken_pipe(bench, pipe_pair) -> None:
    pipe_pair.two.close()
    eventually(bench, lambda: not pipe_pair.one.connected)
    with pytest.raises(BrokenPipeError) as failure:
        pipe_pair.one.write(b"x")
    assert failure.value.errno == errno.EPIPE


@tiny
def test_a_waiting_write_gets_a_broken_pipe_after_a_part_too(bench, pipe_pair) -> None:
    writing = background(bench, lambda: pipe_pair.one.write(b"x" * 100))
    assert pipe_pair.two.read(20) == b"x" * 20
    pipe_pair.two.close()
    with pytest.raises(BrokenPipeError):
        writing.result(timeout=60)


def test_it_ends_only_when_all_openers_of_the_vm_have_closed(bench: hyplink.Bench) -> None:
    first, other = both(bench)
    second = bench.vm(2).pipe("vbpipe0")
    first.close()
    other.write(b"still")
    assert second.read(5) == b"still"
    second.close()
    eventually(bench, lambda: not other.connected)


def test_to_meet_again_every_opener_has_to_close(bench: hyplink.Bench) -> None:
    mine, other = both(bench)
    also = bench.vm(2).pipe("vbpipe0")
    other.close()
    eventually(bench, lambda: not mine.connected)
    joined = bench.vm(2).pipe("vbpipe0")  # only counts, the pipe is dead
    assert not joined.connected
    assert joined.read(1) == b""
    reopening = opening(bench, 4)
    for pipe in (mine, also):
        pipe.close()
        with pytest.raises(errors.DeadlineExceeded):
            reopening.result(timeout=0.05)
    joined.close()
    fresh = bench.vm(2).pipe("vbpipe0")
    other = reopening.result(timeout=60)
    other.write(b"new")
    assert fresh.read(3) == b"new"


def test_what_was_left_in_the_ring_is_not_in_the_next_pipe(bench: hyplink.Bench) -> None:
    for round_number in range(5):
        one, two = both(bench)
        assert (one.in_waiting, two.in_waiting) == (0, 0)
        one.write(b"old %d" % round_number)
        two.write(b"old %d" % round_number)
        one.close()
        two.close()


def test_who_opens_writes_and_closes_at_once_was_there(bench: hyplink.Bench) -> None:
    def say(number: int) -> None:
        with bench.vm(4).pipe("vbpipe0") as pipe:
            pipe.write(b"%04d" % number)

    for number in range(20):
        saying = background(bench, lambda number=number: say(number))
        with bench.vm(2).pipe("vbpipe0") as pipe:
            assert pipe.read(100) == b"%04d" % number
        saying.result(timeout=60)


def test_closed_is_closed(pipe_pair) -> None:
    pipe_pair.one.close()
    pipe_pair.one.close()
    for use in (lambda: pipe_pair.one.read(1), lambda: pipe_pair.one.write(b"x")):
        with pytest.raises(ValueError, match="closed"):
            use()


def test_closing_ends_what_waits_in_another_thread(bench, pipe_pair) -> None:
    reading = background(bench, lambda: pipe_pair.one.read(1))
    with pytest.raises(errors.DeadlineExceeded):
        reading.result(timeout=0.05)
    pipe_pair.one.close()
    with pytest.raises(errors.LinkError) as failure:
        reading.result(timeout=60)
    assert failure.value.errno in (errno.ECANCELED, errno.EBADF)


# --- several users --------------------------------------------------------------------------------


@tiny
def test_what_several_write_does_not_mix(bench: hyplink.Bench) -> None:
    first, other = both(bench)
    with bench.vm(2).application() as application:
        second = application.pipe("vbpipe0")

        def write(pipe: hyplink.pipe.Pipe, letter: bytes) -> None:
            for _ in range(20):
                pipe.write(letter * 100)  # more than fits: each waits in the midst

        writers = [
            background(bench, lambda: write(first, b"a")),
            background(bench, lambda: write(first, b"b")),
            background(bench, lambda: write(second, b"c")),
        ]
        messages = [other.read(100) for _ in range(60)]
        for writer in writers:
            writer.result(timeout=60)
        assert sorted(messages) == sorted([b"a" * 100, b"b" * 100, b"c" * 100] * 20)


def test_several_who_wait_are_all_woken(bench: hyplink.Bench) -> None:
    first, other = both(bench)
    with bench.vm(2).application() as application:
        second = application.pipe("vbpipe0")
        readers = [background(bench, lambda p=p: p.read(1)) for p in (first, second, first)]
        pollers = [background(bench, lambda p=p: p.poll(IN, timeout=60)) for p in (first, second)]
        got = []
        for byte in (b"x", b"y", b"z"):
            other.write(byte)
        for reader in readers:
            got.append(reader.result(timeout=60))
        assert sorted(got) == [b"x", b"y", b"z"]
        other.write(b"!")
        for poller in pollers:
            assert poller.result(timeout=60) == IN


def test_who_waits_without_waiting_leaves_the_turn_to_others(bench, pipe_pair) -> None:
    reading = background(bench, lambda: pipe_pair.one.read(3))
    with pipe_pair.one_application.pipe("vbpipe0", nonblock=True) as other:
        pipe_pair.two.write(b"1")
        eventually(bench, lambda: other.in_waiting == 0)  # it has its turn and waits in the midst
        pipe_pair.two.write(b"2")
        assert other.read(1) is None, "the byte belongs to the read that waits"
    pipe_pair.two.write(b"3")
    assert reading.result(timeout=60) == b"123"


# --- as Python files ------------------------------------------------------------------------------


def test_it_is_a_file(pipe_pair) -> None:
    writer = io.TextIOWrapper(io.BufferedWriter(pipe_pair.one), encoding="utf-8")
    writer.write("line one\nline two\n")
    writer.flush()
    assert pipe_pair.two.readline() == b"line one\n"
    assert pipe_pair.two.readline() == b"line two\n"
    writer.close()
    assert pipe_pair.two.readall() == b""


def test_the_mode_is_kept(bench: hyplink.Bench) -> None:
    waiting = opening(bench, 2, mode="rb")
    other = bench.vm(4).pipe("vbpipe0", "w")
    mine = waiting.result(timeout=60)
    with pytest.raises(io.UnsupportedOperation):
        mine.write(b"x")
    with pytest.raises(io.UnsupportedOperation):
        other.read(1)
    other.write(b"x")
    assert mine.read(1) == b"x"


@REAL_TIME
def test_both_ends_as_streams_of_one_event_loop(pipe_pair) -> None:
    async def run() -> None:
        reader, writer = await pipe_pair.one.streams()
        other_reader, other_writer = await pipe_pair.two.streams()
        writer.write(b"question\n")
        assert await other_reader.readline() == b"question\n"
        other_writer.write(b"x" * 300_000)

        async def collect() -> int:
            return len(await reader.readexactly(300_000))

        collected, _ = await asyncio.gather(collect(), other_writer.drain())
        assert collected == 300_000
        writer.close()
        await writer.wait_closed()
        assert await other_reader.read() == b""
        other_writer.close()
        await other_writer.wait_closed()

    asyncio.run(run())
    for thread in threading.enumerate():
        if thread.name == "hyplink-pipe":
            thread.join(60)
            assert not thread.is_alive(), "a closed pipe keeps no thread"


# --- observing ------------------------------------------------------------------------------------


def test_the_journal_and_the_counters_tell_of_it(bench, pipe_pair) -> None:
    pipe_pair.one.write(b"12345")
    assert pipe_pair.two.read(5) == b"12345"
    rows = [row for row in bench.stats if row.copied_bytes == 5]
    assert {(row.vm, row.role) for row in rows} == {(2, "client"), (4, "server")}
    assert len(list(bench.stats.rpq())) == 0, "a pipe is no vRPQ channel"
    opened = [event for event in bench.trace if event.kind.name == "PIPE_OPEN"]
    assert len(opened) == 4, "two directions, two ends"
    assert {event.b for event in opened} == {4096 - 16}
    assert journal(bench, "corrupt") == []


def test_awake_ends_ring_no_bell_that_nobody_waits_for(bench, pipe_pair) -> None:
    for _ in range(100):
        pipe_pair.one.write(b"x")
        pipe_pair.two.read(1)
    assert sum(row.wakes for row in bench.stats) <= 1


def test_select_numbers_are_those_of_poll() -> None:
    assert (int(IN), int(OUT)) == (select.POLLIN, select.POLLOUT)
