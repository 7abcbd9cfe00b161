"""C programs over vumem.h that are killed at every step, and the one at the other end."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import pytest

import hyplink
from hyplink.testing import eventually

HERE = Path(__file__).parent
SERVER, CLIENT = HERE / "mortal_server.c", HERE / "mortal_client.c"
pytestmark = [pytest.mark.hyplink_dts("vogl"), pytest.mark.hyplink_backend("process")]

SERVER_STEPS = [
    "created",
    "alloc",
    "lent",
    "ctl",
    "register",
    "unregister",
    "free",
    "freed",
]
CLIENT_STEPS = [
    "session",
    "allocated",
    "mapped",
    "controlled",
    "registered",
    "unregistered",
    "unmapped",
    "freed",
    "closed",
]
#: Requests of the client that are under way when it is killed.
UNDER_WAY = ["alloc", "ctl", "register", "unregister", "free"]


def said(program: Any, word: str) -> str:
    """The next line that begins like that; what does not hold is no line to pass by."""
    while True:
        line: str = program.line()
        assert line, f"it ended before it said {word!r}"
        assert not line.startswith("not so"), line
        if line.startswith(word):
            return line


def stopped(program: Any) -> int:
    """The process that has come to its step, once it stands there."""
    pid = int(said(program, "here ").split()[1])
    while Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "T":
        os.sched_yield()
    return pid


def nothing_is_left(bench: hyplink.Bench) -> None:
    eventually(bench, lambda: not any(end.buffers for end in bench.stats.buffers()), timeout=60)


@pytest.mark.parametrize("step", SERVER_STEPS)
def test_a_client_in_c_outlives_its_server_and_begins_again_with_the_next(
    bench: hyplink.Bench, runner: Any, step: str
) -> None:
    server = runner.c(2, SERVER, step)
    if step == "created":
        os.kill(stopped(server), signal.SIGKILL)
        assert server.rest() == []  # it has ended
        client = runner.c(3, CLIENT, "once")
    else:
        client = runner.c(3, CLIENT, "never")
        os.kill(stopped(server), signal.SIGKILL)
        said(client, "server gone")
    runner.c(2, SERVER, "never")
    assert client.rest()[-2:] == ["sessions", "ok"]
    nothing_is_left(bench)
    assert bench.vm(2).boots == 1


@pytest.mark.parametrize("step", CLIENT_STEPS)
def test_a_server_in_c_gets_back_what_a_client_had_that_was_killed(
    bench: hyplink.Bench, runner: Any, step: str
) -> None:
    runner.c(2, SERVER, "never")
    client = runner.c(3, CLIENT, step)
    os.kill(stopped(client), signal.SIGKILL)
    goes_on(bench, runner)


@pytest.mark.parametrize("request_", UNDER_WAY)
def test_a_server_in_c_responds_to_a_client_that_was_killed_meanwhile(
    bench: hyplink.Bench, runner: Any, request_: str
) -> None:
    server = runner.c(2, SERVER, request_)
    client = runner.c(3, CLIENT, "once")
    serving = stopped(server)
    # Its kernel says who it is.
    (dying,) = children(bench.vm(3).pid)
    os.kill(dying, signal.SIGKILL)
    assert client.rest()[:1] == ["sessions"]  # it has ended
    os.kill(serving, signal.SIGCONT)
    goes_on(bench, runner)


def children(pid: int | None) -> list[int]:
    """The processes that a VM has started."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                stat = (entry / "stat").read_text()
            except OSError:
                continue
            if int(stat.rpartition(")")[2].split()[1]) == pid:
                found.append(int(entry.name))
    return found


def goes_on(bench: hyplink.Bench, runner: Any) -> None:
    """Nothing is lent any more, and the next client finds a server that works."""
    nothing_is_left(bench)
    assert runner.c(3, CLIENT, "once").rest() == ["sessions", "ok"]
    nothing_is_left(bench)
    assert bench.vm(2).boots == bench.vm(3).boots == 1


@pytest.mark.parametrize("vm", [2, 3])
@pytest.mark.parametrize("request_", UNDER_WAY)
def test_a_vm_with_a_program_in_c_is_killed_with_a_request_under_way(
    bench: hyplink.Bench, runner: Any, vm: int, request_: str
) -> None:
    server = runner.c(2, SERVER, request_)
    client = runner.c(3, CLIENT, "once")
    serving = stopped(server)
    bench.vm(vm).kill()
    if vm == 3:
        os.kill(serving, signal.SIGCONT)
        # In its response, or, if its kernel hears of it later, in the receive that follows.
        assert "the client VM is gone" in said(server, "over")
    bench.vm(vm).boot()
    runner.c(2, SERVER, "never")
    if vm == 2:
        said(client, "server gone")
        assert client.rest()[-1] == "ok"
    else:
        assert runner.c(3, CLIENT, "once").rest() == ["sessions", "ok"]
    nothing_is_left(bench)
