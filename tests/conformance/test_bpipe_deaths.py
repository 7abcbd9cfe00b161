"""A pipe's user or VM dies at any step of opening, transfer and closing: the other side hears of it and can go on."""

from __future__ import annotations

import contextlib
import os
import signal
from typing import Any

import pytest
from conformance_lib import EVERYWHERE, PROCESS
from pipe_lib import TINY, both, opening

import hyplink
from hyplink import errors
from hyplink.testing import background, eventually

pytestmark = [EVERYWHERE, pytest.mark.hyplink_dts(TINY)]


def revive(bench: hyplink.Bench, vm: int) -> None:
    bench.vm(vm).boot()


def meet_again(bench: hyplink.Bench) -> None:
    """Both ends can be opened anew, and carry data."""
    one, two = both(bench)
    one.write(b"again")
    assert two.read(5) == b"again"
    two.write(b"and back")
    assert one.read(8) == b"and back"
    one.close()
    two.close()


@pytest.mark.parametrize("victim", [2, 4])
def test_a_vm_that_dies_while_its_application_waits_for_the_other_end(bench, victim: int) -> None:
    waiting = opening(bench, victim)
    with pytest.raises(errors.DeadlineExceeded):
        waiting.result(timeout=0.02)
    bench.vm(victim).kill()
    with pytest.raises(errors.PeerDied):
        waiting.result(timeout=60)
    revive(bench, victim)
    meet_again(bench)


@pytest.mark.parametrize("victim", [2, 4])
def test_who_waits_for_a_dead_vm_waits_for_its_next_life(bench, victim: int) -> None:
    survivor = 6 - victim
    bench.vm(victim).kill()
    waiting = opening(bench, survivor)
    with pytest.raises(errors.DeadlineExceeded):
        waiting.result(timeout=0.02)
    revive(bench, victim)
    other = bench.vm(victim).pipe("vbpipe0")
    other.write(b"new life")
    assert waiting.result(timeout=60).read(8) == b"new life"


@pytest.mark.parametrize("victim", [2, 4])
@pytest.mark.parametrize("how", ["kill", "shutdown"])
def test_the_survivor_reads_what_is_left_then_the_end(bench, victim: int, how: str) -> None:
    ends = dict(zip((2, 4), both(bench), strict=True))
    mine = ends[6 - victim]
    ends[victim].write(b"last words")
    getattr(bench.vm(victim), how)()
    eventually(bench, lambda: not mine.connected)
    assert mine.read(100) == b"last words"
    assert mine.read(100) == b""
    with pytest.raises(BrokenPipeError):
        mine.write(b"x")
    with pytest.raises(errors.PeerDied):
        ends[victim].read(1)
    revive(bench, victim)
    mine.close()
    meet_again(bench)


@pytest.mark.parametrize("victim", [2, 4])
def test_who_waits_in_a_read_or_write_is_told(bench, victim: int) -> None:
    ends = dict(zip((2, 4), both(bench), strict=True))
    mine = ends[6 - victim]
    reading = background(bench, lambda: mine.read(10))
    writing = background(bench, lambda: mine.write(b"x" * 1000))
    polling = background(bench, lambda: mine.poll(hyplink.pipe.PollEvents(0), timeout=60))
    for waiting in (reading, writing, polling):
        with pytest.raises(errors.DeadlineExceeded):
            waiting.result(timeout=0.02)
    bench.vm(victim).kill()
    assert reading.result(timeout=60) == b""
    with pytest.raises(BrokenPipeError):
        writing.result(timeout=60)
    assert polling.result(timeout=60)
    revive(bench, victim)
    mine.close()
    meet_again(bench)


@pytest.mark.parametrize("victim", [2, 4])
def test_who_waits_in_the_dead_vm_is_told_that_it_died(bench, victim: int) -> None:
    ends = dict(zip((2, 4), both(bench), strict=True))
    mine = ends[victim]
    reading = background(bench, lambda: mine.read(10))
    with pytest.raises(errors.DeadlineExceeded):
        reading.result(timeout=0.02)
    bench.vm(victim).kill()
    with pytest.raises(errors.PeerDied, match=f"VM {victim}"):
        reading.result(timeout=60)
    mine.close()


def test_a_restarted_vm_waits_until_the_survivor_has_closed(bench) -> None:
    one, two = both(bench)
    bench.vm(4).kill()
    revive(bench, 4)
    reopening = opening(bench, 4)
    with pytest.raises(errors.DeadlineExceeded):
        reopening.result(timeout=0.05)
    assert one.read(1) == b""
    one.close()
    fresh = bench.vm(2).pipe("vbpipe0")
    again = reopening.result(timeout=60)
    again.write(b"hi")
    assert fresh.read(2) == b"hi"
    with contextlib.suppress(errors.HyplinkError):
        two.close()


def test_ten_lives_of_each_side(bench) -> None:
    for life in range(10):
        victim = (2, 4)[life % 2]
        ends = dict(zip((2, 4), both(bench), strict=True))
        ends[victim].write(b"%04d" % life)
        bench.vm(victim).kill()
        assert ends[6 - victim].read(10) == b"%04d" % life
        ends[6 - victim].close()
        revive(bench, victim)
    meet_again(bench)


