"""One application of vUmem ends, at every step; its kernel lives on, and so does everybody else. vlx-facts 3.7.

In two ways: it leaves without a word, on every backend, or is killed in a process of its own.
"""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from conformance_lib import EVERYWHERE, PROCESS, when_free
from umem_lib import PAGE, Pair, gone, is_blank

from hyplink import errors
from hyplink.testing import background, eventually
from hyplink.umem import Command, Memory

#: Seconds. On a busy machine a program takes many to start.
PATIENCE = 120.0


@pytest.fixture
def pair(bench: Any) -> Iterator[Pair]:
    pair = Pair(bench, timeout=PATIENCE)
    yield pair
    pair.close()


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def killed(guest: Any) -> None:
    with pytest.raises(errors.VmCrashed, match="signal 9"):
        guest.result(timeout=PATIENCE)


def held(vm: Any) -> tuple[int, int]:
    """Descriptors and mapped objects of a VM's kernel."""
    folder = Path(f"/proc/{vm.pid}")
    return len(list((folder / "fd").iterdir())), (folder / "maps").read_text().count("memfd:")


def nothing_is_left(bench: Any) -> None:
    """Neither end of the vlink has a buffer; the server's is told so with the client's last request."""
    eventually(
        bench, lambda: not any(end.buffers for end in bench.stats.buffers()), timeout=PATIENCE
    )


def no_more_than(bench: Any, before: list[tuple[int, int]]) -> None:
    """Neither kernel holds more than after the round before, once what is told later has been told."""
    eventually(
        bench,
        lambda: all(
            now <= then
            for vm, was in zip((2, 3), before, strict=True)
            for now, then in zip(held(bench.vm(vm)), was, strict=True)
        ),
        timeout=PATIENCE,
    )


def works(pair: Pair) -> None:
    """A whole life of a buffer in a session of its own."""
    with pair.client_application.umem("vogl0").session() as session:
        memory = Memory(2 * PAGE)
        buffer = pair.alloc(memory, session=session)
        buffer.map()[PAGE] = 3
        assert memoryview(memory)[PAGE] == 3
        pair.free(buffer)


# --- the server's application -----------------------------------------------------------------------

SERVER_STEPS = [
    "created",
    "session",
    "alloc",
    "lent",
    "mapped",
    "register",
    "control",
    "unregister",
    "free",
    "freed",
]


class Leaves:
    """A server that is asked by a client of this process and ends at a step."""

    def __init__(self, bench: Any, server: Any) -> None:
        self.bench, self.server = bench, server
        self.commands: list[Command] = []

    def until(self, step: str) -> None:
        """Serve until the request of that step has come, or been responded to."""
        if step in ("created", "session"):
            return
        while True:
            request = self.server.receive()
            if request.command.name.lower() == step:
                return
            self.server.respond(Memory(PAGE) if request.command is Command.ALLOC else None)
            if (step, request.command) in (("lent", Command.ALLOC), ("freed", Command.FREE)):
                return
            if step == "mapped" and request.command is Command.CONTROL:
                return  # the client asks that when it has mapped the buffer


def live(pair: Pair, seen: dict[str, Any]) -> None:
    """A client that goes through everything; EPIPE ends it, wherever it is."""
    other = pair.client_device.session()
    seen["session"] = session = pair.client_device.session()
    buffer = session.alloc()
    seen["buffer"] = buffer
    with contextlib.suppress(errors.BadArgument):  # its server may be gone, the name with it
        same = pair.client_device.import_buffer(buffer.token)
    seen["view"] = view = buffer.map()
    view[:4] = b"data"
    buffer.control(b"mapped")
    same.register(other)
    same.control(b"registered")
    same.unregister()
    same.free()
    buffer.unmap()
    seen.pop("view")
    buffer.free()


def lost(seen: dict[str, Any], step: str) -> None:
    """All that the client still has says that its server is gone."""
    session = seen["session"]
    with pytest.raises(errors.PeerDied):
        session.alloc()
    assert not session.is_alive
    buffer = seen.get("buffer")
    if buffer is None or not buffer.is_open:
        return
    if "view" in seen and step != "lent":  # there it may have written afterwards
        gone(session, buffer, seen["view"])
    with pytest.raises((errors.PeerDied, errors.HandleClosed)):
        buffer.free()


def meets_the_next(pair: Pair) -> None:
    pair.server = when_free(pair.server_device.server)
    works(pair)
    nothing_is_left(pair.bench)


