"""Ctrl-C ends every wait, and what was waited on still works afterwards."""

from __future__ import annotations

import pytest
from conformance_lib import (
    REAL_TIME,
    Echo,
    ctrl_c,
    ctrl_c_that_ends_no_sleep,
    fill,
    signals_that_mean_nothing,
    works,
)

from hyplink.testing import background, connect_rpq

pytestmark = REAL_TIME


def test_ctrl_c_ends_an_accept(bench) -> None:
    with ctrl_c():
        bench.vm(2).rpq("vogl0").accept(timeout=None)
    with connect_rpq(bench) as pair:
        works(pair)


def test_ctrl_c_ends_the_creation_of_a_session(bench) -> None:
    with ctrl_c():
        bench.vm(3).rpq("vogl0").session(timeout=None)
    bench.vm(2).start(Echo())
    with bench.vm(3).rpq("vogl0").session() as session, session.channel() as channel:
        assert channel.call_bytes(1, b"still ok", 8) == b"still ok"


def test_ctrl_c_ends_the_creation_and_acceptance_of_a_channel(rpq_pair) -> None:
    with ctrl_c():
        rpq_pair.server_session.accept(timeout=None)
    with ctrl_c():
        rpq_pair.client_session.channel(timeout=None)
    works(rpq_pair)


def test_ctrl_c_ends_a_call_that_nobody_picked_up_and_nobody_ever_will(rpq_pair) -> None:
    with ctrl_c():
        rpq_pair.client.call_bytes(1, b"given up", 8, timeout=None)
    assert rpq_pair.server.try_receive() is None
    works(rpq_pair)


def test_ctrl_c_ends_a_call_that_is_handled_and_its_late_answer_is_dropped(rpq_pair) -> None:
    def handle() -> None:
        (request,) = rpq_pair.server.receive(1)
        request.out[:] = b"too late"

    handling = background(rpq_pair.bench, handle)
    while not handling.done():  # it may be ended before it was picked up
        with ctrl_c():
            rpq_pair.client.call_bytes(1, b"given up", 8, timeout=None)
    handling.result()
    assert rpq_pair.server.call_given_up
    works(rpq_pair)


def test_ctrl_c_ends_a_wait_for_callbacks(rpq_pair) -> None:
    with ctrl_c():
        rpq_pair.client.handle_callbacks(timeout=None)
    works(rpq_pair)


def test_ctrl_c_ends_a_callback_that_nobody_picked_up_and_nobody_ever_will(rpq_pair) -> None:
    seen: list[int] = []
    rpq_pair.client.on_callback(lambda request: seen.append(request.proc))
    with ctrl_c():
        rpq_pair.server.callback_call_bytes(1, b"", 8, timeout=None)
    rpq_pair.server.callback_post_bytes(2)
    while not seen:
        rpq_pair.client.handle_callbacks()
    assert seen == [2]
    works(rpq_pair)


def test_ctrl_c_ends_a_receive(rpq_pair) -> None:
    with ctrl_c():
        rpq_pair.server.receive(timeout=None)
    works(rpq_pair)


def test_ctrl_c_ends_a_post_into_a_full_ring(rpq_pair) -> None:
    count = fill(rpq_pair.client)
    rpq_pair.client._core.set_timeout(None)
    with ctrl_c():
        rpq_pair.client.post_bytes(1, bytes(1024))
    received = 0
    while received < count:
        received += len(rpq_pair.server.receive())
    rpq_pair.client.post_bytes(2)
    rpq_pair.client.notify()
    assert rpq_pair.server.receive()[0].proc == 2


def test_ctrl_c_ends_the_wait_for_a_guest(bench) -> None:
    guest = bench.vm(2).start(Echo())
    with ctrl_c():
        guest.result()
    with bench.vm(3).rpq("vogl0").session() as session, session.channel() as channel:
        assert channel.call_bytes(1, b"still ok", 8) == b"still ok"


def test_ctrl_c_ends_the_waits_for_a_link_and_a_vm(bench) -> None:
    link = bench.link("vogl0").wait_on()
    with ctrl_c():
        link.wait_off(timeout=None)
    with ctrl_c():
        bench.vm(2).wait(bench.vm(2).state.__class__.DEAD, timeout=None)
    with connect_rpq(bench) as pair:
        works(pair)


def test_a_signal_whose_handler_returns_does_not_end_a_wait(rpq_pair) -> None:
    with signals_that_mean_nothing() as heard:
        while len(heard) < 2:  # one may be all that a process hears that does not get to run
            with pytest.raises(TimeoutError):
                rpq_pair.server.receive(timeout=0.2)
    works(rpq_pair)


# --- a signal that is there before the sleep, or in another thread ---------------------------------


def test_ctrl_c_right_before_a_sleep_ends_a_receive(rpq_pair) -> None:
    with ctrl_c_that_ends_no_sleep() as limit:
        rpq_pair.server.receive(timeout=limit)
    works(rpq_pair)


def test_ctrl_c_right_before_a_sleep_ends_a_call(rpq_pair) -> None:
    with ctrl_c_that_ends_no_sleep() as limit:
        rpq_pair.client.call_bytes(1, b"given up", 8, timeout=limit)
    assert rpq_pair.server.try_receive() is None
    works(rpq_pair)


def test_ctrl_c_right_before_a_sleep_ends_what_is_asked_of_a_kernel(bench) -> None:
    with ctrl_c_that_ends_no_sleep() as limit:
        bench.vm(3).rpq("vogl0").session(timeout=limit)
    # Who accepts may meet the session that was given up, which is dead.
    bench.vm(2).start(Echo())
    with bench.vm(3).rpq("vogl0").session() as session, session.channel() as channel:
        assert channel.call_bytes(1, b"still ok", 8) == b"still ok"


def test_ctrl_c_right_before_a_sleep_ends_the_wait_for_a_link(bench) -> None:
    link = bench.link("vogl0").wait_on()
    with ctrl_c_that_ends_no_sleep() as limit:
        link.wait_off(timeout=limit)
