"""Programs of a VM that do not start, end early or lose their kernel: each says why, in the journal and to who asks."""

from __future__ import annotations

import logging
import os
import re
import resource
import signal
import socket
import sys
import time
import types
from pathlib import Path
from typing import Any

import pytest
from conformance_lib import EVERYWHERE, PROCESS, SMALL, Echo, journal

from hyplink import buffers, errors, idl
from hyplink.testing import eventually
from stopping import stopped

pytestmark = pytest.mark.hyplink_dts(SMALL)
UNREAD, MALFORMED, REFUSED = 1, 2, 3
FRAMES = Path(__file__).parents[1] / "idl/vm/frames.vidl"


def own_pid(application: Any) -> int:
    return os.getpid()


class Unpicklable:
    """A guest that cannot be taken out of its envelope."""

    def __reduce__(self) -> Any:
        return open, ("/no/such/file",)


@PROCESS
def test_a_guest_that_cannot_be_unpacked_says_so(bench) -> None:
    guest = bench.vm(2).start(Unpicklable())
    with pytest.raises(errors.GuestFailed, match="/no/such/file") as caught:
        guest.result(timeout=60)
    assert "_app.py" in caught.value.__cause__.__notes__[0]


@PROCESS
def test_whatever_fails_before_a_guest_runs_comes_back(bench, monkeypatch) -> None:
    monkeypatch.setattr("hyplink.guest.loaded_sources", lambda: 5)
    with pytest.raises(errors.GuestFailed, match="int"):
        bench.vm(2).start(own_pid).result(timeout=60)


@PROCESS
def test_an_interface_that_a_guest_does_not_use_cannot_stop_it(bench, monkeypatch) -> None:
    package = types.ModuleType("hyplink.idl.loaded.0")
    monkeypatch.setitem(sys.modules, package.__name__, package)
    broken = types.ModuleType("hyplink.idl.loaded.0.broken")
    broken.__hyplink_source__ = "raise RuntimeError('not here')"
    monkeypatch.setitem(sys.modules, broken.__name__, broken)

    def imports(application: Any) -> None:
        __import__("hyplink.idl.loaded.0.broken")

    assert bench.vm(2).start(own_pid).result(timeout=60) != os.getpid()
    with pytest.raises(errors.GuestFailed, match="not here"):
        bench.vm(2).start(imports).result(timeout=60)


@PROCESS
def test_an_interface_loaded_here_and_in_a_guest_is_one_module(bench) -> None:
    frames = idl.load(FRAMES)

    def same(application: Any) -> bool:
        again = idl.load(FRAMES)
        return again is sys.modules[frames.__name__] and again.Handler is frames.Handler

    assert bench.vm(2).start(same).result(timeout=60)


@PROCESS
def test_a_kernel_that_has_no_room_for_an_application_tells_it(bench) -> None:
    ways = [bench._core.attach_socket(3) for _ in range(1100)]
    try:
        with pytest.raises(errors.GuestFailed, match="1024 applications already"):
            bench.vm(3).start(own_pid).result(timeout=60)
        assert {(r.vm, r.a, r.b) for r in journal(bench, "app_dropped")} == {(3, 0, REFUSED)}
    finally:
        for way in ways:
            os.close(way)

    def has_room() -> bool:
        try:
            return bench.vm(3).start(own_pid).result(timeout=60) != os.getpid()
        except errors.GuestFailed:  # the kernel has not heard of all that were closed
            return False

    eventually(bench, has_room, timeout=60)


@PROCESS
def test_how_a_program_ended_is_in_the_journal_when_its_end_is_seen(bench) -> None:
    def killed(application: Any) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    def leaves(application: Any) -> None:
        os._exit(7)

    with pytest.raises(errors.VmCrashed, match=r"process \d+: signal 9"):
        bench.vm(2).start(killed).result(timeout=60)
    with pytest.raises(errors.VmCrashed, match=r"process \d+: exit status 7"):
        bench.vm(3).start(leaves).result(timeout=60)
    read, write = os.pipe2(os.O_CLOEXEC)
    bench._core.run(2, ["/no/such/program"], [], [write])
    os.close(write)
    assert os.read(read, 1) == b""
    os.close(read)
    ends = journal(bench, "program_end")
    assert [(record.vm, record.b) for record in ends] == [(2, 9), (3, 7 << 8), (2, 127 << 8)]
    assert bench.trace.events(kind="program_end")[1].text.startswith("VM 3 program ")


@PROCESS
@pytest.mark.skipif(
    "undefined" in os.environ.get("HYPLINK_SANITIZE", ""),
    reason="that sanitizer looks at an object through a pipe of its own, and there is no room",
)
def test_a_vm_without_room_for_descriptors_says_that_it_starts_nothing(bench) -> None:
    pid = bench.vm(2).pid
    before = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    # Where it runs out differs: receiving what the program is given, making its way, starting it.
    for spare in (0, 1, 3, 5):

        def starts_nothing(spare: int = spare) -> bool:
            room = len(list(Path(f"/proc/{pid}/fd").iterdir())) + spare
            resource.prlimit(pid, resource.RLIMIT_NOFILE, (room, before[1]))
            try:
                bench.vm(2).start(own_pid).result(timeout=60)
            except errors.VmCrashed as failure:
                return re.search(r"no program started: E(MFILE|INVAL)", str(failure)) is not None
            return False  # it closed something of the last one just then: there was room

        eventually(bench, starts_nothing, timeout=60)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, before)
    assert bench.vm(2).start(own_pid).result(timeout=60) != os.getpid()
    assert bench.vm(2).boots == 1


