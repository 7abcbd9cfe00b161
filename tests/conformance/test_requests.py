"""vRPQ requests: post, notify, call, receive. vlx-facts 2.8 to 2.10."""

from __future__ import annotations

import contextlib
import errno

import pytest
from conformance_lib import EVERYWHERE, SMALL, answer, fill, works

from hyplink import errors
from hyplink.rpq import ChannelState, ProcId
from hyplink.testing import background

pytestmark = EVERYWHERE


def test_posts_are_not_seen_before_notify(rpq_pair) -> None:
    client, server = rpq_pair.client, rpq_pair.server
    for number in range(3):
        client.post_bytes(number, b"%d" % number)
    assert server.try_receive() is None
    client.notify()
    requests = server.receive()
    assert [(r.proc, bytes(r.params)[:1]) for r in requests] == [(0, b"0"), (1, b"1"), (2, b"2")]
    assert not any(request.is_call for request in requests)


def test_notify_without_posts_sends_nothing(rpq_pair) -> None:
    before = rpq_pair.client.stats["xirqs"]
    rpq_pair.client.notify()
    assert rpq_pair.client.stats["xirqs"] == before
    assert rpq_pair.server.try_receive() is None


def test_a_batch_costs_one_xirq_at_most(rpq_pair) -> None:
    client, server = rpq_pair.client, rpq_pair.server
    waiting = background(rpq_pair.bench, lambda: len(server.receive(timeout=60)))
    before = client.stats["xirqs"]
    for number in range(20):
        client.post_bytes(number)
    client.notify()
    assert waiting.result() == 20
    assert client.stats["xirqs"] - before <= 1


def test_post_and_notify_is_both(rpq_pair) -> None:
    rpq_pair.client.begin(5, 0)
    rpq_pair.client.post_and_notify()
    assert [request.proc for request in rpq_pair.server.receive()] == [5]


def test_a_procedure_is_a_group_and_a_function(rpq_pair) -> None:
    rpq_pair.client.post_bytes(ProcId(3, 9))
    rpq_pair.client.notify()
    assert rpq_pair.server.receive()[0].proc == 3 << 16 | 9


def test_receive_takes_no_more_than_asked_for(rpq_pair) -> None:
    for number in range(5):
        rpq_pair.client.post_bytes(number)
    rpq_pair.client.notify()
    taken = [[r.proc for r in rpq_pair.server.receive(2)] for _ in range(3)]
    assert taken == [[0, 1], [2, 3], [4]]


def test_a_call_delivers_the_posts_before_it_and_ends_the_batch(rpq_pair) -> None:
    client, server = rpq_pair.client, rpq_pair.server
    client.post_bytes(1)
    client.post_bytes(2)
    call = rpq_pair.call(3, b"", 8)
    batch = server.receive()
    while not batch[-1].is_call:
        batch += server.receive()
    assert [(request.proc, request.is_call) for request in batch] == [
        (1, False),
        (2, False),
        (3, True),
    ]
    batch[-1].out[:] = b"01234567"
    server.acknowledge()
    assert call.result() == b"01234567"


def test_a_call_is_answered_by_the_next_receive(rpq_pair) -> None:
    client, server = rpq_pair.client, rpq_pair.server
    call = rpq_pair.call(1, b"", 8)
    (request,) = server.receive(1)
    request.out[:] = b"answer.."
    assert not call.done()
    with pytest.raises(errors.DeadlineExceeded):
        server.receive(timeout=0.01)
    assert call.result() == b"answer.."
    assert client.pending == 0


def test_receive_of_nothing_acknowledges_and_does_not_wait(rpq_pair) -> None:
    call = rpq_pair.call(1, b"", 8)
    rpq_pair.server.receive(1)
    assert rpq_pair.server.receive(0) == []
    assert call.result() == bytes(8)


def test_an_acknowledged_post_is_no_longer_pending(rpq_pair) -> None:
    client, server = rpq_pair.client, rpq_pair.server
    client.post_bytes(1)
    client.post_bytes(2)
    client.notify()
    server.receive()
    assert client.pending == 2
    server.acknowledge()
    assert client.pending == 0


def test_output_that_the_server_did_not_write_is_zero(rpq_pair) -> None:
    for _ in range(3):  # the same room again: nothing of an earlier request shines through
        call = rpq_pair.call(1, b"\xff" * 64, 64)
        answer(rpq_pair.server, b"\xee")
        assert call.result() == b"\xee" + bytes(63)


def test_the_reason_of_a_call_reaches_its_caller_and_no_other(rpq_pair) -> None:
    for reason, error in (
        (22, errors.BadArgument),
        (1, errors.NotPermitted),
        (99, errors.LinkError),
    ):
        call = rpq_pair.call(1)
        answer(rpq_pair.server, reason=reason)
        with pytest.raises(error) as caught:
            call.result()
        assert caught.value.errno == reason
        call = rpq_pair.call(1)
        answer(rpq_pair.server)
        assert call.result() == b""


