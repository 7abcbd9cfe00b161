"""vRPC (document 001, 4.2): a named procedure of another VM, one call at a time, whoever dies."""

from __future__ import annotations

import contextlib
import ctypes
import random
from typing import Any

import pytest
from conformance_lib import EVERYWHERE, REAL_TIME, ctrl_c, retry, signals_that_mean_nothing

import hyplink
from hyplink import errors
from hyplink.testing import background, eventually

BOARD = """
&vm2_vdevs {
    a: vrpc@a { compatible = "vrpc"; info = "clock,2K"; server; };
    vrpc@b { peer-phandle = <&b>; client; info = "clock2,4K"; };
    c: vrpc@c { compatible = "vrpc"; info = "vion"; server; };
};
&vm3_vdevs {
    vrpc@a { peer-phandle = <&a>; client; info = "clock"; };
    b: vrpc@b { compatible = "vrpc"; info = "clock2"; server; };
    vrpc@c { peer-phandle = <&c>; client; info = "vion"; };
};
"""
pytestmark = [EVERYWHERE, pytest.mark.hyplink_dts(BOARD)]


def backwards(asked: bytes) -> bytes:
    return asked[::-1]


def serve(application: Any) -> int:
    with application.rpc_server("clock") as server:
        server.timeout = None
        return int(server.serve(backwards))


@pytest.fixture
def server(bench: hyplink.Bench) -> Any:
    with bench.vm(2).rpc_server("clock") as server:
        server.timeout = None
        yield server


def serving(bench: hyplink.Bench, server: Any) -> Any:
    return background(bench, lambda: server.serve(backwards))


def call_again(bench: hyplink.Bench, data: bytes) -> bytes:
    """As a driver does: after EAGAIN close and open again, until somebody answers."""
    while True:
        with bench.vm(3).rpc_client("clock") as client:
            try:
                if answer := client.call(data):
                    return bytes(answer)
            except errors.WouldBlock:
                pass


def test_a_call_comes_back_with_what_the_server_made_of_it(bench, server) -> None:
    running = serving(bench, server)
    with bench.vm(3).rpc_client("clock") as client:
        assert [client.call(word) for word in (b"abc", b"", b"\0" * 9)] == [b"cba", b"", b"\0" * 9]
        whole = random.Random(1).randbytes(client.maxsize)
        assert client.call(whole) == whole[::-1]
    server.close()
    assert running.result() == 4


def test_the_data_lie_in_place_at_both_ends(bench, server) -> None:
    with bench.vm(3).rpc_client("clock") as client:
        client.data[:5] = b"there"
        calling = background(bench, lambda: client.call(5))
        call = server.receive()
        assert bytes(call.data) == b"there"
        call.room[:4] = b"back"
        call.answer(4)
        assert calling.result() == 4
        assert bytes(client.data[:4]) == b"back"


@REAL_TIME
def test_signals_that_mean_nothing_give_no_call_up(bench, server) -> None:
    with bench.vm(3).rpc_client("clock") as client, signals_that_mean_nothing() as heard:

        def answer() -> None:
            call = server.receive()
            begun = len(heard)
            eventually(bench, lambda: len(heard) >= begun + 3)
            call.answer(b"late")

        for asked in (b"bytes", 5):
            answering = background(bench, answer)
            assert (
                bytes(client.data[: client.call(asked)] if asked == 5 else client.call(asked))
                == b"late"
            )
            answering.result()


def test_the_larger_size_of_both_ends_counts_less_the_head(bench, server) -> None:
    with bench.vm(3).rpc_client("clock") as client, bench.vm(2).rpc_client("clock2") as other:
        assert (server.maxsize, client.maxsize, other.maxsize) == (2048 - 12, 2048 - 12, 4096 - 12)
        with pytest.raises(errors.MessageTooLong, match="2036"):
            client.call(bytes(2037))
        calling = background(bench, lambda: client.call(b"x"))
        call = server.receive()
        with pytest.raises(errors.MessageTooLong):
            call.answer(bytes(2037))
        call.answer(b"y" * 2036)
        assert calling.result() == b"y" * 2036


def test_both_vms_may_serve_each_other(bench, server) -> None:
    serving(bench, server)
    with bench.vm(3).rpc_server("clock2") as other:
        other.timeout = None
        background(bench, lambda: other.serve(bytes.upper))
        with bench.vm(3).rpc_client("clock") as there, bench.vm(2).rpc_client("clock2") as back:
            assert (there.call(b"abc"), back.call(b"abc")) == (b"cba", b"ABC")
        server.close()