@PROCESS
def test_an_application_that_its_kernel_drops_hears_why(bench) -> None:
    def speaks_nonsense(application: Any) -> str:
        with socket.socket(fileno=os.dup(3)) as way:
            way.send(b"no request")
        try:
            while True:
                application.devices()
        except errors.PeerDied as failure:
            return str(failure)

    said = bench.vm(2).start(speaks_nonsense).result(timeout=60)
    assert "the kernel of VM 2 dropped this application: it sent what is no request" in said
    assert [(r.vm, r.b) for r in journal(bench, "app_dropped")] == [(2, MALFORMED)]
    assert "it sent what is no message" in bench.trace.events(kind="app_dropped")[0].text


MEMORY = """
&vm2_vplatform { vm-memory@3 { compatible = "vl,vm-memory"; vl,vm-id = <3>; }; };
&vm3_vplatform { vm-memory@2 { compatible = "vl,vm-memory"; vl,vm-id = <2>; }; };
&vm4_vplatform { vm-memory@3 { compatible = "vl,vm-memory"; vl,vm-id = <3>; }; };
"""
PAGE = 4096


@PROCESS
@pytest.mark.hyplink_dts(SMALL + MEMORY)
def test_an_application_that_stops_for_a_while_misses_nothing_of_its_windows(bench) -> None:
    """Far more happens to its pages than fits the way to it; it finds them as they are at last."""
    region = bench.vm(3).memory.alloc(8 * PAGE)
    region.view[:] = b"\x05" * region.nbytes
    bench.vm(3).grant(2, region, "r")
    pages = region.pages()

    def windows(application: Any) -> Any:
        held = [application.memory.map(*pages) for _ in range(64)]
        device = application.rpq("vogl0")
        with device.accept() as session, session.accept() as channel:
            for request in channel.receive():
                request.out[:] = os.getpid().to_bytes(8, "little")
            channel.acknowledge()
            channel.receive()
            until = time.monotonic() + 60
            while True:
                application.devices()
                seen = {bytes(w.view[i * PAGE] for i in range(8)) for w in held}
                if seen == {bytes([6, 0, 6, 6, 0, 6, 6, 0])} or time.monotonic() > until:
                    return seen

    guest = bench.vm(2).start(windows)
    with bench.vm(3).rpq("vogl0").session() as session, session.channel() as channel:
        victim = int.from_bytes(channel.call_bytes(1, b"", 8), "little")
        with stopped(victim):
            for _ in range(200):
                bench.vm(3).grant(4, region, "r")
                bench.vm(3).deny(4, region, "r")
            for page in (1, 4, 7):
                bench.vm(3).memory.deny(2, (pages[0] + page * PAGE, PAGE), "r")
            region.view[:] = b"\x06" * region.nbytes
        channel.post_bytes(2)
        channel.notify()
        assert guest.result(timeout=120) == {bytes([6, 0, 6, 6, 0, 6, 6, 0])}
    assert journal(bench, "app_dropped") == []


class Nothing:
    def alloc(self, request: Any) -> Any: ...
    def free(self, request: Any) -> None: ...


def no_memory() -> Any:
    raise RuntimeError("no memory to lend")


@EVERYWHERE
def test_a_server_program_whose_memory_fails_ends_as_a_whole(bench) -> None:
    frames = idl.load(FRAMES)
    guest = bench.vm(2).start(buffers.serve(frames.serve("vogl0", frames.Handler), no_memory))
    with pytest.raises(errors.GuestFailed, match="no memory to lend"):
        guest.result(timeout=60)


class FailingCalls:
    device = "vogl0"
    buffers: Any = None

    def __call__(self, application: Any) -> int:
        raise RuntimeError("no calls")


@EVERYWHERE
def test_a_server_program_whose_calls_fail_ends_as_a_whole(bench) -> None:
    guest = bench.vm(2).start(buffers.serve(FailingCalls(), Nothing))
    with pytest.raises(errors.GuestFailed, match="no calls"):
        guest.result(timeout=60)


@EVERYWHERE
def test_a_failure_that_nobody_asks_about_is_told_when_the_bench_closes(bench, caplog) -> None:
    def fails(application: Any) -> None:
        raise ValueError("seven")

    def serves(application: Any) -> None:
        application.rpq("vogl0").accept(timeout=None)

    asked, unheard = bench.vm(2).start(fails), bench.vm(2).start(fails)
    with pytest.raises(errors.GuestFailed):
        asked.result(timeout=60)
    eventually(bench, unheard.done)
    bench.vm(2).start(serves)
    with caplog.at_level(logging.ERROR, "hyplink"):
        bench.close()
    (told,) = caplog.records
    assert told.getMessage().startswith("guest fails of VM 2 failed: Traceback")
    assert "seven" in told.getMessage()


@PROCESS
def test_a_server_goes_on_after_one_of_its_clients_was_dropped(bench) -> None:
    bench.vm(2).start(Echo())

    def speaks_nonsense(application: Any) -> int:
        session = application.rpq("vogl0").session()
        channel = session.channel()
        channel.call_bytes(1, b"question", 8)
        with socket.socket(fileno=os.dup(3)) as way:
            way.send(b"no request")
        while application.alive:
            pass
        with pytest.raises(errors.PeerDied):
            channel.call_bytes(1, b"question", 8)
        return 1

    assert bench.vm(3).start(speaks_nonsense).result(timeout=60) == 1
    with bench.vm(3).rpq("vogl0").session() as session, session.channel() as channel:
        assert channel.call_bytes(1, b"question", 8) == b"question"