def test_requests_keep_their_order_over_many_rounds_of_the_ring(rpq_pair) -> None:
    client, server = rpq_pair.client, rpq_pair.server
    total = 3000
    sizes = (0, 8, 24, 1000, 4096)

    def produce() -> None:
        for number in range(total):
            client.post_bytes(number, number.to_bytes(8, "little") * (sizes[number % 5] // 8))
            if number % 7 == 0:
                client.notify()
        client.notify()

    producing = background(rpq_pair.bench, produce)
    expected = 0
    while expected < total:
        for request in server.receive():
            assert request.proc == expected
            size = sizes[expected % 5]
            assert len(request.params) == size
            assert bytes(request.params) == expected.to_bytes(8, "little") * (size // 8)
            expected += 1
    producing.result()


def test_a_full_ring_times_out_and_resumes_when_the_server_takes_something(rpq_pair) -> None:
    client, server = rpq_pair.client, rpq_pair.server
    count = fill(client)
    assert count > 4
    assert client.pending == count
    blocked = background(rpq_pair.bench, lambda: client.post_bytes(count, bytes(1024)))
    received = 0
    while received < count:
        received += len(server.receive(4))
    server.acknowledge()
    blocked.result()
    client.notify()
    assert [request.proc for request in server.receive()] == [count]
    works(rpq_pair)


def test_a_call_blocked_by_a_full_ring_comes_through(rpq_pair) -> None:
    count = fill(rpq_pair.client)
    call = rpq_pair.call(99, bytes(1024), 8)
    seen = 0
    while True:
        batch = rpq_pair.server.receive()
        seen += len(batch)
        if batch[-1].is_call:
            break
    rpq_pair.server.acknowledge()
    assert call.result() == bytes(8)
    assert seen == count + 1


def test_a_request_larger_than_half_a_port_is_refused_by_size(rpq_pair) -> None:
    limit = rpq_pair.client.block_max
    with pytest.raises(errors.MessageTooLong, match=r"half of its ring.*raise vrpq-pmem"):
        rpq_pair.client.post_bytes(1, bytes(limit + 8))
    with pytest.raises(errors.MessageTooLong):
        rpq_pair.client.call_bytes(1, b"", limit + 8)
    works(rpq_pair)
    rpq_pair.client.post_bytes(1, bytes(limit))
    rpq_pair.client.notify()
    assert len(rpq_pair.server.receive()[0].params) == limit


def test_parameters_are_read_in_place_and_only_read(rpq_pair) -> None:
    rpq_pair.client.post_bytes(1, b"12345678")
    rpq_pair.client.notify()
    (request,) = rpq_pair.server.receive()
    assert request.params.readonly
    with pytest.raises(TypeError):
        request.params[0] = 0
    assert rpq_pair.client.stats["copies"] == 1
    assert rpq_pair.server.stats["copies"] == 0


def test_a_call_that_timed_out_before_it_was_picked_up_is_never_executed(rpq_pair) -> None:
    with pytest.raises(errors.DeadlineExceeded, match="no answer to procedure 1"):
        rpq_pair.client.call_bytes(1, b"first...", 8, timeout=0.02)
    call = rpq_pair.call(2, b"second..", 8)
    assert answer(rpq_pair.server, b"good....") == b"second.."
    assert call.result() == b"good...."
    works(rpq_pair)


def test_a_changed_time_limit_holds_for_calls_and_for_a_full_port(rpq_pair) -> None:
    rpq_pair.client.timeout = 0.02
    assert rpq_pair.client.timeout == 0.02
    with pytest.raises(errors.DeadlineExceeded, match="no answer to procedure 1"):
        rpq_pair.client.call_bytes(1, b"first...", 8)

    def fill() -> None:
        while True:
            rpq_pair.client.begin(2, 1 << 10)
            rpq_pair.client.post()

    with pytest.raises(errors.DeadlineExceeded):
        fill()


def test_a_call_that_timed_out_while_it_is_handled_has_its_answer_dropped(rpq_pair) -> None:
    for limit in (0.2, 2.0, 20.0):
        first = rpq_pair.call(1, b"first...", 8, timeout=limit)
        with contextlib.suppress(errors.DeadlineExceeded):  # given up before it was picked up
            (request,) = rpq_pair.server.receive(1, timeout=limit)
            break
        with pytest.raises(errors.DeadlineExceeded):
            first.result()
    with pytest.raises(errors.DeadlineExceeded):
        first.result()
    assert rpq_pair.server.call_given_up
    request.out[:] = b"late...."
    call = rpq_pair.call(2, b"second..", 8)
    assert answer(rpq_pair.server, b"good....") == b"second.."
    assert call.result() == b"good...."
    works(rpq_pair)


def test_a_receive_that_timed_out_leaves_nothing_behind(rpq_pair) -> None:
    for _ in range(3):
        with pytest.raises(errors.DeadlineExceeded):
            rpq_pair.server.receive(timeout=0.01)
    assert rpq_pair.server.receive(0) == []
    works(rpq_pair)


def test_the_client_closes_first_and_what_it_published_is_still_delivered(rpq_pair) -> None:
    for number in range(3):
        rpq_pair.client.post_bytes(number)
    rpq_pair.client.notify()
    rpq_pair.client.post_bytes(99)  # never published
    rpq_pair.client.close()
    assert [r.proc for r in rpq_pair.server.receive(2)] == [0, 1]
    assert [r.proc for r in rpq_pair.server.receive(2)] == [2]
    with pytest.raises(errors.PeerDied):
        rpq_pair.server.receive()
    assert rpq_pair.server.state is ChannelState.PEER_CLOSED


def test_the_server_closes_first_and_the_call_in_progress_ends(rpq_pair) -> None:
    rpq_pair.client.post_bytes(1)
    call = rpq_pair.call(2)
    rpq_pair.server.receive(1)
    rpq_pair.server.close()
    with pytest.raises(errors.PeerDied):
        call.result()
    with pytest.raises(errors.PeerDied):
        rpq_pair.client.call_bytes(1)


def test_an_answer_given_before_the_server_closed_still_arrives(rpq_pair) -> None:
    call = rpq_pair.call(1, b"", 8)
    answer(rpq_pair.server, b"answered")
    rpq_pair.server.close()
    assert call.result() == b"answered"


def test_a_receive_that_waits_ends_when_the_client_closes(rpq_pair) -> None:
    receiving = background(rpq_pair.bench, lambda: rpq_pair.server.receive(timeout=60))
    rpq_pair.client.close()
    with pytest.raises(errors.PeerDied):
        receiving.result()


def test_a_closed_handle_says_so(rpq_pair) -> None:
    for handle in (rpq_pair.client, rpq_pair.server):
        handle.close()
        handle.close()
        assert handle.state is ChannelState.CLOSED
    with pytest.raises(errors.HandleClosed):
        rpq_pair.client.post_bytes(1)
    with pytest.raises(errors.HandleClosed):
        rpq_pair.client.call_bytes(1)
    with pytest.raises(errors.HandleClosed):
        rpq_pair.server.receive()
    rpq_pair.client_session.close()
    with pytest.raises(errors.HandleClosed):
        rpq_pair.client_session.channel()
    rpq_pair.client_application.close()
    with pytest.raises(errors.HandleClosed):
        rpq_pair.client_application.devices()


def test_corruption_found_by_a_server_closes_that_channel_only(rpq_pair) -> None:
    server, client = rpq_pair.channel()
    call = background(rpq_pair.bench, lambda: client.call_bytes(1, timeout=60))
    server.receive(1)
    server.fail(errors.CorruptRing(74, "a length of 3 where 8 was expected"))
    with pytest.raises(errors.CorruptRing):
        call.result()
    with pytest.raises(errors.LinkError):
        client.call_bytes(1)
    works(rpq_pair)
    server.close()
    client.close()


@pytest.mark.hyplink_dts(SMALL)
def test_a_small_board_bounds_requests_too(bench, rpq_pair) -> None:
    count = fill(rpq_pair.client, size=0)
    assert 16 <= count <= 256
    rpq_pair.server.receive(4)
    rpq_pair.server.acknowledge()
    rpq_pair.client.post_bytes(1)


def test_an_end_is_one_threads_and_a_second_one_is_told_so(rpq_pair) -> None:
    call = rpq_pair.call(3, b"question", 8, timeout=60)
    (request,) = rpq_pair.server.receive()
    for ask in (
        lambda: rpq_pair.client.post_bytes(1),
        lambda: rpq_pair.client.call_bytes(1),
        rpq_pair.client.notify,
        lambda: rpq_pair.client.handle_callbacks(timeout=0),
        lambda: rpq_pair.client.pending,
    ):
        with pytest.raises(errors.Busy, match="in use by another thread") as caught:
            ask()
        assert caught.value.errno == errno.EBUSY
    assert rpq_pair.client.state is ChannelState.OPEN
    request.out[:] = b"answered"
    rpq_pair.server.acknowledge()
    assert call.result() == b"answered"
    works(rpq_pair)


def test_a_callback_may_use_the_channel_whose_call_runs_it(rpq_pair) -> None:
    seen: list[int] = []
    rpq_pair.client.on_callback(lambda _: seen.append(rpq_pair.client.pending))
    call = rpq_pair.call(3, b"question", 8, timeout=60)
    rpq_pair.server.receive()
    rpq_pair.server.callback_post_bytes(7, b"")
    rpq_pair.server.acknowledge()
    call.result()
    assert len(seen) == 1
