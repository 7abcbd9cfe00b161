"""vUmem when somebody dies: who is told, what mappings become, what is freed and when. vlx-facts 3.7."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import pytest
from conformance_lib import EVERYWHERE
from umem_lib import PAGE, Pair, anonymous, gone

from hyplink import errors
from hyplink.testing import background
from hyplink.umem import Command, Memory

pytestmark = EVERYWHERE


@pytest.fixture
def pair(bench: Any) -> Iterator[Pair]:
    pair = Pair(bench)
    yield pair
    pair.close()


def test_closing_the_server_revokes_first_and_keeps_the_servers_data(pair) -> None:
    array, memory = anonymous(2), Memory(2 * PAGE)
    lent = [(pair.alloc(array), array), (pair.alloc(memory), memoryview(memory))]
    views = []
    for buffer, own in lent:
        views.append(buffer.map())
        views[-1][PAGE : PAGE + 4] = b"data"
        assert bytes(own[PAGE : PAGE + 4]) == b"data"
    pair.server.close()
    for (buffer, own), view in zip(lent, views, strict=True):
        gone(pair.session, buffer, view)
        assert bytes(own[PAGE : PAGE + 4]) == b"data"
        assert own[0] == 0  # what the client wrote later is the client's own
    with pytest.raises(errors.PeerDied):
        lent[0][0].free()


def test_an_application_that_leaves_keeps_what_it_had_lent(pair) -> None:
    """As if it had closed its server first: the array was its own before, and is again."""
    memory = anonymous(2)
    memory[:4] = b"mine"
    buffer = pair.alloc(memory)
    view = buffer.map()
    assert bytes(view[:4]) == b"mine"
    pair.server_application.close()
    assert memory[:4] == b"mine"
    assert not pair.server.is_open
    memory[:4] = b"more"
    gone(pair.session, buffer, view)
    assert memory[:4] == b"more"


def test_a_request_in_progress_is_answered_epipe_when_the_server_closes(pair) -> None:
    asked = background(pair.bench, pair.session.alloc)
    pair.server.receive()
    pair.server.close()
    with pytest.raises(errors.PeerDied):
        asked.result()


def test_the_next_server_knows_nothing_of_the_last_and_serves_new_sessions(pair) -> None:
    old = pair.alloc(Memory(PAGE))
    view = old.map()
    pair.server.close()
    creating = background(pair.bench, pair.client_device.session)
    pair.server = pair.server_device.server()
    old_session, pair.session = pair.session, creating.result()
    with pytest.raises(errors.PeerDied):
        old_session.alloc()
    new = pair.alloc(Memory(PAGE))
    assert new.id == 1
    new.map()[0] = 5
    assert view[0] == 0
    pair.free(new)


def test_a_server_application_that_dies_is_a_server_that_closes(pair) -> None:
    other = pair.bench.vm(2).application()
    pair.server.close()
    pair.server = other.umem("vogl0").server()
    pair.session = pair.client_device.session()
    buffer = pair.alloc(Memory(PAGE))
    view = buffer.map()
    view[:4] = b"data"
    other.close()
    with pytest.raises(errors.PeerDied):
        pair.session.alloc()
    gone(pair.session, buffer, view)
    # The link is up all the while: the next server is there at once.
    pair.server = pair.server_device.server()
    pair.session = pair.client_device.session()
    pair.free(pair.alloc(Memory(PAGE)))


@pytest.mark.parametrize("end", ["kill", "shutdown"])
def test_the_death_of_the_server_vm(pair, end) -> None:
    buffer = pair.alloc(Memory(2 * PAGE))
    view = buffer.map()
    view[PAGE:] = b"x" * PAGE
    getattr(pair.bench.vm(2), end)()
    pair.bench.link("vogl0").wait_off()
    with pytest.raises(errors.PeerDied):
        pair.session.alloc()
    gone(pair.session, buffer, view)
    with pytest.raises(errors.PeerDied):
        pair.server.receive()
    # A session made now waits for the next life.
    creating = background(pair.bench, lambda: pair.client_device.session(timeout=None))
    pair.bench.vm(2).boot()
    with pair.bench.vm(2).application() as again, again.umem("vogl0").server():
        assert creating.result().is_alive


def test_the_death_of_the_client_vm_is_told_for_ever_and_the_server_begins_anew(pair) -> None:
    array = anonymous(1)
    pair.alloc(array).map()[:4] = b"data"
    waiting = background(pair.bench, pair.server.receive)
    pair.bench.vm(3).kill()
    with pytest.raises(errors.PeerDied):
        waiting.result()
    for _ in range(2):
        with pytest.raises(errors.PeerDied):
            pair.server.receive()
        with pytest.raises(errors.PeerDied):
            pair.server.respond()
    # Nothing is sent buffer by buffer; all records go with the server object.
    assert pair.server_device.profile(server=True).buffers_now == 1
    pair.server.close()
    assert pair.server_device.profile(server=True).buffers_now == 0
    assert array[:4] == b"data"
    creating = background(pair.bench, lambda: pair.server_device.server(timeout=None))
    pair.bench.vm(3).boot()
    pair.server = creating.result()
    pair.client_application = pair.bench.vm(3).application()
    pair.client_device = pair.client_application.umem("vogl0")
    pair.session = pair.client_device.session()
    pair.free(pair.alloc(array))


def test_the_death_of_the_client_vm_while_its_request_is_handled(pair) -> None:
    asked = _tolerant(pair, pair.session.alloc)
    pair.server.receive()
    pair.bench.vm(3).kill()
    array = anonymous(1)
    array[:4] = b"data"
    with contextlib.suppress(errors.PeerDied):  # the server's kernel may not have heard of it yet
        pair.server.respond(array)
    with pytest.raises(errors.PeerDied):
        pair.server.receive()
    assert array[:4] == b"data"
    asked.result()


STEPS = (
    "asked",
    "received",
    "allocated",
    "mapped",
    "written",
    "registering",
    "registered",
    "unregistering",
    "unregistered",
    "unmapped",
    "freeing",
    "freed",
    "closed",
)


@pytest.mark.parametrize("who", [2, 3])
@pytest.mark.parametrize("step", STEPS)
def test_a_vm_killed_at_any_step_of_a_buffers_life_leaves_a_device_that_works(
    pair, who, step
) -> None:
    pair.bench.link("vogl0").wait_on()
    waiting = _until(pair, step)
    pair.bench.vm(who).kill()
    pair.server.close()
    pair.client_application.close()
    if waiting is not None:
        waiting.result()
    pair.bench.vm(who).boot()
    again = Pair(pair.bench)
    memory = Memory(PAGE)
    buffer = again.alloc(memory)
    buffer.map()[0] = 1
    assert memoryview(memory)[0] == 1
    again.free(buffer)
    assert again.server_device.profile(server=True).buffers_now == 0
    assert not any(end.buffers for end in pair.bench.stats.buffers())
    again.close()


def _opening(pair: Pair) -> Any:
    """A session that is being made while there is no server."""
    pair.server.close()
    return _tolerant(pair, lambda: pair.client_device.session(timeout=None))


@pytest.mark.parametrize("who", [2, 3])
def test_a_vm_killed_while_a_session_waits_for_a_server(pair, who) -> None:
    opening = _opening(pair)
    pair.bench.vm(who).kill()
    pair.bench.vm(who).boot()
    if who == 3:
        assert opening.result() is None
        pair.client_application.close()
    again = pair.bench.vm(2).application()
    server = again.umem("vogl0").server()
    if who == 2:
        assert opening.result().is_alive
    server.close()
    again.close()


def _tolerant(pair: Pair, ask: Any) -> Any:
    """Ask in the background; whoever is asked may be gone by then."""

    def run() -> Any:
        try:
            return ask()
        except errors.LinkError:
            return None

    return background(pair.bench, run)


def _until(pair: Pair, step: str) -> Any:
    """Go through a buffer's life up to that step; returns the request that still waits, if one does."""
    steps = STEPS[: STEPS.index(step) + 1]

    asked = _tolerant(pair, pair.session.alloc)
    if "received" in steps:
        assert pair.server.receive().command is Command.ALLOC
    if "allocated" not in steps:
        return asked
    pair.server.respond(Memory(PAGE))
    buffer = asked.result()
    pair.buffers.append(buffer)
    if "mapped" in steps:
        buffer.map()
    if "written" in steps:
        buffer.map()[0] = 7
    if "registering" in steps:
        other = pair.client_device.session()
        same = pair.client_device.import_buffer(buffer.token)
        pair.buffers.append(same)
        asked = _tolerant(pair, lambda: same.register(other))
        assert pair.server.receive().command is Command.REGISTER
        if "registered" not in steps:
            return asked
        pair.server.respond()
        asked.result()
    if "unregistering" in steps:
        asked = _tolerant(pair, same.unregister)
        assert pair.server.receive().command is Command.UNREGISTER
        if "unregistered" not in steps:
            return asked
        pair.server.respond()
        asked.result()
        same.free()
    if "unmapped" in steps:
        buffer.unmap()
    if "freeing" not in steps:
        return None
    asked = _tolerant(pair, buffer.free)
    assert pair.server.receive().command is Command.FREE
    if "freed" not in steps:
        return asked
    pair.server.respond()
    asked.result()
    if "closed" in steps:
        pair.session.close()
    return None
