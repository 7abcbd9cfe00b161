"""vPipe and vUpipe: either end's VM, or its program alone, ends at every step of opening, transfer and closing."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

import pytest
from conformance_lib import EVERYWHERE, PROCESS

import hyplink
from hyplink import errors
from hyplink.testing import Background, background, eventually

#: VM 2 reads, VM 3 writes.
BOARD = """
&vm2_vdevs {
    be: vpipe@be { compatible = "vpipe"; info = "64"; server; };
    ue: vupipe@ue { compatible = "vupipe"; info = "64"; server; };
};
&vm3_vdevs {
    vpipe@fe { peer-phandle = <&be>; client; };
    vupipe@fe { peer-phandle = <&ue>; client; };
};
"""
pytestmark = [EVERYWHERE, pytest.mark.hyplink_dts(BOARD)]

READER, WRITER = 2, 3
KINDS = ["vpipe", "vupipe"]
STEPS = ["opening", "open", "half written", "unread", "half read", "full", "closed"]
ROOM = {"vpipe": 56, "vupipe": 64}


def open_end(application: Any, kind: str) -> Any:
    """An end as its VM has it; waits for the other one."""
    if kind == "vupipe":
        return application.upipe("vupipe0")
    return application.pipe("vpipe0", "r" if application.vm == READER else "w")


def opening(bench: hyplink.Bench, vm: int, kind: str) -> Background[Any]:
    application = bench.vm(vm)._shared()
    return background(bench, lambda: open_end(application, kind))


def put(end: Any, data: bytes, *, tell: bool = True) -> None:
    if not hasattr(end, "map"):
        end.write(data)
        return
    end.available_room(len(data))
    area = end.map()
    for at, byte in enumerate(data, start=end.offset):
        area[at % end.nbytes] = byte
    if tell:
        end.notify_write(len(data))


def take(end: Any, count: int, *, tell: bool = True) -> bytes:
    """Up to so many bytes; none at the end of the pipe."""
    if not hasattr(end, "map"):
        return bytes(end.read(count))
    count = min(count, end.available_data(count))
    area = end.map()
    data = bytes(area[(end.offset + i) % end.nbytes] for i in range(count))
    if tell and count:
        end.notify_read(count)
    return data


def wait_for_room(end: Any, kind: str) -> None:
    put(end, b"more") if kind == "vpipe" else end.available_room(4)


def reach(bench: hyplink.Bench, kind: str, step: str, victim: int) -> tuple[dict[int, Any], bytes]:
    """The ends that are open at a step, and what its reader has yet to get."""
    if step == "opening":
        return {victim: opening(bench, victim, kind)}, b""
    waiting = opening(bench, READER, kind)
    ends = {WRITER: open_end(bench.vm(WRITER)._shared(), kind), READER: waiting.result()}
    left = b""
    if step == "half written" and kind == "vupipe":
        put(ends[WRITER], b"never told", tell=False)
    elif step == "half written":
        put(ends[WRITER], b"half")
        assert take(ends[READER], 4) == b"half"
    elif step == "unread":
        left = b"last words"
        put(ends[WRITER], left)
    elif step == "half read":
        put(ends[WRITER], b"first, second")
        take(ends[READER], 6)
        left = b" second"
        if kind == "vupipe":
            take(ends[READER], 3, tell=False)
    elif step == "full":
        left = bytes(range(ROOM[kind]))
        put(ends[WRITER], left)
    elif step == "closed":
        ends[victim].close()
    return ends, left


def meet_again(bench: hyplink.Bench, kind: str) -> None:
    """Both ends can be opened anew, and carry data."""
    waiting = opening(bench, READER, kind)
    with open_end(bench.vm(WRITER)._shared(), kind) as writer, waiting.result() as reader:
        put(writer, b"again")
        assert take(reader, 5) == b"again"


@pytest.mark.parametrize("how", ["kill", "shutdown"])
@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("victim", [READER, WRITER])
@pytest.mark.parametrize("kind", KINDS)
def test_a_vm_may_end_at_every_step(
    bench: hyplink.Bench, kind: str, victim: int, step: str, how: str
) -> None:
    ends, left = reach(bench, kind, step, victim)
    getattr(bench.vm(victim), how)()
    gone = ends.pop(victim)
    if step == "opening":
        with pytest.raises(errors.LinkError):
            gone.result()
    for vm, end in ends.items():
        if vm == READER:
            assert take(end, 100 if kind == "vpipe" else 64) == left
            assert take(end, 1) == b"", "then the end, and again"
            assert take(end, 1) == b""
        else:
            eventually(bench, lambda end=end: not end.connected)  # a write before that is lost
            with pytest.raises(BrokenPipeError):
                wait_for_room(end, kind)
        end.close()
    if step != "opening":
        gone.close()
    bench.vm(victim).boot()
    meet_again(bench, kind)


@pytest.mark.parametrize("victim", [READER, WRITER])
@pytest.mark.parametrize("kind", KINDS)
def test_who_waits_when_the_other_vm_dies_is_told(
    bench: hyplink.Bench, kind: str, victim: int
) -> None:
    ends, _ = reach(bench, kind, "full" if victim == READER else "open", victim)
    if victim == READER:
        waiting: Background[Any] = background(bench, lambda: wait_for_room(ends[WRITER], kind))
    else:
        waiting = background(bench, lambda: take(ends[READER], 10))
    with pytest.raises(errors.DeadlineExceeded):
        waiting.result(timeout=0.02)
    bench.vm(victim).kill()
    if victim == READER:
        with pytest.raises(BrokenPipeError):
            waiting.result()
    else:
        assert waiting.result() == b""
    for end in ends.values():
        end.close()
    bench.vm(victim).boot()
    meet_again(bench, kind)


@pytest.mark.parametrize("victim", [READER, WRITER])
@pytest.mark.parametrize("kind", KINDS)
def test_ten_lives(bench: hyplink.Bench, kind: str, victim: int) -> None:
    for life in range(10):
        ends, left = reach(bench, kind, STEPS[1 + life % (len(STEPS) - 1)], victim)
        bench.vm(victim).kill()
        if victim == WRITER:
            assert take(ends[READER], 100 if kind == "vpipe" else 64) == left
        for end in ends.values():
            end.close()
        bench.vm(victim).boot()
    meet_again(bench, kind)


# --- programs that end in the midst of it ---------------------------------------------------------


def die_in(kind: str, step: str) -> Callable[[Any], None]:
    """A program of a VM that is killed at a step."""

    def guest(application: Any) -> None:
        import os
        import signal
        import threading

        def later() -> None:
            threading.Timer(0.02, lambda: os.kill(os.getpid(), signal.SIGKILL)).start()

        if step == "opening":
            later()
        end = open_end(application, kind)
        end.timeout = None
        if step == "open":
            os.kill(os.getpid(), signal.SIGKILL)
        if step == "transfer":  # so something has come through, however late this one gets on
            take(end, 7) if application.vm == READER else put(end, b"1234567")
        later()
        while True:  # at any place of it
            if step == "closing":
                end.close()
                end = open_end(application, kind)
                end.timeout = None
            elif application.vm == READER:
                take(end, 7)
            else:
                put(end, b"1234567")

    return guest


@PROCESS
@pytest.mark.parametrize("step", ["open", "transfer"])
@pytest.mark.parametrize("vm", [READER, WRITER])
@pytest.mark.parametrize("kind", KINDS)
def test_a_program_that_is_killed_at_any_place_is_the_end_of_the_pipe(
    bench: hyplink.Bench, kind: str, vm: int, step: str
) -> None:
    guest = bench.vm(vm).start(die_in(kind, step))
    mine = open_end(bench.vm(5 - vm)._shared(), kind)
    got = 0

    def feed() -> None:
        nonlocal got
        while True:
            put(mine, b"1234567")
            got += 7

    if vm == WRITER:
        while data := take(mine, 7):
            assert data == b"1234567"[: len(data)]
            got += len(data)
        assert take(mine, 1) == b""
    else:
        with pytest.raises(BrokenPipeError):
            feed()
    if step == "transfer":
        assert got > 0
    with pytest.raises(errors.HyplinkError):
        guest.result()
    mine.close()
    meet_again(bench, kind)


@PROCESS
@pytest.mark.parametrize("step", ["opening", "closing"])
@pytest.mark.parametrize("vm", [READER, WRITER])
@pytest.mark.parametrize("kind", KINDS)
def test_a_program_that_is_killed_while_it_opens_or_closes_leaves_nothing(
    bench: hyplink.Bench, kind: str, vm: int, step: str
) -> None:
    guest = bench.vm(vm).start(die_in(kind, step))
    while step == "closing" and not guest.done():
        with contextlib.suppress(errors.DeadlineExceeded):
            other = bench.vm(5 - vm)
            if kind == "vupipe":
                other.upipe("vupipe0", timeout=0.05).close()
            else:
                other.pipe("vpipe0", "r" if other.id == READER else "w", timeout=0.05).close()
    with pytest.raises(errors.HyplinkError):
        guest.result()
    meet_again(bench, kind)
