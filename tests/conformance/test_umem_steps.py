"""vUmem's shorter ways: memory that comes with its allocation, respond and receive as one step, what is told later."""

from __future__ import annotations

import contextlib
import errno
import mmap
import os
import resource
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from conformance_lib import EVERYWHERE, PROCESS, journal
from umem_lib import PAGE, Pair

from hyplink import errors, umem
from hyplink.testing import background, eventually
from hyplink.umem import Command, Memory

pytestmark = EVERYWHERE


@pytest.fixture
def pair(bench: Any) -> Iterator[Pair]:
    pair = Pair(bench)
    yield pair
    pair.close()


# --- memory that comes with its allocation --------------------------------------------------------


def test_buffers_are_mapped_whether_or_not_they_are_the_last_that_was_allocated(pair) -> None:
    memories = [Memory(PAGE) for _ in range(3)]
    buffers = [pair.alloc(memory) for memory in memories]
    for order in (2, 0, 1):
        buffers[order].map()[0] = order + 1
    assert [memoryview(memory)[0] for memory in memories] == [1, 2, 3]
    assert pair.client_device.profile().maps == 3
    for buffer in buffers:
        pair.free(buffer)


def test_a_buffer_is_mapped_again_after_it_was_unmapped(pair) -> None:
    memory = Memory(PAGE)
    buffer = pair.alloc(memory)
    for value in (1, 2, 3):
        buffer.map()[0] = value
        assert memoryview(memory)[0] == value
        buffer.unmap()
    profile = pair.client_device.profile()
    assert (profile.maps, profile.unmaps) == (3, 3)
    pair.free(buffer)


@pytest.mark.parametrize("first", ["the buffer", "its double"])
def test_a_process_maps_a_buffer_once_whichever_of_its_handles_it_uses(pair, first) -> None:
    buffer = pair.alloc(Memory(PAGE))
    double = pair.client_device.import_buffer(buffer.token)
    session = pair.client_device.session()
    pair.asking(lambda: double.register(session), *pair.fine(Command.REGISTER))
    one, other = (buffer, double) if first == "the buffer" else (double, buffer)
    one.map()[0] = 7
    with pytest.raises(errors.Busy):
        other.map()
    one.unmap()
    assert other.map()[0] == 7
    assert pair.client_device.profile().maps == 2
    other.unmap()
    pair.asking(double.free, *pair.fine(Command.UNREGISTER))
    pair.free(buffer)


def test_a_buffer_that_went_with_its_session_is_not_mapped_any_more(pair) -> None:
    session = pair.client_device.session()
    buffer = pair.alloc(Memory(PAGE), session=session)
    pair.asking(session.close, *pair.fine(Command.FREE))
    with pytest.raises(errors.HandleClosed):
        buffer.map()


def test_a_buffer_whose_server_is_gone_is_not_mapped_any_more(pair) -> None:
    buffer = pair.alloc(Memory(PAGE))
    pair.server.close()
    eventually(pair.bench, lambda: buffer.is_lost)
    with pytest.raises(errors.PeerDied):
        buffer.map()


def test_a_buffer_that_another_application_has_is_not_freed_by_who_allocated_it(pair) -> None:
    buffer = pair.alloc(Memory(PAGE))
    with pair.bench.vm(3).application() as other:
        imported = other.umem("vogl0").import_buffer(buffer.token)
        buffer.free()  # asks nobody
        with pytest.raises(errors.HandleClosed):
            buffer.free()
        pair.asking(imported.free, *pair.fine(Command.FREE))


def descriptors() -> list[int]:
    return [int(entry.name) for entry in Path("/proc/self/fd").iterdir()]


@PROCESS
def test_a_client_that_allocates_and_never_maps_holds_no_descriptors(pair) -> None:
    before = len(descriptors())
    memory = Memory(PAGE)
    buffers = [pair.alloc(memory) for _ in range(40)]
    # The hypervisor, which is in this process too, has one each; the client that of the last.
    assert len(descriptors()) - before < 60
    for buffer in buffers:
        pair.free(buffer)


def unfit_memory() -> memoryview:
    """Memory that does not begin at a page."""
    return memoryview(mmap.mmap(-1, PAGE))[8:]


