"""vRPQ callbacks: the server sends, the client handles; calls within them; deaths at every step."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

import pytest
from conformance_lib import EVERYWHERE, REAL_TIME, works

from hyplink import errors, rpq
from hyplink.testing import background

pytestmark = EVERYWHERE


def ask(pair: Any, data: bytes = b"question", *, timeout: float | None = 60.0) -> Any:
    """A synchronous callback of 8 bytes there and back, beside the test."""
    return background(
        pair.bench, lambda: pair.server.callback_call_bytes(4, data, 8, timeout=timeout)
    )


def upper(request: Any) -> int:
    request.out[:] = bytes(request.params).upper()
    return 0


def handle_one(client: rpq.ClientChannel) -> None:
    while client.handle_callbacks() == 0:
        pass


def handle_all(client: rpq.ClientChannel) -> None:
    while True:
        client.handle_callbacks(timeout=None)


def call_60(client: rpq.ClientChannel) -> rpq.CallbackHandler:
    """A handler that calls procedure 60 of the server."""

    def handle(request: Any) -> None:
        client.call_bytes(60, b"", 8, timeout=None)

    return handle


def test_callbacks_arrive_once_and_in_order(rpq_pair) -> None:
    seen: list[tuple[int, bytes, bool]] = []
    rpq_pair.client.on_callback(
        lambda request: seen.append((request.proc, bytes(request.params), request.is_call))
    )
    expected = [(number, number.to_bytes(8, "little"), False) for number in range(20)]
    for proc, data, _ in expected:
        rpq_pair.server.callback_post_bytes(proc, data)
    assert rpq_pair.client.handle_callbacks() == 20
    assert seen == expected
    assert rpq_pair.client.handle_callbacks(timeout=0) == 0
    assert rpq_pair.client.handle_callbacks(timeout=0.01) == 0


def test_a_client_that_waits_for_callbacks_is_woken(rpq_pair) -> None:
    waiting = background(rpq_pair.bench, rpq_pair.client.handle_callbacks)
    rpq_pair.server.callback_post_bytes(1)
    assert waiting.result() == 1


def test_a_call_handles_callbacks_and_those_before_its_answer_first(rpq_pair) -> None:
    seen: list[int] = []
    rpq_pair.client.on_callback(lambda request: seen.append(request.proc))
    call = rpq_pair.call(1, b"", 8)
    rpq_pair.server.receive(1)
    for number in range(5):
        rpq_pair.server.callback_post_bytes(number)
    rpq_pair.server.acknowledge()
    call.result()
    assert seen == [0, 1, 2, 3, 4]


def test_the_client_answers_a_synchronous_callback_within_its_call(rpq_pair) -> None:
    rpq_pair.client.on_callback(upper)
    call = rpq_pair.call(1, b"12345678", 8)
    (request,) = rpq_pair.server.receive(1)
    assert rpq_pair.server.callback_call_bytes(4, b"question", 8) == b"QUESTION"
    assert bytes(request.params) == b"12345678"
    request.out[:] = b"the end."
    rpq_pair.server.acknowledge()
    assert call.result() == b"the end."
    works(rpq_pair)


@pytest.mark.parametrize("within_call", [True, False])
def test_a_call_from_inside_a_callback_is_served_by_the_server_that_waits(
    rpq_pair, within_call
) -> None:
    client, server = rpq_pair.client, rpq_pair.server
    served: list[int] = []

    def handle(request: Any) -> None:
        client.post_bytes(50)
        request.out[:] = client.call_bytes(60, bytes(request.params), 8)

    def nested(request: Any) -> int:
        served.append(request.proc)
        if request.is_call:
            request.out[:] = bytes(request.params)[::-1]
        with pytest.raises(errors.WouldDeadlock):
            server.callback_call_bytes(4, b"", 8)
        with pytest.raises(errors.WouldDeadlock):
            server.receive()
        return 0

    client.on_callback(handle)
    server.on_nested(nested)
    outer = (
        rpq_pair.call(1, b"", 8)
        if within_call
        else background(rpq_pair.bench, lambda: handle_one(client))
    )
    if within_call:
        server.receive(1)
    assert server.callback_call_bytes(4, b"12345678", 8) == b"87654321"
    if within_call:
        server.acknowledge()
    outer.result()
    assert served == [50, 60]
    server.on_nested(None)
    client.on_callback(None)
    works(rpq_pair)


def test_a_nested_call_that_nobody_serves_is_edeadlk_and_received_later(rpq_pair) -> None:
    client, server = rpq_pair.client, rpq_pair.server
    client.on_callback(call_60(client))
    call = rpq_pair.call(1, b"", 8)
    server.receive(1)
    with pytest.raises(errors.WouldDeadlock, match="on_nested"):
        server.callback_call_bytes(4, b"", 8)
    assert [request.proc for request in server.receive(1)] == [60]
    server.acknowledge()
    call.result()
    works(rpq_pair)


def test_callbacks_do_not_nest(rpq_pair) -> None:
    client = rpq_pair.client
    failures: list[BaseException] = []

    def handle(request: Any) -> None:
        try:
            client.handle_callbacks()
        except errors.WouldDeadlock as failure:
            failures.append(failure)

    client.on_callback(handle)
    rpq_pair.server.callback_post_bytes(1)
    handle_one(client)
    assert len(failures) == 1


def test_an_oserror_of_a_handler_is_the_answer(rpq_pair) -> None:
    def handle(request: Any) -> int:
        raise errors.Busy(16, "later")

    rpq_pair.client.on_callback(handle)
    asking = ask(rpq_pair)
    handle_one(rpq_pair.client)
    with pytest.raises(errors.Busy):
        asking.result()


def test_what_else_a_handler_raises_comes_out_and_the_server_is_told(rpq_pair) -> None:
    def handle(request: Any) -> int:
        raise KeyError("mine")

    rpq_pair.client.on_callback(handle)
    asking = ask(rpq_pair)
    with pytest.raises(KeyError, match="mine"):
        handle_one(rpq_pair.client)
    with pytest.raises(errors.LinkError) as caught:
        asking.result()
    assert caught.value.errno == 131
    rpq_pair.client.on_callback(None)
    works(rpq_pair)


def test_without_a_handler_nobody_waits_for_ever(rpq_pair) -> None:
    rpq_pair.server.callback_post_bytes(1)
    asking = ask(rpq_pair)
    for _ in range(2):
        rpq_pair.client.handle_callbacks()
        if rpq_pair.client.stats["callbacks_dropped"] == 2:
            break
    with pytest.raises(errors.Unsupported):
        asking.result()


def test_a_slow_client_cannot_stall_the_server(rpq_pair) -> None:
    client, server = rpq_pair.client, rpq_pair.server
    seen: list[tuple[int, int]] = []
    client.on_callback(
        lambda request: seen.append((request.proc, int.from_bytes(request.params[:8], "little")))
    )
    size = server.callback_block_max // 4 // 8 * 8

    def post(proc: int, number: int, **policy: Any) -> None:
        server.callback_post_bytes(proc, number.to_bytes(8, "little") + bytes(size - 8), **policy)

    fitted = 0
    with contextlib.suppress(errors.WouldBlock):
        while True:
            post(1, fitted)
            fitted += 1
    for number in range(10):
        post(2, number, drop="newest", keep=2)
        post(3, number, drop="oldest", keep=2)
    assert server.callbacks_kept == 4
    assert server.stats["callbacks_dropped"] == 16
    while len(seen) < fitted + 4:
        client.handle_callbacks()
        server.acknowledge()
    assert seen[fitted:] == [(2, 0), (2, 1), (3, 8), (3, 9)]
    works(rpq_pair)


def test_a_callback_that_is_too_long_names_the_limit(rpq_pair) -> None:
    limit = rpq_pair.server.callback_block_max
    with pytest.raises(errors.MessageTooLong, match=str(limit)):
        rpq_pair.server.callback_post_bytes(1, bytes(limit + 8))
    with pytest.raises(errors.MessageTooLong, match=str(limit)):
        rpq_pair.server.callback_post_bytes(1, bytes(limit + 8), drop="oldest", keep=3)
    with pytest.raises(errors.MessageTooLong, match=str(limit)):
        rpq_pair.server.callback_call_bytes(1, b"", limit + 8)
    rpq_pair.server.callback_post_bytes(1, bytes(limit))


def test_a_callback_that_timed_out_before_it_was_picked_up_never_runs(rpq_pair) -> None:
    seen: list[int] = []
    rpq_pair.client.on_callback(lambda request: seen.append(request.proc))
    with pytest.raises(errors.DeadlineExceeded, match="no answer to callback 9"):
        rpq_pair.server.callback_call_bytes(9, b"", 8, timeout=0.02)
    asking = ask(rpq_pair)
    while not seen:
        rpq_pair.client.handle_callbacks()
    asking.result()
    assert seen == [4]


# --- closes and deaths ----------------------------------------------------------------------------


def end(pair: Any, how: str, side: str) -> None:
    if how == "close":
        getattr(pair, side).close()
    else:
        getattr(pair, f"{side}_vm").kill()


HOW = pytest.mark.parametrize("how", ["close", "kill"])


@HOW
def test_the_client_goes_while_the_server_waits_for_a_callback(rpq_pair, how) -> None:
    asking = ask(rpq_pair, timeout=None)
    end(rpq_pair, how, "client")
    with pytest.raises(errors.PeerDied):
        asking.result()
    with pytest.raises(errors.PeerDied):
        rpq_pair.server.callback_post_bytes(1, drop="oldest", keep=10)


@HOW
def test_the_client_goes_inside_its_handler(rpq_pair, how) -> None:
    rpq_pair.client.on_callback(lambda _: end(rpq_pair, how, "client"))
    asking = ask(rpq_pair, timeout=None)
    with pytest.raises((errors.PeerDied, errors.HandleClosed)):
        handle_all(rpq_pair.client)
    with pytest.raises(errors.PeerDied):
        asking.result()


@HOW
def test_the_server_goes_while_the_client_handles_its_callback(rpq_pair, how) -> None:
    def handle(request: Any) -> None:
        end(rpq_pair, how, "server")

    rpq_pair.client.on_callback(handle)
    asking = ask(rpq_pair, timeout=None)
    with pytest.raises(errors.PeerDied):
        handle_all(rpq_pair.client)
    # An answer that came just before the end is still one.
    with contextlib.suppress(errors.PeerDied, errors.Cancelled, errors.HandleClosed):
        asking.result()


@HOW
def test_the_server_goes_within_a_nested_call(rpq_pair, how) -> None:
    client, server = rpq_pair.client, rpq_pair.server
    client.on_callback(call_60(client))
    server.on_nested(lambda _: end(rpq_pair, how, "server"))
    call = rpq_pair.call(1, b"", 8)
    server.receive(1)
    with pytest.raises((errors.PeerDied, errors.HandleClosed, errors.Cancelled)):
        server.callback_call_bytes(4, b"", 8, timeout=None)
    with pytest.raises(errors.PeerDied):
        call.result()


def test_a_server_that_closes_has_its_callbacks_delivered_first(rpq_pair) -> None:
    seen: list[int] = []
    rpq_pair.client.on_callback(lambda request: seen.append(request.proc))
    for number in range(3):
        rpq_pair.server.callback_post_bytes(number)
    rpq_pair.server.close()
    assert rpq_pair.client.handle_callbacks() == 3
    with pytest.raises(errors.PeerDied):
        rpq_pair.client.handle_callbacks()
    assert seen == [0, 1, 2]


def test_a_dead_server_has_nothing_delivered_any_more(rpq_pair) -> None:
    rpq_pair.server.callback_post_bytes(1)
    rpq_pair.server_vm.kill()
    with pytest.raises(errors.PeerDied):
        handle_all(rpq_pair.client)


# --- event loops, seeds ---------------------------------------------------------------------------


@REAL_TIME
def test_callbacks_in_an_event_loop(rpq_pair) -> None:
    seen: list[int] = []
    rpq_pair.client.on_callback(lambda request: seen.append(request.proc))

    async def run() -> None:
        waiting = asyncio.create_task(rpq_pair.client.handle_callbacks_async())
        await asyncio.sleep(0)
        rpq_pair.server.callback_post_bytes(7)
        assert await waiting == 1

    asyncio.run(run())
    assert seen == [7]


# --- versions -------------------------------------------------------------------------------------


def hello(minor: int, key: int, major: int = 1) -> bytes:
    head = b"VIDL" + (1).to_bytes(2, "little") + (1).to_bytes(2, "little")
    numbers = b"".join(n.to_bytes(2, "little") for n in (2, major, minor, 0))
    return head + numbers + key.to_bytes(8, "little")


def test_a_client_of_another_version_is_told_both(rpq_pair) -> None:
    server, client = rpq_pair.channel(hello(9, 7, major=3) + b"mine")
    with pytest.raises(errors.VersionMismatch, match=r"3\.9.*1\.4"):
        server.check_hello(hello(4, 7), server.info)
    server.close()
    for operation in (
        client.handle_callbacks,
        lambda: client.post_bytes(1),
        lambda: client.call_bytes(1),
    ):
        with pytest.raises(errors.VersionMismatch, match=r"1\.4 of group 2, we 3\.9"):
            operation()
    works(rpq_pair)  # the other channels of the session know nothing of it


def test_a_waiting_call_learns_of_the_refusal_at_once(rpq_pair) -> None:
    server, client = rpq_pair.channel(hello(4, 8))
    call = background(rpq_pair.bench, lambda: client.call_bytes(1, timeout=None))
    with pytest.raises(errors.VersionMismatch, match="another text"):
        server.check_hello(hello(4, 7), server.info)
    with pytest.raises(errors.VersionMismatch, match="another text"):
        call.result()


def test_another_minor_version_and_no_hello_at_all_are_served(rpq_pair) -> None:
    for info in (hello(3, 1), hello(5, 1), hello(4, 7), b"", b"just mine"):
        server, client = rpq_pair.channel(info)
        server.check_hello(hello(4, 7), server.info)
        client.post_bytes(1)
        client.notify()
        assert len(server.receive()) == 1
        client.close()
        server.close()


def test_callbacks_are_seen_in_the_journal_and_in_the_statistics(rpq_pair) -> None:
    client, server, bench = rpq_pair.client, rpq_pair.server, rpq_pair.bench
    client.on_callback(lambda request: 22 if request.is_call else None)
    for _ in range(3):
        server.callback_post_bytes(7, b"once")
    while client.stats["callbacks"] < 3:
        client.handle_callbacks()
    asking = ask(rpq_pair)
    handle_one(client)
    with pytest.raises(errors.LinkError):
        asking.result()
    client.on_callback(None)
    server.callback_post_bytes(7, b"nobody")
    while client.stats["callbacks_dropped"] == 0:
        client.handle_callbacks(timeout=0)
    (row,) = bench.stats.rpq()
    assert (row.callbacks, row.callback_calls) == (5, 1)
    assert (row.callbacks_handled, row.callbacks_dropped) == (4, 1)
    assert row.to_json()["callbacks_handled"] == 4
    told = [
        (event.kind.name, event.b, event.c)
        for event in bench.trace
        if event.kind.name.startswith("CALLBACK")
    ]
    assert sorted(told) == sorted(
        [("CALLBACK_SENT", 7, 0)] * 4
        + [("CALLBACK_SENT", 4, 1)]
        + [("CALLBACK_DONE", 7, 0)] * 3
        + [("CALLBACK_DONE", 4, 22), ("CALLBACK_LOST", 7, 0)]
    )
