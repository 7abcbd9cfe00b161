"""vlinks: the handshake, recovery, and what happens when one side is stuck. vlx-facts 1.2."""

from __future__ import annotations

import os
import signal

import pytest
from conformance_lib import (
    EVERYWHERE,
    OFF,
    ON,
    PROCESS,
    RESET,
    check_handshake,
    journal,
    link_steps,
    works,
)

from hyplink import LinkState, errors
from hyplink.testing import background, connect_rpq, eventually
from stopping import stopped

pytestmark = EVERYWHERE


def test_both_sides_go_off_reset_on_and_never_ahead_of_a_peer_that_is_off(bench) -> None:
    bench.link("vogl0").wait_on()
    steps = link_steps(bench)
    for side in ("server", "client"):
        assert [(old, new) for who, old, new in steps if who == side] == [(OFF, RESET), (RESET, ON)]
    check_handshake(bench)
    assert not journal(bench, "link_refused", "link_forced")


def test_a_side_alone_waits_in_reset(bench_factory) -> None:
    bench = bench_factory(boot=False)
    bench.vm(2).boot()
    eventually(bench, lambda: bench.link("vogl0").states == (LinkState.RESET, LinkState.OFF))
    with pytest.raises(errors.DeadlineExceeded):
        bench.link("vogl0").wait_on(timeout=0.05)
    bench.vm(3).boot()
    bench.link("vogl0").wait_on()


def test_a_vm_that_comes_back_waits_until_the_survivor_has_left_on(bench) -> None:
    bench.link("vogl0").wait_on()
    bench.vm(2).kill()
    bench.vm(2).boot()
    bench.link("vogl0").wait_on()
    check_handshake(bench)
    steps = link_steps(bench)
    died = steps.index(("server", ON, OFF))
    survivor_left = steps.index(("client", ON, OFF))
    came_back = steps.index(("server", OFF, RESET), died)
    assert died < survivor_left < came_back


def test_a_shutdown_is_announced_by_the_link_first(bench) -> None:
    bench.link("vogl0").wait_on()
    bench.vm(2).shutdown()
    assert not journal(bench, "link_forced")
    assert ("server", ON, OFF) in link_steps(bench)
    assert bench.link("vogl0").states[0] is LinkState.OFF


def test_waiting_for_a_link_to_go_off_ends_when_a_side_dies(bench) -> None:
    link = bench.link("vogl0").wait_on()
    waiting = background(bench, lambda: link.wait_off(timeout=60))
    bench.vm(3).kill()
    assert waiting.result().states[1] is LinkState.OFF


def test_every_step_of_one_side_is_told_to_the_other(bench) -> None:
    bench.link("vogl0").wait_on()
    told = [record.a for record in journal(bench, "sysconf")]
    assert told.count(3) >= 1
    assert told.count(2) >= 1


@PROCESS
def test_a_stuck_survivor_is_forced_off_and_recovers_when_it_runs_again(bench_factory) -> None:
    bench = bench_factory(cleanup_grace=0.1)
    link = bench.link("vogl0").wait_on()
    with connect_rpq(bench) as pair:
        works(pair)
        stuck = bench.vm(3).pid
        with stopped(stuck):
            bench.vm(2).kill()
            bench.vm(2).boot()
            # The dead side may come back although the stuck one never said that it has left.
            eventually(bench, lambda: link.states == (LinkState.RESET, LinkState.OFF))
            assert [record.a for record in journal(bench, "link_forced")] == [0, 1]
        link.wait_on()
        with pytest.raises(errors.PeerDied):
            pair.client.call_bytes(1)
    check_handshake(bench)
    with connect_rpq(bench) as pair:
        works(pair)


@PROCESS
def test_the_grace_time_is_waited_for(bench_factory) -> None:
    bench = bench_factory(cleanup_grace=30)
    link = bench.link("vogl0").wait_on()
    with stopped(bench.vm(3).pid):
        bench.vm(2).kill()
        bench.vm(2).boot()
        with pytest.raises(errors.DeadlineExceeded):
            link.wait_on(timeout=0.3)
        assert link.states == (LinkState.OFF, LinkState.ON)
    link.wait_on()
    check_handshake(bench)


@PROCESS
def test_a_stuck_vm_does_not_keep_the_bench_from_closing(bench) -> None:
    bench.link("vogl0").wait_on()
    with stopped(bench.vm(2).pid):
        bench.close()


@PROCESS
def test_a_vm_that_does_not_shut_down_in_time_is_killed(bench) -> None:
    bench.link("vogl0").wait_on()
    with (
        stopped(bench.vm(2).pid),
        pytest.raises(errors.DeadlineExceeded, match="shut down VM 2"),
    ):
        bench.vm(2).shutdown(timeout=0.1)
    assert bench.vm(2).state.name == "DEAD"
    bench.vm(2).boot()
    bench.link("vogl0").wait_on()


@PROCESS
def test_the_death_of_a_vm_is_noticed_without_being_asked_for(bench) -> None:
    link = bench.link("vogl0").wait_on()
    os.kill(bench.vm(2).pid, signal.SIGKILL)
    link.wait_off()
    assert bench.vm(2).state.name == "DEAD"
    bench.vm(2).boot()
    link.wait_on()
    check_handshake(bench)
