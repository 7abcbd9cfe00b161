"""The awaitable forms: other coroutines run meanwhile, time limits and cancelling leave nothing behind."""

from __future__ import annotations

import asyncio
import select

import pytest
from conformance_lib import REAL_TIME, answer, works

from hyplink import errors

pytestmark = REAL_TIME


def begin(client, proc: int = 1, data: bytes = b"question") -> None:
    at = client.begin_call(proc, len(data), 8)
    client.window[at : at + len(data)] = data


def test_both_ends_of_a_call_in_one_event_loop(rpq_pair) -> None:
    client, server = rpq_pair.client, rpq_pair.server

    async def serve() -> None:
        for _ in range(50):
            (request,) = await server.receive_async()
            request.out[:8] = bytes(request.params)[::-1]
            server.acknowledge()

    async def run() -> None:
        serving = asyncio.create_task(serve())
        for number in range(50):
            question = b"%08d" % number
            begin(client, 1, question)
            status, out, size = await client.call_async(60)
            assert status == 0
            assert bytes(client.window[out : out + size]) == question[::-1]
        await serving

    asyncio.run(run())
    works(rpq_pair)


def test_other_coroutines_run_while_a_call_waits(rpq_pair) -> None:
    ticks = 0

    async def tick() -> None:
        nonlocal ticks
        for _ in range(3):
            await asyncio.sleep(0)
            ticks += 1
        answer(rpq_pair.server, b"answered")

    async def run() -> None:
        begin(rpq_pair.client)
        await asyncio.gather(rpq_pair.client.call_async(60), tick())

    asyncio.run(run())
    assert ticks == 3


def test_a_call_that_times_out_is_forgotten(rpq_pair) -> None:
    async def run() -> None:
        begin(rpq_pair.client)
        with pytest.raises(errors.DeadlineExceeded):
            await rpq_pair.client.call_async(0.02)

    asyncio.run(run())
    assert rpq_pair.server.try_receive() is None  # nobody had picked it up, so nobody ever will
    works(rpq_pair)


def test_a_cancelled_call_is_forgotten(rpq_pair) -> None:
    async def run() -> None:
        begin(rpq_pair.client)
        task = asyncio.create_task(rpq_pair.client.call_async(None))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(run())
    assert rpq_pair.server.try_receive() is None
    works(rpq_pair)


def test_a_cancelled_receive_loses_nothing(rpq_pair) -> None:
    async def run() -> None:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(rpq_pair.server.receive_async(), 0.02)
        rpq_pair.client.post_bytes(5)
        rpq_pair.client.notify()
        (request,) = await rpq_pair.server.receive_async()
        assert request.proc == 5

    asyncio.run(run())
    works(rpq_pair)


def test_the_death_of_the_peer_ends_both_awaits(rpq_pair, bench) -> None:
    async def run() -> None:
        begin(rpq_pair.client)
        calling = asyncio.create_task(rpq_pair.client.call_async(None))
        receiving = asyncio.create_task(rpq_pair.server.receive_async())
        await receiving  # the call is being handled: nothing has acknowledged it
        bench.vm(2).kill()
        for task in (calling, asyncio.create_task(rpq_pair.server.receive_async())):
            with pytest.raises(errors.PeerDied):
                await task

    asyncio.run(run())


def test_many_channels_share_one_event_loop(rpq_pair) -> None:
    pairs = [rpq_pair.channel() for _ in range(4)]

    async def echo(server) -> None:
        for _ in range(10):
            (request,) = await server.receive_async()
            request.out[:8] = request.params
            server.acknowledge()

    async def ask(client, who: int) -> None:
        for number in range(10):
            question = b"%04d%04d" % (who, number)
            begin(client, 1, question)
            _, out, size = await client.call_async(60)
            assert bytes(client.window[out : out + size]) == question

    async def run() -> None:
        await asyncio.gather(
            *(echo(server) for server, _ in pairs),
            *(ask(client, who) for who, (_, client) in enumerate(pairs)),
        )

    asyncio.run(run())
    for server, client in pairs:
        server.close()
        client.close()


def test_a_descriptor_is_readable_when_something_came(rpq_pair) -> None:
    server = rpq_pair.server
    descriptor = server.fileno()
    server._core.fd_rearm()
    assert server.try_receive() is None
    assert select.select([descriptor], [], [], 0)[0] == []
    rpq_pair.client.post_bytes(1)
    rpq_pair.client.notify()
    assert select.select([descriptor], [], [], 60)[0] == [descriptor]
    assert [request.proc for request in server.try_receive()] == [1]