@EVERYWHERE
@pytest.mark.parametrize("step", SERVER_STEPS)
def test_a_server_application_that_leaves_is_known_to_its_client_at_once(
    pair: Pair, step: str
) -> None:
    pair.server.close()
    leaving = pair.bench.vm(2).application()
    server = leaving.umem("vogl0").server()
    seen: dict[str, Any] = {}
    if step == "created":
        leaving.close()
        pair.server = pair.server_device.server()
        pair.session = pair.client_device.session()
        works(pair)
        return

    def client() -> None:
        with contextlib.suppress(errors.PeerDied):
            live(pair, seen)

    living = background(pair.bench, client)
    serving = Leaves(pair.bench, server)
    serving.until(step)
    if step == "session":
        eventually(pair.bench, lambda: "session" in seen, timeout=PATIENCE)
    if step == "freed":
        living.result()
    leaving.close()
    living.result()
    lost(seen, step)
    meets_the_next(pair)


@PROCESS
@pytest.mark.parametrize("step", SERVER_STEPS)
def test_a_server_application_that_is_killed_is_known_to_its_client_at_once(
    pair: Pair, step: str
) -> None:
    def guest(application: Any) -> None:
        application.timeout = None
        server = application.umem("vogl0").server()
        if step == "session":
            server.receive()  # the first allocation: there is a session
        else:
            Leaves(None, server).until(step)
        if step == "freed":
            server.receive()  # what is asked when it was freed
        die()

    pair.server.close()
    dying = pair.bench.vm(2).start(guest)
    seen: dict[str, Any] = {}
    if step == "created":
        killed(dying)
    else:
        with contextlib.suppress(errors.PeerDied):
            live(pair, seen)
            seen["session"].alloc()
        lost(seen, step)
        killed(dying)
    meets_the_next(pair)
    assert pair.bench.vm(2).boots == 1


@PROCESS
def test_servers_that_are_killed_again_and_again_leave_nothing_in_any_kernel(pair: Pair) -> None:
    def guest(application: Any) -> None:
        application.timeout = None
        Leaves(None, application.umem("vogl0").server()).until("control")
        die()

    pair.server.close()
    before: list[tuple[int, int]] = []
    for turn in range(4):
        dying = pair.bench.vm(2).start(guest)
        seen: dict[str, Any] = {}
        with contextlib.suppress(errors.PeerDied):
            live(pair, seen)
        killed(dying)
        view = seen["view"]
        assert is_blank(view)
        for name in ("buffer", "session"):
            seen[name].close()
        nothing_is_left(pair.bench)
        if turn > 1:  # the first ones make what is made once
            no_more_than(pair.bench, before)
        else:
            before = [held(pair.bench.vm(vm)) for vm in (2, 3)]
    pair.server = pair.server_device.server()
    works(pair)


# --- the client's application -----------------------------------------------------------------------

CLIENT_STEPS = [
    "session",
    "asking",
    "allocated",
    "mapped",
    "registering",
    "registered",
    "controlling",
    "unregistering",
    "unmapped",
    "freeing",
    "freed",
    "closed",
]
#: The step at which a request is under way, and which.
UNDER_WAY = {
    "asking": Command.ALLOC,
    "registering": Command.REGISTER,
    "controlling": Command.CONTROL,
    "unregistering": Command.UNREGISTER,
    "freeing": Command.FREE,
}
LIFE = [Command.ALLOC, Command.REGISTER, Command.CONTROL, Command.UNREGISTER, Command.FREE]


def go_through(application: Any, say: Callable[[str], None]) -> None:
    """A client that says where it is; at its step it says it and waits for its end there."""
    application.timeout = None
    device = application.umem("vogl0")
    session = device.session()
    say("session")
    buffer = session.alloc(os.getpid().to_bytes(4, "little"))
    say("allocated")
    view = buffer.map()
    view[:4] = b"mine"
    say("mapped")
    other = device.session()
    same = device.import_buffer(buffer.token)
    same.register(other)
    say("registered")
    same.control(b"?")
    same.unregister()
    same.free()
    view.release()
    buffer.unmap()
    say("unmapped")
    buffer.free()
    say("freed")
    session.close()
    other.close()
    say("closed")


def serve_until(pair: Pair, step: str, lent: dict[int, Any]) -> bool:
    """Respond until the client is at its step; True: its request is under way and not responded to."""
    wanted = UNDER_WAY.get(step)
    served = {
        "session": 0,
        "allocated": 1,
        "mapped": 1,
        "registered": 2,
        "unmapped": 4,
        "freed": 5,
        "closed": 5,
    }.get(step, len(LIFE))
    for command in LIFE[:served]:
        request = pair.server.receive()
        assert request.command is command
        if command is Command.ALLOC:
            pair.client_pid = int.from_bytes(request.argument, "little")
        if command is wanted:
            return True
        respond(pair, request, lent)
    return False


