from __future__ import annotations

import contextlib
import gc
import json
import os
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import hyplink
from hyplink import errors, observe
from hyplink.observe.protocol import REQUEST_BYTES, line_of


class World:
    """A running bench and its observer; emptied at the end, so that nothing keeps the bench."""

    def __init__(self, bench: hyplink.Bench, observer: observe.Observer) -> None:
        self.bench = bench
        self.observer = observer


@pytest.fixture(params=["thread", "process"])
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    with hyplink.Bench.from_dts("vogl", backend=request.param, timeout=60) as bench:
        bench.link("vogl0").wait_on()
        with observe.serve(bench) as observer:
            world = World(bench, observer)
            yield world
    world.__dict__.clear()


def listed(address: observe.Address) -> bool:
    return "@" + address.socket_name[1:] in Path("/proc/net/unix").read_text()


@contextlib.contextmanager
def raw(observer: observe.Observer) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
        client.connect(observer.address.socket_name)
        client.settimeout(60)
        yield client


def read_line(client: socket.socket) -> dict[str, Any]:
    data = b""
    while not data.endswith(b"\n"):
        piece = client.recv(1 << 16)
        assert piece, "the bench hung up"
        data += piece
    answer = json.loads(data)
    assert isinstance(answer, dict)
    return answer


def still_answers(observer: observe.Observer) -> bool:
    with observe.Remote(observer.address) as remote:
        return bool(remote.topology()["board"] == "vogl")


def test_a_bench_is_found_and_tells_its_topology(world: World) -> None:
    assert world.observer.address in observe.running()
    assert observe.choose(str(world.observer.address)) == world.observer.address
    with observe.Remote(world.observer.address) as remote:
        seen = remote.topology()
    assert seen["backend"] == world.bench.backend
    assert [(vm["id"], vm["state"], vm["boots"]) for vm in seen["vms"]] == [
        (2, "RUNNING", 1),
        (3, "RUNNING", 1),
    ]
    assert seen["links"] == [{"label": "vogl0", "server": 2, "client": 3, "states": ["ON", "ON"]}]


def test_its_trace_and_counters_are_those_of_the_bench(world: World) -> None:
    with observe.Remote(world.observer.address) as remote:
        while True:
            before = list(world.bench.trace)
            whole, last = remote.trace(), remote.trace(3)
            if list(world.bench.trace) == before:
                break  # nothing was written down meanwhile
        assert list(remote.stats()) == list(world.bench.stats)
    assert list(whole) == before
    assert [event.text for event in last] == [event.text for event in whole[-3:]]


def test_the_socket_is_gone_when_the_observer_is_closed(world: World) -> None:
    assert listed(world.observer.address)
    world.observer.close()
    world.observer.close()
    assert not listed(world.observer.address)
    with pytest.raises(errors.PeerDied, match="gone"):
        observe.Remote(world.observer.address)


def test_two_benches_of_a_process_are_told_apart(world: World) -> None:
    with hyplink.Bench.from_dts("vbpipe", boot=False) as other, observe.serve(other) as second:
        assert {world.observer.address, second.address} <= set(observe.running())
        with pytest.raises(errors.BadArgument, match="several benches"):
            observe.choose()
        with observe.Remote(second.address) as remote:
            assert remote.topology()["board"] == "vbpipe"


def test_a_bench_that_was_forgotten_is_not_kept_alive() -> None:
    bench = hyplink.Bench.from_dts("vogl", boot=False)
    observer = observe.serve(bench)
    bench.close()
    del bench
    gc.collect()
    observer._thread.join()
    assert not listed(observer.address)


@pytest.mark.parametrize(
    "nonsense",
    [
        b"\n",
        b"hello\n",
        b"[]\n",
        b"3\n",
        b'{"do": "kill"}\n',
        b'{"do": ["stats"]}\n',
        b'{"do": "trace", "last": "all"}\n',
        b'{"do": "trace", "last": -1}\n',
        b'{"do": "trace", "last": 1e400}\n',
        b"[" * 4000 + b"\n",
        b"\xff\xfe\n",
        b"\0" * 100 + b"\n",
    ],
)
def test_nonsense_is_answered_and_the_next_question_too(world: World, nonsense: bytes) -> None:
    with raw(world.observer) as client:
        client.sendall(nonsense)
        assert read_line(client)["ok"] is False
        client.sendall(line_of({"do": "list"}))
        assert read_line(client)["ok"] is True


