"""One application of vRPC, vMQ or vIPC is killed, at every step; its kernel lives on, and so does everybody else."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from typing import Any

import pytest
from conformance_lib import PATIENCE, PROCESS, when_free

import hyplink
from hyplink import errors, ipc, mq
from hyplink.testing import background

BOARD = """
&vm2_vdevs {
    a: vmq@a { compatible = "vmq"; info = "disk"; server; };
    b: vrpc@b { compatible = "vrpc"; info = "clock,2K"; server; };
};
&vm3_vdevs {
    vmq@a { peer-phandle = <&a>; client; info = "disk"; };
    vrpc@b { peer-phandle = <&b>; client; info = "clock"; };
};
"""
pytestmark = [PROCESS, pytest.mark.hyplink_dts(BOARD)]
TX = mq.Config(8, 32, data_count=4, data_max=256)


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def die_soon() -> None:
    """While what comes next waits."""
    threading.Timer(0.03, die).start()


def killed(guest: Any) -> None:
    with pytest.raises(errors.VmCrashed, match="signal 9"):
        guest.result(timeout=PATIENCE)


def meet(bench: hyplink.Bench, mine: mq.Queue, successor: mq.Queue) -> None:
    """Both on. What `mine` joins first may be an end that died, if its kernel has yet to hear of that."""
    over: list[bool] = []

    def ask() -> None:
        while True:
            last = bool(over)
            mine.wait_on()
            if last:
                return
            os.sched_yield()

    joining = background(bench, ask)
    successor.wait_on()
    over.append(True)
    joining.result()


def until_gone(queue: mq.Queue) -> int:
    """Messages that still come, given back; then the end."""
    messages = list(queue)
    for message in messages:
        message.free()
    assert not queue.is_on
    return len(messages)


# --- vMQ ------------------------------------------------------------------------------------------

MQ_STEPS = ["looked up", "joining", "on", "allocated", "sent", "waiting", "received", "replied"]


def play_mq(step: str) -> Any:
    def guest(application: Any) -> None:
        queue = application.mq("disk", TX, returns=True)
        queue.timeout = None
        if step == "looked up":
            die()
        if step == "joining":
            die_soon()
        queue.wait_on()
        queue.receive().free()  # now the other one is here, too
        if step == "on":
            die()
        if step in ("allocated", "sent"):
            message = queue.allocate(data=16)
            if step == "sent":
                message.send()
            die()
        if step == "waiting":
            die_soon()
        got = queue.receive()
        if step == "replied":
            got.reply(b"last words")
        die()

    return guest


@pytest.mark.parametrize("vm", [2, 3])
@pytest.mark.parametrize("step", MQ_STEPS)
def test_the_other_end_of_a_queue_hears_of_it_and_meets_the_next(bench, vm: int, step: str) -> None:
    mine = bench.vm(5 - vm).mq("disk", TX, returns=True)
    guest = bench.vm(vm).start(play_mq(step))
    if step not in ("looked up", "joining"):
        mine.wait_on()
        mine.allocate().send()
        if step in ("received", "replied"):
            message = mine.allocate(data=5)
            message.send()
            message.data_free()
        assert until_gone(mine) <= (step == "sent")
    killed(guest)
    with when_free(lambda: bench.vm(vm).mq("disk", TX, returns=True)) as successor:
        meet(bench, mine, successor)
        for one, other in ((mine, successor), (successor, mine)):
            message = one.allocate()
            message.header[:4] = b"good"
            message.send()
            other.receive().reply(b"better")
            back = one.return_receive()
            assert bytes(back.header[:6]) == b"better"
            back.free()
    mine.close()
    assert bench.vm(vm).boots == 1


# --- vIPC -----------------------------------------------------------------------------------------


def play_server(step: str) -> Any:
    def guest(application: Any) -> None:
        queue = application.mq("disk")
        queue.timeout = None
        queue.wait_on()
        if step == "nothing":
            die()
        first = ipc.Request(queue.receive())
        second = ipc.Request(queue.receive())
        if step == "received":
            die()
        second.reply(b"second")
        if step == "half answered":
            die()
        first.params[:5] = b"first"
        if step == "written":
            die()
        first.reply()
        die()

    return guest


@pytest.mark.parametrize("step", ["nothing", "received", "half answered", "written", "answered"])
def test_calls_of_a_server_that_is_killed_end_and_the_context_goes_on(bench, step: str) -> None:
    queue = bench.vm(3).mq("disk", TX, returns=True)
    guest = bench.vm(2).start(play_server(step))
    queue.wait_on()
    context = ipc.Context(queue)
    calls: list[ipc.Call] = []
    with contextlib.suppress(errors.PeerDied):
        calls += [context.submit(b"one", b"data")]
        calls += [context.submit(b"two", b"data")]
    answered = {"half answered": 1, "written": 1, "answered": 2}.get(step, 0)
    for number, call in enumerate(reversed(calls)):
        if number < answered:
            assert call.result().startswith((b"second", b"first")[number])
        else:
            with pytest.raises(errors.PeerDied):
                call.result()
    killed(guest)
    assert until_gone(queue) == 0
    assert context.under_way == 0
    with when_free(lambda: bench.vm(2).mq("disk")) as successor:
        joining = background(bench, queue.wait_on)
        successor.wait_on()
        joining.result()
        call = context.submit(b"again", b"data")
        ipc.Request(successor.receive()).reply()
        assert call.result().startswith(b"again")
        assert context.unknown == 0
    queue.close()
    assert bench.vm(2).boots == 1


@pytest.mark.parametrize("step", ["sent", "awaiting", "answered"])
def test_a_caller_that_is_killed_leaves_its_server_to_the_next(bench, step: str) -> None:
    def guest(application: Any) -> None:
        queue = application.mq("disk", TX, returns=True)
        queue.timeout = None
        queue.wait_on()
        queue.receive().free()
        context = ipc.Context(queue)
        call = context.submit(b"from the dead", b"data")
        if step == "sent":
            die()
        if step == "awaiting":
            die_soon()
        call.result()
        die()

    server = bench.vm(2).mq("disk")
    dying = bench.vm(3).start(guest)
    server.wait_on()
    server.allocate().send()
    got = None
    with contextlib.suppress(errors.PeerDied):
        got = ipc.Request(server.receive())
    if got is not None and step == "answered":
        got.reply()
    assert until_gone(server) == 0
    if got is not None and step != "answered":
        with pytest.raises(errors.PeerDied):
            got.reply()
    killed(dying)
    with when_free(lambda: bench.vm(3).mq("disk", TX, returns=True)) as queue:
        joining = background(bench, server.wait_on)
        queue.wait_on()
        joining.result()
        call = ipc.Context(queue).submit(b"alive")
        ipc.Request(server.receive()).reply()
        assert call.result().startswith(b"alive")
    server.close()
    assert bench.vm(3).boots == 1


# --- vRPC -----------------------------------------------------------------------------------------


def backwards(asked: bytes) -> bytes:
    return asked[::-1]


def call_until_answered(bench: hyplink.Bench) -> bytes:
    """As a driver does: after EAGAIN, or an answer of nobody, close and open again."""
    while True:
        with bench.vm(3).rpc_client("clock") as client, contextlib.suppress(errors.WouldBlock):
            if answer := client.call(b"abc"):
                return bytes(answer)


@pytest.mark.parametrize("step", ["open", "waiting", "received", "written", "answered"])
def test_a_client_outlives_its_server_and_finds_the_next(bench, step: str) -> None:
    def guest(application: Any) -> None:
        server = application.rpc_server("clock")
        server.timeout = None
        if step == "open":
            die()
        if step == "waiting":
            die_soon()
        call = server.receive()
        if step == "written":
            call.room[:3] = b"xyz"
        if step == "answered":
            call.answer(b"cba")
        die()

    dying = bench.vm(2).start(guest)
    if step in ("received", "written", "answered"):
        with bench.vm(3).rpc_client("clock") as client:
            client.timeout = None
            answer = b""
            try:
                while not answer:  # nobody is there yet
                    answer = bytes(client.call(b"abc"))
            except errors.WouldBlock:
                assert step != "answered"
            else:
                assert step == "answered"
                assert answer == b"cba"
    killed(dying)
    with when_free(lambda: bench.vm(2).rpc_server("clock")) as successor:
        successor.timeout = None
        serving = background(bench, lambda: successor.serve(backwards))
        assert call_until_answered(bench) == b"cba"
    with contextlib.suppress(errors.HyplinkError):
        serving.result()
    assert bench.vm(2).boots == 1


@pytest.mark.parametrize("step", ["open", "calling", "called"])
def test_a_server_outlives_its_client_and_serves_the_next(bench, step: str) -> None:
    def guest(application: Any) -> None:
        client = application.rpc_client("clock")
        client.timeout = None
        if step == "open":
            die()
        if step == "calling":
            die_soon()
        while not client.call(b"dead"):
            pass
        die()

    with bench.vm(2).rpc_server("clock") as server:
        server.timeout = None
        dying = bench.vm(3).start(guest)
        if step != "open":
            call = server.receive()
            assert bytes(call.data) == b"dead"
            if step == "called":
                call.answer(b"daed")
        killed(dying)
        serving = background(bench, lambda: server.serve(backwards))
        assert when_free(lambda: call_until_answered(bench)) == b"cba"
    with contextlib.suppress(errors.HyplinkError):
        serving.result()
    assert bench.vm(3).boots == 1