def test_an_end_is_found_by_the_start_of_its_own_info_and_belongs_to_who_found_it(bench) -> None:
    with bench.vm(2).rpc_server("clo") as server:
        assert (server.info, server.peer_id) == ("clock,2K", 3)
        with pytest.raises(errors.Busy), bench.vm(2).rpc_server("clock"):
            pass
        with pytest.raises(errors.NotFound, match="clock2,4K"):
            bench.vm(2).rpc_client("watch")
        with pytest.raises(errors.NotFound):
            bench.vm(2).rpc_client("")  # none is without a name
        with pytest.raises(errors.NotFound):
            bench.vm(3).rpc_client("clock", over=1)
        with pytest.raises(errors.NotFound):
            bench.vm(3).rpc_client("clock", peer=4)
        with pytest.raises(errors.NotFound):
            bench.vm(2).rpc_server("vion")  # the kernel's own
    with bench.vm(2).rpc_server("clock"):
        pass  # free again


def test_a_call_nobody_serves_is_answered_with_nothing(bench) -> None:
    with bench.vm(3).rpc_client("clock") as client:
        assert not client.served
        assert client.call(b"anybody?") == b""
        with bench.vm(2).rpc_server("clock") as server:
            server.timeout = None
            running = serving(bench, server)
            while not client.served:  # the news travels through two kernels
                client.call(b"")
            assert client.call(b"abc") == b"cba"
            server.close()
            running.result()
        while client.served:
            with contextlib.suppress(errors.WouldBlock):
                client.call(b"")  # one that was under way costs the client its end
    with bench.vm(3).rpc_client("clock") as client:
        assert client.call(b"anybody?") == b""


def test_a_server_keeps_its_place_while_its_clients_come_and_go(bench, server) -> None:
    running = serving(bench, server)
    for count in range(5):
        with bench.vm(3).rpc_client("clock") as client:
            assert client.call(b"%d!" % count) == b"!%d" % count
    server.close()
    assert running.result() == 5


def test_a_server_that_closes_during_a_call_costs_the_client_its_end(bench, server) -> None:
    with bench.vm(3).rpc_client("clock") as client:
        calling = background(bench, lambda: client.call(b"never"))
        server.receive()
        server.close()
        with pytest.raises(errors.WouldBlock, match="open again"):
            calling.result()
    with bench.vm(2).rpc_server("clock") as again:
        again.timeout = None
        serving(bench, again)
        assert call_again(bench, b"abc") == b"cba"


@pytest.mark.parametrize("side", ["server", "client"])
def test_a_wait_ends_when_another_thread_closes_the_end(bench, server, side: str) -> None:
    with bench.vm(3).rpc_client("clock") as client:
        client.timeout = None
        if side == "client":
            waiting = background(bench, lambda: client.call(b"never"))
            server.receive()
            client.close()
        else:
            waiting = background(bench, server.receive)
            server.close()
        with pytest.raises((errors.Cancelled, errors.HandleClosed)):
            waiting.result()


def test_a_call_of_a_lost_client_is_not_seen_by_the_next_server(bench, server) -> None:
    with bench.vm(3).rpc_client("clock") as client:
        calling = background(bench, lambda: client.call(b"old"))
        server.receive()
        server.close()
        with bench.vm(2).rpc_server("clock") as again:
            again.timeout = 0.2
            with pytest.raises(errors.DeadlineExceeded):
                again.receive()
        with pytest.raises(errors.WouldBlock):
            calling.result()


def test_a_call_that_is_given_up_keeps_the_memory_until_it_is_answered(bench, server) -> None:
    with bench.vm(3).rpc_client("clock") as client:
        client.timeout = 0.1
        with pytest.raises(errors.DeadlineExceeded):
            client.call(b"slow")
        call = server.receive()
        with pytest.raises(errors.Busy):
            client.call(b"more")
        call.answer(b"late")
        client.timeout = None
        serving(bench, server)
        assert client.call(b"more") == b"erom"
        server.close()


@REAL_TIME
def test_ctrl_c_ends_a_call_and_a_receive(bench, server) -> None:
    with bench.vm(3).rpc_client("clock") as client:
        client.timeout = None
        with ctrl_c():
            client.call(b"never")
    with ctrl_c():
        while True:
            server.receive()


