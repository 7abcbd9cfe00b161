"""vRPQ sessions and channels: who meets whom, and what is answered when they cannot. vlx-facts 2.12."""

from __future__ import annotations

import contextlib
import errno

import pytest
from conformance_lib import EVERYWHERE, LOOPBACK, SMALL, TWO_CLIENTS, Echo, works

from hyplink import errors
from hyplink.rpq import ChannelState
from hyplink.testing import background, connect_rpq, eventually

pytestmark = EVERYWHERE


ROOMY = """
&vm2_vdevs {
    be: vogl@be { compatible = "vogl"; info = "vrpq-reqs=64K,vrpq-pmem=8M"; server; };
};
&vm3_vdevs { vogl@fe { peer-phandle = <&be>; client; }; };
"""


def rpq_devices(bench, vm: int) -> list[str]:
    return sorted(name for name in bench.vm(vm).devices() if name.startswith("vrpq-"))


def test_a_session_waits_for_its_server(bench) -> None:
    creating = background(bench, lambda: bench.vm(3).rpq("vogl0").session(b"", timeout=60))
    assert not creating.done()
    with bench.vm(2).rpq("vogl0").accept() as accepted, creating.result() as session:
        assert (session.state, accepted.state) == (ChannelState.OPEN, ChannelState.OPEN)
        assert (session.peer_vm, accepted.peer_vm) == (2, 3)
        assert session.number == accepted.number


def test_a_session_without_a_server_times_out_and_leaves_nothing_behind(bench) -> None:
    for _ in range(3):
        with pytest.raises(errors.DeadlineExceeded, match="accept a session"):
            bench.vm(2).rpq("vogl0").accept(timeout=0.02)
    for _ in range(3):
        with pytest.raises(errors.DeadlineExceeded, match="create a session"):
            bench.vm(3).rpq("vogl0").session(timeout=0.02)
    # A server that comes now may still meet one that was withdrawn this moment; it goes on to the next.
    bench.vm(2).start(Echo())

    def has_an_early_number() -> bool:
        with bench.vm(3).rpq("vogl0").session() as session, session.channel() as channel:
            assert channel.call_bytes(1, b"question", 8) == b"question"
            return bool(session.number <= 2)

    # Numbers of withdrawn sessions come back when the server's kernel has heard of them.
    eventually(bench, has_an_early_number)


def test_a_session_can_be_asked_for_before_the_server_vm_runs(bench_factory) -> None:
    bench = bench_factory(boot=False)
    bench.boot(3)
    application = bench.vm(3).application()
    creating = background(bench, lambda: application.rpq("vogl0").session(timeout=60))
    bench.boot(2)
    with bench.vm(2).rpq("vogl0").accept(), creating.result() as session:
        assert session.state is ChannelState.OPEN
    application.close()


@pytest.mark.parametrize("end", ["kill", "shutdown"])
def test_creating_a_session_survives_the_death_of_a_server(bench, end) -> None:
    application = bench.vm(3).application()
    creating = background(bench, lambda: application.rpq("vogl0").session(b"me", timeout=60))
    bench.link("vogl0").wait_on()
    getattr(bench.vm(2), end)()
    assert not creating.done()
    bench.vm(2).boot()
    with bench.vm(2).rpq("vogl0").accept() as accepted, creating.result() as session:
        assert accepted.info == b"me"
        assert session.state is ChannelState.OPEN
    application.close()


def test_creating_a_channel_does_not_survive_the_death_of_its_server(bench) -> None:
    with connect_rpq(bench) as pair:
        creating = background(bench, lambda: pair.client_session.channel(timeout=60))
        bench.vm(2).kill()
        with pytest.raises(errors.PeerDied):
            creating.result()
        with pytest.raises(errors.PeerDied):
            pair.client_session.channel()


def test_a_channel_nobody_accepts_times_out_and_gives_its_memory_back(bench) -> None:
    with connect_rpq(bench) as pair:
        with pytest.raises(errors.DeadlineExceeded, match="accept a channel"):
            pair.server_session.accept(timeout=0.01)

        def is_given_up() -> bool:
            try:
                pair.client_session.channel(timeout=0.01)
            except errors.DeadlineExceeded as failure:
                return "create a channel" in str(failure)
            except errors.PmemExhausted:  # the server's kernel has not let go of the last ones
                return False
            return False

        for _ in range(20):  # more than fit at a time
            eventually(bench, is_given_up)
    with connect_rpq(bench) as pair:
        works(pair)


def test_several_sessions_of_several_applications_of_one_vm(bench) -> None:
    pairs = [connect_rpq(bench, session_info=b"%d" % i) for i in range(4)]
    assert len({pair.client_session.number for pair in pairs}) == 4
    assert [pair.server_session.info for pair in pairs] == [b"0", b"1", b"2", b"3"]
    assert len({pair.server_session.peer_app for pair in pairs}) == 4
    for pair in pairs:
        assert pair.server_session.peer_app == pair.client_application.id
    pairs[1].close()
    for pair in (pairs[3], pairs[0], pairs[2]):
        works(pair)
        pair.close()


