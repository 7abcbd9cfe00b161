"""Either peer dies, at every step of a conversation, and comes back."""

from __future__ import annotations

import itertools
import os
import signal
import time

import pytest
from conformance_lib import (
    EVERYWHERE,
    PATIENCE,
    PROCESS,
    Echo,
    check_handshake,
    fill,
    journal,
    own_pid,
    receive_until_gone,
    retry,
    works,
)

from hyplink import VmState, errors
from hyplink.rpq import ChannelState
from hyplink.testing import background, connect_rpq

STEPS = ("connected", "posted", "published", "calling", "handling", "full")


def reach(pair, step: str):
    """Bring a pair to a step; returns (work under way or None, requests published)."""
    if step == "connected":
        return None, 0
    if step == "full":
        return None, fill(pair.client)
    pair.client.post_bytes(1)
    pair.client.post_bytes(2)
    if step == "posted":
        return None, 0
    pair.client.notify()
    if step == "published":
        return None, 2
    call = pair.call(3, b"question", 8, timeout=60)
    batch = pair.server.receive()
    while not batch[-1].is_call:
        batch += pair.server.receive()
    if step == "handling":
        batch[-1].out[:4] = b"half"
    return call, 1


@EVERYWHERE
@pytest.mark.parametrize("step", STEPS)
def test_a_server_vm_dies_and_comes_back(bench, step) -> None:
    with connect_rpq(bench) as pair:
        under_way, lost = reach(pair, step)
        bench.vm(2).kill()
        if under_way is not None:
            with pytest.raises(errors.PeerDied) as caught:
                under_way.result()
        else:
            with pytest.raises(errors.PeerDied) as caught:
                pair.client.call_bytes(9)
        assert caught.value.pending >= lost
        assert pair.client.state is ChannelState.DEAD
        for again in (pair.client.notify, lambda: pair.client.post_bytes(1)):
            with pytest.raises(errors.PeerDied):
                again()
        with pytest.raises(errors.PeerDied):
            pair.server.receive()
    bench.vm(2).boot()
    with connect_rpq(bench) as pair:
        works(pair)
    check_handshake(bench)


@EVERYWHERE
@pytest.mark.parametrize("step", STEPS)
def test_a_client_vm_dies_and_comes_back(bench, step) -> None:
    with connect_rpq(bench) as pair:
        under_way, _ = reach(pair, step)
        bench.vm(3).kill()
        if under_way is not None:
            with pytest.raises(errors.PeerDied):
                under_way.result()
        receive_until_gone(pair.server)
        with pytest.raises(errors.PeerDied):
            pair.server_session.accept()
        with pytest.raises(errors.PeerDied):
            pair.client.call_bytes(1)
    bench.vm(3).boot()
    with connect_rpq(bench) as pair:
        works(pair)
    check_handshake(bench)


@EVERYWHERE
def test_a_client_vm_that_dies_ends_the_accept_of_its_server(bench) -> None:
    application = bench.vm(2).application()
    link = bench.link("vogl0").wait_on()
    accepting = background(bench, lambda: application.rpq("vogl0").accept(timeout=60))
    until = time.monotonic() + PATIENCE
    while not accepting.done():  # it may begin after a death, but not after every one
        assert time.monotonic() < until
        bench.vm(3).kill()
        bench.vm(3).boot()
        link.wait_on()
    with pytest.raises(errors.PeerDied, match="client VM is gone"):
        accepting.result()
    application.close()


@EVERYWHERE
def test_the_survivor_may_shut_down_while_its_peer_is_dead(bench) -> None:
    with connect_rpq(bench) as pair:
        works(pair)
        bench.vm(2).kill()
        bench.vm(3).shutdown()
        assert bench.vm(3).state is VmState.OFF
    bench.boot()
    with connect_rpq(bench) as pair:
        works(pair)


@EVERYWHERE
def test_both_die_and_both_come_back(bench) -> None:
    for _ in range(3):
        with connect_rpq(bench) as pair:
            works(pair)
            bench.vm(2).kill()
            bench.vm(3).kill()
        bench.boot()
    with connect_rpq(bench) as pair:
        works(pair)
    check_handshake(bench)


@EVERYWHERE
@pytest.mark.parametrize("step", STEPS)
def test_an_application_that_goes_away_is_cleaned_up_and_the_link_stays_on(bench, step) -> None:
    link = bench.link("vogl0").wait_on()
    for gone in ("client_application", "server_application"):
        with connect_rpq(bench) as pair:
            under_way, _ = reach(pair, step)
            getattr(pair, gone).close()
            if under_way is not None:
                with pytest.raises((errors.PeerDied, errors.Cancelled, errors.HandleClosed)):
                    under_way.result()
            if gone == "client_application":
                receive_until_gone(pair.server)
            else:
                with pytest.raises(errors.PeerDied):
                    pair.client.call_bytes(1)
        assert link.is_on
    assert not journal(bench, "link_forced")
    with connect_rpq(bench) as pair:
        works(pair)


# --- processes that are killed from outside ---------------------------------------------------------