@pytest.mark.parametrize("vm", [2, 4])
def test_an_application_that_ends_without_closing_closes(bench, vm: int) -> None:
    ends = dict(zip((2, 4), both(bench), strict=True))
    ends[vm].write(b"bye")
    bench.vm(vm)._shared().close()
    mine = ends[6 - vm]
    assert mine.read(10) == b"bye"
    mine.close()
    meet_again(bench)


# --- processes that end in the midst of it --------------------------------------------------------


def die_in(step: str) -> Any:
    """A guest that is killed at a step."""

    def guest(app: Any) -> None:
        import os
        import signal
        import threading

        if step == "open":
            threading.Timer(0.02, lambda: os.kill(os.getpid(), signal.SIGKILL)).start()
        pipe = app.pipe("vbpipe0", timeout=None)
        pipe.timeout = None
        if step == "idle":
            os.kill(os.getpid(), signal.SIGKILL)
        if step in ("write", "stream"):
            pipe.write(b"s")  # so something has come, however late this one gets on
        threading.Timer(0.02, lambda: os.kill(os.getpid(), signal.SIGKILL)).start()
        if step == "read":
            pipe.read(1000)
        if step == "write":
            pipe.write(bytes(1 << 20))
        if step == "poll":
            pipe.poll(hyplink.pipe.PollEvents.IN, timeout=None)
        if step == "stream":
            while True:
                pipe.write(b"s" * 7)
        if step == "close":
            while True:
                pipe.close()
                pipe = app.pipe("vbpipe0", timeout=None)

    return guest


@PROCESS
@pytest.mark.parametrize("step", ["idle", "read", "write", "poll", "stream"])
@pytest.mark.parametrize("vm", [2, 4])
def test_a_process_that_is_killed_at_any_step_is_the_end_of_the_pipe(
    bench, vm: int, step: str
) -> None:
    guest = bench.vm(vm).start(die_in(step))
    mine = bench.vm(6 - vm).pipe("vbpipe0")
    count = 0
    while data := mine.read_available():
        assert set(data) <= {0, ord("s")}
        count += len(data)
    if step in ("write", "stream"):
        assert count > 0
    with pytest.raises(BrokenPipeError):
        mine.write(b"x")
    with pytest.raises(errors.HyplinkError):
        guest.result(timeout=60)
    mine.close()
    meet_again(bench)


@PROCESS
@pytest.mark.parametrize("vm", [2, 4])
def test_a_process_that_is_killed_while_it_opens_leaves_nothing(bench, vm: int) -> None:
    with pytest.raises(errors.HyplinkError):
        bench.vm(vm).start(die_in("open")).result(timeout=60)
    # Its kernel may not have heard of it yet; then it was there, and has gone.
    with (
        contextlib.suppress(errors.DeadlineExceeded),
        bench.vm(6 - vm).pipe("vbpipe0", timeout=0.05) as mine,
    ):
        assert mine.read(1) == b""
    meet_again(bench)


@PROCESS
def test_a_process_that_is_killed_while_it_opens_and_closes_again_and_again(bench) -> None:
    guest = bench.vm(2).start(die_in("close"))
    while not guest.done():
        with contextlib.suppress(errors.DeadlineExceeded):
            bench.vm(4).pipe("vbpipe0", timeout=0.2).close()
    meet_again(bench)


@PROCESS
@pytest.mark.parametrize("step", ["read", "write"])
def test_the_turn_of_a_killed_process_goes_to_the_others(bench, step: str) -> None:
    """It died while its turn was on; another opener of the same VM takes the next one."""

    def hold(app: Any) -> None:
        pipe = app.pipe("vbpipe0")
        pipe.timeout = None
        with contextlib.suppress(OSError):
            if step == "read":
                pipe.read(1000)  # waits in the midst, with its turn
            else:
                pipe.write(b"w" * 1000)

    holder = bench.vm(2).start(hold)
    other = bench.vm(4).pipe("vbpipe0")
    with bench.vm(2).application() as application:
        mine = application.pipe("vbpipe0")
        if step == "read":
            other.write(b"for the dead")
            eventually(bench, lambda: other.poll(hyplink.pipe.PollEvents.OUT))
            while other.write(b"") is None or mine.in_waiting:
                other.poll(timeout=0.01)
        else:
            while mine.poll(hyplink.pipe.PollEvents.OUT, timeout=0.01):
                pass  # until it has filled the ring
        waiting = background(bench, lambda: mine.read(4) if step == "read" else mine.write(b"mine"))
        with pytest.raises(errors.DeadlineExceeded):
            waiting.result(timeout=0.05)
        (pid,) = children_with(bench.vm(2).pid)
        os.kill(pid, signal.SIGKILL)
        with pytest.raises(errors.HyplinkError):
            holder.result(timeout=60)
        if step == "read":
            other.write(b"next")
            assert waiting.result(timeout=60) == b"next"
        else:
            got = b""
            while not got.endswith(b"mine"):
                got += other.read_available()
            assert waiting.result(timeout=60) == 4
            assert got.strip(b"w") == b"mine"


def children_with(parent: int | None) -> list[int]:
    """Processes of a VM."""
    from pathlib import Path

    found = []
    for status in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            text = status.read_text()
            if int(text.rsplit(")", 1)[1].split()[1]) == parent:
                found.append(int(status.parent.name))
    return found