@pytest.mark.parametrize("end", ["kill", "shutdown"])
def test_the_death_of_the_servers_vm_during_a_call_is_eagain(bench, end) -> None:
    server = bench.vm(2).rpc_server("clock")
    off: list[int] = []
    with bench.vm(3).rpc_client("clock") as client:
        client.off_notifier(off.append)
        client.timeout = None
        calling = background(bench, lambda: client.call(b"never"))
        server.receive()
        getattr(bench.vm(2), end)()
        with pytest.raises(errors.WouldBlock):
            calling.result()
        with pytest.raises(errors.WouldBlock):
            client.call(b"still")
        while not off:  # told in another way than the call, perhaps a moment later
            with contextlib.suppress(errors.WouldBlock):
                client.call(b"")
        assert off == [2]
        bench.vm(2).boot()
        with pytest.raises(errors.WouldBlock):
            client.call(b"it has to be opened again")
    server.close()
    with bench.vm(2).rpc_server("clock") as again:
        again.timeout = None
        serving(bench, again)
        assert call_again(bench, b"abc") == b"cba"


def test_a_server_outlives_its_clients_vm(bench, server) -> None:
    running = serving(bench, server)
    for word in (b"one", b"two"):
        # Until the server has heard that its last client is dead, calls are answered with nothing.
        assert call_again(bench, word) == word[::-1]
        bench.vm(3).kill()
        with pytest.raises(errors.PeerDied):
            bench.vm(3).devices()
        bench.vm(3).boot()
    assert call_again(bench, b"three") == b"eerht"
    server.close()
    assert running.result() == 3


STEPS = ["opening", "open", "called", "received", "answered", "closed"]


@pytest.mark.parametrize("vm", [2, 3])
@pytest.mark.parametrize("step", STEPS)
def test_either_vm_may_die_at_every_step_and_come_back(bench, vm: int, step: str) -> None:
    server = client = calling = None
    if step != "opening":
        server = bench.vm(2).rpc_server("clock")
        client = bench.vm(3).rpc_client("clock")
        client.timeout = None
    if step in ("called", "received", "answered"):
        calling = background(bench, lambda: client.call(b"abc"))
    if step in ("received", "answered"):
        call = server.receive()
        if step == "answered":
            call.answer(b"cba")
    if step == "closed":
        client.close()
        server.close()
    bench.vm(vm).kill()
    if calling is not None:
        try:
            assert calling.result() == b"cba"
            assert step == "answered"
        except (errors.WouldBlock, errors.PeerDied):
            pass
    for end in (client, server):
        if end is not None:
            end.close()
    bench.vm(vm).boot()
    bench.link("vrpc0").wait_on()
    with retry(lambda: bench.vm(2).rpc_server("clock")) as again:
        again.timeout = None
        running = serving(bench, again)
        assert call_again(bench, b"abc") == b"cba"
        again.close()
        running.result()


def test_code_inside_the_vms_calls_and_serves(bench) -> None:
    bench.vm(2).start(serve)

    def ask(application: Any) -> bytes:
        while True:
            with application.rpc_client("clock") as client:
                if answer := client.call(b"inside"):
                    return bytes(answer)

    assert bench.vm(3).start(ask).result() == b"edisni"


def write_words(port: memoryview, at: int, data: bytes) -> None:
    """As another VM would: word by word, in the midst of what the other end does."""
    for i in range(0, len(data), 4):
        ctypes.c_uint32.from_buffer(port, at + i).value = int.from_bytes(data[i : i + 4], "little")


@pytest.mark.parametrize("side", ["client", "server"])
def test_whatever_the_peer_writes_into_the_port_the_other_end_reports_and_goes_on(
    bench, server, side
) -> None:
    dice = random.Random(7)
    for number in range(60):
        with bench.vm(3).rpc_client("clock") as client:
            client.timeout = 0.02
            calling = background(bench, lambda: client.call(b"abc"))
            server.timeout = 60
            call = server.receive()
            port = (client if side == "client" else server)._core.port()
            # Words of the head, the bells' too, then anything anywhere.
            if number % 2:
                at, size = dice.choice([(64, 8), (72, 8), (80, 4), (200, 8), (208, 4), (192, 8)])
            else:
                at, size = 64, 960
            if side == "client":
                call.answer(b"cba")
            write_words(port, at, dice.choice([dice.randbytes(size), b"\xff" * size]))
            if side == "server":
                call.answer(b"cba")
            with contextlib.suppress(
                errors.WouldBlock, errors.CorruptRing, errors.DeadlineExceeded
            ):
                assert isinstance(calling.result(), bytes)
            server.timeout = 0.001
            with contextlib.suppress(errors.DeadlineExceeded, errors.CorruptRing):
                server.receive()
    server.timeout = None
    serving(bench, server)
    assert call_again(bench, b"abc") == b"cba"
    server.close()