def test_one_application_may_have_several_sessions_and_channels(bench) -> None:
    with connect_rpq(bench) as pair:
        accepting = background(bench, pair.server_application.rpq("vogl0").accept)
        second = pair.client_application.rpq("vogl0").session()
        with accepting.result(), second:
            channels = [pair.channel() for _ in range(5)]
            assert len({client.number for _, client in channels}) == 5
            for number, (_, client) in enumerate(channels):
                client.post_bytes(number)
                client.notify()
            for number, (server, _) in reversed(list(enumerate(channels))):
                (request,) = server.receive()
                assert request.proc == number
            for server, client in channels:
                server.close()
                client.close()
            works(pair)


@pytest.mark.hyplink_dts(TWO_CLIENTS)
def test_two_client_vms_on_one_server_vm_have_a_device_each(bench) -> None:
    assert rpq_devices(bench, 2) == ["vrpq-srv-vogl0", "vrpq-srv-vogl1"]
    assert rpq_devices(bench, 3) == rpq_devices(bench, 4) == ["vrpq-clt-vogl0"]
    with connect_rpq(bench, "vogl0") as first, connect_rpq(bench, "vogl1") as second:
        assert first.server_session.peer_vm == 3
        assert second.server_session.peer_vm == 4
        works(first)
        works(second)
        bench.vm(3).kill()
        with pytest.raises(errors.PeerDied):
            first.server.receive()
        works(second)


@pytest.mark.hyplink_dts(LOOPBACK)
def test_a_loopback_link_has_both_ends_in_one_vm(bench) -> None:
    bench.link("vogl0").wait_on()
    assert rpq_devices(bench, 2) == ["vrpq-clt-vogl0", "vrpq-srv-vogl0"]
    with connect_rpq(bench) as pair:
        assert pair.server_session.peer_vm == pair.client_session.peer_vm == 2
        works(pair)
    bench.vm(2).kill()
    bench.vm(2).boot()
    bench.link("vogl0").wait_on()
    with connect_rpq(bench) as pair:
        works(pair)


def test_information_travels_with_both_creations_byte_by_byte(bench) -> None:
    everything = bytes(range(256)) + b"\0" * 224
    assert len(everything) == 480
    with connect_rpq(bench, session_info=everything, channel_info=everything[::-1]) as pair:
        assert pair.server_session.info == everything
        assert pair.server._core.info == everything[::-1]


def test_too_much_information_is_refused_by_size(bench) -> None:
    with pytest.raises(errors.MessageTooLong, match="481 bytes, at most 480"):
        bench.vm(3).rpq("vogl0").session(bytes(481))
    with connect_rpq(bench) as pair:
        with pytest.raises(errors.MessageTooLong, match="481 bytes, at most 480"):
            pair.client_session.channel(bytes(481))
        works(pair)


def test_an_unknown_device_is_answered_with_those_there_are(bench) -> None:
    with pytest.raises(errors.NoSuchLink, match=r"vrpq-clt-vogl9.*it has vrpq-clt-vogl0"):
        bench.vm(3).rpq("vogl9").session()
    with pytest.raises(errors.NoSuchLink, match=r"vrpq-srv-vogl0: VM 3 .*vrpq-clt-vogl0"):
        bench.vm(3).rpq("vogl0").accept()
    with pytest.raises(errors.NoSuchLink, match=r"vrpq-clt-vogl0: VM 2 .*vrpq-srv-vogl0"):
        bench.vm(2).rpq("vogl0").session()


def test_a_device_path_may_be_written_in_full(bench) -> None:
    creating = background(bench, lambda: bench.vm(3).rpq("/dev/vogl0").session(timeout=60))
    with bench.vm(2).rpq("vogl0").accept(), creating.result():
        pass


@pytest.mark.hyplink_dts(SMALL)
def test_port_memory_is_bounded_by_the_boards_key_and_the_message_names_it(bench) -> None:
    with connect_rpq(bench, parameter_bytes=40 << 10) as pair:
        with pytest.raises(errors.PmemExhausted, match="raise vrpq-pmem") as caught:
            pair.client_session.channel(parameter_bytes=40 << 10)
        assert "40960 of 65536 are in use" in str(caught.value)
        with pytest.raises(errors.PmemExhausted, match="raise vrpq-pmem"):
            pair.client_session.channel(parameter_bytes=1 << 40)
        server, client = pair.channel(parameter_bytes=24 << 10)
        client.close()
        server.close()
        works(pair)


class Keeper:
    """Accepts every session and keeps it open."""

    def __call__(self, application) -> int:
        kept = []
        device = application.rpq("vogl0")
        while True:
            try:
                kept.append(device.accept(timeout=None))
            except (errors.PeerDied, errors.HandleClosed, errors.Cancelled):
                if not application.alive:
                    return len(kept)