def test_an_endless_line_ends_the_connection(world: World) -> None:
    with raw(world.observer) as client, contextlib.suppress(BrokenPipeError, ConnectionResetError):
        client.sendall(b"x" * (4 * REQUEST_BYTES))
        assert client.recv(1) == b""
    assert still_answers(world.observer)


def test_a_client_that_never_reads_hinders_nobody(world: World) -> None:
    with raw(world.observer) as client:
        client.setblocking(False)
        with contextlib.suppress(BlockingIOError, BrokenPipeError, ConnectionResetError):
            while True:
                client.send(line_of({"do": "trace"}) * 50)
        assert still_answers(world.observer)


def test_silent_clients_cannot_keep_others_out(world: World) -> None:
    with contextlib.ExitStack() as stack:
        for _ in range(40):
            stack.enter_context(raw(world.observer))
        assert still_answers(world.observer)
        for _ in range(20):
            client = stack.enter_context(raw(world.observer))
            client.sendall(b'{"do": ')
        assert still_answers(world.observer)


def test_clients_that_hang_up_anywhere_are_forgotten(world: World) -> None:
    for text in (b"", b'{"do"', line_of({"do": "topology"})):
        for _ in range(10):
            with raw(world.observer) as client:
                client.sendall(text)
    assert still_answers(world.observer)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be somebody else")
def test_another_user_is_hung_up_on(world: World) -> None:
    script = (
        "import socket, sys\n"
        "s = socket.socket(socket.AF_UNIX); s.settimeout(60)\n"
        f"s.connect({world.observer.address.socket_name!r})\n"
        "try:\n"
        '    s.sendall(b\'{"do": "list"}\\n\'); print(s.recv(100))\n'
        "except (BrokenPipeError, ConnectionResetError): print(b'')\n"
    )
    done = subprocess.run(
        ["/usr/bin/env", "python3", "-c", script],
        user=65534,
        capture_output=True,
        text=True,
        check=False,
        cwd="/",
    )
    if "Permission denied" in done.stderr:
        pytest.skip("nobody may not run Python here")
    assert done.stdout.strip() == "b''", done.stderr
    assert still_answers(world.observer)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be somebody else")
def test_a_socket_of_another_user_with_our_name_is_not_asked(world: World) -> None:
    ours = world.observer.address._replace(uid=os.geteuid() + 1)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as fake:
        fake.bind(ours.socket_name)
        fake.listen()
        with pytest.raises(errors.PeerDied, match="is not user"):
            observe.Remote(ours)


def test_a_kill_of_the_bench_leaves_nothing(tmp_path: Path) -> None:
    script = (
        "import hyplink, sys\n"
        "from hyplink import observe\n"
        "with hyplink.Bench.from_dts('vogl', backend='process', timeout=60) as bench:\n"
        "    observer = observe.serve(bench)\n"
        "    print(*(vm.pid for vm in bench.vms.values()), flush=True)\n"
        "    sys.stdin.read()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        pids = [int(word) for word in process.stdout.readline().split()]
        (address,) = [a for a in observe.running() if a.pid == process.pid]
        with observe.Remote(address) as remote, contextlib.ExitStack() as stack:
            watched = [os.pidfd_open(pid) for pid in pids]
            for fd in watched:
                stack.callback(os.close, fd)
            assert remote.topology()["vms"]
            process.send_signal(signal.SIGKILL)
            process.wait()
            with pytest.raises(errors.PeerDied):
                remote.topology()
            for fd in watched:
                # Readable once that process has ended.
                assert select.select([fd], [], [], 60)[0]
    assert not listed(address)


def test_looking_does_not_change_a_seeded_run() -> None:
    def journal(looked_at: bool) -> bytes:
        with hyplink.Bench.from_dts("vogl", seed=5) as bench:
            with observe.serve(bench) as observer:
                if looked_at:
                    with observe.Remote(observer.address) as remote:
                        remote.trace()
                        remote.stats()
                bench.vm(2).kill()
                bench.vm(2).boot()
                bench.link("vogl0").wait_on()
            return bench.journal_bytes()

    assert journal(looked_at=True) == journal(looked_at=False)