def respond(pair: Pair, request: Any, lent: dict[int, Any]) -> None:
    """Agree, with memory that says whose it is."""
    memory = None
    if request.command is Command.ALLOC:
        memory = lent[request.buffer] = Memory(PAGE)
    if request.command is Command.FREE:
        del lent[request.buffer]
    pair.server.respond(memory)


def released(pair: Pair, lent: dict[int, Any], pending: bool) -> None:
    """What its kernel does for a client that is gone: the server is told buffer by buffer."""
    if pending:
        pair.server.respond(_memory(pair, lent))
    unregistered: set[int] = set()
    while lent:
        request = pair.server.receive()
        if request.command is Command.UNREGISTER:
            assert request.buffer not in unregistered
            unregistered.add(request.buffer)
        else:
            assert request.command is Command.FREE
        respond(pair, request, lent)


def _memory(pair: Pair, lent: dict[int, Any]) -> Any:
    """For the request that was under way: of an allocation, memory that nobody will ask for."""
    last = pair.server._last
    if last is None:
        return None
    if last.command is Command.ALLOC:
        lent[last.buffer] = Memory(PAGE)
        return lent[last.buffer]
    if last.command is Command.FREE:
        del lent[last.buffer]
    return None


@EVERYWHERE
@pytest.mark.parametrize("step", CLIENT_STEPS)
def test_a_client_application_that_leaves_gives_everything_back(pair: Pair, step: str) -> None:
    leaving = pair.bench.vm(3).application()
    kept: list[Exception] = []  # with all that the client had

    class Over(Exception):
        pass

    def say(word: str) -> None:
        if word == step:
            raise Over

    def client() -> None:
        try:
            go_through(leaving, say)
        except (Over, errors.HandleClosed, errors.PeerDied) as over:
            kept.append(over)

    lent: dict[int, Any] = {}
    living = background(pair.bench, client)
    pending = serve_until(pair, step, lent)
    if not pending:
        living.result()
    leaving.close()
    living.result()
    assert len(kept) == 1
    kept.clear()
    released(pair, lent, pending)
    works(pair)
    nothing_is_left(pair.bench)


@PROCESS
@pytest.mark.parametrize("step", CLIENT_STEPS)
def test_a_client_application_that_is_killed_gives_everything_back(pair: Pair, step: str) -> None:
    def guest(application: Any) -> None:
        def say(word: str) -> None:
            if word == step:
                die()

        go_through(application, say)

    dying = pair.bench.vm(3).start(guest)
    lent: dict[int, Any] = {}
    pending = serve_until(pair, step, lent)
    if pending:
        os.kill(pair.client_pid, signal.SIGKILL)
    killed(dying)
    released(pair, lent, pending)
    works(pair)
    nothing_is_left(pair.bench)
    assert pair.bench.vm(3).boots == 1


@PROCESS
def test_clients_that_are_killed_again_and_again_leave_nothing_in_any_kernel(pair: Pair) -> None:
    def guest(application: Any) -> None:
        def say(word: str) -> None:
            if word == "registered":
                die()

        go_through(application, say)

    before: list[tuple[int, int]] = []
    for turn in range(4):
        lent: dict[int, Any] = {}
        dying = pair.bench.vm(3).start(guest)
        serve_until(pair, "registered", lent)
        killed(dying)
        released(pair, lent, pending=False)
        nothing_is_left(pair.bench)
        if turn > 1:  # the first ones make what is made once
            no_more_than(pair.bench, before)
        else:
            before = [held(pair.bench.vm(vm)) for vm in (2, 3)]
    works(pair)


@PROCESS
def test_what_a_dead_client_wrote_stays_the_servers_and_what_it_had_mapped_is_nobodys(
    pair: Pair,
) -> None:
    def guest(application: Any) -> None:
        def say(word: str) -> None:
            if word == "mapped":
                die()

        go_through(application, say)

    dying = pair.bench.vm(3).start(guest)
    lent: dict[int, Any] = {}
    serve_until(pair, "mapped", lent)
    (memory,) = lent.values()
    killed(dying)
    assert bytes(memoryview(memory)[:4]) == b"mine"
    released(pair, lent, pending=False)
    assert bytes(memoryview(memory)[:4]) == b"mine"
    works(pair)
