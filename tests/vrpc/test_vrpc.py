"""vrpc.h: C programs of 64 and 32 bits, each against the other languages, whoever dies or lies."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
from pathlib import Path
from typing import Any

import pytest

import hyplink
from hyplink import errors
from hyplink.testing import background

HERE = Path(__file__).parent
BOARD = """
&vm2_vdevs {
    a: vrpc@a { compatible = "vrpc"; info = "tick"; server; };
    b: vrpc@b { compatible = "vrpc"; info = "clock1"; server; };
    c: vrpc@c { compatible = "vrpc"; info = "clock2,4K"; server; };
    vrpc@d { peer-phandle = <&d>; client; info = ",2K"; };
};
&vm3_vdevs {
    vrpc@a { peer-phandle = <&a>; client; info = "tick"; };
    vrpc@b { peer-phandle = <&b>; client; info = "clock1"; };
    vrpc@c { peer-phandle = <&c>; client; info = "clock2"; };
    d: vrpc@d { compatible = "vrpc"; info = "time"; server; };
};
"""
pytestmark = [pytest.mark.hyplink_dts(BOARD), pytest.mark.hyplink_backend("process")]
BITS = pytest.mark.parametrize("bits", [64, 32])


def backwards(asked: bytes) -> bytes:
    return asked[::-1]


def c_server(runner: Any, bits: int = 64) -> Any:
    server = runner.c(2, HERE / "server.c", "tick", bits=bits)
    assert server.line() == "open"
    return server


def ask(bench: hyplink.Bench, word: bytes) -> bytes:
    """Until somebody answers."""
    while True:
        with bench.vm(3).rpc_client("tick") as client, contextlib.suppress(errors.WouldBlock):
            if answer := client.call(word):
                return bytes(answer)


@BITS
def test_a_c_client_calls_a_server_in_python(bench, runner, bits: int) -> None:
    with bench.vm(2).rpc_server("tick") as server:
        server.timeout = None
        running = background(bench, lambda: server.serve(backwards))
        client = runner.c(3, HERE / "client.c", "tick", "abc", "de", bits=bits)
        assert client.rest() == ["cba", "ed"]
        server.close()
        assert running.result() == 2


@BITS
def test_a_c_server_answers_clients_in_python(bench, runner, bits: int) -> None:
    server = c_server(runner, bits)
    with bench.vm(3).rpc_client("tick") as client:
        client.timeout = None
        assert [client.call(word) for word in (b"abc", b"z" * 1012)] == [b"cba", b"z" * 1012]
        assert client.call(b"much") == b""  # it says more than there is room for
    assert server.line() == "off 3"
    assert ask(bench, b"next") == b"txen"
    assert server.line() == "off 3"
    assert ask(bench, b"stop") == b"pots"
    assert server.rest()[-1] == "ends"


@pytest.mark.parametrize(("server_bits", "client_bits"), [(64, 64), (64, 32), (32, 64), (32, 32)])
def test_c_programs_of_any_width_call_each_other(runner, server_bits, client_bits) -> None:
    server = c_server(runner, server_bits)
    client = runner.c(3, HERE / "client.c", "tick", "abc", "stop", bits=client_bits)
    assert client.rest()[:2] == ["cba", "pots"]
    assert server.rest()[-1] == "ends"


@BITS
def test_ends_are_found_taken_and_let_go_as_in_the_product(bench, runner, bits: int) -> None:
    assert runner.c(2, HERE / "face.c", "ends", bits=bits).rest() == ["ok"]
    with bench.vm(2).rpc_server("clock1"), bench.vm(2).rpc_server("clock2"):
        pass  # both are free again


@BITS
def test_calls_keep_their_data_and_hear_of_signals(bench, runner, bits: int) -> None:
    with bench.vm(3).rpc_server("time") as server:
        server.timeout = None
        client = runner.c(2, HERE / "face.c", "calls", bits=bits)
        held = serve_until_asked_for(server, b"wait")
        assert client.line() == "was interrupted"
        held.answer(b"late")
        held = serve_until_asked_for(server, b"long")
        assert client.line() == "ticked"
        held.answer(b"gnol")
        assert client.line() == "ok"


def serve_until_asked_for(server: Any, word: bytes) -> Any:
    while bytes((call := server.receive()).data) != word:
        call.answer(bytes(call.data)[::-1])
    return call


@pytest.mark.parametrize("who", ["program", "vm"])
def test_a_server_that_dies_in_a_call_costs_the_c_client_its_end_only(bench, runner, who) -> None:
    first = bench.vm(2).start(die_in_call) if who == "program" else None
    server = None if first else bench.vm(2).rpc_server("tick")
    client = runner.c(3, HERE / "client.c", "tick", "abc", "de")
    if first is not None:
        with pytest.raises(errors.VmCrashed, match="signal 9"):
            first.result(timeout=60)
    else:
        server.timeout = None
        server.receive()
        bench.vm(2).kill()
        assert client.line() == "off 2"
        bench.vm(2).boot()
        server.close()
    with free(lambda: bench.vm(2).rpc_server("tick")) as again:
        again.timeout = None
        running = background(bench, lambda: again.serve(backwards))
        assert [line for line in client.rest() if line != "off 2"] == ["cba", "ed"]
        again.close()
        running.result()


def die_in_call(application: Any) -> None:
    server = application.rpc_server("tick")
    server.timeout = None
    server.receive()
    os.kill(os.getpid(), signal.SIGKILL)


def free(look_up: Any) -> Any:
    while True:
        with contextlib.suppress(errors.Busy, errors.PeerDied):
            return look_up()


@pytest.mark.parametrize("word", [b"die", b"hang"])
def test_a_c_server_that_dies_in_a_call_is_replaced(bench, runner, word: bytes) -> None:
    server = c_server(runner)
    with bench.vm(3).rpc_client("tick") as client:
        client.timeout = None
        calling = background(bench, lambda: client.call(word))
        if word == b"hang":
            assert server.line() == "hangs"
            bench.vm(2).kill()
        # Of its VM's death a program may hear before its own comes.
        assert server.rest() in ([], ["off 3"] if word == b"hang" else [])
        with pytest.raises(errors.WouldBlock):
            calling.result()
    if word == b"hang":
        bench.vm(2).boot()
    c_server(runner)
    assert ask(bench, b"abc") == b"cba"


@pytest.mark.parametrize("who", ["program", "vm"])
def test_a_c_server_outlives_clients_that_die_in_a_call(bench, runner, who: str) -> None:
    server = c_server(runner)
    guest = bench.vm(3).start(call_and_die if who == "program" else call_and_wait)
    if who == "program":
        with pytest.raises(errors.VmCrashed, match="signal 9"):
            guest.result(timeout=60)
    else:
        bench.vm(3).kill()
        bench.vm(3).boot()
    if who == "program":
        assert server.line() == "off 3"
    assert free_ask(bench, b"abc") == b"cba"
    assert free_ask(bench, b"stop") == b"pots"
    assert server.rest()[-1] == "ends"


def call_and_die(application: Any) -> None:
    client = application.rpc_client("tick")
    while not client.call(b"abc"):
        pass
    os.kill(os.getpid(), signal.SIGKILL)


def call_and_wait(application: Any) -> None:
    client = application.rpc_client("tick")
    client.timeout = None
    while True:
        client.call(b"abc")


def free_ask(bench: hyplink.Bench, word: bytes) -> bytes:
    while True:
        with contextlib.suppress(errors.Busy, errors.PeerDied):
            return ask(bench, word)


# Words of the port, as both ends use them.
CALL, CALL_SIZE, ANSWER, ANSWER_SIZE = 72, 80, 200, 208


def word(port: memoryview, at: int, size: int = 4) -> Any:
    return (ctypes.c_uint64 if size == 8 else ctypes.c_uint32).from_buffer(port, at)


@BITS
def test_a_c_server_lets_a_client_go_that_writes_an_impossible_size(bench, runner, bits) -> None:
    server = c_server(runner, bits)
    for size in (1013, 0x7FFFFFFF, 0xFFFFFFFF):
        with bench.vm(3).rpc_client("tick") as client:
            client.timeout = None
            with contextlib.suppress(errors.WouldBlock):
                while not client.call(b"abc"):
                    pass
            port = client._core.port()
            word(port, CALL_SIZE).value = size
            word(port, CALL, 8).value += 1 << 32  # found when the client's end closes
    assert ask(bench, b"stop") == b"pots"
    assert server.rest()[-1] == "ends"


@BITS
@pytest.mark.parametrize("size", [1013, 0xFFFFFFFF])
def test_a_c_client_is_not_misled_by_a_server_that_writes_an_impossible_size(
    bench, runner, bits: int, size: int
) -> None:
    with bench.vm(2).rpc_server("tick") as server:
        server.timeout = None
        client = runner.c(3, HERE / "client.c", "tick", "abc", bits=bits)
        server.receive()
        port = server._core.port()
        word(port, ANSWER_SIZE).value = size
        word(port, ANSWER, 8).value = word(port, CALL, 8).value >> 32
    assert client.line() == "Bad message"
    with bench.vm(2).rpc_server("tick") as server:
        server.timeout = None
        running = background(bench, lambda: server.serve(backwards))
        assert client.rest() == ["cba"]
        server.close()
        running.result()