def tell_pid_and_serve(application):
    """A server whose process id can be asked for: procedure 1."""

    class Serve(Echo):
        def serve(self, channel):
            for request in channel:
                if request.is_call:
                    request.out[:8] = os.getpid().to_bytes(8, "little")
            return 0

    return Serve()(application)


@PROCESS
def test_a_server_application_is_killed_while_its_vm_lives(bench) -> None:
    link = bench.link("vogl0").wait_on()
    bench.vm(2).start(tell_pid_and_serve)
    with bench.vm(3).rpq("vogl0").session() as session, session.channel() as channel:
        victim = int.from_bytes(channel.call_bytes(1, b"", 8), "little")
        os.kill(victim, signal.SIGKILL)

        def ask_on() -> None:
            while True:  # it may answer once more before the signal takes effect
                channel.call_bytes(2, b"", 8)

        with pytest.raises(errors.PeerDied):
            ask_on()
        assert link.is_on
    again = bench.vm(2).start(tell_pid_and_serve)
    with bench.vm(3).rpq("vogl0").session() as session, session.channel() as channel:
        assert int.from_bytes(channel.call_bytes(1, b"", 8), "little") != victim
    assert not again.done()
    died = [record for record in journal(bench, "app_end") if record.b == 1]
    assert [record.vm for record in died] == [2]


@PROCESS
def test_a_server_application_kills_itself_in_the_middle_of_a_call(bench) -> None:
    def suicide(application):
        with application.rpq("vogl0").accept() as session, session.accept() as channel:
            channel.receive()
            os.kill(os.getpid(), signal.SIGKILL)

    guest = bench.vm(2).start(suicide)
    with bench.vm(3).rpq("vogl0").session() as session, session.channel() as channel:
        channel.post_bytes(1)
        channel.post_bytes(2)
        with pytest.raises(errors.PeerDied) as caught:
            channel.call_bytes(3)
        assert caught.value.pending >= 1
    with pytest.raises(errors.VmCrashed, match="ended before it answered"):
        guest.result(timeout=60)
    assert bench.link("vogl0").is_on


@PROCESS
@pytest.mark.parametrize("step", ["session", "channel", "posted", "calling"])
def test_a_client_application_is_killed_and_its_server_serves_the_next(bench, step) -> None:
    def client(application):
        session = application.rpq("vogl0").session()
        if step != "session":
            channel = session.channel()
            if step == "posted":
                channel.post_bytes(1)
                channel.notify()
            elif step == "calling":
                channel.call_bytes(2)
        os.kill(os.getpid(), signal.SIGKILL)

    bench.vm(2).start(Echo())
    guest = bench.vm(3).start(client)
    with pytest.raises(errors.VmCrashed):
        guest.result(timeout=60)
    with bench.vm(3).rpq("vogl0").session() as session, session.channel() as channel:
        assert channel.call_bytes(1, b"question", 8) == b"question"
    assert bench.link("vogl0").is_on


@PROCESS
def test_the_applications_of_a_vm_die_with_it(bench) -> None:
    def wait(application):
        application.rpq("vogl0").accept(timeout=None)

    victim = bench.vm(2).start(own_pid).result(timeout=60)
    guest = bench.vm(2).start(wait)
    bench.vm(2).kill()
    with pytest.raises((errors.VmCrashed, errors.GuestFailed)):
        guest.result(timeout=60)
    assert victim != os.getpid()


@PROCESS
def test_a_vm_is_killed_again_and_again_under_load(bench) -> None:
    """The client keeps calling and reconnecting; no answer is ever wrong."""
    answered = lost = 0
    bench.vm(2).start(Echo())

    def connect():
        session = bench.vm(3).rpq("vogl0").session()
        try:
            return session, session.channel()
        except BaseException:
            session.close()
            raise

    for round_ in range(5):
        session, channel = retry(connect)
        with session, channel:
            # Until the death is noticed: answers given meanwhile are good ones.
            for number in itertools.count():
                word = b"%02d%06d" % (round_, number % 1_000_000)
                if number == 60:
                    os.kill(bench.vm(2).pid, signal.SIGKILL)
                try:
                    assert channel.call_bytes(1, word, 8) == word
                    answered += 1
                except errors.PeerDied:
                    lost += 1
                    break
        bench.vm(2).wait(VmState.DEAD).boot()
        bench.vm(2).start(Echo())
    assert lost == 5
    assert answered >= 5 * 60
    check_handshake(bench)


@EVERYWHERE
@pytest.mark.parametrize("end", ["its channel", "its session", "its VM"])
@pytest.mark.parametrize("doing", ["a call", "posts"])
def test_a_server_that_gives_up_and_ends_at_once_is_still_heard(bench, doing, end) -> None:
    with connect_rpq(bench) as pair:
        call = None
        if doing == "a call":
            call = pair.call(3, b"question", 8, timeout=60)
            pair.server.receive()
        pair.server.fail(errors.CorruptRing(74, "a length of 3 where 8 was expected"))
        if end == "its channel":
            pair.server.close()
        elif end == "its session":
            pair.server_session.close()
        else:
            bench.vm(2).kill()
        ask = call.result if call is not None else lambda: pair.client.call_bytes(1)
        with pytest.raises(errors.CorruptRing):
            ask()
