"""vmq.h and vipc.h: C programs of 64 and 32 bits, each against the other languages, whoever dies or lies."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import signal
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import hyplink
from hyplink import errors, ipc, mq
from hyplink.testing import background

HERE = Path(__file__).parent
BOARD = """
&vm2_vdevs {
    a: vmq@a { compatible = "vmq"; info = "disk1"; server; };
    b: vmq@b { compatible = "vmq"; info = "disk2"; server; };
};
&vm3_vdevs {
    vmq@a { peer-phandle = <&a>; client; info = "disk1"; };
    vmq@b { peer-phandle = <&b>; client; };
};
"""
pytestmark = [pytest.mark.hyplink_dts(BOARD), pytest.mark.hyplink_backend("process")]
BITS = pytest.mark.parametrize("bits", [64, 32])
#: As in node.h: what the client sends, and the server.
REQUESTS, ANSWERS = mq.Config(8, 24, data_count=4, data_max=256), mq.Config(4, 24)
REQUEST = "<QIIII"  # cookie, letter, value, offset of a buffer, its bytes
EVERYTHING = ["many", "text", "posts", "own", "limits", "cookie", "quit"]


def server_lines(program: Any, bits: int = 64) -> Any:
    return program.c(2, HERE / "server.c", "disk1", bits=bits)


def client_lines(program: Any, *words: str, bits: int = 64) -> Any:
    return program.c(3, HERE / "client.c", "disk1", *words, bits=bits)


@pytest.fixture
def client(bench: hyplink.Bench) -> Any:
    with bench.vm(3).mq("disk1", REQUESTS, returns=True) as queue:
        queue.timeout = None
        yield queue


@pytest.fixture
def server(bench: hyplink.Bench) -> Any:
    with bench.vm(2).mq("disk1", ANSWERS) as queue:
        queue.timeout = None
        yield queue


def serve(queue: mq.Queue) -> None:
    """What server.c does."""
    for got in queue:
        cookie, op, value, offset, size = struct.unpack_from(REQUEST, got.header)
        match chr(op):
            case "a":
                if size:
                    data = got.buffer(offset)
                    data[:size] = bytes(data[:size])[::-1]
                got.reply(struct.pack(REQUEST, cookie, op, value + 1, offset, size))
            case "c":
                got.reply(struct.pack(REQUEST, cookie ^ 1, op, value, offset, size))
            case "m":
                got.free()
                own = queue.allocate()
                own.header[:24] = struct.pack(REQUEST, 0, op, value, 0, 0)
                own.send()
            case "q":
                got.free()
                return
            case _:
                got.free()


def request(queue: mq.Queue, op: str, value: int = 0) -> mq.Message:
    message = queue.allocate()
    message.header[:24] = struct.pack(REQUEST, 0, ord(op), value, 0, 0)
    return message


def said_by_a_client(lines: list[str]) -> None:
    """Of a client that did everything."""
    done = [line for line in lines if not line.startswith("back ")]
    assert done.pop(0) == "on 2"
    assert int(next(line for line in lines if line.startswith("back ")).split()[1]) >= 42
    expected = ["did many", "tneilc C eht morf", "did text", "did posts", "own 42", "did own"]
    expected += [f"did {word}" for word in EVERYTHING[4:]]
    assert [line for line in done if not line.startswith(("off", "completed"))] == [
        *expected,
        "ends",
    ]


@BITS
def test_a_c_client_calls_and_sends_to_a_server_in_python(runner, server, bits: int) -> None:
    program = client_lines(runner, *EVERYTHING, bits=bits)
    server.wait_on()
    serve(server)
    said_by_a_client(program.rest())


@BITS
def test_a_c_server_answers_a_client_in_python_in_any_order(runner, client, bits: int) -> None:
    program = server_lines(runner, bits)
    client.wait_on()
    assert program.line() == "on 3"
    kept = [request(client, "k", value) for value in range(3)]
    for message in kept:
        message.send()
    assert [program.line() for _ in kept] == ["kept 1", "kept 2", "kept 3"]
    request(client, "r").send()
    back = [client.return_receive() for _ in kept]
    assert [struct.unpack_from(REQUEST, message.header)[2] for message in back] == [102, 101, 100]
    for message in back:
        message.free()
    with_data = client.allocate(data=5)
    with_data.data[:5] = b"abcde"
    with_data.header[:24] = struct.pack(REQUEST, 9, ord("a"), 1, with_data.data_offset, 5)
    with_data.send()
    back = client.return_receive()
    assert struct.unpack_from(REQUEST, back.header)[:3] == (9, ord("a"), 2)
    assert bytes(with_data.data[:5]) == b"edcba"
    back.free()
    with_data.data_free()
    request(client, "m", 5).send()
    own = client.receive()
    assert struct.unpack_from(REQUEST, own.header)[2] == 5
    own.free()
    request(client, "q").send()
    assert program.rest()[-1] == "ends"


def test_a_vipc_context_in_python_calls_a_c_server(runner, client) -> None:
    program = server_lines(runner)
    client.wait_on()
    context = ipc.Context(client)
    calls = [context.submit(struct.pack("<IIII", ord("a"), value, 0, 0)) for value in range(7)]
    answers = [struct.unpack_from("<IIII", call.result()) for call in calls]
    assert [value for _, value, _, _ in answers] == list(range(1, 8))
    request(client, "q").send()
    assert program.rest()[-1] == "ends"


@pytest.mark.parametrize(("server_bits", "client_bits"), [(64, 64), (64, 32), (32, 64), (32, 32)])
def test_c_programs_of_any_width_call_each_other(runner, server_bits, client_bits) -> None:
    there = server_lines(runner, server_bits)
    said_by_a_client(client_lines(runner, *EVERYTHING, bits=client_bits).rest())
    assert there.rest()[-1] == "ends"


@BITS
def test_links_are_found_configured_and_refused_as_in_the_product(bench, runner, bits: int) -> None:
    assert runner.c(2, HERE / "refusals.c", bits=bits).rest() == ["ok"]
    with bench.vm(2).mq("disk1"), bench.vm(2).mq("disk2"):
        pass  # both are free again


@BITS
def test_a_wait_for_a_message_ends_with_a_signal_or_with_an_abort(runner, server, bits) -> None:
    program = client_lines(runner, "signal", "abort", bits=bits)
    server.wait_on()
    assert program.line() == "on 2"
    held = [server.receive() for _ in range(8)]
    assert program.line() == "interrupted"
    for message in held:
        message.free()
    server.receive().free()
    assert program.rest()[:2] == ["did signal", "did abort"]


def again(look_up: Callable[[], Any]) -> Any:
    while True:
        with contextlib.suppress(errors.Busy, errors.PeerDied):
            return look_up()


@pytest.mark.parametrize("who", ["program", "vm", "c program"])
def test_every_call_ends_when_the_other_end_of_a_c_client_dies(bench, runner, who: str) -> None:
    if who == "c program":
        there = server_lines(runner)
        client = client_lines(runner, "die", "text")
        assert "ends" not in there.rest()
    elif who == "program":
        guest = bench.vm(2).start(die_when_asked)
        client = client_lines(runner, "die", "text")
        with pytest.raises(errors.VmCrashed, match="signal 9"):
            guest.result(timeout=60)
    else:
        with bench.vm(2).mq("disk1", ANSWERS) as dying:
            client = client_lines(runner, "die", "text")
            dying.timeout = None
            dying.wait_on()
            for _ in range(2):
                dying.receive()
            bench.vm(2).kill()
        bench.vm(2).boot()
    with again(lambda: bench.vm(2).mq("disk1", ANSWERS)) as server:
        server.timeout = None
        server.wait_on()
        running = background(bench, lambda: serve(server))
        said = client.rest()
        running.result()  # it ends with its client
    assert said[-1] == "ends"
    said = said[said.index("off 2") :]
    assert said[:4] == ["off 2", "holds", "completed 2", "on 2"]
    assert said[4:7] == ["did die", "tneilc C eht morf", "did text"]


def die_when_asked(application: Any) -> None:
    queue = application.mq("disk1", ANSWERS)
    queue.timeout = None
    queue.wait_on()
    for got in queue:
        if got.header[8:9] == b"d":
            os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.parametrize("who", ["program", "vm"])
def test_a_c_server_gives_everything_back_when_its_client_dies_and_meets_the_next(
    bench, runner, who: str
) -> None:
    program = server_lines(runner)
    guest = bench.vm(3).start(send_and_die if who == "program" else send_and_stay)
    assert [program.line() for _ in range(3)] == ["on 3", "kept 1", "kept 2"]
    if who == "program":
        with pytest.raises(errors.VmCrashed, match="signal 9"):
            guest.result(timeout=60)
    else:
        bench.vm(3).kill()
        bench.vm(3).boot()
    said = until_completed(program)
    # The link may be lost before the server sends the message that the last one asks for.
    assert said[-2:] == ["off 3", "completed 3"]
    assert said[:-2] in ([], [f"no message {-errno.EAGAIN}"])
    with again(lambda: bench.vm(3).mq("disk1", REQUESTS, returns=True)) as client:
        client.timeout = None
        client.wait_on()
        request(client, "a", 41).send()
        assert struct.unpack_from(REQUEST, client.return_receive().header)[2] == 42
        request(client, "q").send()
        assert program.rest()[-1] == "ends"


def until_completed(program: Any) -> list[str]:
    said = [program.line()]
    while said[-1] != "completed 3":
        said.append(program.line())
    return said


def send_and_die(application: Any) -> None:
    send_two(application)
    os.kill(os.getpid(), signal.SIGKILL)


def send_and_stay(application: Any) -> None:
    queue = send_two(application)
    list(queue)


def send_two(application: Any) -> mq.Queue:
    queue = application.mq("disk1", REQUESTS, returns=True)
    queue.timeout = None
    queue.wait_on()
    for _ in range(2):
        request(queue, "k").send()
    request(queue, "m").send()
    queue.receive().free()  # now both are kept
    return queue


def test_ends_that_do_not_fit_stay_off_until_one_comes_that_does(bench, runner) -> None:
    program = server_lines(runner)
    with bench.vm(3).mq("disk1", mq.Config(16, 24), returns=True) as unfit:
        with contextlib.suppress(errors.PeerDied, errors.DeadlineExceeded):
            unfit.wait_on()
            unfit.receive()
        assert not unfit.is_on
    with bench.vm(3).mq("disk1", REQUESTS, returns=True) as client:
        client.timeout = None
        client.wait_on()
        request(client, "q").send()
        assert program.rest()[-1] == "ends"


# Where things lie in the port, as both ends compute it: the server's direction, then the client's.
PORT, P_IDX, C_IDX, TABLE = 1024, 0, 64, 192
CLIENTS = PORT + 512


def write(queue: mq.Queue, at: int, value: int) -> None:
    ctypes.c_uint32.from_buffer(queue._core.port(), at).value = value


@BITS
@pytest.mark.parametrize("lie", ["slot", "twice", "c_idx"])
def test_a_c_server_is_not_misled_by_a_client_that_writes_what_cannot_be(
    bench, runner, bits: int, lie: str
) -> None:
    program = server_lines(runner, bits)
    with bench.vm(3).mq("disk1", REQUESTS, returns=True) as client:
        client.timeout = None
        client.wait_on()
        if lie == "c_idx":  # found when the server has used up what it has
            write(client, PORT + C_IDX, 1000)
            with contextlib.suppress(errors.PeerDied):
                for _ in range(5):
                    request(client, "m").send()
        else:
            first = request(client, "k")
            first.send()
            second = request(client, "k")
            second.send_async()
            write(client, CLIENTS + TABLE + 4, 8 if lie == "slot" else first.slot)
            client.send_flush()
        with contextlib.suppress(errors.PeerDied):
            while True:
                client.receive()  # giving it back would mend the index
        assert not client.is_on
    said = until_completed(program)
    assert ("no message -103" if lie == "c_idx" else "stale") in said
    with bench.vm(3).mq("disk1", REQUESTS, returns=True) as client:
        client.timeout = None
        client.wait_on()
        request(client, "q").send()
        assert program.rest()[-1] == "ends"


@BITS
def test_a_c_server_takes_no_buffer_that_is_none(runner, client, bits: int) -> None:
    program = server_lines(runner, bits)
    client.wait_on()
    for offset, size in ((1, 8), (256 * 4, 8), (0xFFFFFF00, 8), (0, 0xFFFFFFFF)):
        message = client.allocate()
        message.header[:24] = struct.pack(REQUEST, 0, ord("a"), 1, offset, size)
        message.send()
        back = client.return_receive()
        assert struct.unpack_from(REQUEST, back.header)[2] == 2  # answered, the memory left alone
        back.free()
    request(client, "q").send()
    assert program.rest()[-1] == "ends"
