"""Calls within callbacks within calls, and calls that are given up, in the orders that many seeds find."""

from __future__ import annotations

from typing import Any

import pytest
from conformance_lib import SMALL

import hyplink
from hyplink import errors
from hyplink.testing import background, connect_rpq

QUESTION, NEWS, OUTER, INNER, STOP = 4, 5, 1, 60, 99


def number(data: Any) -> int:
    return int.from_bytes(bytes(data)[:8], "little")


def block(value: int) -> bytes:
    return value.to_bytes(8, "little")


def nests(seed: int, calls: int = 25) -> bytes:
    """A client that calls; a server that answers only after it has asked back; news in between."""
    news: list[int] = []
    nested: list[int] = []
    with hyplink.Bench.from_dts(SMALL, backend="thread", seed=seed) as bench:
        with connect_rpq(bench) as pair:
            client, server = pair.client, pair.server

            def on_callback(request: Any) -> None:
                if request.proc == NEWS:
                    news.append(number(request.params))
                    return
                inner = client.call_bytes(INNER, bytes(request.params), 8)
                request.out[:] = block(number(inner) + 1)

            def on_nested(request: Any) -> None:
                nested.append(number(request.params))
                request.out[:] = block(number(request.params) * 2)

            def serve() -> None:
                sent = 0
                while True:
                    for request in server.receive(1):
                        if request.proc == STOP:
                            return
                        value = number(request.params)
                        for _ in range(value % 4):
                            server.callback_post_bytes(NEWS, block(sent), drop="oldest", keep=3)
                            sent += 1
                        answer = server.callback_call_bytes(QUESTION, block(value), 8)
                        assert number(answer) == 2 * value + 1
                        assert number(request.params) == value
                        request.out[:] = answer

            client.on_callback(on_callback)
            server.on_nested(on_nested)
            serving = background(bench, serve)
            for value in range(calls):
                before = len(news)
                assert number(client.call_bytes(OUTER, block(value), 8)) == 2 * value + 1
                assert len(news) - before == value % 4, "news before an answer came after it"
            client.post_bytes(STOP)
            client.notify()
            serving.result()
            assert nested == list(range(calls))
            assert news == list(range(len(news)))
        return bytes(bench.journal_bytes())


def given_up(seed: int, calls: int = 60) -> tuple[int, int, int]:
    """A client that waits next to no time: (never executed, executed for nothing, answered)."""
    executed: list[int] = []
    answered: list[int] = []
    with (
        hyplink.Bench.from_dts(SMALL, backend="thread", seed=seed) as bench,
        connect_rpq(bench) as pair,
    ):

        def serve() -> None:
            while True:
                for request in pair.server.receive(1):
                    if request.proc == STOP:
                        return
                    executed.append(number(request.params))
                    # Other tasks may run in here.
                    pair.server.callback_post_bytes(NEWS, drop="newest")
                    request.out[:] = bytes(request.params)

        serving = background(bench, serve)
        for value in range(calls):
            try:
                # Time passes with each look at the clock: some of these limits are just met.
                limit = value % 12 * 1e-9
                answer = pair.client.call_bytes(OUTER, block(value), 8, timeout=limit)
            except errors.DeadlineExceeded:
                continue
            assert number(answer) == value, "the answer of another call"
            answered.append(value)
        pair.client.post_bytes(STOP)
        pair.client.notify()
        serving.result()
    assert executed == sorted(set(executed)), "executed twice or out of order"
    assert set(answered) <= set(executed)
    return calls - len(executed), len(executed) - len(answered), len(answered)


def over(seed: int, count: int, story: Any) -> list[Any]:
    found = []
    for each in range(seed, seed + count):
        try:
            found.append(story(each))
        except BaseException as failure:
            failure.add_note(f"seed {each}")
            raise
    return found


def test_nests_keep_their_rules_in_forty_orders(seed) -> None:
    over(seed, 40, nests)


def test_the_same_seed_nests_in_the_same_order() -> None:
    assert nests(11) == nests(11)


def test_calls_that_are_given_up_end_in_one_of_three_ways(seed) -> None:
    found = over(seed, 40, given_up)
    never, for_nothing, answered = (sum(column) for column in zip(*found, strict=True))
    assert min(never, for_nothing, answered) > 0
    assert never + for_nothing + answered == 40 * 60


@pytest.mark.soak
def test_nests_keep_their_rules_in_two_thousand_orders(seed) -> None:
    over(seed, 2000, nests)
    over(seed, 2000, given_up)