@pytest.mark.hyplink_backend("thread", "process")
def test_session_numbers_run_out_for_an_application_and_for_its_vm(bench) -> None:
    for _ in range(2):  # a server's application has as many as a client's
        bench.vm(2).start(Keeper())
    one, other = (bench.vm(3).application().rpq("vogl0") for _ in range(2))
    with contextlib.ExitStack() as stack:
        sessions = [stack.enter_context(one.session()) for _ in range(896)]
        with pytest.raises(errors.WouldBlock, match="at most 896 sessions") as caught:
            one.session(timeout=None)
        assert caught.value.errno == errno.EAGAIN
        sessions += [stack.enter_context(other.session()) for _ in range(1024 - 896)]
        assert sorted(session.number for session in sessions) == list(range(1, 1025))
        with pytest.raises(errors.WouldBlock, match="all 1024 session numbers are taken"):
            other.session(timeout=None)


class ChannelKeeper:
    """Accepts one session and every channel of it, and keeps them open."""

    def __call__(self, application) -> int:
        kept: list[object] = []
        with application.rpq("vogl0").accept() as session:
            while True:
                try:
                    kept.append(session.accept(timeout=None))
                except (errors.PeerDied, errors.HandleClosed, errors.Cancelled):
                    return len(kept)


@pytest.mark.hyplink_backend("thread", "process")
@pytest.mark.hyplink_dts(ROOMY)
def test_channel_numbers_run_out_and_come_back_with_their_ports(bench) -> None:
    for _ in range(2):
        bench.vm(2).start(ChannelKeeper())
    with contextlib.ExitStack() as stack:
        sessions = [
            stack.enter_context(bench.vm(3).application().rpq("vogl0").session()) for _ in range(2)
        ]
        channels = [
            stack.enter_context(session.channel(parameter_bytes=4096))
            for session in sessions
            for _ in range(512)
        ]
        assert sorted(channel.number for channel in channels) == list(range(1, 1025))
        with pytest.raises(errors.WouldBlock, match="all 1024 channel numbers are taken") as caught:
            sessions[0].channel(parameter_bytes=4096)
        assert caught.value.errno == errno.EAGAIN
        channels[700].close()  # its server has not yet: the number comes back, the memory does not

        def ports_are_what_lacks() -> bool:
            with pytest.raises(errors.WouldBlock) as caught:
                sessions[0].channel(parameter_bytes=4096)
            return "1024 ports, as many as it can" in str(caught.value)

        eventually(bench, ports_are_what_lacks)
        sessions.pop().close()  # its server ends and closes them all

        def again() -> bool:
            with (
                contextlib.suppress(errors.WouldBlock),
                sessions[0].channel(parameter_bytes=4096, timeout=60) as channel,
            ):
                return channel.number in (701, *range(513, 1025))
            return False

        eventually(bench, again)


def test_a_server_that_closes_a_session_ends_it_for_the_client(bench) -> None:
    with connect_rpq(bench) as pair:
        pair.server_session.close()
        with pytest.raises(errors.PeerDied):
            pair.client.call_bytes(1)
        with pytest.raises(errors.PeerDied):
            pair.client_session.channel()
        assert pair.client_session.state is ChannelState.DEAD


def test_a_client_that_closes_a_session_ends_it_for_the_server(bench) -> None:
    with connect_rpq(bench) as pair:
        accepting = background(bench, lambda: pair.server_session.accept(timeout=60))
        pair.client_session.close()
        with pytest.raises(errors.PeerDied, match="client of this session is gone"):
            accepting.result()
        with pytest.raises(errors.PeerDied):
            pair.server.receive()


def test_numbers_are_used_again_but_an_aborted_session_never_comes_back(bench) -> None:
    with connect_rpq(bench) as old:
        bench.vm(2).kill()
        bench.vm(2).boot()
        with connect_rpq(bench) as new:
            assert new.client_session.number == old.client_session.number
            works(new)
            assert old.client_session.state is ChannelState.DEAD
            with pytest.raises(errors.PeerDied):
                old.client.call_bytes(1)
            old.close()
            works(new)


def test_a_guest_serves_until_its_vm_stops(bench) -> None:
    guest = bench.vm(2).start(Echo())
    for round_ in range(2):
        with bench.vm(3).rpq("vogl0").session() as session, session.channel() as channel:
            channel.post_bytes(1)
            assert channel.call_bytes(2, b"%08d" % round_, 8) == b"%08d" % round_
    bench.vm(2).shutdown()
    assert guest.result(timeout=60) == 4


def test_what_a_guest_raises_comes_back_with_its_cause(bench) -> None:
    def broken(application):
        raise KeyError(application.vm)

    with pytest.raises(errors.GuestFailed) as caught:
        bench.vm(3).start(broken).result(timeout=60)
    assert caught.value.__cause__.args == (3,)
