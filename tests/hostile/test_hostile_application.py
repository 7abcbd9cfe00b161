"""A program inside a VM that misuses its guest kernel: it is dropped or refused, the VM works on."""

from __future__ import annotations

import os
import select
import struct
import sys
from pathlib import Path

import pytest

from hyplink.testing import background, eventually

pytestmark = pytest.mark.hyplink_backend("process")

# Kinds of the journal's records.
APP_END = 9
APP_DROPPED = 33
PROGRAM = Path(__file__).parent / "hostile_application.py"


def records(bench, event: int) -> list[tuple[int, int]]:
    """(VM, second value) of every record of a kind."""
    every = struct.iter_unpack("<QHHIIIQQ24x", bench.journal_bytes())
    return [(vm, b) for _, kind, vm, _, _, _, b, _ in every if kind == event]


def run(bench, vm: int, act: str, seed: int) -> str:
    """What the program said until it ended, and its kernel has cleared up after it.

    Until then what it waited for is still given to it: the next session, say.
    """
    read, write = os.pipe2(os.O_CLOEXEC)
    try:
        command = [sys.executable, "-IS", str(PROGRAM), act, str(seed)]
        bench._core.run(vm, command, [], [write])
    finally:
        os.close(write)
    said = b""
    try:
        while True:
            assert select.select([read], [], [], 120)[0], f"{act} neither ends nor says anything"
            piece = os.read(read, 1000)
            if not piece:
                eventually(bench, lambda: (vm, 1) in records(bench, APP_END), timeout=60)
                return said.decode()
            said += piece
    finally:
        os.close(read)


def works(bench) -> None:
    def serve() -> None:
        device = bench.vm(2).rpq("vogl0")
        # A session of the program that is gone may still be offered while it is withdrawn.
        while (session := device.accept()).info != b"good":
            session.close()
        with session, session.accept() as channel:
            (request,) = channel.receive()
            request.out[:] = bytes(request.params)
            channel.acknowledge()

    serving = background(bench, serve)
    with bench.vm(3).rpq("vogl0").session(b"good") as session, session.channel() as channel:
        assert channel.call_bytes(1, b"question", 8) == b"question"
    serving.result()


#: And why, as the journal says it: base/journal.hpp, Dropped.
DROPPED = {"random_bytes": 2, "wrong_length": 2, "descriptors": 2, "never_reads": 1}
# VM 2 has the server's device, VM 3 the client's.
REFUSED = (
    (2, "random_calls"),
    (3, "random_calls"),
    (3, "too_many_handles"),
    (2, "too_many_waiting"),
    (3, "sessions_that_nobody_closes"),
)


@pytest.mark.parametrize("act", DROPPED)
@pytest.mark.parametrize("vm", [2, 3])
def test_a_program_that_does_not_speak_the_protocol_is_dropped(bench, vm, act, seed) -> None:
    link = bench.link("vogl0").wait_on()
    assert run(bench, vm, act, seed) == ""
    assert records(bench, APP_DROPPED) == [(vm, DROPPED[act])]
    assert link.is_on
    assert [each.state.name for each in bench.vms.values()] == ["RUNNING", "RUNNING"]
    works(bench)


@pytest.mark.parametrize(("vm", "act"), REFUSED)
def test_requests_that_make_no_sense_are_refused(bench, vm, act, seed) -> None:
    link = bench.link("vogl0").wait_on()
    assert run(bench, vm, act, seed) == "survived\n"
    assert link.is_on
    assert [each.boots for each in bench.vms.values()] == [1, 1]
    works(bench)
