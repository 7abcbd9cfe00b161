"""vIPC (document 001, 4.4): many calls over one vMQ, in any order, safe over restarts."""

from __future__ import annotations

import asyncio
import contextlib
import random
import struct
from typing import Any

import pytest
from conformance_lib import EVERYWHERE, REAL_TIME

import hyplink
from hyplink import errors, ipc, mq
from hyplink.testing import background

BOARD = """
&vm2_vdevs { a: vmq@a { compatible = "vmq"; info = "disk"; server; }; };
&vm3_vdevs { vmq@a { peer-phandle = <&a>; client; info = "disk"; }; };
"""
pytestmark = [EVERYWHERE, pytest.mark.hyplink_dts(BOARD)]
TX = mq.Config(32, 32, data_count=4, data_max=512)


def on(bench: hyplink.Bench, server: mq.Queue, queue: mq.Queue) -> None:
    joining = background(bench, server.wait_on)
    queue.wait_on()
    joining.result()


@pytest.fixture
def ends(bench: hyplink.Bench) -> Any:
    with bench.vm(2).mq("disk") as server, bench.vm(3).mq("disk", TX, returns=True) as queue:
        on(bench, server, queue)
        yield server, ipc.Context(queue)


def params(request: ipc.Request) -> bytes:
    return bytes(request.params).rstrip(b"\0")


def serve(server: mq.Queue) -> None:
    with contextlib.suppress(errors.PeerDied):
        for request in ipc.requests(server):
            request.reply(params(request)[::-1].ljust(24, b"\0"))


def test_calls_are_answered_in_any_order(ends) -> None:
    server, context = ends
    dice = random.Random(5)
    calls = [context.submit(b"call %02d" % number) for number in range(32)]
    got = [ipc.Request(server.receive()) for _ in range(32)]
    assert [params(request) for request in got] == [b"call %02d" % number for number in range(32)]
    dice.shuffle(got)
    for request in got:
        request.reply(params(request).upper())
    waiting = list(enumerate(calls))
    dice.shuffle(waiting)
    for number, call in waiting:
        assert call.result().rstrip(b"\0") == b"CALL %02d" % number
    assert context.under_way == 0


def test_more_calls_than_messages_wait_for_answers(bench, ends) -> None:
    server, context = ends
    background(bench, lambda: serve(server))
    calls = [context.submit(b"n%03d" % number) for number in range(200)]
    assert [call.result().rstrip(b"\0") for call in calls] == [
        (b"n%03d" % number)[::-1] for number in range(200)
    ]
    context.queue.close()


def test_a_call_takes_a_buffer_along_and_frees_it_when_answered(bench, ends) -> None:
    server, context = ends
    for number in range(20):
        call = context.submit(b"write", bytes([number]) * 512)
        request = ipc.Request(server.receive())
        assert bytes(request.buffer()) == bytes([number]) * 512
        request.reply()
        call.result()


def test_what_does_not_fit_is_refused(ends) -> None:
    _, context = ends
    with pytest.raises(errors.MessageTooLong, match="24"):
        context.submit(bytes(25))
    assert context.under_way == 0


def test_an_answer_to_a_call_of_another_life_is_counted_and_dropped(ends) -> None:
    server, context = ends
    calls = [context.submit(b"one"), context.submit(b"two")]
    first, second = server.receive(), server.receive()
    (cookie,) = struct.unpack_from("<Q", first.header)
    first.header[:8] = struct.pack("<Q", cookie - 1000)
    first.reply()
    second.reply()
    calls[1].result()
    assert (context.unknown, context.under_way, calls[0].done()) == (1, 1, False)
    assert context.abort_calls() == 1
    with pytest.raises(errors.PeerDied):
        calls[0].result()


def test_cookies_of_a_later_context_are_none_of_an_earlier_one(ends) -> None:
    server, context = ends
    seen = []
    for made in (context, ipc.Context(context.queue)):
        calls = [made.submit(b"x") for _ in range(5)]
        for call in calls:
            ipc.Request(server.receive()).reply()
            call.result()
        seen.append({call.cookie for call in calls})
    assert not seen[0] & seen[1]


@pytest.mark.parametrize("end", ["kill", "shutdown"])
def test_the_servers_death_aborts_every_call_and_the_context_goes_on(bench, ends, end) -> None:
    server, context = ends
    calls = [context.submit(b"never", b"data") for _ in range(4)]
    waiting = background(bench, calls[2].result)
    ipc.Request(server.receive())
    getattr(bench.vm(2), end)()
    with pytest.raises(errors.PeerDied):
        waiting.result()
    for call in calls:
        with pytest.raises(errors.PeerDied):
            call.result()
    with pytest.raises(errors.PeerDied):
        context.submit(b"nobody")
    bench.vm(2).boot()
    server.close()
    with bench.vm(2).mq("disk") as again:
        on(bench, again, context.queue)
        background(bench, lambda: serve(again))
        assert context.call(b"good").rstrip(b"\0") == b"doog"
        context.queue.close()


@REAL_TIME
def test_calls_can_be_awaited_together(bench, ends) -> None:
    server, context = ends
    background(bench, lambda: serve(server))

    async def ask() -> list[bytes]:
        return await asyncio.gather(*(one(number) for number in range(32)))

    async def one(number: int) -> bytes:
        return (await context.submit(b"a%02d" % number)).rstrip(b"\0")

    assert asyncio.run(ask()) == [(b"a%02d" % number)[::-1] for number in range(32)]
    context.queue.close()