class Pages:
    """Makes memory for each buffer."""

    def __init__(self) -> None:
        self.memory: dict[int, Memory] = {}

    def alloc(self, request: umem.Request) -> Any:
        if request.argument == b"odd":
            return unfit_memory()
        self.memory[request.buffer] = Memory(PAGE)
        return self.memory[request.buffer]

    def free(self, request: umem.Request) -> None:
        self.memory.pop(request.buffer, None)


def allocate_without_descriptors(application: Any) -> int:
    """What a program does that has none left, and then some."""
    session = application.umem("vogl0").session()
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(descriptors()) + 8,) * 2)
    with contextlib.ExitStack() as files:
        with contextlib.suppress(OSError):
            while True:
                files.callback(os.close, os.open("/dev/null", os.O_RDONLY))
        buffer = session.alloc()
    buffer.map()[0] = 1  # there is room again
    buffer.free()
    session.close()
    return int(buffer.nbytes)


@PROCESS
@pytest.mark.skipif(
    "undefined" in os.environ.get("HYPLINK_SANITIZE", ""),
    reason="the sanitizer needs a pipe to look whether an object may be read",
)
def test_an_allocation_needs_no_descriptor_of_the_client(bench: Any) -> None:
    bench.vm(2).start(umem.serve("vogl0", Pages))
    assert bench.vm(3).start(allocate_without_descriptors).result() == PAGE


# --- respond and receive in one step --------------------------------------------------------------


def test_a_response_and_the_next_request_in_one_step(pair) -> None:
    allocating = background(pair.bench, pair.session.alloc)
    assert pair.server.receive().command is Command.ALLOC
    with pytest.raises(errors.DeadlineExceeded):
        pair.server.respond_and_receive(Memory(PAGE), timeout=0.02)
    buffer = allocating.result()  # the response was given
    with pytest.raises(errors.BadArgument, match="no request"):
        pair.server.respond_and_receive()
    freeing = background(pair.bench, buffer.free)
    assert pair.server.receive().command is Command.FREE
    again = background(pair.bench, pair.session.alloc)
    request = pair.server.respond_and_receive()
    assert (request.command, request.buffer) == (Command.ALLOC, 1)
    freeing.result()
    with pytest.raises(errors.BadArgument):
        pair.server.receive()  # it has to be responded to first
    pair.server.respond(error=errno.ENOSPC)
    with pytest.raises(errors.LinkError) as raised:
        again.result()
    assert raised.value.errno == errno.ENOSPC


@pytest.mark.parametrize("unfit", ["memory", "buffer", "argument"])
def test_a_response_that_is_refused_receives_nothing(pair, unfit) -> None:
    allocating = background(pair.bench, pair.session.alloc)
    request = pair.server.receive()
    response: dict[str, dict[str, Any]] = {
        "memory": {"memory": unfit_memory()},
        "buffer": {"memory": Memory(PAGE), "buffer": request.buffer + 1},
        "argument": {"memory": Memory(PAGE), "argument": bytes(129)},
    }
    with pytest.raises(errors.BadArgument):
        pair.server.respond_and_receive(**response[unfit])
    with pytest.raises(errors.BadArgument):
        allocating.result()  # the client has the same error
    pair.free(pair.alloc(Memory(PAGE)))  # and nothing is out of step


def test_closing_the_server_ends_the_wait_for_the_next_request(pair) -> None:
    allocating = background(pair.bench, pair.session.alloc)
    pair.server.receive()
    waiting = background(
        pair.bench, lambda: pair.server.respond_and_receive(Memory(PAGE), timeout=None)
    )
    allocating.result()
    pair.server.close()
    with pytest.raises((errors.Cancelled, errors.HandleClosed)):
        waiting.result()


def test_a_handler_whose_memory_is_refused_goes_on_serving(bench: Any) -> None:
    bench.vm(2).start(umem.serve("vogl0", Pages))
    with bench.vm(3).application() as application, application.umem("vogl0").session() as session:
        for _ in range(3):
            with pytest.raises(errors.BadArgument):
                session.alloc(b"odd")
            buffer = session.alloc()
            buffer.map()[0] = 1
            buffer.free()


# --- what is told later ---------------------------------------------------------------------------


def test_a_loan_ends_soon_after_its_buffer_was_freed_without_anybody_asking(pair) -> None:
    pair.free(pair.alloc(Memory(PAGE)))
    eventually(pair.bench, lambda: len(journal(pair.bench, "recall")) == 1)
