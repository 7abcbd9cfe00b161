"""The seeded thread backend: a seed is one order of events, and different seeds find different ones."""

from __future__ import annotations

import pytest
from conformance_lib import SMALL, check_handshake, fill, journal, receive_until_gone, works

import hyplink
from hyplink import errors
from hyplink.testing import background, connect_rpq


def story(seed: int, board: str = "vogl") -> bytes:
    """Traffic, a full ring, a server that dies in mid-stream and comes back. Returns the journal."""
    with hyplink.Bench.from_dts(board, backend="thread", seed=seed) as bench:
        with connect_rpq(bench) as pair:
            works(pair)

            def produce() -> int:
                for number in range(10_000):
                    try:
                        pair.client.post_bytes(number, bytes(512))
                        if number % 5 == 0:
                            pair.client.notify()
                    except errors.PeerDied:
                        return number
                raise AssertionError("the server's death went unnoticed")

            producing = background(bench, produce)
            received = 0
            while received < 40:
                for request in pair.server.receive(3):
                    assert request.proc == received
                    received += 1
            bench.vm(2).kill()
            assert producing.result() >= received
        bench.vm(2).boot()
        with connect_rpq(bench) as pair:
            works(pair)
            fill(pair.client, 4096)
            bench.vm(3).kill()
            receive_until_gone(pair.server)
        bench.vm(3).boot()
        bench.link("vogl0").wait_on()
        check_handshake(bench)
        return bench.journal_bytes()


@pytest.mark.parametrize("seed_", [1, 2**64 - 1])
def test_the_same_seed_gives_the_same_journal_byte_for_byte(seed_) -> None:
    first = story(seed_)
    assert len(first) > 64 * 100
    assert story(seed_) == first


def test_different_seeds_find_different_orders() -> None:
    assert len({story(seed) for seed in range(10, 14)}) > 1


def test_twenty_seeds_keep_the_rules(seed) -> None:
    for number in range(seed, seed + 20):
        try:
            story(number, SMALL)
        except BaseException as failure:
            failure.add_note(f"seed {number}")
            raise


@pytest.mark.soak
def test_two_thousand_seeds_keep_the_rules(seed) -> None:
    for number in range(seed, seed + 2000):
        try:
            story(number)
        except BaseException as failure:
            failure.add_note(f"seed {number}")
            raise


def test_a_seed_in_real_processes_is_refused() -> None:
    with pytest.raises(errors.Unsupported, match="thread backend"):
        hyplink.Bench.from_dts("vogl", backend="process", seed=1)


def test_waiting_for_nobody_is_a_deadlock_not_a_hang() -> None:
    with hyplink.Bench.from_dts("vogl", backend="thread", seed=3) as bench:
        with connect_rpq(bench, timeout=None) as pair:
            with pytest.raises(errors.WouldDeadlock):
                pair.server.receive(timeout=None)
            with pytest.raises(errors.WouldDeadlock):
                pair.client.call_bytes(1, timeout=None)
        assert journal(bench, "session_open")


def test_virtual_time_costs_no_real_time() -> None:
    with hyplink.Bench.from_dts("vogl", backend="thread", seed=4) as bench:
        before = bench._core.now()
        with pytest.raises(errors.DeadlineExceeded):
            bench.vm(2).rpq("vogl0").accept(timeout=86_400)
        assert bench._core.now() - before >= 86_400 * 10**9
